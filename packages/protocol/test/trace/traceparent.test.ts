import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeSync, encode, encodeSync, formatTraceparent, nextSpan, parseClaimWord, parseTraceparent, traceIdOf } from '../../src/index.ts'
import { crypto } from '../support/crypto.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const GOOD = `00-${TRACE}-${SPAN}-01`

test('the example of the standard', () => {
  expect(parseTraceparent(GOOD)).toEqual({ traceId: TRACE, spanId: SPAN, sampled: true })
  expect(parseTraceparent(`00-${TRACE}-${SPAN}-00`)?.sampled).toBe(false)
  expect(traceIdOf(GOOD)).toBe(TRACE)
})

test('flags that the standard has not defined are not passed on', () => {
  const context = parseTraceparent(`00-${TRACE}-${SPAN}-ff`)
  expect(context?.sampled).toBe(true)
  expect(context === undefined ? '' : formatTraceparent(context)).toBe(GOOD)
})

test.each([
  ['nothing', ''], ['null', null], ['a number', 7], ['another version', `01-${TRACE}-${SPAN}-01`], ['version ff', `ff-${TRACE}-${SPAN}-01`], ['upper case', GOOD.toUpperCase()],
  ['no trace', `00-${'0'.repeat(32)}-${SPAN}-01`], ['no span', `00-${TRACE}-${'0'.repeat(16)}-01`], ['too long', `${GOOD}-00`], ['a line more', `${GOOD}\n`], ['too short', GOOD.slice(1)],
  ['a header that follows', `${GOOD.slice(0, 53)}\r\n`],
])('%s is no traceparent', (_what, text) => { expect(parseTraceparent(text)).toBeUndefined() })

test('a span of a trace keeps its id and its flag, and is another span', () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 24, maxLength: 24 }), fc.boolean(), (bytes, sampled) => {
    const random = (length: number): Uint8Array => bytes.subarray(0, length)
    const first = { ...nextSpan(undefined, random), sampled }
    const text = formatTraceparent(first)
    expect(parseTraceparent(text)).toEqual(first)
    expect(nextSpan(first, length => Uint8Array.from(bytes.subarray(0, length), byte => byte ^ 0xa5))).toMatchObject({ traceId: first.traceId, sampled })
  }))
})

test('any text parses to what formats to it, or not at all', () => {
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom(...'0123456789abcdef-'), maxLength: 60 }), text => {
    const context = parseTraceparent(text)
    if (context !== undefined) expect(formatTraceparent(context).slice(0, 53)).toBe(text.slice(0, 53))
  }))
})

test('on the wire a traceparent is valid, null or left out; anything else is malformed', () => {
  const claim = { type: 'claim', build: 'a'.repeat(26), fence: 1, needs: { memoryBytes: null, cpus: null } }
  expect(parseClaimWord({ ...claim, traceparent: GOOD })).toMatchObject({ traceparent: GOOD })
  expect(parseClaimWord({ ...claim, traceparent: null })).toMatchObject({ traceparent: null })
  expect(parseClaimWord(claim)).not.toHaveProperty('traceparent')
  const stacks = { type: 'stacks' as const, differing: new Uint8Array(32), stacks: [], more: false }
  expect(decodeSync(encodeSync({ ...stacks, traceparent: GOOD }), crypto)).toMatchObject({ traceparent: GOOD })
  for (const bad of ['', GOOD.toUpperCase(), `${GOOD} `, 7, new Uint8Array(55)]) {
    expect(() => parseClaimWord({ ...claim, traceparent: bad })).toThrow(/not a claim message/)
    expect(() => decodeSync(encode([2, stacks.differing, [], false, bad]), crypto)).toThrow(/traceparent/)
  }
  expect(() => decodeSync(encode([2, stacks.differing, [], false]), crypto)).toThrow(/not a sync message/)
})
