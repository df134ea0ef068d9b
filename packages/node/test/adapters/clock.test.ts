import { describe, expect, test, vi } from 'vitest'
import { MachineClock, systemClock } from '../../src/adapters/clock.ts'
import { HandClock } from '../support/hand-clock.ts'
import { clockAcceptance } from '../ports/clock.ts'

clockAcceptance('this machine', () => {
  const clock = new HandClock()
  return {
    clock, stop: async ms => { clock.pass(ms) }, set: byMs => { clock.set(clock.wallMs() + byMs) },
    pass: async ms => { for (let left = ms; left > 0; left -= 1_000) clock.pass(Math.min(left, 1_000)) },
  }
})

describe('the clock of a machine that sleeps', () => {
  test('a night with the lid shut passes on the clock that leases run on, and is told', () => {
    const clock = new HandClock()
    const woke: number[] = []
    clock.onWake(pausedMs => { woke.push(pausedMs) })
    const before = clock.monotonicMs()
    for (let i = 0; i < 10; i++) clock.pass(1_000)
    clock.pass(1_000, 8 * 3_600_000)
    expect(clock.monotonicMs() - before).toBe(8 * 3_600_000 + 11_000)
    expect(woke).toEqual([8 * 3_600_000])
    clock.pass(1_000)
    expect(woke).toHaveLength(1)
  })

  test('a busy moment and a time since boot in whole seconds mean nothing', () => {
    const clock = new HandClock()
    clock.onWake(() => { throw new Error('nobody slept') })
    const before = clock.monotonicMs()
    for (let i = 0; i < 60; i++) clock.pass(i % 7 === 0 ? 4_600 : 1_013)
    expect(clock.monotonicMs() - before).toBe(9 * 4_600 + 51 * 1_013)
  })

  test('watches while somebody listens, and not longer', () => {
    vi.useFakeTimers()
    try {
      const clock = new MachineClock({ wallMs: () => 0, monotonicMs: () => 0, sinceBootMs: () => 0 })
      const offs = [clock.onWake(() => {}), clock.onWake(() => {})]
      expect(vi.getTimerCount()).toBe(1)
      for (const off of offs) off()
      expect(vi.getTimerCount()).toBe(0)
    } finally {
      vi.useRealTimers()
    }
  })

  test('is this machine, otherwise', () => {
    expect(Math.abs(systemClock.wallMs() - Date.now())).toBeLessThan(1_000)
    expect(systemClock.monotonicMs()).toBeGreaterThan(0)
  })
})
