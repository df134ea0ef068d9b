/**
 * Homes behind routers that translate addresses, and members that anybody can dial: see test/lab. Needs root, network namespaces, nftables.
 * Both homes use the same private addresses, as homes do.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { needs } from '../../packages/node/test/support/when.ts'
import { Device, until, untilOnline } from '../lab/device.ts'
import { Lab, labUnavailable, routersUnavailable, sweepDeadLabs } from '../lab/lab.ts'
import type { Home } from '../lab/lab.ts'

const unavailable = await labUnavailable() ?? await routersUnavailable()
const available = needs(unavailable === undefined, `routers of its own: ${unavailable ?? ''}`)

const STEP_MS = 60_000
const figures: string[] = []
const figure = (what: string, sinceMs: number): void => { figures.push(`  ${((performance.now() - sinceMs) / 1000).toFixed(1).padStart(5)} s  ${what}`) }

beforeAll(async () => { if (available) await sweepDeadLabs() })
afterAll(() => { if (figures.length > 0) console.log(`homes behind routers, load ${loadavg()[0]?.toFixed(1)}:\n${figures.join('\n')}`) })

describe.runIf(available).concurrent('two homes behind routers, and two members that anybody can dial', () => {
  test('they meet, write and build through a relay; a lost relay is replaced, the last is missed; together they are direct', { timeout: 180_000 }, async () => {
    const lab = await Lab.up()
    // Builds have users of their own.
    chmodSync(lab.dir, 0o711)
    try {
      const homes = [await lab.home('router-a', '11.0.1.1/24', '192.168.1.1/24'), await lab.home('router-b', '11.0.2.1/24', '192.168.1.1/24')] as const
      const vps = new Device(lab, await lab.host('vps', '11.0.8.8/24'), 0)
      const box = new Device(lab, await lab.host('box', '11.0.9.9/24'), 0)
      const laptop = new Device(lab, await lab.hostAt(homes[0], 'laptop', '192.168.1.10/24'), 0)
      const pi = new Device(lab, await lab.hostAt(homes[1], 'pi', '192.168.1.10/24'), 1)
      await vps.start()
      await admit(vps, box)
      await admit(vps, laptop, 'admin')

      // Nobody can dial the laptop; it learns so, and where it is reached instead.
      const joined = performance.now()
      await until('the laptop has two relays', STEP_MS, async () => (await self(laptop)).relays.length === 2)
      figure('a device behind a router has found its relays', joined)
      await until('the laptop knows that nobody can dial it', STEP_MS, async () => (await self(laptop)).reachable === 'private')
      expect(await self(vps)).toMatchObject({ reachable: 'public', relays: [] })

      // Its ticket leads through them.
      const inviting = performance.now()
      await admit(laptop, pi)
      figure('a device behind another router joined with its ticket (start included)', inviting)
      await untilOnline([laptop, pi, vps, box], [laptop, pi, vps, box], STEP_MS)
      expect(await path(laptop, pi)).toBe('relay')
      expect(await path(laptop, vps)).toBe('direct')

      await pi.call('stack.add', { stack: 'ours', entry: { kind: 'note', title: 'from the other home' } })
      await until('the note is there', STEP_MS, async () => (await laptop.entries('ours')).some(({ title }) => title === 'from the other home'))
      const building = performance.now()
      await buildOnPi(lab, laptop, 'first')
      figure('a build of 4 MiB and its output went through a relay', building)

      // The relay in use is gone: the other one takes over.
      const relay = (await laptop.call('devices', {})).find(({ name }) => name === 'pi')?.relay?.name
      const used = relay === 'vps' ? vps : box
      expect(relay).toBe(used.name)
      const other = used === vps ? box : vps
      await used.kill()
      const lost = performance.now()
      await untilOnline([laptop, pi], [laptop, pi, other], STEP_MS)
      figure('a lost relay is replaced', lost)
      expect(await path(laptop, pi)).toBe('relay')
      await other.kill()
      await until('without a relay they are offline for each other', STEP_MS, async () => (await laptop.online()).join() === 'laptop' && (await pi.online()).join() === 'pi')
      expect(await self(laptop)).toMatchObject({ relays: [] })
      await Promise.all([vps.start(), box.start()])
      const back = performance.now()
      await untilOnline([laptop, pi], [laptop, pi, vps, box], STEP_MS)
      figure('relays are back: all online', back)

      // In one home there is a shorter way.
      await lab.carry(pi.host, homes[0], '192.168.1.20/24')
      const carried = performance.now()
      await until('laptop and pi are direct', STEP_MS, async () => await path(laptop, pi) === 'direct' && await path(pi, laptop) === 'direct')
      figure('carried into one home: direct', carried)
      await buildOnPi(lab, laptop, 'second')
    } finally {
      await lab.down()
    }
  })

  test('a forwarded port is found without being told; that device is dialled directly, and relays for the third home', { timeout: 180_000 }, async () => {
    const lab = await Lab.up()
    try {
      const homes = await Promise.all(['1', '2', '3'].map(n => lab.home(`router-${n}`, `11.0.${n}.1/24`, '192.168.1.1/24'))) as [Home, Home, Home]
      await lab.forward(homes[0], 4707, '192.168.1.10')
      const vps = new Device(lab, await lab.host('vps', '11.0.8.8/24'), 0)
      const [pi, laptop, phone] = await Promise.all(homes.map(async (home, i) => new Device(lab, await lab.hostAt(home, ['pi', 'laptop', 'phone'][i] ?? '', '192.168.1.10/24'), 0))) as [Device, Device, Device]
      await vps.start({ flags: ['--relay', 'off'] })
      await admit(vps, pi)
      const met = performance.now()
      await until('the pi knows that it is reached', STEP_MS, async () => (await self(pi)).reachable === 'public')
      figure('a forwarded port is found', met)
      expect((await self(pi)).addresses.map(address => address.split('/p2p/')[0])).toContain('/ip4/11.0.1.1/tcp/4707')
      await Promise.all([laptop, phone].map(device => admit(vps, device)))
      await untilOnline([pi, laptop, phone], [vps, pi, laptop, phone], STEP_MS)
      await until('both dial the pi directly', STEP_MS, async () => await path(laptop, pi) === 'direct' && await path(phone, pi) === 'direct')
      expect(await path(laptop, phone)).toBe('relay')
      for (const device of [laptop, phone]) expect((await self(device)).relays.map(({ name }) => name)).toEqual(['pi'])
    } finally {
      await lab.down()
    }
  })
})

async function admit (admin: Device, device: Device, role: 'builder' | 'admin' = 'builder'): Promise<void> {
  const { ticket } = await admin.call('invite', { role })
  await device.start({ ticket })
}

async function self (device: Device): Promise<{ reachable: string, addresses: string[], relays: Array<{ name: string }> }> { return (await device.call('status', {})).self }

async function path (from: Device, to: Device): Promise<string | undefined> {
  return (await from.call('devices', {})).find(({ name }) => name === to.name)?.path
}

/** 4 MiB there, 1 MiB back. */
async function buildOnPi (lab: Lab, on: Device, name: string): Promise<void> {
  const source = join(lab.dir, `${name}-source`)
  const to = join(lab.dir, `${name}-outputs`)
  mkdirSync(source)
  writeFileSync(join(source, 'input.bin'), randomBytes(4 * 2 ** 20))
  execFileSync('git', ['init', '-q', source])
  const { told, ended } = on.build({ source, to, command: ['sh', '-c', 'head -c 1048576 input.bin > out.bin'], outputs: ['out.bin'], local: 'never' }, AbortSignal.timeout(STEP_MS))
  const result = await ended
  expect(result, JSON.stringify(told)).toMatchObject({ event: 'result', state: 'done', exitCode: 0, builder: { name: 'pi' } })
  expect(readFileSync(join(to, 'out.bin')).equals(readFileSync(join(source, 'input.bin')).subarray(0, 2 ** 20))).toBe(true)
}
