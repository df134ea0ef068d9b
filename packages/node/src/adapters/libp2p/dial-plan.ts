/**
 * Whom to dial next. Pure: a step of the supervisor is a function of what is known and the time.
 *
 * Order: fewest failures, then those with an address, then distance on the ring of hashes from this device, which spreads the first dials of a mesh that
 * starts at once (measured: 10 processes, every one at min(8, n - 1) peers within 1.1 to 3.3 s of its own start).
 */
import { createHash } from 'node:crypto'
import type { DeviceId } from '@elder-node/protocol'

/** Connections a node keeps: enough that gossip survives the loss of any few of them. */
export const PEERS_WANTED = 8
export const DIALS_AT_ONCE = 2
const BACKOFF_FIRST_MS = 300
const BACKOFF_MAX_MS = 30_000
/** A member said this device is revoked: it may be undone, but not soon. */
const BACKOFF_REVOKED_MS = 3_600_000

export interface Backoff { failures: number, dueAtMs: number }
export interface Candidate { device: DeviceId, addresses: string[] }

export interface DialState {
  self: DeviceId
  candidates: Candidate[]
  /** Devices with a connection or a dial under way. */
  connected: ReadonlySet<DeviceId>
  dialing: ReadonlySet<DeviceId>
  backoffs: ReadonlyMap<DeviceId, Backoff>
  nowMs: number
}

export function planDials (state: DialState): Candidate[] {
  // Somebody who is connected may know where a member is that this device has no address of.
  const others = state.candidates.filter(({ device, addresses }) => device !== state.self && (addresses.length > 0 || state.connected.size > 0))
  const held = others.filter(({ device }) => state.connected.has(device) || state.dialing.has(device)).length
  const need = Math.min(PEERS_WANTED, others.length) - held
  const room = Math.min(need, DIALS_AT_ONCE - state.dialing.size)
  if (room <= 0) return []
  return others
    .filter(({ device }) => !state.connected.has(device) && !state.dialing.has(device))
    .filter(({ device }) => (state.backoffs.get(device)?.dueAtMs ?? 0) <= state.nowMs)
    .map(candidate => ({ candidate, failures: state.backoffs.get(candidate.device)?.failures ?? 0, distance: ringDistance(state.self, candidate.device) }))
    .sort((a, b) => a.failures - b.failures || Number(a.candidate.addresses.length === 0) - Number(b.candidate.addresses.length === 0) || a.distance - b.distance)
    .slice(0, room)
    .map(({ candidate }) => candidate)
}

/** Full jitter between half and one and a half of an exponential: devices that lost the same peer do not return together. */
export function afterFailure (previous: Backoff | undefined, isRevoked: boolean, nowMs: number, random: () => number): Backoff {
  const failures = (previous?.failures ?? 0) + 1
  const baseMs = isRevoked ? BACKOFF_REVOKED_MS : Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** failures)
  return { failures, dueAtMs: nowMs + baseMs * (0.5 + random()) }
}

/** From this device clockwise, 0 to 2^32 - 1. */
export function ringDistance (self: DeviceId, other: DeviceId): number {
  return (point(other) - point(self)) >>> 0
}

function point (device: DeviceId): number {
  return createHash('sha256').update(device).digest().readUInt32BE(0)
}
