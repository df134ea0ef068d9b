/**
 * Rumours on their way: each rides on a number of probes that grows with the logarithm of the members (SWIM, section 4.1), the
 * least sent first. Bounded: of two words on one device the better one stays.
 */
import type { DeviceId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import type { Rumour } from './messages.ts'

/** A rumour rides on this times log2(members + 1) messages. */
const SPREAD = 3
const KEPT_MAX = 64

interface Kept { rumour: Rumour, sent: number }

export class Rumours {
  #kept: Kept[] = []

  /** A word of a higher incarnation replaces all below it; at one incarnation "alive" came last, and refutes. */
  add (rumour: Rumour): void {
    this.#kept = this.#kept.filter(({ rumour: old }) => old.device !== rumour.device || (old.incarnation >= rumour.incarnation && old.by !== rumour.by))
    this.#kept.push({ rumour, sent: 0 })
    if (this.#kept.length > KEPT_MAX) this.#kept.shift()
  }

  /** For one message: what its receiver must know of itself comes first, so that a suspect can refute at once. */
  take (to: DeviceId, first: Rumour[], members: number): Rumour[] {
    const sendsMax = SPREAD * Math.ceil(Math.log2(members + 2))
    const chosen = this.#kept
      .filter(({ rumour }) => !first.some(other => other.device === rumour.device))
      .sort((a, b) => Number(b.rumour.device === to) - Number(a.rumour.device === to) || a.sent - b.sent)
      .slice(0, LIMITS.rumoursMax - first.length)
    for (const kept of chosen) kept.sent++
    this.#kept = this.#kept.filter(({ sent }) => sent < sendsMax)
    return [...first, ...chosen.map(({ rumour }) => rumour)]
  }
}
