/**
 * The knock: 32 bytes before Noise, so that a stranger learns nothing.
 *
 *     knock := nonce[16] || HMAC-SHA256(meshSecret, nonce || listener's public key)[0..16]
 *
 * A Noise prologue does not hide the listener (it enters only the hash); without a knock not one byte of Noise is sent.
 * A knock can be replayed by who sees it, which reveals the peer id and no more: it is a wall, the door is the lock.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { deviceKey } from '@elder-node/protocol'
import type { DeviceId } from '@elder-node/protocol'

export const KNOCK_BYTES = 32
const NONCE_BYTES = 16

export function knock (meshSecret: Uint8Array, listener: DeviceId): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES)
  return Buffer.concat([nonce, tag(meshSecret, nonce, listener)])
}

/** Constant time in the tag. */
export function knows (meshSecret: Uint8Array, listener: DeviceId, bytes: Uint8Array): boolean {
  if (bytes.length !== KNOCK_BYTES) return false
  return timingSafeEqual(tag(meshSecret, bytes.subarray(0, NONCE_BYTES), listener), bytes.subarray(NONCE_BYTES))
}

function tag (meshSecret: Uint8Array, nonce: Uint8Array, listener: DeviceId): Uint8Array {
  return createHmac('sha256', meshSecret).update(nonce).update(deviceKey(listener)).digest().subarray(0, KNOCK_BYTES - NONCE_BYTES)
}
