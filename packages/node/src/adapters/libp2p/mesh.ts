/** The port's Mesh over libp2p: puts the parts together, and says what happens when. */
import { randomBytes } from 'node:crypto'
import type { Connection } from '@libp2p/interface'
import { ElderError, deviceOfAddress } from '@elder-node/protocol'
import type { DeviceId, Value } from '@elder-node/protocol'
import type { CallOptions, Directory, FrameStream, Gate, GossipHandler, MeshEvents, Peer, Reach as Reached, RequestHandler, Service, StreamHandler, Topic, Tried } from '../../ports/mesh.ts'
import { isRelayed } from './addresses.ts'
import { Clients } from './clients.ts'
import type { Candidate } from './dial-plan.ts'
import { DhtDirectory } from './directory.ts'
import { Events } from './events.ts'
import { Libp2pFrameStream } from './frame-stream.ts'
import { Gatekeeper } from './gate.ts'
import { Gossip } from './gossip.ts'
import { GossipWatchdog } from './gossip-watchdog.ts'
import { decodeHello, encodeHello } from './hello.ts'
import type { Hello } from './hello.ts'
import { Links } from './links.ts'
import { requirePorts } from './listen.ts'
import { addressesOf, localDiscovery } from './mdns.ts'
import type { LocalDiscovery } from './mdns.ts'
import { withDefaults } from './mesh-init.ts'
import type { Libp2pMesh, Libp2pMeshComponents, Libp2pMeshInit } from './mesh-init.ts'
import { Nat } from './nat/nat.ts'
import { relayLink } from './nat/relay-link.ts'
import { NetworkWatch } from './network-watch.ts'
import { createLibp2pNode } from './options.ts'
import type { MeshNode } from './options.ts'
import { deviceOf, deviceOfSeed, peerIdOf, relayOf } from './peer-id.ts'
import { Presence } from './presence.ts'
import { Probes } from './probes.ts'
import { Reach } from './reach.ts'
import { Services, streamProtocol } from './services.ts'
import { Supervisor } from './supervisor.ts'
import { tryAddresses } from './try-addresses.ts'
import type { DialAttempt } from './supervisor.ts'

export type { Libp2pMesh, Libp2pMeshComponents, Libp2pMeshInit } from './mesh-init.ts'
export type { DialAttempt } from './supervisor.ts'

const HELLO_MS = 5_000
const STOP_MS = 5_000

/** Nothing runs before {@link Mesh.start}. */
export function createMesh (components: Libp2pMeshComponents, init: Libp2pMeshInit = {}): Libp2pMesh {
  return new Libp2pMeshNode(components, init)
}

/** What exists only while the node runs. */
interface Running { node: MeshNode, discovery: LocalDiscovery | undefined, links: Links, clients: Clients, epoch: Uint8Array, offs: Array<() => void>, announced: string }

class Libp2pMeshNode implements Libp2pMesh {
  readonly self: DeviceId
  readonly directory: Directory
  readonly #components: Libp2pMeshComponents
  readonly #init: Required<Libp2pMeshInit>
  readonly #events: Events<MeshEvents>
  /** What {@link Reach} waits for. */
  readonly #changes: Events<{ changed: (device: DeviceId) => void }>
  readonly #gatekeeper: Gatekeeper
  readonly #services: Services
  readonly #gossip: Gossip
  readonly #presence: Presence
  readonly #probes: Probes
  readonly #supervisor: Supervisor
  readonly #watchdog: GossipWatchdog
  readonly #network: NetworkWatch
  readonly #relayLink = relayLink()
  readonly #nat: Nat
  readonly #reach: Reach
  readonly #aheadMs = new Map<DeviceId, number>()
  #running: Running | undefined
  /** Some device has admitted this one: a ticket's addresses have done their work. */
  #wasAdmitted = false

  constructor (components: Libp2pMeshComponents, init: Libp2pMeshInit) {
    const { admission, clock, log, metrics } = components
    this.self = deviceOfSeed(components.seed)
    this.#components = components
    this.#init = withDefaults(init)
    const listenerFailed = (error: unknown): void => { log.error({ err: error }, 'a listener of the mesh failed') }
    this.#events = new Events(listenerFailed)
    this.#changes = new Events(listenerFailed)
    this.#gatekeeper = new Gatekeeper(device => admission.isRevoked(device) ? undefined : admission.role(device))
    this.#services = new Services({ meshId: admission.meshId, gatekeeper: this.#gatekeeper, log })
    this.#gossip = new Gossip({ meshId: admission.meshId, gatekeeper: this.#gatekeeper, log, metrics })
    this.directory = new DhtDirectory({ dht: () => this.#running?.node.services.dht, isMember: device => this.#gatekeeper.allows(device, { role: 'observer' }), log })
    this.#presence = new Presence({
      greet: device => this.#greet(device, true),
      admitted: device => { this.#onAdmitted(device) },
      gone: device => { this.#onGone(device) },
      learned: (device, hello) => {
        if (hello.addresses.length > 0) {
          admission.learned(device, hello.addresses)
          this.#running?.links.keep(device, hello.addresses)
        }
        this.#nat.heard(device, hello)
        if (hello.atMs !== undefined) this.#aheadMs.set(device, hello.atMs - clock.wallMs())
      },
      failed: (device, error) => {
        this.#supervisor.failed(device, error)
        this.#drop(device, 'the hello failed', error)
      },
    })
    this.#probes = new Probes({
      self: this.self, clock, random: Math.random,
      ask: (device, message, signal) => this.#live().clients.of(device, 'probe').request(message, signal),
      rtt: (device, rttMs) => { this.#events.emit('rtt', device, rttMs) },
      lost: (device, why, silentMs) => { this.#drop(device, `silent for ${Math.round(silentMs)} ms, ${why === 'dead' ? 'and nobody reaches it' : 'but others reach it'}`) },
    })
    this.#supervisor = new Supervisor({
      self: this.self, clock, random: Math.random,
      candidates: () => [...admission.members(), ...this.#seeds()],
      isConnected: device => this.#isConnected(device),
      dial: ({ device, addresses }, signal) => this.#live().links.dial(device, addresses, signal),
      refused: (device, code) => { this.#events.emit('refused', device, code) },
    })
    this.#watchdog = new GossipWatchdog({
      clock,
      admitted: () => this.#presence.admitted(),
      carriers: () => this.#gossip.carriers('roster'),
      redial: device => { this.#drop(device, 'it carries no gossip') },
    })
    this.#nat = new Nat({
      self: this.self, clock, random: Math.random, log,
      link: this.#relayLink,
      links: () => this.#live().links,
      admitted: () => this.#presence.admitted(),
      ownAddresses: () => this.#ownAddresses(),
      addressesOf: device => this.#supervisor.addressesOf(device),
      rttMs: device => this.#probes.estimate(device)?.minMs,
      ask: (device, question, signal) => this.#live().clients.of(device, 'dial-back').request(question, signal),
      changed: () => { this.#onSelfMoved() },
    }, this.#init.relay)
    this.#network = new NetworkWatch({ addresses: () => this.#ownAddresses(), changed: () => { this.#onNetworkChanged() } })
    this.#reach = new Reach({
      isAdmitted: device => this.#presence.isAdmitted(device),
      isConnected: device => this.#isConnected(device),
      dial: (device, signal) => this.#live().links.dial(device, admission.members().find(member => member.device === device)?.addresses ?? [], signal),
      changes: this.#changes,
    })
    this.#services.onRequest('probe', { role: 'observer' }, (from, message) => this.#probes.asked(from, message))
    this.#services.onConnectionRequest('dial-back', { role: 'observer', concurrencyMax: 1 }, connection => (from, message) => this.#nat.dialBack(from, connection.remoteAddr.toString(), message))
    this.#services.onConnectionRequest('hello', { role: 'observer' }, connection => (from, message) => this.#onHello(connection, from, message))
  }

  addresses (): string[] { return this.#running === undefined ? [] : [...this.#ownAddresses(), ...this.#nat.addresses()] }

  peers (): Peer[] {
    return this.#presence.admitted().flatMap(device => {
      const connection = this.#running?.links.open(device)[0]
      if (connection === undefined) return []
      const address = connection.remoteAddr.toString()
      const relay = connection.direct ? undefined : relayOf(address)
      return [{ device, path: connection.direct ? 'direct' : 'relay', rttMs: this.#probes.estimate(device)?.minMs, address, suspect: this.#probes.isSuspect(device), ...(relay === undefined ? {} : { relay }) } as const]
    })
  }

  reach (): Reached { return { reachable: this.#nat.reachable, through: this.#nat.through(), relays: this.#nat.relays } }

  attempts (): DialAttempt[] { return this.#supervisor.attempts() }

  localDiscovery (): { on: boolean, found: DeviceId[] } { return { on: this.#init.mdns, found: this.#supervisor.seen } }

  clocks (): Array<{ device: DeviceId, aheadMs: number }> { return [...this.#aheadMs].map(([device, aheadMs]) => ({ device, aheadMs })) }

  async tryAddresses (device: DeviceId, { signal }: CallOptions): Promise<Tried[]> {
    return await tryAddresses(device, this.#supervisor.addressesOf(device), (to, addresses, until) => this.#live().links.dial(to, addresses, until), signal)
  }

  on<E extends keyof MeshEvents> (event: E, listener: MeshEvents[E]): () => void { return this.#events.on(event, listener) }

  onRequest (service: Service, gate: Gate, handler: RequestHandler): void {
    this.#beforeStart()
    this.#services.onRequest(service, gate, handler)
  }

  onStream (service: Service, gate: Gate, handler: StreamHandler): void {
    this.#beforeStart()
    this.#services.onStream(service, gate, handler)
  }

  onGossip (topic: Topic, gate: Gate, handler: GossipHandler): void {
    this.#beforeStart()
    this.#gossip.handle(topic, gate, handler)
  }

  async request (device: DeviceId, service: Service, message: unknown, { signal }: CallOptions): Promise<Value> {
    await this.#reach.admitted(device, signal)
    return await this.#live().clients.of(device, service).request(message, signal)
  }

  async openStream (device: DeviceId, service: Service, { signal }: CallOptions): Promise<FrameStream> {
    await this.#reach.admitted(device, signal)
    const stream = await this.#live().links.stream(device, streamProtocol(this.#components.admission.meshId, service), signal)
    return new Libp2pFrameStream(stream, device)
  }

  async broadcast (topic: Topic, message: unknown): Promise<number> { return await this.#gossip.broadcast(topic, message) }

  async probe (device: DeviceId, { signal }: CallOptions): Promise<number> {
    await this.#reach.admitted(device, signal)
    return await this.#probes.measure(device, signal)
  }

  async expel (device: DeviceId): Promise<void> {
    if (this.#running === undefined) return
    const { node, links } = this.#running
    links.abort(device, new Error('expelled'))
    this.#supervisor.forget(device)
    this.#probes.forget(device)
    // kad-dht keeps a peer that is gone; its table is not in its public type.
    const { routingTable } = node.services.dht as unknown as { routingTable: { remove (peer: ReturnType<typeof peerIdOf>): Promise<void> } }
    await Promise.allSettled([node.peerStore.delete(peerIdOf(device)), routingTable.remove(peerIdOf(device))])
  }

  async start (): Promise<void> {
    this.#beforeStart()
    const { admission, seed, log } = this.#components
    await requirePorts(this.#init.listen)
    const discovery = this.#init.mdns ? await localDiscovery(admission.meshSecret, peer => { this.#onDiscovered(deviceOf(peer.id), addressesOf(peer)) }) : undefined
    const node = await createLibp2pNode({
      seed, admission, ...this.#init, discovery, relayLink: this.#relayLink, relays: () => this.#nat.relays, others: () => this.#nat.addresses(),
      doorEvents: { refused: (device, code) => { log.info({ device, code }, 'refused a device at the door') } },
    })
    const links = new Links(node)
    const clients = new Clients({ links, meshId: admission.meshId, concurrencyMax: service => this.#services.concurrencyMax(service) })
    const offWake = this.#components.clock.onWake?.(pausedMs => { this.#onWake(pausedMs) })
    const offs = [admission.onRemoved(device => { void this.expel(device) }), () => offWake?.()]
    this.#running = { node, discovery, links, clients, epoch: randomBytes(8), offs, announced: '' }
    await this.#services.attach(node)
    node.addEventListener('connection:open', event => { this.#onOpen(event.detail) })
    node.addEventListener('connection:close', event => { this.#onClose(event.detail) })
    node.addEventListener('self:peer:update', () => { this.#onSelfMoved() })
    try {
      await node.start()
    } catch (error) {
      await this.stop()
      throw new ElderError('LISTEN_FAILED', `cannot listen on ${this.#init.listen.join(', ')}: ${(error as Error).message}`, 'Choose addresses of this device with --listen.', {}, { cause: error })
    }
    this.#gossip.start(node.services.pubsub)
    this.#probes.start()
    this.#watchdog.start()
    this.#network.start()
    this.#nat.start()
    this.#supervisor.start()
  }

  async stop (): Promise<void> {
    const running = this.#running
    if (running === undefined) return
    this.#supervisor.stop()
    this.#nat.stop()
    this.#network.stop()
    this.#watchdog.stop()
    this.#probes.stop()
    for (const off of running.offs) off()
    running.clients.close()
    const late = new Promise(resolve => { setTimeout(resolve, STOP_MS).unref() })
    await Promise.race([running.node.stop(), late]).catch((error: unknown) => {
      this.#components.log.warn({ err: error }, 'libp2p did not stop cleanly')
    })
    this.#running = undefined
  }

  async #greet (device: DeviceId, first: boolean): Promise<Hello> {
    const { clients, epoch } = this.#live()
    const answer = await clients.of(device, 'hello').request(encodeHello(epoch, this.addresses(), { first, relay: this.#nat.relays, atMs: this.#components.clock.wallMs() }), AbortSignal.timeout(HELLO_MS))
    return decodeHello(device, answer)
  }

  #onHello (connection: Connection, from: DeviceId, message: Value): Value {
    const { links, epoch } = this.#live()
    const hello = decodeHello(from, message)
    if (hello.first) links.abortOlder(from, connection)
    this.#presence.heard(from, hello)
    return encodeHello(epoch, this.addresses(), { first: false, relay: this.#nat.relays })
  }

  #onOpen (connection: Connection): void {
    const device = deviceOf(connection.remotePeer)
    if (device === undefined) return
    // From relayed to direct: the other one goes on until nothing runs over it.
    if (connection.direct) this.#running?.clients.renew(device)
    this.#presence.connected(device)
  }

  #onClose (connection: Connection): void {
    const device = deviceOf(connection.remotePeer)
    if (device === undefined || this.#isConnected(device)) return
    this.#running?.clients.drop(device)
    this.#presence.disconnected(device)
    this.#changes.emit('changed', device)
  }

  #onAdmitted (device: DeviceId): void {
    this.#wasAdmitted = true
    this.#supervisor.admitted(device)
    this.#probes.watch(device)
    this.#nat.admitted()
    this.#components.log.info({ device }, 'device admitted')
    this.#events.emit('admitted', device)
    this.#changes.emit('changed', device)
  }

  #onGone (device: DeviceId): void {
    this.#aheadMs.delete(device)
    this.#probes.unwatch(device)
    this.#nat.gone(device)
    this.#supervisor.lost(device)
    this.#components.log.info({ device }, 'device gone')
    this.#events.emit('gone', device)
  }

  /** New addresses, and whether this device relays, are told to whoever is here. */
  #onSelfMoved (): void {
    const running = this.#running
    const announced = [...this.addresses(), this.#nat.relays].join()
    if (running === undefined || announced === running.announced) return
    running.announced = announced
    for (const device of this.#presence.admitted()) this.#greet(device, false).catch(() => {})
  }

  /** Another Wi-Fi, a cable that is back: everybody is looked for anew, and who is still here hears where we are. */
  #onNetworkChanged (): void {
    this.#components.log.info({ addresses: this.addresses() }, 'the addresses of this device changed')
    this.#nat.moved()
    this.#lookAgain()
    this.#onSelfMoved()
  }

  /** The lid is open again: connections may be dead without a sign, and others may have moved. */
  #onWake (pausedMs: number): void {
    this.#components.log.info({ pausedMs: Math.round(pausedMs) }, 'awake after a pause')
    this.#probes.verify()
    this.#nat.awake()
    this.#lookAgain()
  }

  #lookAgain (): void {
    this.#supervisor.lookAgain()
    const { node, discovery } = this.#live()
    discovery?.lookAgain(() => node.status === 'started').catch((error: unknown) => { this.#components.log.warn({ err: error }, 'mDNS did not start again') })
  }

  #onDiscovered (device: DeviceId | undefined, addresses: string[]): void {
    if (device === undefined || device === this.self) return
    // Members, and anybody while this device holds a ticket: the door verifies the other before it says anything.
    const { admission } = this.#components
    if (admission.role(device) !== undefined || admission.role(this.self) === undefined) {
      this.#supervisor.discovered(device, addresses)
      if (this.#presence.isAdmitted(device)) this.#nat.seen(device)
    }
  }

  #drop (device: DeviceId, why: string, error?: Error): void {
    this.#components.log.info({ device, ...(error === undefined ? {} : { err: error }) }, `connections dropped: ${why}`)
    this.#running?.links.abort(device, new Error(why))
  }

  #seeds (): Candidate[] {
    if (this.#wasAdmitted) return []
    return this.#init.seeds.flatMap(address => {
      const device = deviceOfAddress(address)
      return device === undefined ? [] : [{ device, addresses: [address] }]
    })
  }

  /** Of the interfaces, and announced by hand. */
  #ownAddresses (): string[] {
    const node = this.#running?.node
    node?.services.own.confirm()
    const others = new Set(this.#nat.addresses())
    return node?.getMultiaddrs().map(String).filter(address => !isRelayed(address) && !others.has(address)) ?? []
  }

  #isConnected (device: DeviceId): boolean { return (this.#running?.links.open(device).length ?? 0) > 0 }

  #live (): Running {
    if (this.#running === undefined) throw new ElderError('NOT_RUNNING', 'the mesh is not running', 'Start the node first.')
    return this.#running
  }

  #beforeStart (): void {
    if (this.#running !== undefined) throw new Error('the mesh runs already: handlers are registered before start')
  }
}
