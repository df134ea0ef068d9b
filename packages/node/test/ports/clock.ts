/** What every Clock must do: the one of a machine, and the one of a simulated device. */
import { describe, expect, test } from 'vitest'
import type { Clock } from '../../src/ports/host.ts'

export interface ClockPlace {
  clock: Required<Clock>
  /** Time passes, while this process runs. */
  pass (ms: number): Promise<void>
  /** This process is stopped for so long, then goes on. */
  stop (ms: number): Promise<void>
  /** Somebody sets the wall clock forward, or back. */
  set (byMs: number): void
}

export function clockAcceptance (name: string, make: () => ClockPlace): void {
  describe(`${name}: a clock`, () => {
    test('goes on with the time, on the wall in whole milliseconds', async () => {
      const { clock, pass } = make()
      const [wallMs, monotonicMs] = [clock.wallMs(), clock.monotonicMs()]
      expect(wallMs).toBeGreaterThan(1.7e12)
      await pass(1_500)
      expect([clock.wallMs() - wallMs, clock.monotonicMs() - monotonicMs]).toEqual([1_500, 1_500])
      await pass(0.4)
      expect(Number.isInteger(clock.wallMs())).toBe(true)
    })

    test('is monotonic whatever somebody sets on the wall, which nobody is told', async () => {
      const { clock, pass, set } = make()
      const woke: number[] = []
      clock.onWake(pausedMs => { woke.push(pausedMs) })
      const [wallMs, monotonicMs] = [clock.wallMs(), clock.monotonicMs()]
      for (const byMs of [7_200_000, -14_400_000]) {
        set(byMs)
        await pass(1_000)
      }
      expect([clock.wallMs() - wallMs, clock.monotonicMs() - monotonicMs]).toEqual([2_000 - 7_200_000, 2_000])
      expect(woke).toEqual([])
    })

    test('counts the time in which the process was stopped, and tells each listener once that it goes on', async () => {
      const { clock, pass, stop } = make()
      const woke: Array<[who: string, pausedMs: number, ranMs: number]> = []
      const monotonicMs = clock.monotonicMs()
      const ranMs = (): number => clock.monotonicMs() - monotonicMs
      const offs = ['a', 'b'].map(who => clock.onWake(pausedMs => { woke.push([who, pausedMs, ranMs()]) }))
      await pass(1_000)
      await stop(3_000)
      await pass(1_000)
      expect(woke).toEqual([])
      offs[1]?.()
      await stop(60_000)
      await pass(1_000)
      expect(woke).toEqual([['a', expect.closeTo(60_000, -4) as number, expect.closeTo(65_000, -4) as number]])
      expect(ranMs()).toBe(66_000)
      offs[0]?.()
      await stop(60_000)
      expect(woke).toHaveLength(1)
    })
  })
}
