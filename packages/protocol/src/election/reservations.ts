/** Who waits for a slot of this builder, oldest first. Bounded in all and per requester; each must be renewed. */
import type { BuildId, DeviceId } from '../ids.ts'

export interface Reservation { build: BuildId, requester: DeviceId, fence: number, expiresAtMs: number }

const RESERVATIONS_MAX = 1024
const RESERVATIONS_PER_REQUESTER_MAX = 64

export class Reservations {
  #waiting: Reservation[] = []

  get length (): number { return this.#waiting.length }

  /** As it is now: what is dropped meanwhile is still visited. */
  inOrder (): readonly Reservation[] { return this.#waiting }

  /** When the first one lapses; Infinity when nobody waits. */
  expiresAtMs (): number { return this.#waiting.reduce((first, { expiresAtMs }) => Math.min(first, expiresAtMs), Infinity) }

  /** Adds, or renews in place: a renewal loses no turn, and a fence never falls. @returns its place from 0; undefined when there is no room */
  put (requester: DeviceId, build: BuildId, fence: number, expiresAtMs: number): number | undefined {
    const place = this.#waiting.findIndex(r => r.build === build && r.requester === requester)
    const known = this.#waiting[place]
    if (known !== undefined) {
      Object.assign(known, { fence: Math.max(known.fence, fence), expiresAtMs })
      return place
    }
    if (this.#waiting.length >= RESERVATIONS_MAX || this.#waiting.filter(r => r.requester === requester).length >= RESERVATIONS_PER_REQUESTER_MAX) return undefined
    return this.#waiting.push({ build, requester, fence, expiresAtMs }) - 1
  }

  /** With a fence: only when the reservation is not of a later claim. */
  drop (requester: DeviceId, build: BuildId, fence: number = Infinity): void {
    this.#waiting = this.#waiting.filter(r => r.build !== build || r.requester !== requester || r.fence > fence)
  }

  expire (now: number): void { this.#waiting = this.#waiting.filter(r => r.expiresAtMs > now) }
}
