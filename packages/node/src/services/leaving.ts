/** `leave`: what has to be true before a device goes, and the handing over. What it held is removed by the composition, afterwards. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ElderError, type DeviceId } from '@elder-node/protocol'
import type { Departure, LeaveOptions, StackStatus } from '../api.ts'
import type { Mesh } from '../ports/mesh.ts'
import type { Membership } from './membership.ts'

export interface LeavingComponents {
  mesh: Mesh
  membership: Membership
  stacks: () => StackStatus[]
  /** Compares stacks with a device now, and moves what either lacks. */
  exchange: (device: DeviceId) => Promise<unknown>
  /** Pushes one stack to its remotes now. */
  push: (stack: string) => Promise<unknown>
}

export interface LeavingInit {
  /** How long other devices and remotes may take to hold what is only here, milliseconds. @default 10_000 */
  handoverMs?: number
  /** How long one of the others may take to answer before it is told, milliseconds. @default 5_000 */
  answerMs?: number
}

const LOOK_MS = 100

/**
 * Makes this device no member any more, once nothing stands against it. `force` goes all the same.
 *
 * @throws ElderError `LAST_ADMIN`, `ONLY_COPY`, `NOBODY_TOLD`, `NOT_A_MEMBER`, `DISK_FULL`, `STORAGE`: then nothing happened
 */
export async function leave (components: LeavingComponents, { force = false, signal = new AbortController().signal }: LeaveOptions = {}, { handoverMs = 10_000, answerMs = 5_000 }: LeavingInit = {}): Promise<Departure> {
  const { mesh, membership } = components
  const device = membership.ref(membership.self)
  if (!force) demandAnotherAdmin(membership)
  const lost = await handOver(components, AbortSignal.any([signal, AbortSignal.timeout(force ? 0 : handoverMs)]))
  signal.throwIfAborted()
  if (!force && lost.length > 0) throw onlyCopy(lost)
  const others = membership.roster.members.size - 1
  if (!force && others > 0 && !await isAnyoneThere(mesh, AbortSignal.any([signal, AbortSignal.timeout(answerMs)]))) throw nobodyTold(device.name)
  signal.throwIfAborted()
  const told = await membership.leave()
  return {
    device, mesh: { id: membership.meshId, name: membership.meshName },
    told: told.map(device => membership.ref(device)), lost,
  }
}

/** Names of the stacks that are only here when the signal aborts; none as soon as there are none. */
async function handOver ({ mesh, stacks, exchange, push }: LeavingComponents, signal: AbortSignal): Promise<string[]> {
  const onlyHere = (): StackStatus[] => stacks().filter(isOnlyHere)
  for (const { name, mirrors } of onlyHere()) if (mirrors.length > 0) push(name).catch(() => { /* the state of the mirror says so */ })
  while (onlyHere().length > 0 && !signal.aborted) {
    await Promise.race([Promise.allSettled(mesh.peers().map(({ device }) => exchange(device))), aborted(signal)])
    if (onlyHere().length > 0) await sleep(LOOK_MS, undefined, { signal }).catch(() => {})
  }
  return onlyHere().map(({ name }) => name)
}

async function aborted (signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await new Promise<void>(resolve => { signal.addEventListener('abort', () => { resolve() }, { once: true }) })
}

/** A connection may be to a device that sleeps: one answers. */
async function isAnyoneThere (mesh: Mesh, signal: AbortSignal): Promise<boolean> {
  return await Promise.any(mesh.peers().map(({ device }) => mesh.probe(device, { signal }))).then(() => true, () => false)
}

/** Neither another device nor a remote has all of it. */
function isOnlyHere ({ copies, entries, mirrors }: StackStatus): boolean { return entries > 0 && copies === 1 && !mirrors.some(({ state }) => state === 'ok') }

function demandAnotherAdmin ({ me, roster, self, meshName }: Membership): void {
  if (me?.role !== 'admin') return
  const others = [...roster.members.values()].filter(({ device }) => device !== self)
  if (others.some(({ role }) => role === 'admin')) return
  const [first] = others
  throw first === undefined
    ? new ElderError('LAST_ADMIN', `This is the only device of the mesh "${meshName}": without it the mesh is gone, with every stack that no remote holds.`, 'elder-node invite   (another device first), or elder-node leave --force')
    : new ElderError('LAST_ADMIN', `This is the only admin of the mesh "${meshName}": without it nobody could invite or evict.`, `elder-node devices promote ${first.name}   then elder-node leave again; or elder-node leave --force`)
}

function onlyCopy (stacks: string[]): ElderError {
  return new ElderError(
    'ONLY_COPY', `${stacks.length === 1 ? 'One stack is' : `${stacks.length} stacks are`} on no other device and, in full, on no remote: ${stacks.join(', ')}.`,
    `Start another device, or elder-node stack remote add ${stacks.length === 1 ? stacks[0] : '--all'} <git url>; elder-node leave --force loses them.`, { stacks },
  )
}

function nobodyTold (name: string): ElderError {
  return new ElderError('NOBODY_TOLD', 'No other device answers: the mesh would go on counting this one as a member.', `Start another device first; or elder-node leave --force, and there: elder-node evict ${name}`)
}
