import { MachineClock } from '../../src/adapters/clock.ts'

/** The clock of a machine whose time passes by hand. */
export class HandClock extends MachineClock {
  readonly #now: { wallMs: number, monotonicMs: number, sinceBootMs: number }

  constructor () {
    const now = { wallMs: 1_800_000_000_000, monotonicMs: 1_000, sinceBootMs: 50_000 }
    super({
      wallMs: () => Math.floor(now.wallMs), monotonicMs: () => now.monotonicMs,
      // As Linux tells it: in whole seconds.
      sinceBootMs: () => Math.floor(now.sinceBootMs / 1_000) * 1_000,
    })
    this.#now = now
  }

  /** Time passes; whoever waits to be woken is looked after at its end. */
  pass (awakeMs: number, asleepMs = 0): void {
    this.#now.monotonicMs += awakeMs
    this.#now.sinceBootMs += awakeMs + asleepMs
    this.#now.wallMs += awakeMs + asleepMs
    this.tick()
  }

  /** Somebody sets the wall clock. */
  set (wallMs: number): void { this.#now.wallMs = wallMs }
}
