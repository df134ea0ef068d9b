/** What is wrong right now, from what this node knows: pure, one function per condition. Thresholds: catalogue.ts. */
import type { DeviceStatus, Problem, StackStatus } from '../../api.ts'
import type { Finding } from './alert-book.ts'
import { THRESHOLDS } from './catalogue.ts'

/** `about` of {@link Finding}, where the message changes and the problem is the same. @default the message */
export type Found = Problem & Partial<Pick<Finding, 'about'>>

export interface World {
  /** This device first or anywhere; others as their adverts say. */
  devices: readonly DeviceStatus[]
  self: string
  addresses: readonly string[]
  /** Devices that offered slots when they were last heard, by id. */
  expected: ReadonlySet<string>
  /** Devices whose disk was low at the last look, by id. */
  low: ReadonlySet<string>
  /** Builds of this device that wait for a slot, each with the devices that would take it. */
  waiting: ReadonlyArray<{ id: string, candidates: readonly string[] }>
  stacks: readonly StackStatus[]
  /** What services found themselves. */
  found: readonly Found[]
  version: string
  loopLagS: number
  /** Wall clock of the starts that followed an end that was not clean, milliseconds. */
  crashesMs: readonly number[]
  wallMs: number
}

export function findingsOf (world: World): Finding[] {
  const offline = noNetwork(world)
  return [
    ...offline, ...restartLoop(world), ...world.found.map(problem => ({ about: problem.message, ...problem })),
    // Who is cut off cannot tell who is down.
    ...world.devices.flatMap(device => device.online ? [...diskLow(device, world), ...memoryHigh(device, world)] : offline.length > 0 ? [] : deviceDown(device, world)),
    ...loopBlocked(world), ...queueStuck(world), ...world.stacks.filter(isOnlyCopy).map(onlyCopy), ...mirrorsBehind(world), ...mirrorsStale(world), ...versionSkew(world),
  ]
}

/** Why everybody is offline, when the reason is here. */
function noNetwork ({ devices, addresses }: World): Finding[] {
  const isAlone = devices.length > 1 && devices.every(({ path }) => path === 'self' || path === 'none')
  if (!isAlone || !addresses.every(address => /^\/(ip4\/127\.|ip6\/::1\/)/.test(address))) return []
  return [{
    code: 'NO_NETWORK', about: '', message: 'This device has no address but loopback: no other machine can reach it, and none is online.',
    fix: 'Connect to a network. What is written meanwhile is kept here, and exchanged then.',
  }]
}

function restartLoop ({ crashesMs, wallMs }: World): Finding[] {
  const recent = crashesMs.filter(atMs => wallMs - atMs < THRESHOLDS.crashWindowMs).length
  if (recent <= THRESHOLDS.crashes) return []
  return [{ code: 'RESTART_LOOP', about: '', message: `This node ended uncleanly and was started again ${recent} times within 15 minutes.`, fix: 'Look at the end of node.log in its data directory; see also: elder-node doctor' }]
}

function deviceDown ({ id, name }: DeviceStatus, { expected }: World): Finding[] {
  if (!expected.has(id)) return []
  return [{ code: 'DEVICE_DOWN', about: id, message: `${name} is down; it offered build slots.`, fix: `Look at it, or, if it is gone for good: elder-node evict ${name}` }]
}

function diskLow ({ id, name, disk }: DeviceStatus, { self, low }: World): Finding[] {
  const enough = low.has(id) ? THRESHOLDS.diskEnough : THRESHOLDS.diskFree
  if (disk === null || disk.totalBytes <= 0 || disk.freeBytes >= enough * disk.totalBytes) return []
  const who = id === self ? 'This device' : name
  return [{ code: 'DISK_LOW', about: id, message: `${who} has ${percent(disk.freeBytes, disk.totalBytes)} of its disk free.`, fix: 'Free some space: below 10 % builds and memory are at risk.' }]
}

function memoryHigh ({ id, name, memory }: DeviceStatus, { self }: World): Finding[] {
  if (memory === null || memory.totalBytes <= 0) return []
  const used = memory.totalBytes - memory.freeBytes
  if (used <= THRESHOLDS.memoryUsed * memory.totalBytes) return []
  const who = id === self ? 'This device' : name
  return [{ code: 'MEMORY_HIGH', about: id, message: `${who} has used ${percent(used, memory.totalBytes)} of its memory for 5 minutes.`, fix: `End what needs it, or let it run fewer builds: elder-node config set slots 1   (on ${name})` }]
}

function loopBlocked ({ loopLagS }: World): Finding[] {
  if (loopLagS <= THRESHOLDS.loopLagS) return []
  return [{ code: 'LOOP_BLOCKED', about: '', message: `This node stalls, lately for ${loopLagS.toFixed(1)} s: it answers others late, and may be taken for dead.`, fix: 'Less load on this machine, or fewer slots: elder-node config set slots 1' }]
}

function queueStuck ({ waiting, devices }: World): Finding[] {
  const free = devices.filter(({ online, slots }) => online && slots.free > 0)
  return waiting.flatMap(({ id, candidates }) => {
    const idle = free.find(device => candidates.includes(device.id))
    return idle === undefined ? [] : [{ code: 'QUEUE_STUCK', about: id, message: `The build ${id.slice(0, 8)} waits for a slot although ${idle.name} has one free.`, fix: `elder-node builds why ${id.slice(0, 8)}` }]
  })
}

/** Neither another device nor a remote has all of it. */
function isOnlyCopy ({ copies, entries, mirrors }: StackStatus): boolean {
  return entries > 0 && copies === 1 && !mirrors.some(({ state }) => state === 'ok')
}

function onlyCopy ({ name }: StackStatus): Finding {
  return { code: 'ONLY_COPY', about: name, message: `The stack ${name} is on no other device that is connected, nor in full on a remote.`, fix: `elder-node invite   (a second device), or elder-node stack remote add ${name} <git url>` }
}

/** One per remote that does not take what it should, unless the mirror explained it itself. */
function mirrorsBehind ({ stacks, found }: World): Finding[] {
  const broken = stacks.flatMap(({ mirrors }) => mirrors).filter(({ state, message }) => state !== 'ok' && message !== null && !found.some(problem => problem.message === message))
  return [...new Map(broken.map(mirror => [mirror.url, mirror])).values()].map(({ url, message }) => ({
    code: 'MIRROR_BEHIND', about: url, message: message?.includes(url) === true ? `A mirror is behind: ${message}` : `The mirror at ${url} is behind: ${message}`, fix: `Check with: git ls-remote ${url}   then: elder-node stack sync`,
  }))
}

/** One per remote, for the stack that waits longest. */
function mirrorsStale ({ stacks, wallMs }: World): Finding[] {
  const late = stacks.flatMap(({ name, entries, mirrors }) => entries === 0 ? [] : mirrors.filter(({ state }) => state !== 'ok').map(mirror => ({ name, ...mirror, sinceMs: mirror.behindSince === undefined ? wallMs : Date.parse(mirror.behindSince) })))
  const oldest = new Map(late.toSorted((a, b) => b.sinceMs - a.sinceMs).map(mirror => [mirror.url, mirror]))
  return [...oldest.values()].map(({ url, name, sinceMs, lastPush }) => ({
    code: 'MIRROR_STALE', about: url, heldMs: wallMs - sinceMs, message: `Changes of the stack ${name} have not been on ${url} for 4 hours${lastPush === null ? '; it never was' : ''}.`, fix: `elder-node stack sync ${name}   says why; the other devices still have them`,
  }))
}

function versionSkew ({ devices, self, version }: World): Finding[] {
  const others = devices.filter(device => device.id !== self && device.online && device.version !== null && device.version !== version)
  if (others.length === 0) return []
  const named = others.slice(0, 3).map(({ name, version: theirs }) => `${name} ${theirs}`).join(', ')
  return [{ code: 'VERSION_SKEW', about: '', message: `Not every device runs version ${version}: ${named}${others.length > 3 ? `, and ${others.length - 3} more` : ''}.`, fix: 'Bring all devices to the same version.' }]
}

function percent (part: number, whole: number): string { return `${Math.round(100 * part / whole)} %` }
