/**
 * A trace that crosses devices: `traceparent` of W3C Trace Context (https://www.w3.org/TR/trace-context/), version 00 alone.
 *
 *     traceparent := "00-" trace-id "-" parent-id "-" flags      55 characters, lower-case hex; neither id is all zeros
 *
 * The requester of a build or of an exchange makes one, or goes on with its caller's; what happens on other devices are spans of the same
 * trace id, so that one id finds the log lines of every device that took part.
 */
import { fromHex, toHex } from '../codec/text.ts'
import { MalformedError } from '../errors.ts'

export interface TraceContext {
  /** 32 hex digits: the same on every device. */
  traceId: string
  /** 16 hex digits: who speaks. */
  spanId: string
  sampled: boolean
}

const TRACEPARENT_CHARS = 55

const FORMAT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/
const ZEROS = /^0+$/
const SAMPLED = 1

/** Undefined for anything but a valid traceparent of version 00: the standard asks to begin a new trace then. */
export function parseTraceparent (text: unknown): TraceContext | undefined {
  if (typeof text !== 'string' || text.length !== TRACEPARENT_CHARS) return undefined
  const [, traceId = '', spanId = '', flags = ''] = FORMAT.exec(text) ?? []
  if (traceId === '' || ZEROS.test(traceId) || ZEROS.test(spanId)) return undefined
  return { traceId, spanId, sampled: (fromHex(flags)?.[0] ?? 0) % 2 === SAMPLED }
}

export function formatTraceparent ({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-0${sampled ? SAMPLED : 0}`
}

/** A span below `parent`, or the first of a new trace. `random`: that many random bytes. */
export function nextSpan (parent: TraceContext | undefined, random: (length: number) => Uint8Array): TraceContext {
  return { traceId: parent?.traceId ?? randomId(16, random), spanId: randomId(8, random), sampled: parent?.sampled ?? true }
}

/** Undefined for what is no traceparent. */
export function traceIdOf (traceparent: string | null | undefined): string | undefined { return parseTraceparent(traceparent)?.traceId }

/** @throws MalformedError unless the value is a valid traceparent or null */
export function traceparentOf (value: unknown): string | null {
  if (value !== null && parseTraceparent(value) === undefined) throw new MalformedError('not a traceparent of version 00')
  return value as string | null
}

/** All zeros is no id: the odds are those of a broken generator, and it costs one bit to rule it out. */
function randomId (length: number, random: (length: number) => Uint8Array): string {
  const id = toHex(random(length))
  return ZEROS.test(id) ? `${id.slice(0, -1)}1` : id
}
