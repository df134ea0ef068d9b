import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { frame, isSealed, seal, STORE_FORMAT, unframe, unseal } from '../../src/adapters/sealed.ts'

const flip = (bytes: Uint8Array, bit: number): Uint8Array => bytes.map((byte, i) => i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte)
const bits = (bytes: Uint8Array): number[] => Array.from({ length: 8 * bytes.length }, (_, bit) => bit)

describe('a sealed file', () => {
  const content = new Uint8Array(randomBytes(40))
  const sealed = seal(content)

  test('is read as it was written, with its format', () => {
    expect(unseal(sealed)).toEqual({ format: STORE_FORMAT, content })
    expect(unseal(seal(new Uint8Array(), 7))).toEqual({ format: 7, content: new Uint8Array() })
  })

  test('shows every flipped bit, every cut and every added byte', () => {
    for (const bit of bits(sealed)) {
      expect(unseal(flip(sealed, bit)), `bit ${bit}`).toHaveProperty('damaged')
      expect(isSealed(flip(sealed, bit))).toBe(true)
    }
    for (let length = 0; length < sealed.length; length++) expect(unseal(sealed.slice(0, length))).toHaveProperty('damaged')
    expect(unseal(Uint8Array.from([...sealed, 0]))).toHaveProperty('damaged')
    expect(isSealed(new Uint8Array(32))).toBe(false)
  })
})

describe('a log', () => {
  const entries = [1, 2, 3].map(length => new Uint8Array(randomBytes(10 * length)))
  const log = frame(entries)
  const starts = [0, 22, 54]

  test('is read as it was written; an empty one holds nothing', () => {
    expect(unframe(log)).toEqual({ entries, isTorn: false, isDamaged: false })
    expect(unframe(new Uint8Array())).toEqual({ entries: [], isTorn: false, isDamaged: false })
  })

  test('cut anywhere holds what was whole, and is torn, not damaged', () => {
    for (let length = 1; length < log.length; length++) {
      const whole = entries.filter((entry, i) => (starts[i] as number) + 12 + entry.length <= length)
      expect(unframe(log.slice(0, length)), `${length} bytes`).toEqual({ entries: whole, isTorn: !starts.includes(length), isDamaged: false })
    }
    expect(unframe(Uint8Array.from([...log, ...new Uint8Array(4096)]))).toEqual({ entries, isTorn: true, isDamaged: false })
  })

  test('loses one entry to a flipped bit, says so, and reads those behind it', () => {
    for (const bit of bits(log)) {
      const at = starts.findLastIndex(start => start <= bit >> 3)
      expect(unframe(flip(log, bit)), `bit ${bit}`).toEqual({ entries: entries.filter((_, i) => i !== at), isTorn: false, isDamaged: true })
    }
  })
})
