/**
 * The words of one exchange between two devices. I opened the stream, R answers.
 *
 * I -> R   root     := [0, root]                                   32 bytes over all stacks
 * R -> I   root                                                    equal: in sync, both end here
 *        | buckets  := [1, 256 x 16 bytes]
 * I -> R   stacks   := [2, differing, [[key, name, digest], ...], more, traceparent]     differing: 32-byte bitmap of buckets; traceparent: text or null
 * R -> I   vectors  := [3, [[key, name, vector], ...], more]       of the stacks that differ: two round trips so far
 * I -> R   vectors                                                 of the same stacks
 * then both ways, each side at most one question at a time:
 *          want     := [4, key, [[feedKey, from, to, hash], ...]]  paths by the hash of their last record; answered by exactly one
 *          batches  := [5, key, [[batch, ...], ...]]               per want, as much as one frame holds; none: "I cannot serve this"
 *          ask      := [6, key]                                    before the first batch of an unknown archived stack, answered by
 *          origin   := [7, key, [record bytes, ...], more]         the membership records of the mesh it came from
 *          done     := [8, [[key, digest], ...], more]             this side misses nothing more, and now holds this; it still answers
 * The exchange ends when both sides are done. `more`: the list goes on in the next frame.
 *
 * A frame is canonical CBOR of at most LIMITS.frameBytesMax bytes.
 */
import { decode, encode, type Value } from '../codec/cbor.ts'
import type { Crypto } from '../crypto.ts'
import { MalformedError } from '../errors.ts'
import { batchOf, batchValue, type Batch } from '../feed/chain.ts'
import { vectorOf, vectorValue, wantOf, wantValue, type Vector, type Want } from '../feed/vector.ts'
import { LIMITS } from '../limits.ts'
import { traceparentOf } from '../trace/traceparent.ts'
import { BUCKET_BYTES, BUCKETS, type StackSummary } from './digests.ts'
import { checkNamed, parseStackKey, type StackKey } from './keys.ts'

export interface NamedVector { key: StackKey, name: string, vector: Vector }

export type SyncMessage =
  | { type: 'root', root: Uint8Array }
  | { type: 'buckets', packed: Uint8Array }
  | { type: 'stacks', differing: Uint8Array, stacks: StackSummary[], more: boolean, traceparent: string | null }
  | { type: 'vectors', vectors: NamedVector[], more: boolean }
  | { type: 'want', key: StackKey, wants: Want[] }
  | { type: 'batches', key: StackKey, answers: Batch[][] }
  | { type: 'ask', key: StackKey }
  | { type: 'origin', key: StackKey, records: Uint8Array[], more: boolean }
  | { type: 'done', held: Array<{ key: StackKey, digest: Uint8Array }>, more: boolean }

export function encodeSync (message: SyncMessage): Uint8Array {
  return encode(syncValue(message))
}

function syncValue (message: SyncMessage): Value {
  switch (message.type) {
    case 'root': return [0, message.root]
    case 'buckets': return [1, message.packed]
    case 'stacks': return [2, message.differing, message.stacks.map(({ key, name, digest }) => [key, name, digest]), message.more, message.traceparent]
    case 'vectors': return [3, message.vectors.map(({ key, name, vector }) => [key, name, vectorValue(vector)]), message.more]
    case 'want': return [4, message.key, message.wants.map(wantValue)]
    case 'batches': return [5, message.key, message.answers.map(batches => batches.map(batchValue))]
    case 'ask': return [6, message.key]
    case 'origin': return [7, message.key, message.records, message.more]
    case 'done': return [8, message.held.map(({ key, digest }) => [key, digest]), message.more]
  }
}

/** @throws MalformedError */
export function decodeSync (frame: Uint8Array, crypto: Crypto): SyncMessage {
  const value = decode(frame, LIMITS.frameBytesMax)
  if (!Array.isArray(value)) throw new MalformedError('a sync message is an array')
  const [type, ...parts] = value
  const read = typeof type === 'number' ? READERS[type] : undefined
  if (read === undefined || parts.length !== read.parts) throw new MalformedError('not a sync message')
  return read.of(parts, crypto)
}

interface Reader { parts: number, of: (parts: Value[], crypto: Crypto) => SyncMessage }

const READERS: Record<number, Reader> = {
  0: { parts: 1, of: ([root]) => ({ type: 'root', root: bytesOf(root, 32) }) },
  1: { parts: 1, of: ([packed]) => ({ type: 'buckets', packed: bytesOf(packed, BUCKETS * BUCKET_BYTES) }) },
  2: {
    parts: 4,
    of: ([differing, stacks, more, traceparent], crypto) => ({
      type: 'stacks', differing: bytesOf(differing, BUCKETS / 8), more: flagOf(more), traceparent: traceparentOf(traceparent ?? null),
      stacks: listOf(stacks, LIMITS.stacksMax, 3).map(([key, name, digest]) => ({ ...namedOf(key, name, crypto), digest: bytesOf(digest, 32) })),
    }),
  },
  3: {
    parts: 2,
    of: ([vectors, more], crypto) => ({
      type: 'vectors', more: flagOf(more),
      vectors: listOf(vectors, LIMITS.stacksMax, 3).map(([key, name, vector]) => ({ ...namedOf(key, name, crypto), vector: vectorOf(vector) })),
    }),
  },
  4: { parts: 2, of: ([key, wants]) => ({ type: 'want', key: parseStackKey(key).key, wants: arrayOf(wants, LIMITS.syncWantsMax).map(wantOf) }) },
  5: { parts: 2, of: ([key, answers]) => ({ type: 'batches', key: parseStackKey(key).key, answers: answersOf(answers) }) },
  6: { parts: 1, of: ([key]) => ({ type: 'ask', key: parseStackKey(key).key }) },
  7: { parts: 3, of: ([key, records, more]) => ({ type: 'origin', key: parseStackKey(key).key, records: recordsOf(records), more: flagOf(more) }) },
  8: {
    parts: 2,
    of: ([held, more]) => ({
      type: 'done', more: flagOf(more),
      held: listOf(held, LIMITS.stacksMax, 2).map(([key, digest]) => ({ key: parseStackKey(key).key, digest: bytesOf(digest, 32) })),
    }),
  },
}

function namedOf (key: Value | undefined, name: Value | undefined, crypto: Crypto): { key: StackKey, name: string } {
  const parsed = parseStackKey(key).key
  return { key: parsed, name: checkNamed(parsed, name, crypto) }
}

function answersOf (value: Value | undefined): Batch[][] {
  let room: number = LIMITS.syncBatchesMax
  return arrayOf(value, LIMITS.syncWantsMax).map(item => {
    const batches = arrayOf(item, room)
    room -= batches.length
    return batches.map(batchOf)
  })
}

function recordsOf (value: Value | undefined): Uint8Array[] {
  const records = arrayOf(value, LIMITS.rosterKeptMax)
  if (!records.every(record => record instanceof Uint8Array && record.length <= LIMITS.memberRecordBytesMax)) throw new MalformedError('membership records are short byte strings')
  return records as Uint8Array[]
}

function arrayOf (value: Value | undefined, max: number): Value[] {
  if (!Array.isArray(value) || value.length > max) throw new MalformedError(`a list holds at most ${max} items`)
  return value
}

function listOf (value: Value | undefined, max: number, width: number): Value[][] {
  const list = arrayOf(value, max)
  if (!list.every(item => Array.isArray(item) && item.length === width)) throw new MalformedError('an item of a list has the wrong shape')
  return list as Value[][]
}

function bytesOf (value: Value | undefined, length: number): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length !== length) throw new MalformedError(`expected ${length} bytes`)
  return value
}

function flagOf (value: Value | undefined): boolean {
  if (typeof value !== 'boolean') throw new MalformedError('expected a flag')
  return value
}
