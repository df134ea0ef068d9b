/** Timers of one service: none outlives it, none keeps the process alive, and an act that fails is said and comes again. */
export interface LoopsComponents {
  /** 0 to 1: jitter, so that devices that started together do not act together for ever. */
  random: () => number
  failed: (error: Error) => void
}

export class Loops {
  readonly #components: LoopsComponents
  readonly #timers = new Set<NodeJS.Timeout>()
  #stopped = false

  constructor (components: LoopsComponents) { this.#components = components }

  /** Again and again, about this long after the last time has ended. */
  every (ms: number, act: () => Promise<void>): void {
    this.later(ms * (0.9 + 0.2 * this.#components.random()), () => act().finally(() => { this.every(ms, act) }))
  }

  /** Once. */
  later (ms: number, act: () => Promise<void>): void {
    if (this.#stopped) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      act().catch(this.#components.failed)
    }, ms)
    timer.unref()
    this.#timers.add(timer)
  }

  stop (): void {
    this.#stopped = true
    for (const timer of this.#timers) clearTimeout(timer)
  }
}
