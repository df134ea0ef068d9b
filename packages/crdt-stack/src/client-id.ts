/**
 * Ids that are derived, never declared: nobody can claim another's.
 *
 * client := first 53 bits of sha256("elder/client/v1\0" stack feedKey entry-id session(4 bytes, big endian))
 * base   := first 53 bits of sha256("elder/body/v1\0" stack entry-id)
 * entry  := ULID(time, first 80 bits of sha256("elder/entry/v1\0" stack feedKey seq(8 bytes, big endian)))
 */
import { feedKey, fromBase32, utf8, type Crypto, type EntryId, type FeedId, type StackId } from '@elder-node/protocol'

const CLIENT = utf8('elder/client/v1\0')
const BASE = utf8('elder/body/v1\0')
const ENTRY = utf8('elder/entry/v1\0')

/** The Yjs clientID with which `feed` writes into the body of `entry`. */
export function clientIdOf (stack: StackId, feed: FeedId, entry: EntryId, session: number, crypto: Crypto): number {
  return first53Bits(crypto.sha256(CLIENT, stackKey(stack), feedKey(feed), utf8(entry), bigEndian(session, 4)))
}

/** The Yjs clientID of a body's first content. */
export function baseClientId (stack: StackId, entry: EntryId, crypto: Crypto): number {
  return first53Bits(crypto.sha256(BASE, stackKey(stack), utf8(entry)))
}

/** The 10 random-looking bytes of the id of an entry born in this record: no two records can give birth to one id. */
export function entryTail (stack: StackId, feed: FeedId, seq: number, crypto: Crypto): Uint8Array {
  return crypto.sha256(ENTRY, stackKey(stack), feedKey(feed), bigEndian(seq, 8)).subarray(0, 10)
}

function stackKey (stack: StackId): Uint8Array { return fromBase32(stack) as Uint8Array }

function bigEndian (value: number, length: number): Uint8Array {
  const out = new Uint8Array(length)
  for (let i = length - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) out[i] = rest % 256
  return out
}

function first53Bits (hash: Uint8Array): number {
  const view = new DataView(hash.buffer, hash.byteOffset)
  return view.getUint32(0) * 2 ** 21 + (view.getUint32(4) >>> 11)
}
