/**
 * What travels on a request stream. One CBOR array per frame; replies come in any order, matched by `id`.
 *
 *     call   := [id, 0, message]     dialer -> listener
 *     cancel := [id, 1]              dialer -> listener: nobody waits any more
 *     reply  := [id, 2, value]       listener -> dialer
 *     error  := [id, 3, ErrorJson]   listener -> dialer
 */
import { ElderError, LIMITS, MalformedError, decode, encode } from '@elder-node/protocol'
import type { ErrorJson, Value } from '@elder-node/protocol'

export const CALL = 0
export const CANCEL = 1
export const REPLY = 2
export const ERROR = 3

export interface RequestFrame { id: number, kind: number, body: Value }

/** @throws ElderError `TOO_LARGE` */
export function encodeRequestFrame (id: number, kind: number, body: unknown): Uint8Array {
  const bytes = encode(body === undefined ? [id, kind] : [id, kind, body])
  if (bytes.length > LIMITS.frameBytesMax) {
    throw new ElderError('TOO_LARGE', `a message of ${bytes.length} bytes exceeds the bound of ${LIMITS.frameBytesMax}`, 'Send it in parts, over a stream.')
  }
  return bytes
}

/** @throws MalformedError */
export function decodeRequestFrame (bytes: Uint8Array): RequestFrame {
  const frame = decode(bytes, LIMITS.frameBytesMax)
  if (!Array.isArray(frame) || frame.length < 2 || frame.length > 3) throw new MalformedError('a request frame is [id, kind, body]')
  const [id, kind, body = null] = frame
  if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0) throw new MalformedError('a request id is a small integer')
  if (kind !== CALL && kind !== CANCEL && kind !== REPLY && kind !== ERROR) throw new MalformedError('an unknown kind of request frame')
  return { id, kind, body }
}

const TEXT_CHARS_MAX = 4096

/** Anything thrown by a handler, as it travels. Only an ElderError says why: other messages may hold what is nobody's business. */
export function toWireError (error: unknown): ErrorJson {
  if (error instanceof ElderError) return clip(error.toJSON())
  return { code: 'INTERNAL', message: 'the device failed while it answered', fix: 'Its log says why.' }
}

export function fromWireError (body: Value): ElderError {
  const { code, message, fix, data } = (body ?? {}) as Record<string, Value>
  if (typeof code !== 'string' || typeof message !== 'string') return new ElderError('MALFORMED', 'the device answered with an error that cannot be read')
  return ElderError.fromJSON(clip({ code, message, fix: typeof fix === 'string' ? fix : '', ...(isMap(data) ? { data } : {}) }))
}

function isMap (value: Value | undefined): value is { [key: string]: Value } {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

function clip (json: ErrorJson): ErrorJson {
  return { ...json, code: json.code.slice(0, 64), message: json.message.slice(0, TEXT_CHARS_MAX), fix: json.fix.slice(0, TEXT_CHARS_MAX) }
}
