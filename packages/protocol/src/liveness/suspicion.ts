/**
 * How long a suspect has to refute. Scales with the logarithm of the members, since a refutation spreads as a rumour does; starts
 * long and shrinks with every device that suspects independently (Lifeguard, section 4.2: LHA-Suspicion).
 */
import type { DeviceId } from '../ids.ts'

const SUSPICION_MIN_MS = 2_500
/** Of the shortest time: what one accuser alone is given. */
const LONGEST = 2
/** So many others agreeing make the time the shortest. */
const CONFIRMATIONS = 3

export interface Suspicion {
  /** Of this incarnation; a higher one refutes. */
  incarnation: number
  sinceMs: number
  /** Each counts once. */
  accusers: Set<DeviceId>
}

/** Milliseconds from `sinceMs`. With fewer members than could confirm, the shortest time holds from the start. */
export function suspicionMs (accusers: number, members: number): number {
  const shortest = SUSPICION_MIN_MS * Math.max(1, Math.log10(members + 1))
  if (members - 2 < CONFIRMATIONS) return shortest
  const agreed = Math.log(Math.min(accusers, CONFIRMATIONS + 1)) / Math.log(CONFIRMATIONS + 1)
  return shortest * (LONGEST - (LONGEST - 1) * agreed)
}
