import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeCanonical, encode } from '../src/index.ts'

const MARK = '\uFEFF'
const text = fc.tuple(fc.constantFrom('', MARK, MARK + MARK), fc.string({ unit: 'grapheme', maxLength: 400 })).map(([mark, rest]) => mark + rest)

test('every text comes back as it was, also one that begins with a byte order mark', () => {
  for (const length of [0, 20, 21, 252, 253, 65_532, 65_533, 70_000]) {
    const value = [MARK + 'x'.repeat(length), { [MARK]: MARK }, MARK]
    expect(decodeCanonical(encode(value), 200_000)).toEqual(value)
  }
  fc.assert(fc.property(fc.array(text), fc.dictionary(text.filter(key => key !== '__proto__'), text), (list, map) => {
    const value = [list, map]
    expect(decodeCanonical(encode(value), 1_000_000)).toEqual(JSON.parse(JSON.stringify(value)))
  }))
})
