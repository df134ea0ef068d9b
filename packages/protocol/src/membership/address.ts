/** Addresses as text: every one that we dial or hand out ends in the peer id of its device. */
import { fromBase58, toBase58 } from '../codec/base58.ts'
import { deviceId, deviceKey, type DeviceId } from '../ids.ts'

/** An identity multihash over a protobuf of an Ed25519 public key: how libp2p makes a peer id of 32 key bytes. */
const PEER_ID_PREFIX = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20]

/** Characters of one multiaddr: a relayed address with two peer ids is about 180. */
export const ADDRESS_CHARS_MAX = 256

/** The libp2p peer id (`12D3KooW…`) of a device. */
export function peerIdOf (device: DeviceId): string {
  return toBase58(Uint8Array.from([...PEER_ID_PREFIX, ...deviceKey(device)]))
}

/** The device a multiaddr leads to: its last `/p2p/` part. Undefined when there is none, when it is no Ed25519 key, or when the text has more than printable ASCII. */
export function deviceOfAddress (address: string): DeviceId | undefined {
  if (address.length > ADDRESS_CHARS_MAX || !address.startsWith('/')) return undefined
  const peer = /^[!-~]*\/p2p\/([1-9A-HJ-NP-Za-km-z]{1,64})$/.exec(address)?.[1]
  const bytes = peer === undefined ? undefined : fromBase58(peer)
  if (bytes?.length !== 38 || !PEER_ID_PREFIX.every((byte, i) => bytes[i] === byte)) return undefined
  return deviceId(bytes.subarray(6))
}
