import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import type { Crypto, Signer } from '../../src/crypto.ts'

const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI = Buffer.from('302a300506032b6570032100', 'hex')
const keys = new Map<string, KeyObject>()

function publicKeyOf (raw: Uint8Array): KeyObject {
  const name = Buffer.from(raw).toString('hex')
  const key = keys.get(name) ?? createPublicKey({ key: Buffer.concat([SPKI, raw]), format: 'der', type: 'spki' })
  keys.set(name, key)
  return key
}

/** Real hashing and real Ed25519: tests of rules about signatures must be able to fail. */
export const crypto: Crypto = {
  sha256: (...parts) => {
    const hash = createHash('sha256')
    for (const part of parts) hash.update(part)
    return new Uint8Array(hash.digest())
  },
  verify: (publicKey, signature, message) => {
    if (publicKey.length !== 32) return false
    try {
      return verify(null, message, publicKeyOf(publicKey), signature)
    } catch {
      return false
    }
  },
}

export function signerOf (seed: Uint8Array): Signer {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' })
  const raw = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  return { publicKey: new Uint8Array(raw), sign: message => new Uint8Array(sign(null, message, key)) }
}

/** The signer number `n`: the same key in every run. */
export function testSigner (n: number): Signer { return signerOf(crypto.sha256(Uint8Array.from([n >> 8, n & 255]))) }
