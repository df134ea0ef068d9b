/**
 * What a network may do to a mesh, on real ones: see test/lab. Needs root and network namespaces.
 * Figures are printed at the end; only claims of the design are asserted, each with room for a loaded machine.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Device, until, untilOnline } from '../lab/device.ts'
import { needs } from '../../packages/node/test/support/when.ts'
import type { Ready, Told } from '../lab/device.ts'
import { Lab, labUnavailable, pidsOn, sweepDeadLabs } from '../lab/lab.ts'
import type { Host } from '../lab/lab.ts'

const unavailable = await labUnavailable()
const available = needs(unavailable === undefined, `networks of its own: ${unavailable ?? ''}`)

const STEP_MS = 45_000
const figures: string[] = []
const figure = (what: string, ms: number): void => { figures.push(`  ${(ms / 1000).toFixed(1).padStart(5)} s  ${what}`) }

beforeAll(async () => { if (available) await sweepDeadLabs() })
afterAll(() => { if (figures.length > 0) console.log(`network scenarios, load ${loadavg()[0]?.toFixed(1)}:\n${figures.join('\n')}`) })

describe.runIf(available).concurrent('on a network of its own', () => {
  test('a builder cut off: a blip moves nothing, silence moves the build, its lease ends by itself, its late result does not count', { timeout: 150_000 }, () => inLab(async lab => {
    const laptop = new Device(lab, await lab.host('laptop', '10.99.0.1/16'), 0)
    const mini = new Device(lab, await lab.host('mini', '10.99.0.2/16'), 2)
    const pi = new Device(lab, await lab.host('pi', '10.99.0.3/16'), 2)
    await laptop.start()
    await admit(laptop, mini)
    await untilOnline([laptop, mini], [laptop, mini], STEP_MS)
    // The only builder: both builds begin on it, and only then there is somewhere to go.
    const held = gatedBuild(lab, laptop, 'held')
    const late = gatedBuild(lab, laptop, 'late')
    await Promise.all([held, late].map(build => said(build, 'first')))
    await admit(laptop, pi)
    await untilOnline([laptop, mini, pi], [laptop, mini, pi], STEP_MS)

    await lab.cut(mini.host)
    // A blip is a length of time, not a condition.
    await delay(2_000)
    await lab.heal(mini.host)
    const healed = performance.now()
    const logged = async (sinceMs: number): Promise<void> => {
      await Promise.all([held, late].map(build => until('the log goes on after a blip', STEP_MS, () => build.told.findLast(event => event.event === 'log' && event.atMs > sinceMs))))
    }
    await logged(healed)
    figure('the log of a build goes on after a blip of 2 s', performance.now() - healed)
    // Past the time in which a silence could still be held against it.
    await logged(healed + 6_000)
    await untilOnline([laptop, pi], [laptop, mini, pi], STEP_MS)
    expect([held, late].map(build => moves(build))).toEqual([[], []])

    await lab.cut(mini.host)
    const cut = performance.now()
    await untilOnline([laptop, pi], [laptop, pi], STEP_MS)
    figure('a cut device is offline on all others', performance.now() - cut)
    const again = await Promise.all([held, late].map(build => said(build, 'again')))
    const movedMs = Math.max(...again.map(({ atMs }) => atMs)) - cut
    figure('a build of a cut builder runs elsewhere', movedMs)
    expect(movedMs).toBeLessThan(8_000 * strain())

    // One attempt ends while nobody can hear it, the other runs until its lease is over.
    late.open('first')
    await until('no process of a build is left on the cut builder', STEP_MS, async () => (await marked(mini.host, held.mark)).length === 0 && (await marked(mini.host, late.mark)).length === 0)
    const endedMs = performance.now() - cut
    figure('the cut builder has ended its build', endedMs)
    expect(endedMs).toBeGreaterThan(10_000)
    expect(endedMs).toBeLessThan(25_000 * strain())
    await lab.heal(mini.host)
    figure('a device cut for half a minute is online again on all', await untilOnline([laptop, mini, pi], [laptop, mini, pi], STEP_MS))

    held.open('again')
    late.open('again')
    for (const build of [held, late]) {
      expect(await build.ended).toMatchObject({ event: 'result', state: 'done', exitCode: 0, attempt: 2, builder: { name: 'pi' } })
      expect(readFileSync(join(build.to, 'out.txt'), 'utf8')).toBe('again\n')
    }
    await until('every slot is free again', STEP_MS, async () => (await laptop.call('devices', {})).every(({ slots }) => slots.free === slots.total))
  }))

  test('power loss: the build runs elsewhere; the device returns at another address; another one moves while it runs; one has no network at all', { timeout: 150_000 }, () => inLab(async lab => {
    const laptop = new Device(lab, await lab.host('laptop', '10.99.0.1/16'), 0)
    const builders = [new Device(lab, await lab.host('mini', '10.99.0.2/16'), 1), new Device(lab, await lab.host('pi', '10.99.0.3/16'), 1)]
    const all = [laptop, ...builders]
    await laptop.start()
    await Promise.all(builders.map(builder => admit(laptop, builder)))
    await untilOnline(all, all, STEP_MS)

    const build = gatedBuild(lab, laptop, 'power')
    const first = await said(build, 'first')
    const lost = builders.find(({ name }) => name === builderOf(build)) as Device
    const other = builders.find(({ name }) => name !== lost.name) as Device
    expect(first.atMs).toBeLessThan(performance.now())
    await lab.cut(lost.host)
    const cut = performance.now()
    await lost.kill()
    await untilOnline([laptop, other], [laptop, other], STEP_MS)
    figure('a device without power is offline on all others', performance.now() - cut)
    const again = await said(build, 'again')
    figure('a build of a builder without power runs elsewhere', again.atMs - cut)
    expect(again.atMs - cut).toBeLessThan(8_000 * strain())
    build.open('again')
    expect(await build.ended).toMatchObject({ event: 'result', exitCode: 0, attempt: 2, builder: { name: other.name } })

    await lab.move(lost.host, '10.99.5.2/16')
    await lab.heal(lost.host)
    const restarted = performance.now()
    await lost.start()
    await untilOnline(all, all, STEP_MS)
    figure('a device restarted at another address is online on all (start included)', performance.now() - restarted)

    await lab.move(other.host, '10.99.7.77/16')
    const moved = performance.now()
    await until('all are connected to its new address', STEP_MS, () => [laptop, lost].every(device => connections(device, '10.99.7.77') > 0))
    await untilOnline(all, all, STEP_MS)
    figure('a device that changed its address is online on all', performance.now() - moved)
    const there = gatedBuild(lab, laptop, 'there', { on: other.name })
    there.open('first')
    expect(await there.ended).toMatchObject({ event: 'result', exitCode: 0, builder: { name: other.name } })
    expect(performance.now() - moved).toBeLessThan(15_000 * strain())

    await lab.interfaceDown(laptop.host)
    const down = performance.now()
    await untilOnline([laptop], [laptop], STEP_MS)
    figure('a device without any network shows everybody offline', performance.now() - down)
    await laptop.call('stack.add', { stack: 'alone', entry: { kind: 'note', title: 'in a tunnel' } })
    expect(await titles(laptop, 'alone')).toEqual(['in a tunnel'])
    await laptop.stop()
    await laptop.start()
    await laptop.call('stack.add', { stack: 'alone', entry: { kind: 'note', title: 'still in the tunnel' } })
    expect((await titles(laptop, 'alone')).length).toBe(2)
    const { devices, problems } = await laptop.call('status', {})
    expect(devices.filter(({ online }) => online).map(({ name }) => name)).toEqual(['laptop'])
    expect(problems.map(({ code }) => code)).toEqual(expect.arrayContaining(['NO_NETWORK', 'ONLY_COPY']))
    await lab.interfaceUp(laptop.host)
    const up = performance.now()
    await untilEqual(all, 'alone')
    figure('notes written without any network are on all, after it is back', performance.now() - up)
    expect((await laptop.call('status', {})).problems.map(({ code }) => code)).not.toContain('NO_NETWORK')
  }))

  test('a partition: both sides work on, one digest after it, and an eviction that one side missed', { timeout: 150_000 }, () => inLab(async lab => {
    const devices: Device[] = []
    for (const [i, name] of ['ana', 'ben', 'cyd', 'dan', 'eve'].entries()) devices.push(new Device(lab, await lab.host(name, `10.99.0.${i + 1}/16`), 0))
    const [ana, ben, cyd, dan, eve] = devices as [Device, Device, Device, Device, Device]
    await ana.start()
    await Promise.all(devices.slice(1).map(device => admit(ana, device)))
    await untilOnline(devices, devices, STEP_MS)
    await until('everybody has a connection to eve', STEP_MS, () => [ana, ben, cyd, dan].every(device => connections(device, '10.99.0.5') > 0))

    // Stopped: that connections end is the others' doing.
    process.kill(eve.pid as number, 'SIGSTOP')
    const evicted = performance.now()
    await ana.call('evict', { device: 'eve' })
    await until('nobody has a connection to eve', STEP_MS, () => [ana, ben, cyd, dan].every(device => connections(device, '10.99.0.5') === 0))
    figure('an evicted device has no connection to any member', performance.now() - evicted)
    expect(performance.now() - evicted).toBeLessThan(2_000 * strain())
    await eve.kill()

    await lab.partition(cyd.host, dan.host)
    const parted = performance.now()
    await Promise.all([untilOnline([ana, ben], [ana, ben], STEP_MS), untilOnline([cyd, dan], [cyd, dan], STEP_MS)])
    figure('both sides of a partition see it', performance.now() - parted)
    await Promise.all([ana, ben, cyd].map(device => device.call('stack.add', { stack: 'ours', entry: { kind: 'note', title: `from ${device.name}` } })))
    await ana.call('evict', { device: 'dan' })
    // Long enough that whoever dials has become slow at it.
    await delay(Math.max(0, 22_000 - (performance.now() - parted)))
    expect(connections(cyd, '10.99.0.4')).toBeGreaterThan(0)
    await lab.heal(cyd.host, dan.host)
    const healed = performance.now()
    const equal = untilEqual([ana, ben, cyd], 'ours').then(() => { figure('after a partition of 22 s one digest on all', performance.now() - healed) })
    await until('cyd has heard that dan is out', STEP_MS, async () => (await cyd.call('devices', {})).every(({ name }) => name !== 'dan'))
    const heard = performance.now()
    figure('an eviction is heard after a partition', heard - healed)
    await until('and has no connection to it', STEP_MS, () => connections(cyd, '10.99.0.4') === 0)
    expect(performance.now() - heard).toBeLessThan(2_000 * strain())
    await until('the evicted device has ended by itself', STEP_MS, () => !dan.running)
    await equal
    expect(await titles(cyd, 'ours')).toEqual(['from ana', 'from ben', 'from cyd'])
    await untilOnline([ana, ben, cyd], [ana, ben, cyd], STEP_MS)
  }))

  test('mDNS: a ticket with stale addresses is good, and two members that both moved while they were off find each other', { timeout: 120_000 }, () => inLab(async lab => {
    const ana = new Device(lab, await lab.host('ana', '10.99.0.1/16'), 0)
    const ben = new Device(lab, await lab.host('ben', '10.99.0.2/16'), 0)
    await ana.start()
    const { ticket } = await ana.call('invite', {})
    await ana.stop()
    await lab.move(ana.host, '10.99.7.1/16')
    await ana.start()
    const joining = performance.now()
    await ben.start({ ticket })
    figure('joined by mDNS, with a ticket of stale addresses (start included)', performance.now() - joining)
    await untilOnline([ana, ben], [ana, ben], STEP_MS)

    await Promise.all([ana.stop(), ben.stop()])
    await lab.move(ana.host, '10.99.8.1/16')
    await lab.move(ben.host, '10.99.8.2/16')
    const starting = performance.now()
    await Promise.all([ana.start(), ben.start()])
    await untilOnline([ana, ben], [ana, ben], STEP_MS)
    figure('two members at new addresses found each other by mDNS (start included)', performance.now() - starting)

    await lab.move(ana.host, '10.99.9.1/16')
    await lab.move(ben.host, '10.99.9.2/16')
    const moved = performance.now()
    await until('ana is connected to the new address of ben', STEP_MS, () => connections(ana, '10.99.9.2') > 0)
    await untilOnline([ana, ben], [ana, ben], STEP_MS)
    figure('two running members that both moved found each other by mDNS', performance.now() - moved)
  }))

  test('only IPv6, and a container bridge: the one is enough, the other is told to nobody', { timeout: 120_000 }, () => inLab(async lab => {
    const ana = new Device(lab, await lab.host('ana', 'fd99::1/64'), 0)
    const ben = new Device(lab, await lab.host('ben', 'fd99::2/64'), 0)
    await lab.bridge(ana.host, 'docker0', '172.17.0.1/16')
    const { addresses } = await ana.start()
    expect(addresses.map(address => address.split('/tcp/')[0])).toEqual(['/ip6/fd99::1'])
    await admit(ana, ben)
    await untilOnline([ana, ben], [ana, ben], STEP_MS)
    await ben.call('stack.add', { stack: 'six', entry: { kind: 'note', title: 'over IPv6' } })
    await untilEqual([ana, ben], 'six')
  }))
})

/** Everything of the lab is gone at the end, whatever happens. */
async function inLab (scenario: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = await Lab.up()
  // Builds have users of their own.
  chmodSync(lab.dir, 0o711)
  try {
    await scenario(lab)
  } finally {
    await lab.down()
  }
}

async function admit (admin: Device, device: Device): Promise<Ready> {
  const { ticket } = await admin.call('invite', {})
  return await device.start({ ticket })
}

interface GatedBuild { told: Told[], ended: Promise<Told | undefined>, mark: string, to: string, open: (attempt: 'first' | 'again') => void }

/** Says which attempt it is, ticks until the gate of that attempt is opened, and writes what it was into its output. */
const SCRIPT = `
me=again; mkdir "$GATES/taken" 2>/dev/null && me=first
echo "$me"
until [ -e "$GATES/$me" ]; do sleep 0.3; echo tick; done
echo "$me" > out.txt`

function gatedBuild (lab: Lab, on: Device, name: string, options: { on?: string } = {}): GatedBuild {
  const source = join(lab.dir, `${name}-source`)
  const gates = join(lab.dir, `${name}-gates`)
  const to = join(lab.dir, `${name}-outputs`)
  for (const dir of [source, gates]) mkdirSync(dir)
  chmodSync(gates, 0o777)
  writeFileSync(join(source, 'readme.txt'), `${name}\n`)
  execFileSync('git', ['init', '-q', source])
  const { told, ended } = on.build({ source, to, command: ['sh', '-c', SCRIPT], env: { GATES: gates }, outputs: ['out.txt'], ...options }, new AbortController().signal)
  return { told, ended, to, mark: `GATES=${gates}`, open: attempt => { writeFileSync(join(gates, attempt), '') } }
}

/** The build printed this line. */
async function said (build: GatedBuild, line: string): Promise<Told> {
  return await until(`the build says "${line}"`, STEP_MS, () => build.told.find(event => event.event === 'log' && event.data.split('\n').includes(line)))
    .catch((error: unknown) => { throw new Error(`${(error as Error).message}; it said ${JSON.stringify(build.told.filter(({ event }) => event !== 'log'))}`) })
}

function moves (build: GatedBuild): Told[] { return build.told.filter(({ event }) => event === 'moved') }

function builderOf (build: GatedBuild): string | undefined {
  return build.told.findLast(event => event.event === 'elected')?.builder.name
}

/** Processes on the host that carry this in their environment. */
async function marked (host: Host, mark: string): Promise<number[]> {
  return (await pidsOn(host)).filter(pid => existsSync(`/proc/${pid}/environ`) && environment(pid).includes(mark))
}

function environment (pid: number): string {
  try { return readFileSync(`/proc/${pid}/environ`, 'latin1') } catch { return '' }
}

/** TCP connections of the device with this IPv4 address, as its kernel sees them. */
function connections (device: Device, address: string): number {
  const hex = address.split('.').map(part => Number(part).toString(16).padStart(2, '0')).toReversed().join('').toUpperCase()
  const ESTABLISHED = '01'
  const rows = readFileSync(`/proc/${device.pid}/net/tcp`, 'latin1').split('\n').slice(1).map(row => row.trim().split(/\s+/))
  return rows.filter(([, , remote, state]) => remote?.startsWith(`${hex}:`) === true && state === ESTABLISHED).length
}

async function titles (device: Device, stack: string): Promise<string[]> { return (await device.entries(stack)).map(({ title }) => title).toSorted() }

async function untilEqual (devices: Device[], stack: string): Promise<void> {
  await until(`${stack} has one digest on ${devices.map(({ name }) => name).join()}`, STEP_MS, async () => {
    const digests = await Promise.all(devices.map(device => device.call('stack.digest', { stack })))
    return new Set(digests.map(({ digest, feeds }) => `${digest} ${feeds}`)).size === 1
  })
}

/** What a loaded machine is allowed to be late. */
function strain (): number { return (loadavg()[0] ?? 0) > 4 ? 3 : 1 }
