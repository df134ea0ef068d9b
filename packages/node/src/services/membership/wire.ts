/**
 * What passes the door and the `join` service. All of it comes from devices that are not trusted yet.
 *
 * hello   := {v, mesh, proof} | {v, mesh, ticket, redeem, name}
 * answer  := {v, proof}                 the chains of the listener and of the dialer
 * refusal := {proof}                    beside the code, of a removed device: the records that prove it
 * join    := {device, ticket, redeem, name} -> {ok: answer} | {no: code}
 */
import { isDeviceName, LIMITS, MalformedError, type Value } from '@elder-node/protocol'

/** The version of the door's messages. */
export const DOOR_VERSION = 1

export interface TicketShown { ticket: Uint8Array, redeem: Uint8Array, name: string }
export type Hello = { version: number, mesh: Uint8Array } & ({ proof: Uint8Array[] } | { shown: TicketShown })

/** @throws MalformedError */
export function helloOf (value: Value): Hello {
  const { v, mesh, proof, ...rest } = mapOf(value)
  if (typeof v !== 'number' || !(mesh instanceof Uint8Array)) throw new MalformedError('a hello names its version and mesh')
  return proof !== undefined ? { version: v, mesh, proof: recordsOf(proof, LIMITS.proofRecordsMax) } : { version: v, mesh, shown: shownOf(rest) }
}

/** @throws MalformedError */
export function shownOf (value: Value): TicketShown {
  const { ticket, redeem, name } = mapOf(value)
  if (!(ticket instanceof Uint8Array) || !(redeem instanceof Uint8Array) || redeem.length !== 64 || !isDeviceName(name)) throw new MalformedError('a ticket is shown with its redemption and a name')
  return { ticket, redeem, name }
}

/** The records of an answer or a refusal. @throws MalformedError */
export function proofIn (value: Value | undefined): Uint8Array[] {
  return recordsOf(mapOf(value).proof, LIMITS.proofRecordsMax)
}

/** @throws MalformedError */
export function recordsOf (value: Value | undefined, max: number): Uint8Array[] {
  if (!Array.isArray(value) || value.length > max || !value.every(item => item instanceof Uint8Array)) throw new MalformedError('records are a bounded array of byte strings')
  return value as Uint8Array[]
}

/** @throws MalformedError */
export function mapOf (value: Value | undefined): { [key: string]: Value } {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) throw new MalformedError('expected a map')
  return value
}
