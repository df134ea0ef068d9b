/**
 * The seal in a rendered file: a hash over the rest of it. A file whose seal does not fit was written by a person, on
 * whatever device and by whatever rewriting of history, and is never overwritten without a copy.
 */
import { fromUtf8, toHex, utf8, type Crypto } from '@elder-node/protocol'

const SEAL = /^(seal: |<!-- seal )([0-9a-f]{16})( -->)?$/m
const DOMAIN = utf8('elder/seal/v1\0')

/** `text` holds the line `seal: SEAL` or `<!-- seal SEAL -->`, with 16 zeros for the seal; the first such line counts. */
export function seal (text: string, crypto: Crypto): Uint8Array {
  return utf8(text.replace(SEAL, (_line, open: string, _zeros: string, close = '') => `${open}${hash(text, crypto)}${close}`))
}

export const UNSEALED = '0000000000000000'

export function isSealed (content: Uint8Array, crypto: Crypto): boolean {
  const text = textOf(content)
  const found = text === undefined ? null : SEAL.exec(text)
  return text !== undefined && found !== null && hash(text, crypto) === found[2]
}

function hash (text: string, crypto: Crypto): string {
  const blank = text.replace(SEAL, (_line, open: string, _seal: string, close = '') => `${open}${UNSEALED}${close}`)
  return toHex(crypto.sha256(DOMAIN, utf8(blank)).subarray(0, 8))
}

function textOf (content: Uint8Array): string | undefined {
  try {
    return fromUtf8(content)
  } catch {
    return undefined
  }
}
