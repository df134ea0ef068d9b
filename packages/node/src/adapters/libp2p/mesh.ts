/** The port's Mesh over libp2p: what a service may ask of it, and how it starts and stops. */
import { randomBytes } from 'node:crypto'
import { ElderError } from '@elder-node/protocol'
import type { DeviceId, Value } from '@elder-node/protocol'
import { FAREWELL_MS } from '../../ports/admission.ts'
import type { CallOptions, Directory, FrameStream, Gate, GossipHandler, MeshEvents, Peer, Reach, RequestHandler, Service, StreamHandler, Topic, Tried } from '../../ports/mesh.ts'
import { Clients } from './clients.ts'
import { Events } from './events.ts'
import { Libp2pFrameStream } from './frame-stream.ts'
import { KadGuard } from './kad-guard.ts'
import { Links } from './links.ts'
import { removeReservation } from './nat/relay-link.ts'
import { requirePorts } from './listen.ts'
import type { Running } from './live.ts'
import { addressesOf, localDiscovery } from './mdns.ts'
import { withDefaults } from './mesh-init.ts'
import type { Libp2pMesh, Libp2pMeshComponents, Libp2pMeshInit } from './mesh-init.ts'
import { createLibp2pNode } from './options.ts'
import { createParts } from './parts.ts'
import type { Parts } from './parts.ts'
import { deviceOf, peerIdOf, relayOf } from './peer-id.ts'
import { streamProtocol } from './services.ts'
import type { DialAttempt } from './supervisor.ts'
import { tryAddresses } from './try-addresses.ts'

export type { Libp2pMesh, Libp2pMeshComponents, Libp2pMeshInit } from './mesh-init.ts'
export type { DialAttempt } from './supervisor.ts'

const STOP_MS = 5_000

/** Nothing runs before {@link Mesh.start}. */
export function createMesh (components: Libp2pMeshComponents, init: Libp2pMeshInit = {}): Libp2pMesh {
  return new Libp2pMeshNode(components, withDefaults(init))
}

class Libp2pMeshNode implements Libp2pMesh {
  readonly self: DeviceId
  readonly directory: Directory
  readonly #components: Libp2pMeshComponents
  readonly #init: Required<Libp2pMeshInit>
  readonly #events: Events<MeshEvents>
  readonly #parts: Parts
  #offs: Array<() => void> = []

  constructor (components: Libp2pMeshComponents, init: Required<Libp2pMeshInit>) {
    this.#components = components
    this.#init = init
    this.#events = new Events(error => { components.log.error({ err: error }, 'a listener of the mesh failed') })
    this.#parts = createParts(components, init, this.#events)
    this.self = this.#parts.self
    this.directory = this.#parts.directory
  }

  // ---- what is

  addresses (): string[] { return this.#parts.addresses() }

  peers (): Peer[] { return this.#parts.presence.admitted().flatMap(device => this.#peer(device) ?? []) }

  #peer (device: DeviceId): Peer | undefined {
    const { live, probes } = this.#parts
    const connection = live.connection(device)
    if (connection === undefined) return undefined
    const address = connection.remoteAddr.toString()
    const relay = connection.direct ? undefined : relayOf(address)
    return { device, path: connection.direct ? 'direct' : 'relay', rttMs: probes.estimate(device)?.minMs, address, suspect: probes.isSuspect(device), ...(relay === undefined ? {} : { relay }) }
  }

  reach (): Reach {
    const { nat } = this.#parts
    return { reachable: nat.reachable, through: nat.through(), relays: nat.relays }
  }

  attempts (): DialAttempt[] { return this.#parts.supervisor.attempts() }

  localDiscovery (): { on: boolean, found: DeviceId[] } { return { on: this.#init.mdns, found: this.#parts.supervisor.seen } }

  clocks (): Array<{ device: DeviceId, aheadMs: number }> { return this.#parts.hellos.clocks() }

  // ---- what services register

  on<E extends keyof MeshEvents> (event: E, listener: MeshEvents[E]): () => void { return this.#events.on(event, listener) }

  onRequest (service: Service, gate: Gate, handler: RequestHandler): void {
    this.#parts.live.demandStopped()
    this.#parts.services.onRequest(service, gate, handler)
  }

  onStream (service: Service, gate: Gate, handler: StreamHandler): void {
    this.#parts.live.demandStopped()
    this.#parts.services.onStream(service, gate, handler)
  }

  onGossip (topic: Topic, gate: Gate, handler: GossipHandler): void {
    this.#parts.live.demandStopped()
    this.#parts.gossip.handle(topic, gate, handler)
  }

  // ---- what services ask

  async request (device: DeviceId, service: Service, message: unknown, { signal }: CallOptions): Promise<Value> {
    await this.#parts.reach.admitted(device, signal)
    return await this.#parts.live.demand().clients.of(device, service).request(message, signal)
  }

  async openStream (device: DeviceId, service: Service, { signal }: CallOptions): Promise<FrameStream> {
    await this.#parts.reach.admitted(device, signal)
    const stream = await this.#parts.live.demand().links.stream(device, streamProtocol(this.#components.admission.meshId, service), signal)
    return new Libp2pFrameStream(stream, device)
  }

  async broadcast (topic: Topic, message: unknown): Promise<number> { return await this.#parts.gossip.broadcast(topic, message) }

  async probe (device: DeviceId, { signal }: CallOptions): Promise<number> {
    await this.#parts.reach.admitted(device, signal)
    return await this.#parts.probes.measure(device, signal)
  }

  async tryAddresses (device: DeviceId, { signal }: CallOptions): Promise<Tried[]> {
    const { supervisor, live } = this.#parts
    return await tryAddresses(device, supervisor.addressesOf(device), (to, addresses, until) => live.demand().links.dial(to, addresses, until), signal)
  }

  async expel (device: DeviceId): Promise<void> {
    const { live: { running }, supervisor, probes } = this.#parts
    if (running === undefined) return
    running.links.abort(device, new Error('expelled'))
    supervisor.forget(device)
    probes.forget(device)
    removeReservation(running.node.services.relay, device)
    await running.kad.forget(device)
    await running.node.peerStore.delete(peerIdOf(device)).catch(() => { /* it was not there, or the node stops */ })
  }

  #part (device: DeviceId, left: boolean): void {
    if (left) setTimeout(() => { void this.expel(device) }, FAREWELL_MS).unref()
    else void this.expel(device)
  }

  // ---- from start to stop

  async start (): Promise<void> {
    const { live, react, services, gossip, probes, watchdog, network, nat, supervisor } = this.#parts
    live.demandStopped()
    await requirePorts(this.#init.listen)
    const running = await this.#create()
    const { node } = running
    live.begin(running)
    const { admission, clock } = this.#components
    const offWake = clock.onWake?.(pausedMs => { react.awake(pausedMs) })
    this.#offs = [admission.onRemoved((device, left) => { this.#part(device, left) }), () => offWake?.()]
    await services.attach(node)
    node.addEventListener('connection:open', event => { react.opened(event.detail) })
    node.addEventListener('connection:close', event => { react.closed(event.detail) })
    node.addEventListener('self:peer:update', () => { react.selfMoved() })
    try {
      await node.start()
    } catch (error) {
      await this.stop()
      throw new ElderError('LISTEN_FAILED', `cannot listen on ${this.#init.listen.join(', ')}: ${(error as Error).message}`, 'Choose addresses of this device with --listen.', {}, { cause: error })
    }
    gossip.start(node.services.pubsub)
    for (const part of [probes, watchdog, network, nat, supervisor]) part.start()
  }

  async stop (): Promise<void> {
    const { live, probes, watchdog, network, nat, supervisor } = this.#parts
    const { running } = live
    if (running === undefined) return
    for (const part of [supervisor, nat, network, watchdog, probes]) part.stop()
    for (const off of this.#offs.splice(0)) off()
    running.clients.close()
    const late = new Promise(resolve => { setTimeout(resolve, STOP_MS).unref() })
    await Promise.race([running.node.stop(), late]).catch((error: unknown) => {
      this.#components.log.warn({ err: error }, 'libp2p did not stop cleanly')
    })
    live.end()
  }

  /** libp2p's node and what stands on it, not started. */
  async #create (): Promise<Running> {
    const { admission, seed, log } = this.#components
    const { gatekeeper, react, nat, services, relayLink } = this.#parts
    const discovery = this.#init.mdns ? await localDiscovery(admission.meshSecret, peer => { react.discovered(deviceOf(peer.id), addressesOf(peer)) }) : undefined
    const node = await createLibp2pNode({
      seed, admission, gatekeeper, ...this.#init, discovery, relayLink, relays: () => nat.relays, others: () => nat.addresses(),
      doorEvents: { refused: (device, code) => { log.info({ device, code }, 'refused a device at the door') } },
    })
    const links = new Links(node)
    const clients = new Clients({ links, meshId: admission.meshId, concurrencyMax: service => services.concurrencyMax(service) })
    const kad = new KadGuard({ dht: node.services.dht, peerStore: node.peerStore, isMember: device => gatekeeper.allows(device, { role: 'observer' }), nowMs: () => performance.now() })
    return { node, discovery, links, clients, kad, epoch: randomBytes(8) }
  }
}
