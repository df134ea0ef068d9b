import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RTT_STALE_MS, RTT_WINDOW, RttFilter } from '../../src/latency/rtt.ts'

describe('the round-trip filter', () => {
  test('knows nothing before the first sample', () => {
    expect(new RttFilter().estimate(0)).toBeUndefined()
  })

  test('a stall of the event loop does not move the minimum, and moves the mean by a fifth', () => {
    const filter = new RttFilter()
    filter.add(10, 0)
    filter.add(510, 1000)
    expect(filter.estimate(1500)).toEqual({ minMs: 10, ewmaMs: 110, ageMs: 500 })
  })

  test('a slower path shows after a window of samples, a faster one at once', () => {
    const filter = new RttFilter()
    for (let i = 0; i < 20; i++) filter.add(5, i)
    for (let i = 0; i < RTT_WINDOW; i++) filter.add(80, 20 + i)
    expect(filter.estimate(30)?.minMs).toBe(80)
    filter.add(7, 31)
    expect(filter.estimate(31)?.minMs).toBe(7)
  })

  test('goes stale, and starts anew after', () => {
    const filter = new RttFilter()
    filter.add(3, 0)
    expect(filter.estimate(RTT_STALE_MS)?.minMs).toBe(3)
    expect(filter.estimate(RTT_STALE_MS + 1)).toBeUndefined()
    filter.add(90, RTT_STALE_MS + 2)
    expect(filter.estimate(RTT_STALE_MS + 2)).toEqual({ minMs: 90, ewmaMs: 90, ageMs: 0 })
  })

  test('leaves impossible samples out', () => {
    const filter = new RttFilter()
    for (const bad of [NaN, Infinity, -1, 60_001]) filter.add(bad, 0)
    expect(filter.estimate(0)).toBeUndefined()
  })

  test('min <= mean <= max, whatever arrives', () => {
    fc.assert(fc.property(fc.array(fc.double({ min: 0, max: 60_000, noNaN: true }), { minLength: 1, maxLength: 50 }), samples => {
      const filter = new RttFilter()
      samples.forEach((sample, i) => filter.add(sample, i))
      const estimate = filter.estimate(samples.length)
      expect(estimate?.minMs).toBe(Math.min(...samples.slice(-RTT_WINDOW)))
      expect(estimate?.ewmaMs).toBeGreaterThanOrEqual(Math.min(...samples) - 1e-6)
      expect(estimate?.ewmaMs).toBeLessThanOrEqual(Math.max(...samples) + 1e-6)
    }))
  })
})
