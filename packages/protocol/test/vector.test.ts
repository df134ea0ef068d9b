/** What one vector lacks of another, also when one of them holds the mark of a fork. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codeOf, deviceId, equalVectors, feedId, forkedAt, forkMark, missing, vectorDigest, vectorOf, vectorValue, type FeedId, type Vector } from '../src/index.ts'
import { crypto } from './support/crypto.ts'

const FEED = feedId(deviceId(new Uint8Array(32).fill(1)), new Uint8Array(8))
const hashOf = (n: number): Uint8Array => new Uint8Array(32).fill(n)
const at = (seq: number, hash = 0): Vector => new Map([[FEED, { seq, hash: hashOf(hash) }]])
const range = (from: number, to: number): object => ({ feed: FEED, from, to })

describe('what a vector lacks', () => {
  it('is the tail, the same place under another hash, and nothing else', () => {
    expect(missing(new Map(), at(3))).toEqual([range(1, 3)])
    expect(missing(at(2), at(5))).toEqual([range(3, 5)])
    expect(missing(at(5), at(2))).toEqual([])
    expect(missing(at(5), at(5, 9))).toEqual([range(5, 5)])
  })

  it('is the proof, when the other knows of a fork: from what we have, or from the fork when we are past it', () => {
    expect(missing(at(2), at(forkMark(4)))).toEqual([range(3, 4)])
    expect(missing(at(9), at(forkMark(4)))).toEqual([range(4, 4)])
    expect(missing(at(forkMark(4)), at(9))).toEqual([])
    expect(missing(at(forkMark(4)), at(forkMark(2)))).toEqual([range(2, 2)])
    expect(missing(at(forkMark(2)), at(forkMark(4)))).toEqual([])
  })

  it('is a range within the feed, whatever a peer claims', () => {
    const seq = fc.oneof(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 600 }).map(forkMark))
    fc.assert(fc.property(seq, seq, fc.boolean(), (ours, theirs, other) => {
      for (const { from, to } of missing(at(ours), at(theirs, other ? 1 : 0))) {
        expect(from).toBeGreaterThanOrEqual(1)
        expect(to).toBeGreaterThanOrEqual(from)
        expect(forkedAt(to)).toBeUndefined()
      }
      if (ours === theirs && !other) expect(missing(at(ours), at(theirs))).toEqual([])
    }))
  })

  it('is never asked of a place that no feed and no mark can have', () => {
    const claim = (seq: number): string => {
      try {
        return String([...vectorOf(vectorValue(at(seq))).values()][0]?.seq)
      } catch (error) {
        return codeOf(error)
      }
    }
    expect([forkMark(1), forkMark(0), forkMark(0) + 7, Number.MAX_SAFE_INTEGER].map(claim)).toEqual([String(forkMark(1)), 'MALFORMED', 'MALFORMED', 'MALFORMED'])
  })
})

it('a vector keeps its digest through the wire and in any order of insertion', () => {
  const feeds = fc.uniqueArray(fc.tuple(fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.integer({ min: 1, max: 1e6 })), { maxLength: 12, selector: ([key]) => key.join() })
  fc.assert(fc.property(feeds, rows => {
    const entries = rows.map(([key, seq]): [FeedId, { seq: number, hash: Uint8Array }] => [feedId(deviceId(new Uint8Array(32).fill(2)), key), { seq, hash: hashOf(seq & 255) }])
    const vector = new Map(entries)
    const other = vectorOf(vectorValue(new Map(entries.toReversed())))
    expect(equalVectors(vector, other)).toBe(true)
    expect(vectorDigest(other, crypto)).toEqual(vectorDigest(vector, crypto))
  }))
})
