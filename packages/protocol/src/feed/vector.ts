/**
 * A vector: the heads of a stack's feeds (a version vector).
 *
 * vector := [[feedKey, seq, hash], ...]    strictly rising by feedKey
 * feeds digest := sha256("elder/vector/v1\0" canonical CBOR of the vector)
 */
import { encode, type Value } from '../codec/cbor.ts'
import { compareBytes, equalBytes, utf8 } from '../codec/text.ts'
import type { Crypto } from '../crypto.ts'
import { MalformedError } from '../errors.ts'
import { compareFeeds, feedIdOf, feedKey, type FeedId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { isCount, isHash } from './record.ts'

export interface VectorEntry { seq: number, hash: Uint8Array }
export type Vector = ReadonlyMap<FeedId, VectorEntry>

/** A run of records a peer lacks: `from` to `to`, both included. */
export interface Range { feed: FeedId, from: number, to: number }

export function vectorValue (vector: Vector): Value {
  return [...vector].sort(([a], [b]) => compareFeeds(a, b)).map(([feed, { seq, hash }]) => [feedKey(feed), seq, hash])
}

/** @throws MalformedError */
export function vectorOf (value: Value | undefined): Map<FeedId, VectorEntry> {
  if (!Array.isArray(value) || value.length > LIMITS.feedsPerStackMax) throw new MalformedError('a vector is a bounded array')
  const vector = new Map<FeedId, VectorEntry>()
  let last: Uint8Array | undefined
  for (const item of value) {
    const [key, seq, hash] = Array.isArray(item) && item.length === 3 ? item : []
    if (!(key instanceof Uint8Array) || !isCount(seq) || seq < 1 || !isHash(hash)) throw new MalformedError('a vector entry is [feed, seq, hash]')
    if (last !== undefined && compareBytes(last, key) >= 0) throw new MalformedError('a vector rises strictly by feed')
    last = key
    vector.set(feedIdOf(key), { seq, hash })
  }
  return vector
}

export function vectorDigest (vector: Vector, crypto: Crypto): Uint8Array {
  return crypto.sha256(utf8('elder/vector/v1\0'), encode(vectorValue(vector)))
}

export function equalVectors (a: Vector, b: Vector): boolean {
  return a.size === b.size && [...a].every(([feed, head]) => {
    const other = b.get(feed)
    return other !== undefined && other.seq === head.seq && equalBytes(other.hash, head.hash)
  })
}

/** The ranges of `theirs` that `ours` lacks, in feed order. */
export function missing (ours: Vector, theirs: Vector): Range[] {
  return [...theirs]
    .filter(([feed, head]) => (ours.get(feed)?.seq ?? 0) < head.seq)
    .sort(([a], [b]) => compareFeeds(a, b))
    .map(([feed, head]) => ({ feed, from: (ours.get(feed)?.seq ?? 0) + 1, to: head.seq }))
}
