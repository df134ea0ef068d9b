import { createHash, createPrivateKey, createPublicKey, randomBytes as systemRandomBytes, sign, verify, type KeyObject } from 'node:crypto'
import type { Crypto, Signer } from '@elder-node/protocol'
import type { RandomBytes } from '../ports/host.ts'

/** DER around the 32 raw bytes of an Ed25519 key (RFC 8410). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI = Buffer.from('302a300506032b6570032100', 'hex')

/** Parsed public keys kept: more devices than a mesh has. Parsing costs about as much as half a verification. */
const KEYS_MAX = 1024

/** {@link Crypto} on node:crypto. */
export function nodeCrypto (): Crypto {
  const keys = new Map<string, KeyObject>()
  return {
    sha256 (...parts) {
      const hash = createHash('sha256')
      for (const part of parts) hash.update(part)
      return new Uint8Array(hash.digest())
    },
    verify (publicKey, signature, message) {
      if (publicKey.length !== 32 || signature.length !== 64) return false
      try {
        return verify(null, message, cachedKey(keys, publicKey), signature)
      } catch {
        return false
      }
    },
  }
}

/** @throws TypeError unless the seed has 32 bytes */
export function signerFromSeed (seed: Uint8Array): Signer {
  if (seed.length !== 32) throw new TypeError('an Ed25519 seed has 32 bytes')
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' })
  const publicKey = new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32))
  return { publicKey, sign: message => new Uint8Array(sign(null, message, key)) }
}

export const randomBytes: RandomBytes = length => new Uint8Array(systemRandomBytes(length))

function cachedKey (keys: Map<string, KeyObject>, raw: Uint8Array): KeyObject {
  const name = Buffer.from(raw).toString('latin1')
  const key = keys.get(name) ?? createPublicKey({ key: Buffer.concat([SPKI, raw]), format: 'der', type: 'spki' })
  // Least recently used goes first: a Map keeps the order of insertion.
  keys.delete(name)
  keys.set(name, key)
  if (keys.size > KEYS_MAX) keys.delete(keys.keys().next().value as string)
  return key
}
