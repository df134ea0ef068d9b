/**
 * A new record on its way: gossip on the topic `stack`. Lossy and unordered; what it misses, an exchange brings.
 *
 * live := [key, name, batch]                     when its records have at most LIMITS.gossipRecordBytesMax bytes
 *       | [key, name, [feedKey, seq, hash]]      head notice: "there is more, ask me"
 */
import type { Value } from '../codec/cbor.ts'
import type { Crypto } from '../crypto.ts'
import { MalformedError } from '../errors.ts'
import { batchOf, batchValue, type Batch } from '../feed/chain.ts'
import { vectorOf, vectorValue, type VectorEntry } from '../feed/vector.ts'
import { LIMITS } from '../limits.ts'
import { checkNamed, parseStackKey, type StackKey } from './keys.ts'

export interface Live { key: StackKey, name: string, head: VectorEntry, batch: Batch | undefined }

export function liveValue (key: StackKey, name: string, batch: Batch): Value {
  const bytes = batch.records.reduce((sum, record) => sum + record.length, 0)
  const { feed, head: { seq, hash } } = batch
  return [key, name, bytes <= LIMITS.gossipRecordBytesMax ? batchValue(batch) : (vectorValue([{ feed, seq, hash }]) as Value[])[0] as Value]
}

/** @throws MalformedError. An archived stack is read-only: nothing of it is live. */
export function liveOf (value: Value, crypto: Crypto): Live {
  const [text, name, what] = Array.isArray(value) && value.length === 3 ? value : []
  const { key, archivedFrom } = parseStackKey(text)
  if (archivedFrom !== undefined || !Array.isArray(what)) throw new MalformedError('live is [key, name, batch or head]')
  const named = { key, name: checkNamed(key, name, crypto) }
  if (what.length === 3) {
    const [head] = vectorOf([what])
    return { ...named, head: head as VectorEntry, batch: undefined }
  }
  const batch = batchOf(what)
  if (batch.records.reduce((sum, record) => sum + record.length, 0) > LIMITS.gossipRecordBytesMax) throw new MalformedError('a large record is gossiped as a head notice')
  return { ...named, head: { feed: batch.feed, seq: batch.head.seq, hash: batch.head.hash }, batch }
}
