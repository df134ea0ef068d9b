/** A laptop's lid, and no network at all, on networks of their own: see test/lab. Needs root and network namespaces. */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { needs } from '../../packages/node/test/support/when.ts'
import { Device, until, untilOnline } from '../lab/device.ts'
import type { Told } from '../lab/device.ts'
import { Lab, labUnavailable, sweepDeadLabs } from '../lab/lab.ts'

const unavailable = await labUnavailable()
const available = needs(unavailable === undefined, `networks of its own: ${unavailable ?? ''}`)

const STEP_MS = 60_000
const figures: string[] = []
const figure = (what: string, sinceMs: number): void => { figures.push(`  ${((performance.now() - sinceMs) / 1000).toFixed(1).padStart(5)} s  ${what}`) }

beforeAll(async () => { if (available) await sweepDeadLabs() })
afterAll(() => { if (figures.length > 0) console.log(`sleep and wake, load ${loadavg()[0]?.toFixed(1)}:\n${figures.join('\n')}`) })

describe.runIf(available).concurrent('a laptop', () => {
  test('sleeps in the middle of its build and wakes in another network: the lease has ended, the build goes on, one result counts', { timeout: 180_000 }, () => inLab(async lab => {
    const laptop = new Device(lab, await lab.host('laptop', '10.99.0.1/16', 'fd99::1/64'), 0)
    const pi = new Device(lab, await lab.host('pi', '10.99.0.2/16', 'fd99::2/64'), 1)
    const mini = new Device(lab, await lab.host('mini', '10.99.0.3/16', 'fd99::3/64'), 0)
    const all = [laptop, pi, mini]
    await laptop.start()
    for (const device of [pi, mini]) await device.start({ ticket: (await laptop.call('invite', {})).ticket })
    await untilOnline(all, all, STEP_MS)

    const build = gatedBuild(lab, laptop)
    await until('the build runs', STEP_MS, () => said(build, 'first'))
    process.kill(laptop.pid as number, 'SIGSTOP')
    const asleep = performance.now()
    await untilOnline([pi, mini], [pi, mini], STEP_MS)
    figure('a sleeping laptop is offline for the others', asleep)
    await until('the lease has ended and its slot is free', STEP_MS, async () => (await pi.call('devices', {})).find(({ name }) => name === 'pi')?.slots.free === 1)
    figure('its build has ended on the builder', asleep)
    // Both families: it is carried while it sleeps.
    await lab.move(laptop.host, '10.99.44.1/16', 'fd99::44:1/64')
    process.kill(laptop.pid as number, 'SIGCONT')
    const awake = performance.now()
    await untilOnline(all, all, STEP_MS)
    figure('awake in another network: online on all', awake)
    build.open('again')
    expect(await build.ended, JSON.stringify(build.told)).toMatchObject({ event: 'result', state: 'done', exitCode: 0, attempt: 2, builder: { name: 'pi' } })
    expect(readFileSync(join(build.to, 'out.txt'), 'utf8')).toBe('again\n')
    figure('its build is done, by a second attempt', awake)
    expect(laptop.log()).toContain('awake after a pause')
    await laptop.call('stack.add', { stack: 'day', entry: { kind: 'note', title: 'good morning' } })
    await until('its note is everywhere', STEP_MS, async () => (await Promise.all([pi, mini].map(device => device.entries('day')))).every(entries => entries.length === 1))
  }))

  test('changes both of its addresses in the middle of a build, which does not notice', { timeout: 180_000 }, () => inLab(async lab => {
    const laptop = new Device(lab, await lab.host('laptop', '10.99.0.1/16', 'fd99::1/64'), 0)
    const pi = new Device(lab, await lab.host('pi', '10.99.0.2/16', 'fd99::2/64'), 1)
    await laptop.start()
    await pi.start({ ticket: (await laptop.call('invite', {})).ticket })
    await untilOnline([laptop, pi], [laptop, pi], STEP_MS)
    const build = gatedBuild(lab, laptop)
    await until('the build runs', STEP_MS, () => said(build, 'first'))
    await lab.move(pi.host, '10.99.7.2/16', 'fd99::7:2/64')
    const moved = performance.now()
    build.open('first')
    build.open('again')
    // Within the grace of its lease the attempt goes on; on a slow machine a second one may have been made of it.
    expect(await build.ended, JSON.stringify(build.told)).toMatchObject({ event: 'result', state: 'done', exitCode: 0, builder: { name: 'pi' } })
    figure('a build whose builder moved has ended', moved)
    const { addresses } = (await pi.call('status', {})).self
    expect(addresses.map(address => address.split('/tcp/')[0]).toSorted()).toEqual(['/ip4/10.99.7.2', '/ip6/fd99::7:2'])
  }))

  test('without any network writes, reads, compares, builds on itself, and says that it is offline', { timeout: 120_000 }, () => inLab(async lab => {
    const laptop = new Device(lab, await lab.host('laptop', '10.99.0.1/16'), 1)
    const pi = new Device(lab, await lab.host('pi', '10.99.0.2/16'), 0)
    await laptop.start()
    await pi.start({ ticket: (await laptop.call('invite', {})).ticket })
    await untilOnline([laptop, pi], [laptop, pi], STEP_MS)
    await lab.interfaceDown(laptop.host)
    await untilOnline([laptop], [laptop], STEP_MS)
    await laptop.call('stack.add', { stack: 'tunnel', entry: { kind: 'note', title: 'dark here' } })
    expect((await laptop.entries('tunnel')).map(({ title }) => title)).toEqual(['dark here'])
    expect(await laptop.call('stack.digest', { stack: 'tunnel' })).toMatchObject({ digest: expect.any(String) as string })
    const build = gatedBuild(lab, laptop, { local: 'only' })
    build.open('first')
    expect(await build.ended, JSON.stringify(build.told)).toMatchObject({ event: 'result', state: 'done', exitCode: 0, builder: { name: 'laptop' } })
    const { devices, problems } = await laptop.call('status', {})
    expect(devices.map(({ name, online, path }) => ({ name, online, path }))).toEqual([{ name: 'laptop', online: true, path: 'self' }, { name: 'pi', online: false, path: 'none' }])
    expect(problems.map(({ code }) => code)).toContain('NO_NETWORK')
    await lab.interfaceUp(laptop.host)
    await untilOnline([laptop, pi], [laptop, pi], STEP_MS)
    await until('the note is on the other device', STEP_MS, async () => (await pi.entries('tunnel')).length === 1)
  }))
})

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

interface GatedBuild { told: Told[], ended: Promise<Told | undefined>, to: string, open: (attempt: 'first' | 'again') => void }

/** Says which attempt it is, waits for the gate of that attempt, and writes what it was into its output. */
const SCRIPT = `
me=again; mkdir "$GATES/taken" 2>/dev/null && me=first
echo "$me"
until [ -e "$GATES/$me" ]; do sleep 0.3; done
echo "$me" > out.txt`

function gatedBuild (lab: Lab, on: Device, options: { local?: 'only' } = {}): GatedBuild {
  const [source, gates, to] = ['source', 'gates', 'outputs'].map(name => join(lab.dir, name)) as [string, string, string]
  for (const dir of [source, gates]) mkdirSync(dir)
  chmodSync(gates, 0o777)
  writeFileSync(join(source, 'readme.txt'), 'x\n')
  execFileSync('git', ['init', '-q', source])
  const { told, ended } = on.build({ source, to, command: ['sh', '-c', SCRIPT], env: { GATES: gates }, outputs: ['out.txt'], ...options }, new AbortController().signal)
  return { told, ended, to, open: attempt => { if (!existsSync(join(gates, attempt))) writeFileSync(join(gates, attempt), '') } }
}

function said (build: GatedBuild, line: string): boolean {
  return build.told.some(event => event.event === 'log' && event.data.split('\n').includes(line))
}
