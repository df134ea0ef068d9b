/**
 * Membership records: who was let in, by whom, and who was shut out. A grow-only set; its meaning is `resolveRoster`.
 *
 * record    := [body, signature]                  canonical CBOR, at most LIMITS.memberRecordBytesMax
 * body      := canonical CBOR of [type, mesh, issuer, seq, at, grant, prev, fields]
 * signature := Ed25519 of the issuer over "elder/member/v1\0" body
 * hash      := sha256("elder/member/v1\0" body)
 * mesh      := the first 16 bytes of the genesis record's hash; null in the genesis record itself
 * seq       := the issuer's own count of its membership records, from 1
 * at        := milliseconds since 1970 on the issuer's clock, for display
 * grant     := hash of the record that made the issuer an admin; null in genesis and recover
 * prev      := hashes of the heads the issuer knew, strictly rising
 *
 * The hash leaves the signature out, so nobody can make a second record of one by bending its signature.
 */
import { decodeCanonical, encode, type Value } from '../codec/cbor.ts'
import { compareBytes, fromBase32, fromHex, toBase32, toHex, utf8 } from '../codec/text.ts'
import type { Crypto, Signer } from '../crypto.ts'
import { MalformedError } from '../errors.ts'
import { isCount, isHash } from '../feed/record.ts'
import { deviceId, deviceKey, type DeviceId, type MeshId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { contentOf, contentValue, type MemberContent } from './content.ts'
import { redeemMessage, rekeyMessage } from './messages.ts'

/** What an issuer decides on when it writes a record; the rest follows. */
export interface MemberDraft {
  /** Null for a genesis record only. */
  mesh: MeshId | null
  seq: number
  /** Milliseconds since 1970. */
  at: number
  /** Hash (hex) of the record that made the issuer an admin; null for genesis and recover. */
  grant: string | null
  /** Hashes (hex) of the heads the issuer knows; at most LIMITS.memberPrevMax are named. */
  prev: readonly string[]
  content: MemberContent
}

/** A record whose signatures were checked. */
export interface MemberRecord {
  /** Of a genesis record: the mesh it founds. */
  mesh: MeshId
  issuer: DeviceId
  seq: number
  at: number
  grant: string | null
  prev: readonly string[]
  content: MemberContent
  /** Hex. */
  hash: string
  /** As received, in memory of its own: what is stored and relayed. */
  bytes: Uint8Array
}

const DOMAIN = utf8('elder/member/v1\0')

/** The mesh that a genesis record founds. */
export function meshIdOf (genesisHash: Uint8Array): MeshId { return toBase32(genesisHash.subarray(0, 16)) as MeshId }

/** The 16 bytes of a mesh id. @throws MalformedError */
export function meshKey (mesh: MeshId): Uint8Array {
  const key = fromBase32(mesh)
  if (key?.length !== 16) throw new MalformedError('a mesh id has 16 bytes')
  return key
}

export function signMemberRecord (draft: MemberDraft, signer: Signer, crypto: Crypto): MemberRecord {
  const [type, fields] = contentValue(draft.content)
  const prev = [...draft.prev].sort().slice(0, LIMITS.memberPrevMax).map(hashBytes)
  const mesh = draft.mesh === null ? null : meshKey(draft.mesh)
  const body = encode([type, mesh, signer.publicKey, draft.seq, draft.at, draft.grant === null ? null : hashBytes(draft.grant), prev, fields])
  return openMemberRecord(encode([body, signer.sign(message(body))]), crypto)
}

/**
 * Decodes and verifies a record from outside: its shape, its issuer's signature, and those of a redeemed ticket or a new key.
 * Says nothing about whether the issuer was entitled to write it.
 *
 * @throws MalformedError
 */
export function openMemberRecord (bytes: Uint8Array, crypto: Crypto): MemberRecord {
  const { body, signature } = partsOf(bytes)
  const record = readMemberRecord(bytes, crypto)
  if (!crypto.verify(deviceKey(record.issuer), signature, message(body))) throw new MalformedError('the signature of a membership record is wrong')
  verifyInner(record, crypto)
  return record
}

/** The same without its signatures: to see which are worth a check. @throws MalformedError */
export function readMemberRecord (bytes: Uint8Array, crypto: Crypto): MemberRecord {
  const { body } = partsOf(bytes)
  const hash = crypto.sha256(DOMAIN, body)
  return { ...bodyOf(body, hash), hash: toHex(hash), bytes: new Uint8Array(bytes) }
}

function partsOf (bytes: Uint8Array): { body: Uint8Array, signature: Uint8Array } {
  const value = decodeCanonical(bytes, LIMITS.memberRecordBytesMax)
  const [body, signature] = Array.isArray(value) && value.length === 2 ? value : []
  if (!(body instanceof Uint8Array) || !(signature instanceof Uint8Array) || signature.length !== 64) throw new MalformedError('a membership record is [body, signature]')
  return { body, signature }
}

/** The hash (hex) of a record's bytes, unverified: to see whether it is known already. @throws MalformedError */
export function memberRecordHash (bytes: Uint8Array, crypto: Crypto): string {
  const value = decodeCanonical(bytes, LIMITS.memberRecordBytesMax)
  const body = Array.isArray(value) ? value[0] : undefined
  if (!(body instanceof Uint8Array)) throw new MalformedError('a membership record is [body, signature]')
  return toHex(crypto.sha256(DOMAIN, body))
}

function bodyOf (bytes: Uint8Array, hash: Uint8Array): Omit<MemberRecord, 'hash' | 'bytes'> {
  const value = decodeCanonical(bytes, LIMITS.memberRecordBytesMax)
  if (!Array.isArray(value) || value.length !== 8) throw new MalformedError('a membership body is an array of eight')
  const [type, mesh, issuer, seq, at, grant, prev, fields] = value as [Value, Value, Value, Value, Value, Value, Value, Value]
  if (typeof type !== 'string' || type.length === 0 || type.length > 32) throw new MalformedError('type is a short text')
  if (!(issuer instanceof Uint8Array) || !isCount(seq) || seq < 1 || !isCount(at)) throw new MalformedError('issuer, seq and at are a key and two counts')
  if (grant !== null && !isHash(grant)) throw new MalformedError('grant is null or a hash')
  if ((mesh === null) !== (type === 'genesis')) throw new MalformedError('every record but genesis names its mesh')
  if (mesh !== null && (!(mesh instanceof Uint8Array) || mesh.length !== 16)) throw new MalformedError('a mesh id has 16 bytes')
  return {
    mesh: mesh === null ? meshIdOf(hash) : toBase32(mesh) as MeshId, issuer: deviceId(issuer), seq, at,
    grant: grant === null ? null : toHex(grant), prev: prevOf(prev), content: contentOf(type, fields),
  }
}

function prevOf (value: Value): string[] {
  if (!Array.isArray(value) || value.length > LIMITS.memberPrevMax) throw new MalformedError('prev is a short array')
  let last: Uint8Array | undefined
  return value.map(hash => {
    if (!isHash(hash)) throw new MalformedError('prev holds hashes')
    if (last !== undefined && compareBytes(last, hash) >= 0) throw new MalformedError('prev rises strictly')
    last = hash
    return toHex(hash)
  })
}

function verifyInner ({ content, mesh, issuer }: Omit<MemberRecord, 'hash' | 'bytes'>, crypto: Crypto): void {
  if (content.type === 'member' && content.via !== null) {
    const { ticket, ticketKey, redeem } = content.via
    if (!crypto.verify(ticketKey, redeem, redeemMessage(mesh, ticket, content.subject))) throw new MalformedError('the ticket was not redeemed for this device')
  }
  if (content.type === 'rekey' && !crypto.verify(deviceKey(content.newKey), content.signature, rekeyMessage(mesh, issuer, content.newKey))) {
    throw new MalformedError('the new key did not sign')
  }
}

function message (body: Uint8Array): Uint8Array {
  const out = new Uint8Array(DOMAIN.length + body.length)
  out.set(DOMAIN)
  out.set(body, DOMAIN.length)
  return out
}

function hashBytes (hex: string): Uint8Array {
  const hash = fromHex(hex)
  if (!isHash(hash)) throw new MalformedError('not a record hash')
  return hash
}
