/** Discovery on the local network. mDNS only says who is there; whether to dial is the caller's decision. */
import { createHmac } from 'node:crypto'
import type { PeerDiscovery, PeerInfo } from '@libp2p/interface'
import type { MulticastDNSComponents } from '@libp2p/mdns'
import { toBase32 } from '@elder-node/protocol'
import { dialable } from './addresses.ts'

const INTERVAL_MS = 20_000

/** Per mesh, so meshes on one network do not see each other; from the secret, so the name says nothing about the mesh. */
export function serviceTag (meshSecret: Uint8Array): string {
  const tag = createHmac('sha256', meshSecret).update('elder/mdns/v1').digest().subarray(0, 10)
  return `_elder-${toBase32(tag)}._udp.local`
}

/** Reports every announcement: libp2p's own `peer:discovery` fires for a peer's first sight only, not when it has moved. */
export async function mdnsDiscovery (meshSecret: Uint8Array, found: (peer: PeerInfo) => void): Promise<(components: MulticastDNSComponents) => PeerDiscovery> {
  const { mdns } = await import('@libp2p/mdns')
  return components => {
    const discovery = mdns({ serviceTag: serviceTag(meshSecret), interval: INTERVAL_MS })(components)
    discovery.addEventListener('peer', event => { found(event.detail) })
    return discovery
  }
}

/** The peer's addresses, each with its `/p2p/`. */
export function addressesOf (peer: PeerInfo): string[] {
  const suffix = `/p2p/${peer.id.toString()}`
  return dialable(peer.multiaddrs.map(address => address.toString()).map(text => text.endsWith(suffix) ? text : text + suffix))
}
