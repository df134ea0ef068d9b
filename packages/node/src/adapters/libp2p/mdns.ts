/** Discovery on the local network. mDNS only says who is there; whether to dial is the caller's decision. */
import { createHmac } from 'node:crypto'
import type { PeerDiscovery, PeerInfo, Startable } from '@libp2p/interface'
import type { MulticastDNSComponents } from '@libp2p/mdns'
import { toBase32 } from '@elder-node/protocol'
import { attempt } from '../../timers.ts'
import { dialable } from './addresses.ts'

const INTERVAL_MS = 20_000

/** Per mesh, so meshes on one network do not see each other; from the secret, so the name says nothing about the mesh. */
export function serviceTag (meshSecret: Uint8Array): string {
  const tag = createHmac('sha256', meshSecret).update('elder/mdns/v1').digest().subarray(0, 10)
  return `_elder-${toBase32(tag)}._udp.local`
}

/** `mdns`: the socket, while it runs. */
type Discovery = PeerDiscovery & Startable & { mdns?: { update (): void } }

export interface LocalDiscovery {
  /** What libp2p starts and stops. */
  component: (components: MulticastDNSComponents) => PeerDiscovery
  /** This device is on another network now: asks there at once, on sockets that know its interfaces. `isWanted`: the node has not stopped meanwhile. */
  lookAgain (isWanted: () => boolean): Promise<void>
}

/** Reports every announcement: libp2p's own `peer:discovery` fires for a peer's first sight only, not when it has moved. */
export async function localDiscovery (meshSecret: Uint8Array, found: (peer: PeerInfo) => void): Promise<LocalDiscovery> {
  const { mdns } = await import('@libp2p/mdns')
  let discovery: Discovery | undefined
  return {
    component: components => {
      discovery = contained(mdns({ serviceTag: serviceTag(meshSecret), interval: INTERVAL_MS })(components) as Discovery)
      discovery.addEventListener('peer', event => { found(event.detail) })
      return discovery
    },
    lookAgain: async isWanted => {
      await discovery?.stop()
      if (isWanted()) await discovery?.start()
    },
  }
}

/**
 * Its socket lists the interfaces of the machine every 5 s, which takes a file descriptor, in a timer that catches nothing: a look that
 * fails is left to the next one.
 */
function contained (discovery: Discovery): Discovery {
  const { start } = discovery
  discovery.start = async () => {
    // The socket is there when the call returns, and listens in a later turn: only then it takes `update` for its timer.
    const started = start.call(discovery)
    const { mdns } = discovery
    if (mdns !== undefined) {
      const update = mdns.update.bind(mdns)
      mdns.update = () => { attempt(update, () => {}) }
    }
    await started
  }
  return discovery
}

/** The peer's addresses, each with its `/p2p/`. */
export function addressesOf (peer: PeerInfo): string[] {
  const suffix = `/p2p/${peer.id.toString()}`
  return dialable(peer.multiaddrs.map(address => address.toString()).map(text => text.endsWith(suffix) ? text : text + suffix))
}
