/** UTF-8 and base32, outside the fence of the standard library's `lib`: the only globals this package takes. */
interface Encoder { encode (text: string): Uint8Array }
interface Decoder { decode (bytes: Uint8Array): string }
declare const TextEncoder: new () => Encoder
declare const TextDecoder: new (label: string, options: { fatal: boolean, ignoreBOM: boolean }) => Decoder

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

export function utf8 (text: string): Uint8Array { return encoder.encode(text) }

/** Throws a TypeError on bytes that are not valid UTF-8. */
export function fromUtf8 (bytes: Uint8Array): string { return decoder.decode(bytes) }

/** RFC 4648 base32, lower case, no padding: safe in paths, case-insensitive file systems and a person's paste. */
export function toBase32 (bytes: Uint8Array): string {
  let out = ''
  let bits = 0
  let buffer = 0
  for (const byte of bytes) {
    buffer = ((buffer << 8) | byte) & 0xffff
    bits += 8
    while (bits >= 5) {
      bits -= 5
      out += ALPHABET[(buffer >> bits) & 31]
    }
  }
  return bits > 0 ? out + ALPHABET[(buffer << (5 - bits)) & 31] : out
}

const VALUES: ReadonlyMap<string, number> = new Map([...ALPHABET].map((char, value) => [char, value]))

/** Undefined when the text is not canonical base32 (foreign character, stray trailing bits). */
export function fromBase32 (text: string): Uint8Array | undefined {
  const out = new Uint8Array(Math.floor(text.length * 5 / 8))
  let bits = 0
  let buffer = 0
  let at = 0
  for (const char of text) {
    const value = VALUES.get(char)
    if (value === undefined) return undefined
    buffer = ((buffer << 5) | value) & 0xffff
    bits += 5
    if (bits >= 8) {
      bits -= 8
      out[at++] = (buffer >> bits) & 255
    }
  }
  return bits < 5 && (buffer & ((1 << bits) - 1)) === 0 ? out : undefined
}

const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

export function toHex (bytes: Uint8Array): string {
  let out = ''
  for (let i = 0; i < bytes.length; i++) out += HEX[bytes[i] as number] as string
  return out
}

/** Undefined when the text is not lower-case hex of even length. */
export function fromHex (text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0) return undefined
  const out = new Uint8Array(text.length / 2)
  for (let i = 0; i < out.length; i++) {
    const [high, low] = [digitOf(text.charCodeAt(2 * i)), digitOf(text.charCodeAt(2 * i + 1))]
    if (high < 0 || low < 0) return undefined
    out[i] = high * 16 + low
  }
  return out
}

/** Of `0` to `9` and `a` to `f`; -1 of any other character. */
function digitOf (code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  return code >= 97 && code <= 102 ? code - 87 : -1
}

export function equalBytes (a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Lexicographic order of byte strings, as `memcmp`. */
export function compareBytes (a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length)
  for (let i = 0; i < n; i++) {
    const d = (a[i] as number) - (b[i] as number)
    if (d !== 0) return d
  }
  return a.length - b.length
}
