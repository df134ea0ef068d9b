import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatTraceparent, nextSpan, parseTraceparent, traceIdOf } from '../../src/index.ts'

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
