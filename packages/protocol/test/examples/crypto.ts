import { createHash, generateKeyPairSync, sign, verify, createPublicKey } from 'node:crypto'
import type { Crypto, Signer } from '@elder-node/protocol'

const SPKI = Buffer.from('302a300506032b6570032100', 'hex')

export const crypto: Crypto = {
  sha256: (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest(),
  verify: (key, signature, message) => key.length === 32 &&
    verify(null, message, createPublicKey({ key: Buffer.concat([SPKI, key]), format: 'der', type: 'spki' }), signature),
}

export function newSigner (): Signer {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return { publicKey: publicKey.export({ format: 'der', type: 'spki' }).subarray(-32), sign: message => sign(null, message, privateKey) }
}
