/**
 * The round-trip estimator of one peer.
 *
 * A sample is path delay plus whatever both event loops were busy with, and noise only ever adds: so the minimum of the last
 * few samples is the path (as in NTP's clock filter, RFC 5905 section 10), and it is what "nearest" means. The smoothed value
 * (EWMA, gain 1/5, between RFC 6298's 1/8 and a faster reaction) is what a time-out should be derived from.
 */

/** Samples the minimum is taken over: a path that grew slower shows after as many. */
export const RTT_WINDOW = 8
/** An estimate older than this says nothing any more. */
export const RTT_STALE_MS = 180_000
const GAIN = 0.2
/** Longer than any path on Earth by far: such a sample is a clock that jumped or a machine that slept. */
const RTT_MAX_MS = 60_000

export interface RttEstimate {
  /** Minimum of the last {@link RTT_WINDOW} samples: for ranking. */
  minMs: number
  /** Exponentially weighted mean: for time-outs. */
  ewmaMs: number
  /** Age of the latest sample. */
  ageMs: number
}

export class RttFilter {
  readonly #window: number[] = []
  #ewmaMs: number | undefined
  #atMs = 0

  /** Takes one sample. Anything not finite, negative or above a minute is left out. `nowMs` is monotonic. */
  add (rttMs: number, nowMs: number): void {
    if (!Number.isFinite(rttMs) || rttMs < 0 || rttMs > RTT_MAX_MS) return
    if (this.#stale(nowMs)) this.#reset()
    this.#window.push(rttMs)
    if (this.#window.length > RTT_WINDOW) this.#window.shift()
    this.#ewmaMs = this.#ewmaMs === undefined ? rttMs : this.#ewmaMs + GAIN * (rttMs - this.#ewmaMs)
    this.#atMs = nowMs
  }

  /** Undefined before the first sample and once the last one is stale. */
  estimate (nowMs: number): RttEstimate | undefined {
    if (this.#ewmaMs === undefined || this.#stale(nowMs)) return undefined
    return { minMs: Math.min(...this.#window), ewmaMs: this.#ewmaMs, ageMs: Math.max(0, nowMs - this.#atMs) }
  }

  #stale (nowMs: number): boolean { return this.#window.length > 0 && nowMs - this.#atMs > RTT_STALE_MS }

  #reset (): void {
    this.#window.length = 0
    this.#ewmaMs = undefined
  }
}
