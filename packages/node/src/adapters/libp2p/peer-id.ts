/** A device is its Ed25519 public key; libp2p calls the same key a peer id. */
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import type { PeerId } from '@libp2p/interface'
import { deviceId, deviceKey, deviceOfAddress } from '@elder-node/protocol'
import type { DeviceId } from '@elder-node/protocol'
import { signerFromSeed } from '../crypto.ts'

/** Made by every look-up of a connection, and each takes an import of the key. Bounded: emptied when it is full. */
const made = new Map<DeviceId, PeerId>()
const MADE_MAX = 4096

export function peerIdOf (device: DeviceId): PeerId {
  const known = made.get(device)
  if (known !== undefined) return known
  if (made.size >= MADE_MAX) made.clear()
  const peer = peerIdFromPublicKey(publicKeyFromRaw(deviceKey(device)))
  made.set(device, peer)
  return peer
}

/** Undefined for a peer id that is no Ed25519 key: such a peer is never a device. */
export function deviceOf (peer: PeerId): DeviceId | undefined {
  return peer.type === 'Ed25519' ? deviceId(peer.publicKey.raw) : undefined
}

export function deviceOfSeed (seed: Uint8Array): DeviceId { return deviceId(signerFromSeed(seed).publicKey) }

/** The relay of `<relay>/p2p/<id>/p2p-circuit/...`; undefined for any other multiaddr. */
export function relayOf (address: string): DeviceId | undefined {
  const at = address.indexOf('/p2p-circuit')
  return at < 0 ? undefined : deviceOfAddress(address.slice(0, at))
}
