/** What libp2p is told. Every line that is not a default has its reason; most were reproduced as failures. */
import { createLibp2p } from 'libp2p'
import type { CircuitRelayService } from '@libp2p/circuit-relay-v2'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import type { GossipSub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import type { Identify } from '@libp2p/identify'
import type { Libp2p, MessageStream, PeerId } from '@libp2p/interface'
import { kadDHT } from '@libp2p/kad-dht'
import type { KadDHT } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import type { Ping } from '@libp2p/ping'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import type { Admission } from '../../ports/admission.ts'
import { descriptorBudget } from '../descriptors.ts'
import { announceable, dialable, interfaceAddresses, isRelayed, isRoutable } from './addresses.ts'
import { door } from './door.ts'
import type { DoorEvents } from './door.ts'
import type { Gatekeeper } from './gate.ts'
import { gater } from './gater.ts'
import { TOPICS, topicName } from './gossip.ts'
import { guard } from './guard.ts'
import { PROVIDER_VALID_MS } from './kad-guard.ts'
import type { LocalDiscovery } from './mdns.ts'
import { ownAddresses } from './nat/own-addresses.ts'
import type { OwnAddresses } from './nat/own-addresses.ts'
import { relayServer } from './nat/relay-link.ts'
import type { RelayLink } from './nat/relay-link.ts'
import { deviceOf } from './peer-id.ts'
import { PENDING_MAX, Porch } from './porch.ts'
import { libp2pLogger } from './quiet-logger.ts'
import { tcpTransport } from './transport.ts'

/** A type, not an interface: libp2p asks for an index signature. */
export type MeshServices = { guard: object, identify: Identify, ping: Ping, pubsub: GossipSub, dht: KadDHT, relay: CircuitRelayService, own: OwnAddresses }
export type MeshNode = Libp2p<MeshServices>

export interface NodeSettings {
  seed: Uint8Array
  admission: Admission
  gatekeeper: Gatekeeper
  listen: string[]
  announce: string[]
  discovery: LocalDiscovery | undefined
  doorEvents: DoorEvents
  relayLink: RelayLink
  /** Addresses of this device that no listener has: outside of a router, through relays. The DHT spreads them too. */
  others (): string[]
  /** This device passes connections on for members now. */
  relays (): boolean
}

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const READ_BUFFER_BYTES = 4_194_304
/** Above this many members the publisher must not send every copy itself. */
const FLOOD_PUBLISH_MEMBERS_MAX = 200

/** The node, not started. */
export async function createLibp2pNode (settings: NodeSettings): Promise<MeshNode> {
  const { admission } = settings
  const porch = new Porch()
  const doorEvents = { ...settings.doorEvents, knocked: (connection: MessageStream) => { porch.knocked(connection) }, answered: (connection: MessageStream) => { porch.left(connection) } }
  return await createLibp2p<MeshServices>({
    start: false,
    privateKey: await generateKeyPairFromSeed('Ed25519', settings.seed),
    ...libp2pLogger(),
    addresses: {
      listen: settings.listen,
      // Besides the interfaces' own, not instead: who tells a VPN address still wants to be found on the LAN.
      appendAnnounce: settings.announce,
      announceFilter: addresses => [...announceable({ ...settings, addresses: addresses.map(String), interfaces: interfaceAddresses() }), ...settings.others()].map(text => multiaddr(text)),
    },
    // Longer than the DHT's records: one provider missing from the store voids the whole answer of the node that keeps its record.
    peerStore: { maxPeerAge: 7 * 24 * HOUR_MS, maxAddressAge: 24 * HOUR_MS, addressFilter: (_peer, address) => isRoutable(address.toString()) },
    transports: [tcpTransport(), settings.relayLink.transport],
    // ONE encrypter: noise() beside it would be a way round the door.
    connectionEncrypters: [door(admission, doorEvents)],
    streamMuxers: [yamux({
      keepAliveInterval: 15_000,
      streamOptions: {
        initialStreamWindowSize: 1_048_576,
        // Never more than the read buffer: a paused reader is sent one whole window, and a full buffer resets the stream.
        maxStreamWindowSize: READ_BUFFER_BYTES,
        maxReadBufferLength: READ_BUFFER_BYTES,
        // Infinite by default: a peer that does not read would grow our heap without bound.
        maxWriteBufferLength: 4 * READ_BUFFER_BYTES,
      },
    })],
    connectionGater: gater(admission, settings.relays, porch),
    connectionManager: {
      maxConnections: descriptorBudget().connections,
      // 5 a second and 10 pending by default: a site behind one NAT locks itself out, and 40 silent sockets lock everybody out for 10 s.
      inboundConnectionThreshold: 50,
      // The porch bounds these, by who gives way to whom; here the newcomer would be the one to go.
      maxIncomingPendingConnections: PENDING_MAX,
      inboundUpgradeTimeout: 5_000,
      // Keeps the order of links.ts; the default tries a relay before a private address.
      addressSorter: (a, b) => isRelayed(a.multiaddr.toString()) === isRelayed(b.multiaddr.toString()) ? 0 : isRelayed(a.multiaddr.toString()) ? 1 : -1,
      maxParallelDials: 20,
      dialTimeout: 15_000,
      // One dead address must not use up the time of the whole list.
      addressDialTimeout: 3_000,
      // The supervisor redials, for ever; libp2p's queue gives up after a few.
      reconnectRetries: 0,
    },
    // Its first late ping closes a healthy connection when an event loop stalls; probes.ts does this job. Nobody reads connection.rtt.
    connectionMonitor: { enabled: false, abortConnectionOnPingFailure: false },
    peerDiscovery: settings.discovery === undefined ? [] : [settings.discovery.component],
    // The guard comes first: it wraps what the others register.
    services: { guard: guard({ mesh: admission.meshId, gatekeeper: settings.gatekeeper, nowMs: () => performance.now() }), identify: identify(), ping: ping(), pubsub: gossip(admission), dht: dht(admission), relay: relayServer(), own: ownAddresses() },
  })
}

function gossip (admission: Admission): (components: Parameters<ReturnType<typeof gossipsub>>[0]) => GossipSub {
  return gossipsub({
    globalSignaturePolicy: 'StrictSign',
    D: 6, Dlo: 4, Dhi: 12,
    floodPublish: admission.members().length < FLOOD_PUBLISH_MEMBERS_MAX,
    fallbackToFloodsub: false,
    emitSelf: false,
    // The roster and our own supervisor say whom to know.
    doPX: false,
    // The first message of a mesh has nobody to go to: the answer is 0 recipients, not an exception.
    allowPublishToZeroTopicPeers: true,
    // Without it every duplicate is decoded and its signature verified before it is recognised (30 % of the CPU of a delivery).
    fastMsgIdFn: message => Buffer.from(message.signature ?? new Uint8Array()).toString('latin1'),
    // Inbound frames may have 4 MiB by default, and outbound ones pile up without bound for a slow peer.
    maxInboundDataLength: 262_144,
    maxOutboundBufferSize: 4_194_304,
    allowedTopics: TOPICS.map(topic => topicName(admission.meshId, topic)),
    decodeRpcLimits: {
      maxSubscriptions: 256, maxMessages: 256, maxIhaveMessageIDs: 5_000, maxIwantMessageIDs: 5_000, maxControlMessages: 256,
      maxIdontwantMessageIDs: 512, maxPeerInfos: 16,
    },
    // Relayed connections count as limited; without it they carry no gossip.
    runOnLimitedConnection: true,
    // More than 10 peers behind one IP (one machine, one NAT) are graylisted by default: gossip goes silent.
    scoreParams: { IPColocationFactorWeight: 0 },
  })
}

function dht (admission: Admission): ReturnType<typeof kadDHT> {
  const isMember = (peer: PeerId): boolean => {
    const device = deviceOf(peer)
    return device !== undefined && admission.role(device) !== undefined
  }
  return kadDHT({
    // Own prefix: never meets the public DHT.
    protocol: `/elder/${admission.meshId}/kad/1.0.0`,
    // Undefined means client until there is a public address: a LAN would have no server at all.
    clientMode: false,
    // The default drops every private address. Who is no member is not told of, and not taken from others.
    peerInfoMapper: peer => ({ ...peer, multiaddrs: isMember(peer.id) ? dialable(peer.multiaddrs.map(String)).map(text => multiaddr(text)) : [] }),
    // Otherwise the first query of a lonely node waits up to 180 s.
    allowQueryWithZeroPeers: true,
    alpha: 3,
    disjointPaths: 2,
    // The receiver applies its own validity, so all nodes agree on 30 min. `providers: {}` options are dead in 16.4.
    reprovide: { validity: PROVIDER_VALID_MS, interval: 2 * MINUTE_MS, threshold: 15 * MINUTE_MS },
  })
}
