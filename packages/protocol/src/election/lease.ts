import type { BuildId, DeviceId } from '../ids.ts'

/** Times of a lease, milliseconds of the builder's monotonic clock. */
export const LEASE = {
  /** A lease is valid this long after the last stamp that its requester echoed. */
  ttlMs: 10_000,
  /** The builder sends a stamp this often. */
  renewMs: 3_000,
  /** A requester that lost its stream may come back with the lease this long after the validity ended. */
  graceMs: 10_000,
  /** Shortest time that an answer to BIND? may take. Over a slow link, or from a busy requester, it is longer. */
  bindMs: 1_000,
  /** Longest time that a requester may claim for itself: a bound on its own word. */
  bindMsMax: 10_000,
  /** With no answer after a round trip and this time, the slot is offered to the next in line as well. */
  offerAgainMs: 50,
  /** A reservation that is not renewed is dropped after this time. */
  reservationMs: 30_000,
  /** An engine kills within this time: the processes of a lapsed lease are gone that much later. */
  killMs: 2_000,
  /** What a requester adds to be sure that a lease has ended on a clock that drifts: 5 %. */
  driftFactor: 1.05,
} as const

/** `held` waits for the requester's stream, `active` runs, `ending` is being killed. Each takes one slot. */
export type LeaseState = 'held' | 'active' | 'ending'

export interface Lease {
  /** `<epoch>.<number>`: void after a restart. Known to its requester alone, and bound to its device. */
  id: string
  build: BuildId
  requester: DeviceId
  fence: number
  /** Index of the slot it takes, from 0. */
  slot: number
  state: LeaseState
  grantedAtMs: number
  /** The last stamp of ours that the requester echoed; at first, when the lease was made. */
  stampMs: number
  nextRenewMs: number
}

/** When the lease lapses unless something happens. Infinity while it is being killed: then only the end of its processes counts. */
export function lapsesAtMs (lease: Lease, graceMs: number = LEASE.graceMs): number {
  if (lease.state === 'held') return lease.stampMs + LEASE.ttlMs
  return lease.state === 'active' ? lease.stampMs + LEASE.ttlMs + graceMs : Infinity
}

/** From the requester's side: when the lease has ended and its processes are gone for sure, given when it last echoed a stamp. */
export function surelyOverAtMs (echoedAtMs: number): number {
  return echoedAtMs + (LEASE.ttlMs + LEASE.graceMs + LEASE.killMs) * LEASE.driftFactor
}
