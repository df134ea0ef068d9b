/**
 * A ticket: the text that lets one device into a mesh.
 *
 * text    := "elder1" base32(payload checksum)     lower case; spaces and line breaks in a paste are ignored
 * payload := canonical CBOR of [1, mesh, meshSecret, [address, ...], seed, record]
 * record  := the signed ticket record: issuer, one-time public key, role, expiry
 * checksum := first 4 bytes of sha256("elder/ticket/v1\0" payload)
 *
 * The checksum tells a slip of the hand from a forgery. The seed signs the redemption and never travels further.
 */
import { decodeCanonical, encode, type Value } from '../codec/cbor.ts'
import { equalBytes, fromBase32, toBase32, utf8 } from '../codec/text.ts'
import type { Crypto } from '../crypto.ts'
import { ElderError } from '../errors.ts'
import type { DeviceId, MeshId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { deviceOfAddress } from './address.ts'
import { meshKey, openMemberRecord, type MemberRecord } from './record.ts'
import type { Role } from './roles.ts'

export interface Ticket {
  mesh: MeshId
  /** 32 bytes: the key of the knock. */
  meshSecret: Uint8Array
  /** Multiaddr text of the issuer and of other members, each ending in `/p2p/<peer id>`. */
  addresses: string[]
  /** Ed25519 seed of the one-time key, 32 bytes. */
  seed: Uint8Array
  record: MemberRecord
  issuer: DeviceId
  role: Role
  /** Milliseconds since 1970. */
  expiresMs: number
}

/** Addresses one ticket may carry. */
const TICKET_ADDRESSES_MAX = 8

const PREFIX = 'elder1'
const DOMAIN = utf8('elder/ticket/v1\0')
const AGAIN = 'Ask for a new one: elder-node invite'

/** The first addresses are kept: as many as fit LIMITS.ticketCharsMax, at most {@link TICKET_ADDRESSES_MAX}. */
export function formatTicket (ticket: Pick<Ticket, 'mesh' | 'meshSecret' | 'addresses' | 'seed' | 'record'>, crypto: Crypto): string {
  for (let count = Math.min(ticket.addresses.length, TICKET_ADDRESSES_MAX); count > 0; count--) {
    const payload = encode([1, meshKey(ticket.mesh), ticket.meshSecret, ticket.addresses.slice(0, count), ticket.seed, ticket.record.bytes])
    const text = PREFIX + toBase32(Uint8Array.from([...payload, ...checksum(payload, crypto)]))
    if (text.length <= LIMITS.ticketCharsMax) return text
  }
  throw new ElderError('NO_ADDRESS', 'A ticket needs an address of this mesh, and a short one.', 'Start with --announce <multiaddr>.')
}

/**
 * @param nowMs milliseconds since 1970
 * @throws ElderError `TICKET_MALFORMED` (no ticket, truncated or mistyped), `TICKET_FORGED`, `TICKET_EXPIRED`
 */
export function parseTicket (text: string, nowMs: number, crypto: Crypto): Ticket {
  const ticket = open(payloadOf(text, crypto), crypto)
  if (nowMs > ticket.expiresMs) {
    throw new ElderError('TICKET_EXPIRED', `This ticket expired ${Math.ceil((nowMs - ticket.expiresMs) / 60_000)} min ago by this device's clock.`, AGAIN, { expiresMs: ticket.expiresMs })
  }
  return ticket
}

function payloadOf (text: string, crypto: Crypto): Uint8Array {
  // A bound before any work: whatever was pasted may be a file.
  const compact = text.length > 2 * LIMITS.ticketCharsMax ? '' : text.replace(/\s+/g, '').toLowerCase()
  if (!compact.startsWith(PREFIX) || compact.length > LIMITS.ticketCharsMax) throw malformed(`This is not a ticket: a ticket begins with "${PREFIX}".`)
  const bytes = fromBase32(compact.slice(PREFIX.length))
  const payload = bytes?.subarray(0, -4)
  if (bytes === undefined || payload === undefined || bytes.length < 5 || !equalBytes(checksum(payload, crypto), bytes.subarray(-4))) {
    throw malformed('This ticket is incomplete or mistyped: its checksum does not hold.')
  }
  return payload
}

function open (payload: Uint8Array, crypto: Crypto): Ticket {
  const [version, mesh, meshSecret, addresses, seed, bytes] = partsOf(payload)
  if (version !== 1) throw malformed('This ticket was made by a newer elder-node.', 'Update this device to the newest release.')
  if (!isBytes(mesh, 16) || !isBytes(meshSecret, 32) || !isBytes(seed, 32) || !(bytes instanceof Uint8Array) || !areAddresses(addresses)) {
    throw malformed('This ticket does not have the shape of a ticket.')
  }
  const record = recordOf(bytes, crypto)
  if (record.content.type !== 'ticket' || record.mesh !== toBase32(mesh)) throw forged()
  const { role, expiresMs } = record.content
  return { mesh: record.mesh, meshSecret, addresses, seed, record, issuer: record.issuer, role, expiresMs }
}

function partsOf (payload: Uint8Array): Value[] {
  try {
    const value = decodeCanonical(payload, LIMITS.ticketCharsMax)
    if (Array.isArray(value) && value.length === 6) return value
  } catch {
    // Falls through: bytes that are no CBOR are no ticket.
  }
  throw malformed('This ticket does not have the shape of a ticket.')
}

function recordOf (bytes: Uint8Array, crypto: Crypto): MemberRecord {
  try {
    return openMemberRecord(bytes, crypto)
  } catch {
    throw forged()
  }
}

function checksum (payload: Uint8Array, crypto: Crypto): Uint8Array { return crypto.sha256(DOMAIN, payload).subarray(0, 4) }

function isBytes (value: Value | undefined, length: number): value is Uint8Array { return value instanceof Uint8Array && value.length === length }

function areAddresses (value: Value | undefined): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.length <= TICKET_ADDRESSES_MAX &&
    value.every(address => typeof address === 'string' && deviceOfAddress(address) !== undefined)
}

function malformed (message: string, fix = `Copy the whole ticket. ${AGAIN}`): ElderError { return new ElderError('TICKET_MALFORMED', message, fix) }

function forged (): ElderError {
  return new ElderError('TICKET_FORGED', 'This ticket was changed after it was signed, or was never signed by a member.', AGAIN)
}
