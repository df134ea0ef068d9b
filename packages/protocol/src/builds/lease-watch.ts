/**
 * The requester's watch over the lease of its current attempt: is the builder still there, and when has the lease surely ended?
 *
 * The builder sends stamps of its own clock; echoing one keeps the lease. So the requester knows from the last echo alone when
 * the lease is over, however slow the network was.
 */
import { surelyOverAtMs } from '../election/lease.ts'
import type { DeviceId } from '../ids.ts'

/** A lease by its whole name: the id is its builder's own, so two builders may have given the same one. */
export interface HeldLease { device: DeviceId, lease: string, fence: number }

/** What to do about a lease: come back to it with a new stream, or give it up. */
export type WatchVerdict = { type: 'reattach' } | { type: 'lost', why: string } | undefined

export interface WatchInit {
  /** Give it up only once it has surely ended: never two attempts at once. */
  untilOver: boolean
  /** Silence makes a builder suspect. */
  silence: boolean
}

const SILENCE_MS = 6_000
const REATTACH_MS = 500
const REATTACH_EXCLUSIVE_MS = 1_000
/** A builder whose streams keep breaking is lost, even when each attach succeeds. */
const REATTACHES_MAX = 5

export class LeaseWatch implements HeldLease {
  readonly device: DeviceId
  readonly lease: string
  readonly fence: number
  /** Its builder has taken it up: a frame came on its stream. */
  begun = false
  readonly #init: WatchInit
  #heardMs: number
  #echoedMs: number
  #reattachAtMs = Infinity
  #brokenSinceMs: number | undefined
  #reattaches = 0
  #reason = ''

  constructor ({ device, lease, fence }: HeldLease, init: WatchInit, now: number) {
    this.device = device
    this.lease = lease
    this.fence = fence
    this.#init = init
    this.#heardMs = now
    this.#echoedMs = now
  }

  /** A frame came on its stream. */
  heard (now: number): void {
    this.begun = true
    this.#heardMs = now
    this.#brokenSinceMs = undefined
    this.#reattachAtMs = Infinity
  }

  echoed (now: number): void { this.#echoedMs = now }

  /** Its stream ended. The first time: try once to come back to the same builder. A second break before any frame came: gone. */
  broken (reason: string, now: number): WatchVerdict {
    this.#reason = reason
    const first = this.#brokenSinceMs === undefined
    this.#brokenSinceMs ??= now
    if (this.#init.untilOver) {
      if (first) return this.#reattach(now)
      this.#reattachAtMs = Math.min(now + REATTACH_EXCLUSIVE_MS, this.#reattachAtMs)
      return undefined
    }
    return first && this.#reattaches++ < REATTACHES_MAX ? this.#reattach(now) : this.#brokeFor()
  }

  /** When {@link tick} has something to say; Infinity for never. */
  deadline (): number {
    if (!this.#init.silence) return this.#reattachAtMs
    const silentMs = this.#heardMs + SILENCE_MS
    if (!this.#init.untilOver) return Math.min(silentMs, this.#reattachAtMs)
    return Math.min(surelyOverAtMs(this.#echoedMs), this.#brokenSinceMs === undefined ? silentMs : this.#reattachAtMs)
  }

  tick (now: number): WatchVerdict {
    if (now < this.deadline()) return undefined
    if (!this.#init.untilOver) return now >= this.#reattachAtMs ? this.#brokeFor() : { type: 'lost', why: `the builder was silent for ${SILENCE_MS / 1000} s` }
    if (now >= surelyOverAtMs(this.#echoedMs)) return { type: 'lost', why: 'the builder was silent until its lease ended' }
    this.#brokenSinceMs ??= now
    return this.#reattach(now)
  }

  #reattach (now: number): WatchVerdict {
    this.#reattachAtMs = now + (this.#init.untilOver ? REATTACH_EXCLUSIVE_MS : REATTACH_MS)
    return { type: 'reattach' }
  }

  #brokeFor (): WatchVerdict { return { type: 'lost', why: `the connection broke: ${this.#reason}` } }
}
