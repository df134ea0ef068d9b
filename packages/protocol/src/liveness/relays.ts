/** Probes that we make for others: bounded, so that nobody turns us against a third. */
import type { DeviceId } from '../ids.ts'

export interface Relay { to: DeviceId, id: number, target: DeviceId, untilMs: number }

/** Of one asker; and of all. A device asks for a silent one every half second. */
const PER_ASKER_MAX = 8
const OPEN_MAX = 64

export class Relays {
  #open: Relay[] = []

  /** @returns false when there are too many */
  add (relay: Relay): boolean {
    if (this.#open.length >= OPEN_MAX || this.#open.filter(({ to }) => to === relay.to).length >= PER_ASKER_MAX) return false
    this.#open.push(relay)
    return true
  }

  /** The target answered, or is gone. */
  over (target: DeviceId, reached: boolean): Array<Relay & { reached: boolean }> {
    return this.#take(relay => relay.target === target).map(relay => ({ ...relay, reached }))
  }

  expired (nowMs: number): Array<Relay & { reached: boolean }> {
    return this.#take(relay => nowMs >= relay.untilMs).map(relay => ({ ...relay, reached: false }))
  }

  #take (isTaken: (relay: Relay) => boolean): Relay[] {
    const taken = this.#open.filter(isTaken)
    if (taken.length > 0) this.#open = this.#open.filter(relay => !taken.includes(relay))
    return taken
  }
}
