import { decode as cborDecode, encode as cborEncode, rfc8949EncodeOptions, Tokenizer, Type } from 'cborg'
import { MalformedError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { checkNesting } from './nesting.ts'
import { equalBytes } from './text.ts'

/** What may travel: JSON plus byte strings. No undefined, no bigint, no tags. */
export type Value = null | boolean | number | string | Uint8Array | Value[] | { [key: string]: Value }

/** Canonical CBOR (RFC 8949 core deterministic). Properties that are `undefined` are left out of maps. */
export function encode (value: unknown): Uint8Array {
  return owned(cborEncode(value, { ...rfc8949EncodeOptions, ignoreUndefinedProperties: true }))
}

/** In Node small results are views of a pool of 8 KiB and more: a record that is kept would keep all of it. */
function owned (bytes: Uint8Array): Uint8Array { return bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes) }

/**
 * Strict bounded decode of bytes from outside.
 *
 * @throws MalformedError on more than `maxBytes` or `nestingMax` levels, on anything that is not one well-formed value, on
 * duplicate keys, undefined, bigint, NaN or infinities.
 */
export function decode (bytes: Uint8Array, maxBytes: number, nestingMax: number = LIMITS.nestingMax): Value {
  if (bytes.length > maxBytes) throw new MalformedError(`a message of ${bytes.length} bytes exceeds the bound of ${maxBytes}`)
  checkNesting(bytes, nestingMax)
  try {
    // Of a plain Uint8Array byte strings are copied out; a Buffer's would be views, and one hash would keep a whole read from the network.
    const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    return cborDecode(plain, { ...STRICT, tokenizer: new WholeTexts(plain, STRICT) }) as Value
  } catch (error) {
    throw new MalformedError(`not canonical CBOR: ${(error as Error).message}`)
  }
}

const STRICT = {
  strict: true, allowIndefinite: false, allowUndefined: false, allowNaN: false, allowInfinity: false, allowBigInt: false,
  rejectDuplicateMapKeys: true,
}
const MARK = '\uFEFF'
const MARK_BYTES = [0xef, 0xbb, 0xbf]
/** Bytes of a string's head, by the length's width. */
const HEAD_BYTES: Record<number, number> = { 24: 2, 25: 3, 26: 5, 27: 9 }

/**
 * cborg's TextDecoder takes a byte order mark at the start of a text for a sign and drops it. Here it is content: without it the
 * value would not encode to the bytes it came from, and a note that begins so could be written and never read.
 */
class WholeTexts extends Tokenizer {
  override next (): ReturnType<Tokenizer['next']> {
    const at = this.pos()
    const token = super.next()
    if (token.type !== Type.string) return token
    const begin = at + (HEAD_BYTES[(this.data[at] as number) & 31] ?? 1)
    if (MARK_BYTES.every((byte, i) => this.data[begin + i] === byte) && begin + MARK_BYTES.length <= this.pos()) token.value = MARK + String(token.value)
    return token
  }
}

/** As {@link decode}, and the bytes must be exactly what {@link encode} makes: for everything that is hashed or signed. */
export function decodeCanonical (bytes: Uint8Array, maxBytes: number): Value {
  const value = decode(bytes, maxBytes)
  if (!equalBytes(encode(value), bytes)) throw new MalformedError('not the canonical encoding')
  return value
}
