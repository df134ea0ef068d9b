/** The parts of a mesh over libp2p, each made with what it may ask of the others. Nothing runs yet. */
import type { DeviceId } from '@elder-node/protocol'
import type { Directory, MeshEvents } from '../../ports/mesh.ts'
import type { Failed } from '../../timers.ts'
import { isRelayed } from './addresses.ts'
import { DhtDirectory } from './directory.ts'
import { Events } from './events.ts'
import { Gatekeeper } from './gate.ts'
import { Gossip } from './gossip.ts'
import { GossipWatchdog } from './gossip-watchdog.ts'
import { Hellos } from './hellos.ts'
import { Live } from './live.ts'
import type { Libp2pMeshComponents, Libp2pMeshInit } from './mesh-init.ts'
import { Nat } from './nat/nat.ts'
import { relayLink } from './nat/relay-link.ts'
import type { RelayLink } from './nat/relay-link.ts'
import { NetworkWatch } from './network-watch.ts'
import { deviceOfSeed } from './peer-id.ts'
import { Presence } from './presence.ts'
import { Probes } from './probes.ts'
import { Reach } from './reach.ts'
import { Reactions } from './reactions.ts'
import { Services } from './services.ts'
import { Supervisor } from './supervisor.ts'

export interface Parts {
  gatekeeper: Gatekeeper
  self: DeviceId
  live: Live
  react: Reactions
  /** A device was admitted, or lost its last connection. */
  changes: Events<{ changed: (device: DeviceId) => void }>
  services: Services
  gossip: Gossip
  directory: Directory
  hellos: Hellos
  presence: Presence
  probes: Probes
  supervisor: Supervisor
  watchdog: GossipWatchdog
  relayLink: RelayLink
  nat: Nat
  network: NetworkWatch
  reach: Reach
  /** Where this device is reached: at its interfaces, as announced, outside of its router, through relays. */
  addresses (): string[]
}

export function createParts (components: Libp2pMeshComponents, init: Required<Libp2pMeshInit>, events: Events<MeshEvents>): Parts {
  const { admission, clock, log, metrics } = components
  const { meshId } = admission
  const self = deviceOfSeed(components.seed)
  const random = Math.random
  const failed: Failed = error => { log.warn({ err: error }, 'a look at the mesh failed; the next one comes') }
  const live = new Live()
  const link = relayLink()
  const react: Reactions = new Reactions(components, events, () => parts)
  const changes: Parts['changes'] = new Events(error => { log.error({ err: error }, 'a listener of the mesh failed') })
  /** Of the interfaces, and announced by hand. */
  const ownAddresses = (): string[] => {
    const node = live.running?.node
    node?.services.own.confirm()
    const others = new Set(nat.addresses())
    return node?.getMultiaddrs().map(String).filter(address => !isRelayed(address) && !others.has(address)) ?? []
  }
  const addresses = (): string[] => live.running === undefined ? [] : [...ownAddresses(), ...nat.addresses()]

  // What others ask here, and who may.
  const gatekeeper = new Gatekeeper(device => admission.isRevoked(device) ? undefined : admission.role(device))
  const services = new Services({ meshId, gatekeeper, log })
  const gossip = new Gossip({ meshId, gatekeeper, log, metrics })
  const directory = new DhtDirectory({ dht: () => live.running?.node.services.dht, isMember: device => gatekeeper.allows(device, { role: 'observer' }), log })

  // Who is here, and how well.
  const hellos: Hellos = new Hellos({ live, clock, addresses, relays: () => nat.relays })
  const presence: Presence = new Presence({
    greet: device => hellos.greet(device, { first: true }),
    admitted: device => { react.admitted(device) },
    gone: device => { react.gone(device) },
    learned: (device, hello) => { react.learned(device, hello) },
    failed: (device, error) => { react.helloFailed(device, error) },
  })
  const probes = new Probes({
    self, clock, random, failed,
    ask: (device, message, signal) => live.demand().clients.of(device, 'probe').request(message, signal),
    rtt: (device, rttMs) => { events.emit('rtt', device, rttMs) },
    lost: (device, why, silentMs) => { react.drop(device, `silent for ${Math.round(silentMs)} ms, ${why === 'dead' ? 'and nobody reaches it' : 'but others reach it'}`) },
  })
  const watchdog = new GossipWatchdog({
    clock, failed,
    admitted: () => presence.admitted(),
    carriers: () => gossip.carriers('roster'),
    redial: device => { react.drop(device, 'it carries no gossip') },
  })

  // How others are found and reached, and how they reach this device.
  const supervisor = new Supervisor({
    self, clock, random, failed,
    candidates: () => admission.members(),
    isConnected: device => live.isConnected(device),
    dial: (candidate, signal) => live.demand().links.dial(candidate.device, candidate.addresses, signal),
    refused: (device, code) => { events.emit('refused', device, code) },
  })
  const nat: Nat = new Nat({
    self, clock, random, log, link, ownAddresses,
    links: () => live.demand().links,
    admitted: () => presence.admitted(),
    addressesOf: device => supervisor.addressesOf(device),
    rttMs: device => probes.estimate(device)?.minMs,
    ask: (device, question, signal) => live.demand().clients.of(device, 'dial-back').request(question, signal),
    changed: () => { react.selfMoved() },
  }, init.relay)
  const network = new NetworkWatch({ addresses: ownAddresses, changed: () => { react.networkChanged() }, failed })
  const reach = new Reach({
    changes,
    isAdmitted: device => presence.isAdmitted(device),
    isConnected: device => live.isConnected(device),
    dial: (device, signal) => live.demand().links.dial(device, admission.members().find(member => member.device === device)?.addresses ?? [], signal),
  })

  services.onRequest('probe', { role: 'observer' }, (from, message) => probes.asked(from, message))
  services.onConnectionRequest('dial-back', { role: 'observer', concurrencyMax: 1 }, connection => (from, message) => nat.dialBack(from, connection.remoteAddr.toString(), message))
  services.onConnectionRequest('hello', { role: 'observer' }, connection => (from, message) => react.hello(connection, from, message))

  const parts: Parts = { gatekeeper, self, live, react, changes, services, gossip, directory, hellos, presence, probes, supervisor, watchdog, relayLink: link, nat, network, reach, addresses }
  return parts
}
