import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { DeviceStatus } from '../../src/api.ts'
import { Alerts } from '../../src/services/alerts.ts'
import { device, MINI, SELF } from '../support/fake-node.ts'

const MINUTE = 60_000
const up = device(MINI)
const down = device(MINI, { online: false, path: 'none', cpu: null, memory: null, disk: null, slots: { total: 0, free: 0 } })
const onBattery = device(MINI, { slots: { total: 0, free: 0 } })

beforeEach(() => { vi.useFakeTimers() })
afterEach(() => { vi.useRealTimers() })

interface Bench { alerts: Alerts, see: (...others: DeviceStatus[]) => void, codes: () => string[], lag: (seconds: number) => void, stackReads: () => number }

function bench (): Bench {
  let devices = [device(SELF), up]
  let lagS = 0
  let reads = 0
  const alerts = new Alerts({
    clock: { monotonicMs: () => performance.now(), wallMs: () => Date.now() }, loop: { worstLagS: () => lagS, close: () => {} }, self: SELF.id,
    devices: () => devices, addresses: () => ['/ip4/192.168.1.2/tcp/1'], waiting: () => [], stacks: () => { reads++; return [] }, found: () => [], log: { debug () {}, info () {}, warn () {}, error () {} },
  }, { version: '0.1.0', crashesMs: [] })
  alerts.start()
  return { alerts, see: (...others) => { devices = [device(SELF), ...others] }, codes: () => alerts.problems().map(({ code }) => code), lag: seconds => { lagS = seconds }, stackReads: () => reads }
}

test('a builder that is away for a minute is told, nobody asking in between, and not when it is back', () => {
  const { alerts, see, codes } = bench()
  codes()
  see(down)
  vi.advanceTimersByTime(30_000)
  expect(codes()).toEqual([])
  vi.advanceTimersByTime(2 * MINUTE)
  expect(codes()).toEqual(['DEVICE_DOWN'])
  see(up)
  expect(codes()).toEqual([])
  alerts.stop()
})

test('one that had no slots when it was last heard is not missed, nor one that was evicted', () => {
  const { alerts, see, codes } = bench()
  codes()
  see(onBattery)
  codes()
  see(down)
  vi.advanceTimersByTime(5 * MINUTE)
  expect(codes()).toEqual([])
  see(up)
  codes()
  see()
  vi.advanceTimersByTime(5 * MINUTE)
  expect(codes()).toEqual([])
  alerts.stop()
})

test('stalls in every window for a minute are told; the last window is the metric', () => {
  const { alerts, codes, lag } = bench()
  lag(2)
  vi.advanceTimersByTime(45_000)
  expect([alerts.loopLagS, codes()]).toEqual([2, []])
  vi.advanceTimersByTime(MINUTE)
  expect(codes()).toEqual(['LOOP_BLOCKED'])
  lag(0)
  vi.advanceTimersByTime(15_000)
  expect([alerts.loopLagS, codes()]).toEqual([0, []])
  alerts.stop()
})

test('nobody asking: stacks are looked at once a minute, and not after the end', () => {
  const { alerts, stackReads } = bench()
  vi.advanceTimersByTime(10 * MINUTE)
  expect(stackReads()).toBe(10)
  alerts.stop()
  vi.advanceTimersByTime(10 * MINUTE)
  expect(stackReads()).toBe(10)
})
