/** Discovery on the local network. mDNS only says who is there; whether to dial is the caller's decision. */
import { createHmac } from 'node:crypto'
import type { PeerDiscovery, PeerInfo, Startable } from '@libp2p/interface'
import type { MulticastDNSComponents } from '@libp2p/mdns'
import { toBase32 } from '@elder-node/protocol'
import { dialable } from './addresses.ts'

const INTERVAL_MS = 20_000

/** Per mesh, so meshes on one network do not see each other; from the secret, so the name says nothing about the mesh. */
export function serviceTag (meshSecret: Uint8Array): string {
  const tag = createHmac('sha256', meshSecret).update('elder/mdns/v1').digest().subarray(0, 10)
  return `_elder-${toBase32(tag)}._udp.local`
}

export interface LocalDiscovery {
  /** What libp2p starts and stops. */
  component: (components: MulticastDNSComponents) => PeerDiscovery
  /** This device is on another network now: asks there at once, on sockets that know its interfaces. `isWanted`: the node has not stopped meanwhile. */
  lookAgain (isWanted: () => boolean): Promise<void>
}

/** Reports every announcement: libp2p's own `peer:discovery` fires for a peer's first sight only, not when it has moved. */
export async function localDiscovery (meshSecret: Uint8Array, found: (peer: PeerInfo) => void): Promise<LocalDiscovery> {
  const { mdns } = await import('@libp2p/mdns')
  let discovery: (PeerDiscovery & Startable) | undefined
  return {
    component: components => {
      discovery = mdns({ serviceTag: serviceTag(meshSecret), interval: INTERVAL_MS })(components) as PeerDiscovery & Startable
      discovery.addEventListener('peer', event => { found(event.detail) })
      return discovery
    },
    lookAgain: async isWanted => {
      await discovery?.stop()
      if (isWanted()) await discovery?.start()
    },
  }
}

/** The peer's addresses, each with its `/p2p/`. */
export function addressesOf (peer: PeerInfo): string[] {
  const suffix = `/p2p/${peer.id.toString()}`
  return dialable(peer.multiaddrs.map(address => address.toString()).map(text => text.endsWith(suffix) ? text : text + suffix))
}
