/**
 * What a membership record says, by type. On the wire `fields` is an array; the shapes stand here.
 *
 * genesis  := [founderName, recoveryKey, meshName, policy]     the issuer is the founder
 * ticket   := [ticketKey, role, expiresMs]                     ticketKey: one-time public key
 * member   := [subject, role, name, wire, via]                 via := null | [ticket hash, ticketKey, redeem]
 * lost     := [subject]
 * revoke   := [subject, cuts, undo]                            cuts := [[stack, [hash, ...]], ...], both strictly rising
 * leave    := []                                               the issuer removes itself, whatever its role
 * addAdmin := [subject]
 * rekey    := [newKey, signature of newKey over "elder/rekey/v1\0" mesh issuer newKey]
 * recover  := [subject, name]                                  the issuer is the recovery key
 *
 * A type that this version does not know is kept and relayed, and says nothing.
 */
import type { Value } from '../codec/cbor.ts'
import { compareBytes, fromBase32, fromHex, toBase32, toHex } from '../codec/text.ts'
import { MalformedError } from '../errors.ts'
import { isCount, isHash } from '../feed/record.ts'
import { deviceId, deviceKey, type DeviceId, type StackId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { isDeviceName } from './names.ts'
import { isRole, type Role } from './roles.ts'

/** The proof that the holder of a ticket asked for exactly this device. */
export interface Redemption {
  /** Hash of the ticket record, hex. */
  ticket: string
  ticketKey: Uint8Array
  /** Signature of the one-time key; see `redeemMessage`. */
  redeem: Uint8Array
}

/**
 * Where one stack is cut: the heads (hex hashes, strictly rising) of what the revoked device had written when it was removed.
 * What is in the past of a head still counts.
 */
export interface Cut { stack: StackId, heads: string[] }

export type MemberContent =
  | { type: 'genesis', founderName: string, recoveryKey: Uint8Array, meshName: string, policy: Value }
  | { type: 'ticket', ticketKey: Uint8Array, role: Role, expiresMs: number }
  | { type: 'member', subject: DeviceId, role: Role, name: string, wire: number, via: Redemption | null }
  | { type: 'lost', subject: DeviceId }
  /** `undo`: what the device wrote before the cuts does not count either. */
  | { type: 'revoke', subject: DeviceId, cuts: Cut[], undo: boolean }
  | { type: 'leave' }
  | { type: 'addAdmin', subject: DeviceId }
  | { type: 'rekey', newKey: DeviceId, signature: Uint8Array }
  | { type: 'recover', subject: DeviceId, name: string }
  | { type: 'unknown', name: string, fields: Value }

/** The pair `[type, fields]` of a content. */
export function contentValue (content: MemberContent): [string, Value] {
  switch (content.type) {
    case 'genesis': return ['genesis', [content.founderName, content.recoveryKey, content.meshName, content.policy]]
    case 'ticket': return ['ticket', [content.ticketKey, content.role, content.expiresMs]]
    case 'member': return ['member', [deviceKey(content.subject), content.role, content.name, content.wire, viaValue(content.via)]]
    case 'lost': return ['lost', [deviceKey(content.subject)]]
    case 'revoke': return ['revoke', [deviceKey(content.subject), content.cuts.map(cutValue), content.undo]]
    case 'leave': return ['leave', []]
    case 'addAdmin': return ['addAdmin', [deviceKey(content.subject)]]
    case 'rekey': return ['rekey', [deviceKey(content.newKey), content.signature]]
    case 'recover': return ['recover', [deviceKey(content.subject), content.name]]
    case 'unknown': return [content.name, content.fields]
  }
}

/** @throws MalformedError when the fields do not have the shape of their type. */
export function contentOf (type: string, fields: Value): MemberContent {
  const shape = SHAPES[type as keyof typeof SHAPES]
  if (shape === undefined || !Object.hasOwn(SHAPES, type)) return { type: 'unknown', name: type, fields }
  const { length, read } = shape
  if (!Array.isArray(fields) || fields.length !== length) throw new MalformedError(`a ${type} record has ${length} fields`)
  return read(fields)
}

const SHAPES: Record<Exclude<MemberContent['type'], 'unknown'>, { length: number, read: (fields: Value[]) => MemberContent }> = {
  genesis: { length: 4, read: ([name, recovery, mesh, policy]) => ({ type: 'genesis', founderName: nameOf(name), recoveryKey: bytesOf(recovery, 32), meshName: nameOf(mesh), policy: policy as Value }) },
  ticket: { length: 3, read: ([key, role, expires]) => ({ type: 'ticket', ticketKey: bytesOf(key, 32), role: roleOf(role), expiresMs: countOf(expires) }) },
  member: { length: 5, read: ([subject, role, name, wire, via]) => ({ type: 'member', subject: subjectOf(subject), role: roleOf(role), name: nameOf(name), wire: countOf(wire), via: viaOf(via) }) },
  lost: { length: 1, read: ([subject]) => ({ type: 'lost', subject: subjectOf(subject) }) },
  revoke: { length: 3, read: ([subject, cuts, undo]) => ({ type: 'revoke', subject: subjectOf(subject), cuts: cutsOf(cuts), undo: flagOf(undo) }) },
  leave: { length: 0, read: () => ({ type: 'leave' }) },
  addAdmin: { length: 1, read: ([subject]) => ({ type: 'addAdmin', subject: subjectOf(subject) }) },
  rekey: { length: 2, read: ([key, signature]) => ({ type: 'rekey', newKey: subjectOf(key), signature: bytesOf(signature, 64) }) },
  recover: { length: 2, read: ([subject, name]) => ({ type: 'recover', subject: subjectOf(subject), name: nameOf(name) }) },
}

function viaValue (via: Redemption | null): Value {
  return via === null ? null : [fromHex(via.ticket) as Uint8Array, via.ticketKey, via.redeem]
}

function viaOf (value: Value | undefined): Redemption | null {
  if (value === null) return null
  const [ticket, key, redeem] = Array.isArray(value) && value.length === 3 ? value : []
  if (!isHash(ticket)) throw new MalformedError('via is null or [ticket, key, redeem]')
  return { ticket: toHex(ticket), ticketKey: bytesOf(key, 32), redeem: bytesOf(redeem, 64) }
}

function cutValue ({ stack, heads }: Cut): Value { return [fromBase32(stack) as Uint8Array, heads.map(head => fromHex(head) as Uint8Array)] }

function cutsOf (value: Value | undefined): Cut[] {
  const cuts = listOf(value, LIMITS.cutStacksMax).map(item => {
    const [stack, heads] = Array.isArray(item) && item.length === 2 ? item : []
    return { stack: bytesOf(stack, 16), heads: rising(listOf(heads, LIMITS.cutHeadsMax).map(head => bytesOf(head, 32))) }
  })
  rising(cuts.map(({ stack }) => stack))
  return cuts.map(({ stack, heads }) => ({ stack: toBase32(stack) as StackId, heads: heads.map(toHex) }))
}

function listOf (value: Value | undefined, max: number): Value[] {
  if (!Array.isArray(value) || value.length > max) throw new MalformedError('cuts are bounded arrays')
  return value
}

/** One set of cuts has one form on the wire. */
function rising (hashes: Uint8Array[]): Uint8Array[] {
  if (hashes.some((hash, i) => i > 0 && compareBytes(hashes[i - 1] as Uint8Array, hash) >= 0)) throw new MalformedError('cuts rise strictly')
  return hashes
}

function flagOf (value: Value | undefined): boolean {
  if (typeof value !== 'boolean') throw new MalformedError('expected true or false')
  return value
}

const subjectOf = (value: Value | undefined): DeviceId => deviceId(bytesOf(value, 32))

function bytesOf (value: Value | undefined, length: number): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length !== length) throw new MalformedError(`expected ${length} bytes`)
  return value
}

function countOf (value: Value | undefined): number {
  if (!isCount(value)) throw new MalformedError('expected a non-negative integer')
  return value
}

function roleOf (value: Value | undefined): Role {
  if (!isRole(value)) throw new MalformedError('expected a role')
  return value
}

function nameOf (value: Value | undefined): string {
  if (!isDeviceName(value)) throw new MalformedError('expected a name')
  return value
}
