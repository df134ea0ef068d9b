/** Vectors: heads by name, in one order, the same on every wire. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  codeOf, deviceId, feedId, vectorDigest, vectorOf, vectorValue, wantOf, wantValue, type Cuts, type Value,
  type VectorEntry,
} from '../src/index.ts'
import { crypto } from './support/crypto.ts'

const DEVICE = deviceId(new Uint8Array(32).fill(2))
const hashOf = (n: number): Uint8Array => new Uint8Array(32).fill(n)
const feedOf = (n: number): VectorEntry['feed'] => feedId(DEVICE, new Uint8Array(8).fill(n))
const NO_CUTS: Cuts = new Map()

function outcome (read: () => unknown): string {
  try {
    read()
    return 'read'
  } catch (error) {
    return codeOf(error)
  }
}

describe('a vector', () => {
  const rows = fc.uniqueArray(
    fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 0, max: 255 })),
    { maxLength: 12, selector: ([feed, , hash]) => `${feed} ${hash}` }
  )
  const vectorFrom = (list: Array<[number, number, number]>): VectorEntry[] => list.map(
    ([feed, seq, hash]) => ({ feed: feedOf(feed), seq, hash: hashOf(hash) })
  )

  it('keeps its digest through the wire and in any order, several heads of one feed included', () => {
    fc.assert(fc.property(rows, list => {
      const vector = vectorFrom(list)
      const other = vectorOf(vectorValue(vector.toReversed()))
      expect(vectorValue(other)).toEqual(vectorValue(vector))
      expect(vectorDigest(other, NO_CUTS, crypto)).toEqual(vectorDigest(vector, NO_CUTS, crypto))
    }))
  })

  it('has another digest with another head, another seq or hash of one, or other cuts', () => {
    const vector = vectorFrom([[1, 3, 7], [1, 3, 8]])
    const cut = (keep: string[], undo: boolean): Cuts => new Map([[DEVICE, { keep: new Set(keep), undo }]])
    const [a, b] = ['01', '02'].map(byte => byte.repeat(32)) as [string, string]
    const digests = [
      vectorDigest(vector, NO_CUTS, crypto), vectorDigest(vector.slice(1), NO_CUTS, crypto), vectorDigest(
        vectorFrom([[1, 4, 7], [1, 3, 8]]), NO_CUTS, crypto
      ), vectorDigest(vectorFrom([[1, 3, 9], [1, 3, 8]]), NO_CUTS, crypto),
      vectorDigest(vector, cut([a], false), crypto), vectorDigest(vector, cut([a], true), crypto), vectorDigest(
        vector, cut([a, b], false), crypto
      ),
    ]
    expect(new Set(digests.map(digest => Buffer.from(digest).toString('hex'))).size).toBe(digests.length)
    expect(vectorDigest(vector, cut([b, a], false), crypto)).toEqual(vectorDigest(vector, cut([a, b], false), crypto))
  })

  it('is refused when it does not rise, names one head twice, or a place that no feed has', () => {
    const [one, two] = vectorValue(vectorFrom([[1, 3, 7], [1, 3, 8]])) as [Value[], Value[]]
    const bad: Value[] = [
      [two, one], [one, one], [[...one.slice(0, 1), 0, hashOf(7)]], [[...one.slice(0, 1), 2 ** 32, hashOf(7)]],
      [[...one.slice(0, 1), 1.5, hashOf(7)]], [[...one.slice(0, 2), hashOf(7).subarray(1)]], [one.slice(0, 2)], 7, null,
    ]
    expect(outcome(() => vectorOf([one, two]))).toBe('read')
    for (const value of bad) expect(outcome(() => vectorOf(value))).toBe('MALFORMED')
  })
})

it('a question names a path by its last record, from 1 on and not backwards', () => {
  const want = { feed: feedOf(1), from: 3, to: 9, hash: hashOf(4) }
  expect(wantOf(wantValue(want))).toEqual(want)
  for (const bad of [{ ...want, from: 0 }, { ...want, from: 10 }, { ...want, hash: hashOf(4).subarray(2) }]) {
    expect(outcome(() => wantOf(wantValue(bad)))).toBe('MALFORMED')
  }
})
