/** Hashes that are real and signatures that are cheap: a seed signs thousands of records, and nobody here breaks a signature. */
import { hash } from 'node:crypto'
import { deviceId, type Crypto, type DeviceId, type Signer } from '@elder-node/protocol'

const sha256 = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(hash('sha256', Buffer.concat(parts), 'buffer'))
const signed = (key: Uint8Array, message: Uint8Array): Uint8Array => {
  const half = sha256(key, message)
  return Buffer.concat([half, half])
}

export const crypto: Crypto = {
  sha256, verify: (key, signature, message) => Buffer.from(signature).equals(Buffer.from(signed(key, message))),
}

export function signerOf (name: string): Signer & { id: DeviceId } {
  const publicKey = sha256(Buffer.from(name))
  return { publicKey, id: deviceId(publicKey), sign: message => signed(publicKey, message) }
}
