import type { DeviceId } from '../ids.ts'
import type { Advert } from './advert.ts'

/** An advert this old, by our own monotonic clock, no longer counts: three heartbeats of 15 s. */
export const ADVERT_TTL_MS = 45_000

export interface Seen {
  advert: Advert
  /** Our own monotonic clock when it came, milliseconds. */
  atMs: number
  /** Adverts of this epoch that never reached us. */
  missed: number
}

/**
 * The latest advert of every device. The greatest (epoch, seq) wins, whatever the order of arrival; age is measured on the
 * receiver's clock, so a sender with a wrong clock is neither immortal nor dead.
 */
export class AdvertTable {
  readonly #seen = new Map<DeviceId, Seen>()
  readonly #ttlMs: number

  constructor (init: { /** @default 45_000 */ ttlMs?: number } = {}) {
    this.#ttlMs = init.ttlMs ?? ADVERT_TTL_MS
  }

  /** True when the advert is news: newer than what is known of this device. */
  accept (device: DeviceId, advert: Advert, now: number): boolean {
    const last = this.#seen.get(device)
    if (last !== undefined && !isNewer(advert, last.advert)) return false
    const gap = last?.advert.epoch === advert.epoch ? advert.seq - last.advert.seq - 1 : 0
    this.#seen.set(device, { advert, atMs: now, missed: (last?.advert.epoch === advert.epoch ? last.missed : 0) + gap })
    return true
  }

  /** Undefined when nothing fresh is known. */
  get (device: DeviceId, now: number): Seen | undefined {
    const seen = this.#seen.get(device)
    return seen !== undefined && now - seen.atMs <= this.#ttlMs ? seen : undefined
  }

  /** Every device with a fresh advert. */
  live (now: number): Array<[DeviceId, Seen]> {
    return [...this.#seen].filter(([, seen]) => now - seen.atMs <= this.#ttlMs)
  }

  /** Drops what is too old and returns its devices. */
  expire (now: number): DeviceId[] {
    const dead = [...this.#seen].filter(([, seen]) => now - seen.atMs > this.#ttlMs).map(([device]) => device)
    for (const device of dead) this.#seen.delete(device)
    return dead
  }

  /** A refused claim is fresher than any advert: the builder said how long its queue is. */
  busy (device: DeviceId, queue: number, expectedWaitS: number): void {
    const seen = this.#seen.get(device)
    if (seen !== undefined) this.#seen.set(device, { ...seen, advert: { ...seen.advert, slots: { ...seen.advert.slots, free: 0 }, queue, expectedWaitS } })
  }

  forget (device: DeviceId): void { this.#seen.delete(device) }
}

function isNewer (a: Advert, b: Advert): boolean { return a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq) }
