/**
 * The machine's clocks, and what no system tells a process: that it was asleep.
 *
 * While a laptop's lid is shut, Linux and macOS stop the monotonic clock, so a lease of ten seconds would still have seven to run two
 * hours later. The time since boot goes on; what the two differ by is added here. A process that was stopped, or a host that was paused,
 * shows as a timer that comes late.
 */
import { uptime } from 'node:os'
import { performance } from 'node:perf_hooks'
import type { Clock } from '../ports/host.ts'
import { attempt, every, type Failed } from '../timers.ts'

const TICK_MS = 1_000
/** A tick this late: asleep, stopped or starved. Looking at every connection once more is right in each case. */
const LATE_MS = 5_000
/** The time since boot may be told in whole seconds. */
const SLEEP_MIN_MS = 3_000

export interface ClockSources {
  wallMs (): number
  /** Stands still in a sleep, or not. */
  monotonicMs (): number
  /** Goes on in a sleep. */
  sinceBootMs (): number
}

const MACHINE: ClockSources = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sinceBootMs: () => { try { return uptime() * 1000 } catch { return performance.now() } },
}

export class MachineClock implements Clock {
  readonly #sources: ClockSources
  readonly #failed: Failed
  readonly #listeners = new Set<(pausedMs: number) => void>()
  #sleptMs = 0
  #timer: NodeJS.Timeout | undefined
  #last: { monotonicMs: number, sinceBootMs: number } | undefined

  /** `failed` is told what a listener threw; the others hear all the same. */
  constructor (sources: ClockSources = MACHINE, failed: Failed = warn) {
    this.#sources = sources
    this.#failed = failed
  }

  wallMs (): number { return this.#sources.wallMs() }

  monotonicMs (): number { return this.#sources.monotonicMs() + this.#sleptMs }

  /** Watches only while somebody listens. */
  onWake (listener: (pausedMs: number) => void): () => void {
    this.#listeners.add(listener)
    this.#last ??= this.#read()
    this.#timer ??= every(TICK_MS, () => { this.tick() }, this.#failed).unref()
    return () => { this.#forget(listener) }
  }

  tick (): void {
    const now = this.#read()
    const last = this.#last ?? now
    this.#last = now
    const ranMs = now.monotonicMs - last.monotonicMs
    const asleepMs = now.sinceBootMs - last.sinceBootMs - ranMs
    const slept = asleepMs > SLEEP_MIN_MS
    if (slept) this.#sleptMs += asleepMs
    const pausedMs = ranMs - TICK_MS + (slept ? asleepMs : 0)
    if (slept || pausedMs > LATE_MS) for (const listener of this.#listeners) attempt(() => { listener(pausedMs) }, this.#failed)
  }

  #read (): { monotonicMs: number, sinceBootMs: number } {
    return { monotonicMs: this.#sources.monotonicMs(), sinceBootMs: this.#sources.sinceBootMs() }
  }

  #forget (listener: (pausedMs: number) => void): void {
    this.#listeners.delete(listener)
    if (this.#listeners.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#last = undefined
  }
}

/** The clock of a process belongs to no node, so it has no node's log. */
function warn (error: unknown): void { process.emitWarning(error instanceof Error ? error : String(error)) }

/** Of this process: one, since a sleep is every node's. */
export const systemClock: Clock = new MachineClock()
