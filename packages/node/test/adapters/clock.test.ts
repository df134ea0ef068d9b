import { describe, expect, test, vi } from 'vitest'
import { MachineClock, systemClock } from '../../src/adapters/clock.ts'

/** A machine whose clocks do what they are told. */
function machine (): { clock: MachineClock, woke: number[], pass: (ms: { awake?: number, asleep?: number, wall?: number }) => void } {
  const now = { wall: 1.8e12, monotonic: 1_000, boot: 50_000 }
  const clock = new MachineClock({ wallMs: () => now.wall, monotonicMs: () => now.monotonic, sinceBootMs: () => Math.floor(now.boot / 1000) * 1000 })
  const woke: number[] = []
  clock.onWake(pausedMs => { woke.push(pausedMs) })
  return {
    clock, woke,
    pass: ({ awake = 0, asleep = 0, wall = awake + asleep }) => {
      now.monotonic += awake
      now.boot += awake + asleep
      now.wall += wall
      clock.tick()
    },
  }
}

describe('the clock of a machine that sleeps', () => {
  test('a night with the lid shut passes on the clock that leases run on, and is told', () => {
    const { clock, woke, pass } = machine()
    const before = clock.monotonicMs()
    for (let i = 0; i < 10; i++) pass({ awake: 1_000 })
    pass({ awake: 1_000, asleep: 8 * 3_600_000 })
    expect(clock.monotonicMs() - before).toBe(8 * 3_600_000 + 11_000)
    expect(woke).toEqual([8 * 3_600_000])
    pass({ awake: 1_000 })
    expect(woke).toHaveLength(1)
  })

  test('a stopped process is told, and its time has passed already', () => {
    const { clock, woke, pass } = machine()
    const before = clock.monotonicMs()
    pass({ awake: 21_000 })
    expect(woke).toEqual([20_000])
    expect(clock.monotonicMs() - before).toBe(21_000)
  })

  test('a busy moment, whole seconds, and a wall clock that is set mean nothing', () => {
    const { clock, woke, pass } = machine()
    const before = clock.monotonicMs()
    for (let i = 0; i < 60; i++) pass({ awake: i % 7 === 0 ? 4_600 : 1_013, wall: i === 30 ? 7_200_000 : i === 40 ? -7_200_000 : 1_000 })
    expect(woke).toEqual([])
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
