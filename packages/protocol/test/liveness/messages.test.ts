import { describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { LIMITS, decode, decodeProbe, decodeProbeAnswer, deviceId, encode, encodeProbe, encodeProbeAnswer, type LivenessWord, type Value } from '../../src/index.ts'

const device = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(deviceId)
const incarnation = fc.integer({ min: 0, max: LIMITS.incarnationMax })
const rumour = fc.record({ device, incarnation, by: fc.option(device, { nil: undefined }) })
const word: fc.Arbitrary<LivenessWord> = fc.record({ incarnation, rumours: fc.array(rumour, { maxLength: LIMITS.rumoursMax }) })

const overWire = (value: Value): Value => decode(encode(value), LIMITS.frameBytesMax)

describe('probes on the wire', () => {
  it('come back as they were', () => {
    fc.assert(fc.property(word, fc.option(device, { nil: undefined }), fc.option(fc.boolean(), { nil: undefined }), (sent, target, reached) => {
      expect(decodeProbe(overWire(encodeProbe(sent, target)))).toEqual({ word: sent, target })
      expect(decodeProbeAnswer(overWire(encodeProbeAnswer(sent, reached)))).toEqual({ word: sent, reached })
    }))
  })

  it('are small when there is nothing to tell', () => {
    expect(encode(encodeProbe({ incarnation: 1_800_000_000_000, rumours: [] })).length).toBeLessThan(16)
  })

  it('of any other shape are malformed', () => {
    const key = new Uint8Array(32)
    const bad: Value[] = [
      null, 1, [], [1], [1, [], key, 1], [-1, []], [1.5, []], [LIMITS.incarnationMax + 1, []], [1, {}], [1, [[key, 1]]], [1, [[key.subarray(1), 1, null]]],
      [1, [[key, 1, 'by']]], [1, [['key', 1, null]]], [1, Array.from({ length: LIMITS.rumoursMax + 1 }, () => [key, 1, null])], [1, [], 'target'], [1, [], null],
    ]
    for (const value of bad) {
      expect(() => decodeProbe(value)).toThrow(expect.objectContaining({ code: 'MALFORMED' }) as Error)
      expect(() => decodeProbeAnswer(value)).toThrow(expect.objectContaining({ code: 'MALFORMED' }) as Error)
    }
  })
})
