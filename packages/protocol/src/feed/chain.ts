/**
 * Signed heads and batches: how pieces of a feed travel and are stored.
 *
 * head  := [seq, hash, signature]      signature over "elder/head/v2\0" stack feedKey seq(8 bytes, big endian) hash
 * batch := [feedKey, from, [record bytes, ...], head]     head.seq = from + records - 1
 *
 * One signature covers every record before it on its path, through the hash chain. A batch never crosses a multiple of
 * LIMITS.batchRecordsMax, so every device holds a signed head at each multiple and any holder can serve any part of a path.
 */
import type { Value } from '../codec/cbor.ts'
import { equalBytes, fromBase32, utf8 } from '../codec/text.ts'
import type { Crypto, Signer } from '../crypto.ts'
import { MalformedError } from '../errors.ts'
import { deviceKey, feedDevice, feedIdOf, feedKey, type FeedId, type StackId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { decodeRecord, genesisHash, isHash, isSeq, recordHash, type FeedRecord } from './record.ts'

export interface Head { seq: number, hash: Uint8Array, signature: Uint8Array }

/** A run of one feed's records with the signature of its last one. */
export interface Batch { feed: FeedId, from: number, records: Uint8Array[], head: Head }

/** A decoded record with its place, its hash and its received bytes. */
export interface ChainedRecord extends FeedRecord { feed: FeedId, hash: Uint8Array, bytes: Uint8Array }

const HEAD = utf8('elder/head/v2\0')

function headMessage (stack: StackId, feed: FeedId, seq: number, hash: Uint8Array): Uint8Array {
  const place = feedKey(feed)
  const message = new Uint8Array(HEAD.length + 16 + place.length + 8 + 32)
  message.set(HEAD)
  message.set(fromBase32(stack) as Uint8Array, HEAD.length)
  message.set(place, HEAD.length + 16)
  new DataView(message.buffer).setBigUint64(HEAD.length + 16 + place.length, BigInt(seq))
  message.set(hash, message.length - 32)
  return message
}

export function signHead (stack: StackId, feed: FeedId, seq: number, hash: Uint8Array, signer: Signer): Head {
  return { seq, hash, signature: signer.sign(headMessage(stack, feed, seq, hash)) }
}

export function verifyHead (stack: StackId, feed: FeedId, head: Head, crypto: Crypto): boolean {
  return crypto.verify(deviceKey(feedDevice(feed)), head.signature, headMessage(stack, feed, head.seq, head.hash))
}

/**
 * Checks a batch by itself: its chain, its head and the one signature over both. Where it attaches (the record that its first
 * `prev` names) is for the receiver to find: any record that is held will do.
 *
 * @throws MalformedError when something is wrong in itself: the sender's fault, never the feed's.
 */
export function verifyBatch (stack: StackId, batch: Batch, crypto: Crypto): ChainedRecord[] {
  let last: Uint8Array | undefined = batch.from === 1 ? genesisHash(stack, batch.feed, crypto) : undefined
  const records = batch.records.map((bytes, i) => {
    const record = decodeRecord(bytes)
    if (record.seq !== batch.from + i) throw new MalformedError('a batch counts its records without gaps')
    if (last !== undefined && !equalBytes(record.prev, last)) throw new MalformedError('the hash chain is broken', { feed: batch.feed, seq: record.seq })
    if (record.deps.some(({ feed }) => feed === batch.feed)) throw new MalformedError('a record names its own feed as a dep')
    last = recordHash(bytes, crypto)
    return { ...record, feed: batch.feed, hash: last, bytes }
  })
  if (last === undefined || batch.head.seq !== batch.from + records.length - 1 || !equalBytes(batch.head.hash, last)) {
    throw new MalformedError('the head is not the last record of its batch')
  }
  if (!verifyHead(stack, batch.feed, batch.head, crypto)) throw new MalformedError('the signature of the head is wrong', { feed: batch.feed, seq: batch.head.seq })
  return records
}

export function batchValue (batch: Batch): Value {
  return [feedKey(batch.feed), batch.from, batch.records, headValue(batch.head)]
}

export function headValue (head: Head): Value { return [head.seq, head.hash, head.signature] }

/** @throws MalformedError */
export function batchOf (value: Value | undefined): Batch {
  const [key, from, records, head] = Array.isArray(value) && value.length === 4 ? value : []
  if (!(key instanceof Uint8Array) || !isSeq(from) || !Array.isArray(records)) throw new MalformedError('a batch is [feed, from, records, head]')
  if (records.length === 0 || records.length > LIMITS.batchRecordsMax) throw new MalformedError(`a batch holds 1 to ${LIMITS.batchRecordsMax} records`)
  if (Math.floor((from - 1) / LIMITS.batchRecordsMax) !== Math.floor((from + records.length - 2) / LIMITS.batchRecordsMax)) throw new MalformedError('a batch does not cross a multiple of the batch size')
  if (!records.every(record => record instanceof Uint8Array)) throw new MalformedError('records are byte strings')
  return { feed: feedIdOf(key), from, records: records as Uint8Array[], head: headOf(head) }
}

/** @throws MalformedError */
export function headOf (value: Value | undefined): Head {
  const [seq, hash, signature] = Array.isArray(value) && value.length === 3 ? value : []
  if (!isSeq(seq) || !isHash(hash) || !(signature instanceof Uint8Array) || signature.length !== 64) throw new MalformedError('a head is [seq, hash, signature]')
  return { seq, hash, signature }
}
