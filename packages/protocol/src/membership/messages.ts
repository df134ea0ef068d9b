/**
 * What the one-time key of a ticket and the new key of a rekey sign.
 *
 * redeem := signature of the ticket key over "elder/redeem/v1\0" mesh ticketHash deviceKey
 * rekey  := signature of the new key    over "elder/rekey/v1\0" mesh oldKey newKey
 *
 * A redemption is useless to anyone but its device: the door's handshake proves the device's key.
 */
import { fromBase32, fromHex, utf8 } from '../codec/text.ts'
import type { Signer } from '../crypto.ts'
import { deviceKey, type DeviceId, type MeshId } from '../ids.ts'

const REDEEM = utf8('elder/redeem/v1\0')
const REKEY = utf8('elder/rekey/v1\0')

export function redeemMessage (mesh: MeshId, ticketHash: string, device: DeviceId): Uint8Array {
  return join(REDEEM, fromBase32(mesh) as Uint8Array, fromHex(ticketHash) as Uint8Array, deviceKey(device))
}

/** `oneTime` signs with the seed that the ticket carries. */
export function signRedemption (mesh: MeshId, ticketHash: string, device: DeviceId, oneTime: Signer): Uint8Array {
  return oneTime.sign(redeemMessage(mesh, ticketHash, device))
}

export function rekeyMessage (mesh: MeshId, oldKey: DeviceId, newKey: DeviceId): Uint8Array {
  return join(REKEY, fromBase32(mesh) as Uint8Array, deviceKey(oldKey), deviceKey(newKey))
}

function join (...parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}
