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
import { feedIdOf, feedKey, type FeedId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { isCount, isHash } from './record.ts'

// Far above any real seq, far below 2^53; an earlier fork makes a greater mark.
const FORK_TOP = 2 ** 52

export interface VectorEntry { seq: number, hash: Uint8Array }
export type Vector = ReadonlyMap<FeedId, VectorEntry>

/** A run of records a peer lacks: `from` to `to`, both included. */
export interface Range { feed: FeedId, from: number, to: number }

export function vectorValue (vector: Vector): Value {
  return rising(vector).map(({ key, head: { seq, hash } }) => [key, seq, hash])
}

/** @throws MalformedError */
export function vectorOf (value: Value | undefined): Map<FeedId, VectorEntry> {
  if (!Array.isArray(value) || value.length > LIMITS.feedsPerStackMax) throw new MalformedError('a vector is a bounded array')
  const vector = new Map<FeedId, VectorEntry>()
  let last: Uint8Array | undefined
  for (const item of value) {
    const [key, seq, hash] = Array.isArray(item) && item.length === 3 ? item : []
    if (!(key instanceof Uint8Array) || !isCount(seq) || seq < 1 || seq >= FORK_TOP || !isHash(hash)) throw new MalformedError('a vector entry is [feed, seq, hash]')
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

/**
 * What stands in a vector instead of the seq of a feed that is known to have forked at `forkSeq` (two signed records with that
 * seq): greater than any seq, so peers that do not know it ask, and are served the proof. The hash is that of the last common record.
 */
export function forkMark (forkSeq: number): number { return FORK_TOP - forkSeq }

/** The seq a feed forked at, when `seq` is a mark; else undefined. */
export function forkedAt (seq: number): number | undefined { return seq > FORK_TOP / 2 ? FORK_TOP - seq : undefined }

/**
 * The ranges of `theirs` that `ours` lacks, in feed order. Two hashes at one seq are a fork: that record is asked for, and with
 * it comes the proof.
 */
export function missing (ours: Vector, theirs: Vector): Range[] {
  return rising(theirs).flatMap(({ feed, head }) => lacking(feed, ours.get(feed), head))
}

/** In feed order; each id is decoded once, which is what a sort of thousands costs. */
function rising (vector: Vector): Array<{ feed: FeedId, key: Uint8Array, head: VectorEntry }> {
  return [...vector].map(([feed, head]) => ({ feed, key: feedKey(feed), head })).sort((a, b) => compareBytes(a.key, b.key))
}

function lacking (feed: FeedId, ours: VectorEntry | undefined, theirs: VectorEntry): Range[] {
  const have = ours?.seq ?? 0
  const fork = forkedAt(theirs.seq)
  if (fork !== undefined) return have < theirs.seq ? [{ feed, from: Math.min(have + 1, fork), to: fork }] : []
  if (have < theirs.seq) return [{ feed, from: have + 1, to: theirs.seq }]
  return ours !== undefined && have === theirs.seq && !equalBytes(ours.hash, theirs.hash) ? [{ feed, from: have, to: have }] : []
}
