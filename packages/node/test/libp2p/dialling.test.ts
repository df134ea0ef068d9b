import { createHash, randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { deviceOfAddress } from '@elder-node/protocol'
import type { DeviceId } from '@elder-node/protocol'
import { DIALS_AT_ONCE, PEERS_WANTED, afterFailure, planDials, ringDistance } from '../../src/adapters/libp2p/dial-plan.ts'
import type { Backoff, DialState } from '../../src/adapters/libp2p/dial-plan.ts'
import { NetworkWatch } from '../../src/adapters/libp2p/network-watch.ts'
import { deviceOfSeed, deviceOf, peerIdOf } from '../../src/adapters/libp2p/peer-id.ts'
import { refusal } from '../../src/adapters/libp2p/refusal.ts'
import { Supervisor } from '../../src/adapters/libp2p/supervisor.ts'

const device = (n: number): DeviceId => deviceOfSeed(createHash('sha256').update(`device ${n}`).digest())
const devices = Array.from({ length: 20 }, (_, i) => device(i))
const [self, b, c] = devices as [DeviceId, DeviceId, DeviceId]

function state (part: Partial<DialState>): DialState {
  const candidates = devices.map(device => ({ device, addresses: ['/x'] }))
  return { self, candidates, connected: new Set(), dialing: new Set(), backoffs: new Map(), nowMs: 1_000, ...part }
}

describe('a device and its peer id', () => {
  test('are the same key', () => {
    expect(deviceOf(peerIdOf(b))).toBe(b)
    expect(deviceOfAddress(`/ip4/10.0.0.1/tcp/4707/p2p/${peerIdOf(b).toString()}`)).toBe(b)
    expect(deviceOfAddress('/ip4/10.0.0.1/tcp/4707')).toBeUndefined()
    expect(deviceOfAddress('/ip4/10.0.0.1/tcp/4707/p2p/nonsense')).toBeUndefined()
  })
})

describe('the plan of dials', () => {
  test('never more at once than allowed, never self, never who is connected, dialled or backing off, never past what is wanted', () => {
    const subset = fc.subarray(devices)
    fc.assert(fc.property(subset, subset, subset, (connected, dialing, waiting) => {
      const plan = planDials(state({
        connected: new Set(connected), dialing: new Set(dialing), backoffs: new Map(waiting.map(device => [device, { failures: 1, dueAtMs: 1_001 }])),
      })).map(candidate => candidate.device)
      const excluded = new Set([self, ...connected, ...dialing, ...waiting])
      expect(plan.filter(device => excluded.has(device))).toEqual([])
      expect(plan.length).toBeLessThanOrEqual(Math.max(0, DIALS_AT_ONCE - dialing.length))
      const held = new Set([...connected, ...dialing].filter(device => device !== self)).size
      expect(plan.length === 0 || held + plan.length <= PEERS_WANTED).toBe(true)
    }))
  })

  test('the nearest on the ring first, those that failed last', () => {
    const byRing = devices.slice(1).sort((x, y) => ringDistance(self, x) - ringDistance(self, y)) as [DeviceId, DeviceId, DeviceId]
    expect(planDials(state({})).map(({ device }) => device)).toEqual(byRing.slice(0, 2))
    const backoffs = new Map<DeviceId, Backoff>([[byRing[0], { failures: 1, dueAtMs: 0 }]])
    expect(planDials(state({ backoffs })).map(({ device }) => device)).toEqual(byRing.slice(1, 3))
  })

  test('a member without an address is asked for when somebody is here to ask, after those with one', () => {
    const candidates = [{ device: b, addresses: [] }, { device: c, addresses: ['/x'] }, { device: devices[3] as DeviceId, addresses: ['/x'] }]
    expect(planDials(state({ candidates, connected: new Set([devices[3] as DeviceId]) })).map(({ device }) => device)).toEqual([c, b])
  })

  test('a member without an address is nobody to wait for', () => {
    expect(planDials(state({ candidates: [{ device: b, addresses: [] }, { device: c, addresses: ['/x'] }] })).map(({ device }) => device)).toEqual([c])
  })

  test('the wait grows, is jittered, has a ceiling of 45 s, and is an hour for the revoked', () => {
    let backoff: Backoff | undefined
    for (let i = 0; i < 12; i++) backoff = afterFailure(backoff, false, 0, () => 0.999)
    expect(backoff?.failures).toBe(12)
    expect(backoff?.dueAtMs).toBeGreaterThan(44_000)
    expect(backoff?.dueAtMs).toBeLessThan(45_000)
    expect(afterFailure(undefined, false, 0, () => 0).dueAtMs).toBe(300)
    expect(afterFailure(undefined, true, 0, () => 0.5).dueAtMs).toBe(3_600_000)
  })
})

describe('the supervisor, in fake time', () => {
  beforeEach(() => { vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] }) })
  afterEach(() => { vi.useRealTimers() })

  function supervise (dial: (device: DeviceId) => Promise<void>): { supervisor: Supervisor, connected: Set<DeviceId>, dials: DeviceId[], refused: string[] } {
    const connected = new Set<DeviceId>()
    const dials: DeviceId[] = []
    const refused: string[] = []
    const supervisor = new Supervisor({
      self, clock: { wallMs: () => 0, monotonicMs: () => performance.now() }, random: () => 0.5, failed: error => { throw error },
      candidates: () => [{ device: b, addresses: ['/b'] }],
      isConnected: device => connected.has(device),
      dial: async ({ device }) => {
        dials.push(device)
        await dial(device)
        connected.add(device)
      },
      refused: (_device, code) => { refused.push(code) },
    })
    supervisor.start()
    return { supervisor, connected, dials, refused }
  }

  test('goes on for ever, with longer and longer waits', async () => {
    const { supervisor, dials } = supervise(() => Promise.reject(new Error('ECONNREFUSED')))
    await vi.advanceTimersByTimeAsync(3_600_000)
    expect(dials.length).toBeGreaterThan(100)
    expect(dials.length).toBeLessThan(150)
    expect(supervisor.attempts()).toEqual([{ device: b, addresses: ['/b'], failures: dials.length, error: 'ECONNREFUSED', refusal: undefined }])
    supervisor.stop()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(supervisor.attempts()[0]?.failures).toBe(dials.length)
  })

  test('a lost peer is dialled again within half a second, whatever failed before', async () => {
    const { supervisor, dials, connected } = supervise(() => Promise.resolve())
    await vi.advanceTimersByTimeAsync(5_000)
    expect(dials).toEqual([b])
    connected.delete(b)
    supervisor.lost(b)
    await vi.advanceTimersByTimeAsync(500)
    expect(dials).toEqual([b, b])
    supervisor.stop()
  })

  test('a door that says revoked is left alone for an hour, also when mDNS keeps showing it', async () => {
    const { supervisor, dials, refused } = supervise(() => Promise.reject(refusal('revoked')))
    for (let i = 0; i < 100; i++) {
      await vi.advanceTimersByTimeAsync(20_000)
      supervisor.discovered(b, ['/b'])
    }
    expect(dials).toEqual([b])
    expect(refused).toEqual(['revoked'])
    await vi.advanceTimersByTimeAsync(3_600_000)
    expect(dials.length).toBe(2)
    supervisor.stop()
  })

  test('a door that opens before a hello that fails is not knocked at in a hot loop', async () => {
    const { supervisor, dials, connected } = supervise(() => Promise.resolve())
    const failing = setInterval(() => {
      if (!connected.delete(b)) return
      supervisor.failed(b, new Error('speaks version 2'))
    }, 10)
    await vi.advanceTimersByTimeAsync(600_000)
    expect(dials.length).toBeLessThan(40)
    expect(supervisor.attempts()[0]).toMatchObject({ device: b, error: 'speaks version 2' })
    clearInterval(failing)
    supervisor.admitted(b)
    await vi.advanceTimersByTimeAsync(5_000)
    expect(connected.has(b)).toBe(true)
    supervisor.stop()
  })

  test('who is discovered is dialled at once, at the address where it was seen first', async () => {
    const { supervisor, dials } = supervise(() => Promise.resolve())
    supervisor.discovered(c, ['/c'])
    await vi.advanceTimersByTimeAsync(1)
    expect(dials).toContain(c)
    supervisor.stop()
  })
})

describe('a network that changes', () => {
  test('a dial to where a device was is given up when it is seen elsewhere, and is no failure', async () => {
    const dials: string[][] = []
    const supervisor = new Supervisor({
      self, clock: { wallMs: () => 0, monotonicMs: () => performance.now() }, random: () => 0.5, failed: error => { throw error },
      candidates: () => [{ device: b, addresses: ['/old'] }],
      isConnected: () => false,
      dial: ({ addresses }, signal) => {
        dials.push(addresses)
        return new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason as Error) }) })
      },
      refused: () => {},
    })
    supervisor.start()
    await vi.waitUntil(() => dials.length === 1)
    supervisor.discovered(b, ['/old'])
    supervisor.discovered(b, ['/new'])
    await vi.waitUntil(() => dials.length === 2)
    expect(dials).toEqual([['/old'], ['/new', '/old']])
    expect(supervisor.attempts()).toEqual([])
    supervisor.stop()
  })

  test('one device that is back after an outage, or another network here, shortens the wait for all; a revoked one stays left alone', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
    const dials = new Map<DeviceId, number>()
    const count = (device: DeviceId): number => dials.get(device) ?? 0
    const supervisor = new Supervisor({
      self, clock: { wallMs: () => 0, monotonicMs: () => performance.now() }, random: () => 0.5, failed: error => { throw error },
      candidates: () => [b, c, device(3)].map(device => ({ device, addresses: ['/x'] })),
      isConnected: () => false,
      dial: async ({ device: to }) => {
        dials.set(to, count(to) + 1)
        throw to === c ? refusal('revoked') : new Error('EHOSTUNREACH')
      },
      refused: () => {},
    })
    supervisor.start()
    await vi.advanceTimersByTimeAsync(300_000)
    for (const again of [() => { supervisor.admitted(b) }, () => { supervisor.lookAgain() }]) {
      const before = count(device(3))
      again()
      await vi.advanceTimersByTimeAsync(1_500)
      expect(count(device(3))).toBeGreaterThan(before)
      await vi.advanceTimersByTimeAsync(120_000)
    }
    expect(count(c)).toBe(1)
    supervisor.stop()
    vi.useRealTimers()
  })

  test('another address of this device is noticed once, and the same ones in another order are not', () => {
    let addresses = ['/a', '/b']
    let changes = 0
    const watch = new NetworkWatch({ addresses: () => addresses, changed: () => { changes++ }, failed: error => { throw error } })
    watch.start()
    addresses = ['/b', '/a']
    watch.tick()
    expect(changes).toBe(0)
    addresses = ['/c']
    watch.tick()
    watch.tick()
    expect(changes).toBe(1)
    watch.stop()
  })
})

test('a seed makes the same device as its public key', () => {
  const seed = randomBytes(32)
  expect(deviceOfSeed(seed)).toBe(deviceOfSeed(seed))
  expect(deviceOfSeed(seed)).not.toBe(deviceOfSeed(randomBytes(32)))
})
