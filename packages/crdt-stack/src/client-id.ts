/**
 * Ids that are derived from a record's name, never declared: nobody can claim another's.
 *
 * client := first 53 bits of sha256("elder/client/v2\0" stack feedKey entry session)     entry: hash of its `new` record; session: 8 random bytes
 * base   := first 53 bits of sha256("elder/body/v2\0" stack entry)
 * id     := ULID(time of `at`, first 80 bits of entry); of two equal ones the smaller hash has it, the other adds its next 80 bits
 *
 * 53 bits fall to grinding (two equal ones took 84 s of one core), so nothing rests on a client being met only once: text that is
 * written twice under one (client, clock) is settled by the order of its records.
 */
import { entryId, feedKey, fromBase32, utf8, wallMsOf, type Crypto, type EntryId, type FeedId, type StackId } from '@elder-node/protocol'
import { hashOf, type RecordName } from './feeds/node.ts'

const CLIENT = utf8('elder/client/v2\0')
const BASE = utf8('elder/body/v2\0')

/** The Yjs clientID with which `feed` writes into the body of `entry` in one session. */
export function clientIdOf (stack: StackId, feed: FeedId, entry: RecordName, session: Uint8Array, crypto: Crypto): number {
  return first53Bits(crypto.sha256(CLIENT, stackKey(stack), feedKey(feed), hashOf(entry), session))
}

/** The Yjs clientID of a body's first content. */
export function baseClientId (stack: StackId, entry: RecordName, crypto: Crypto): number {
  return first53Bits(crypto.sha256(BASE, stackKey(stack), hashOf(entry)))
}

/** What people call an entry. `long`: another entry with a smaller hash has the short one. */
export function entryIdOf (entry: RecordName, at: number, long = false): EntryId {
  const hash = hashOf(entry)
  const id = entryId(wallMsOf(at), hash.subarray(0, 10))
  return (long ? id + entryId(0, hash.subarray(10, 20)).slice(10) : id) as EntryId
}

function stackKey (stack: StackId): Uint8Array { return fromBase32(stack) as Uint8Array }

function first53Bits (hash: Uint8Array): number {
  const view = new DataView(hash.buffer, hash.byteOffset)
  return view.getUint32(0) * 2 ** 21 + (view.getUint32(4) >>> 11)
}
