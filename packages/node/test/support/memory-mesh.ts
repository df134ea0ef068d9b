/**
 * The Mesh port between several nodes of one process: for tests of services, without sockets.
 *
 * What is real: the door (each connection asks both Admissions, as the transport does), the gate, and the wire of requests, which
 * is the code of the libp2p adapter over streams in memory. Streams keep the order, hold a fast sender up and break as real ones
 * do. `test/mesh/acceptance.ts` holds this mesh and the one over libp2p to the same promises.
 * What is not: links are cut and made by hand (`connect`, `disconnect`), and a message takes one turn of the event loop, unless
 * the network is made with another {@link Carrier}.
 *
 *   const network = new MemoryNetwork()
 *   const a = network.join(deviceA, admissionA)      // register handlers, then: await a.start()
 *   await network.connect(a.self, b.self)            // a dials b; throws `refused:<code>` when the door says no
 */
import { decode, ElderError, encode, hasRole, LIMITS, peerIdOf, type DeviceId, type Value } from '@elder-node/protocol'
import { Events } from '../../src/adapters/libp2p/events.ts'
import { CONCURRENCY_MAX, Gatekeeper } from '../../src/adapters/libp2p/gate.ts'
import { aborted, RequestClient, unreachable, type RequestStream } from '../../src/adapters/libp2p/request-client.ts'
import { serveRequests } from '../../src/adapters/libp2p/request-server.ts'
import { FAREWELL_MS } from '../../src/ports/admission.ts'
import type {
  CallOptions, FrameStream, Gate, GossipHandler, Mesh, MeshEvents, Peer, Reach, RequestHandler, Service, StreamHandler, Topic,
} from '../../src/ports/mesh.ts'
import { MemoryRoster, type Doorkeeper } from './memory-roster.ts'
import { MemoryStream, reset, streamPair } from './memory-stream.ts'

export interface Carrier {
  /** Takes something from one device to another: later, and in the order in which it was given for these two. */
  carry (from: DeviceId, to: DeviceId, deliver: () => void): void
  /** Does something as this device: what happens to a device on its own account. */
  within (device: DeviceId, act: () => void): void
}

const TURN_OF_THE_LOOP: Carrier = { carry: (_from, _to, deliver) => { setImmediate(deliver) }, within: (_device, act) => { act() } }

const DOOR_MS = 5_000
/** A handler has ended: the peer may take this long to end its own side. */
const LINGER_MS = 5_000
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** One connection: what is open on it breaks with it. */
class Link {
  readonly ends: readonly [MemoryMesh, MemoryMesh]
  readonly streams = new Set<MemoryStream>()
  constructor (a: MemoryMesh, b: MemoryMesh) { this.ends = [a, b] }
}

export class MemoryNetwork {
  readonly #nodes = new Map<DeviceId, MemoryMesh>()
  /** By either end. */
  readonly #links = new Map<DeviceId, Map<DeviceId, Link>>()
  readonly #carrier: Carrier

  constructor (carrier: Carrier = TURN_OF_THE_LOOP) { this.#carrier = carrier }

  carry (from: DeviceId, to: DeviceId, deliver: () => void): void { this.#carrier.carry(from, to, deliver) }

  /** A node on this network. Starts offline: `start` lets it be dialed. A later life of the device takes the place of the earlier. */
  join (device: DeviceId, admission: Doorkeeper = new MemoryRoster('admin').door()): MemoryMesh {
    const mesh = new MemoryMesh(device, admission, this)
    this.#nodes.set(device, mesh)
    for (const peer of this.peersOf(device)) this.disconnect(device, peer)
    return mesh
  }

  node (device: DeviceId): MemoryMesh | undefined { return this.#nodes.get(device) }

  /** `from` dials `to` through the door. @throws Error `refused:<code>` | `UNREACHABLE` */
  async connect (from: DeviceId, to: DeviceId, { signal = AbortSignal.timeout(DOOR_MS) }: Partial<CallOptions> = {}): Promise<void> {
    const dialer = this.#nodes.get(from)
    const listener = this.#nodes.get(to)
    if (dialer?.running !== true || listener?.running !== true) throw unreachable(to, 'it does not run')
    if (this.linked(from, to)) return
    const hello = overWire(dialer.admission.hello(to))
    const verdict = await this.#ask(from, to, () => listener.admission.decide(from, hello, { signal }), signal)
    if (!verdict.ok) {
      dialer.admission.refused(to, verdict.code, verdict.proof === undefined ? undefined : overWire(verdict.proof))
      dialer.emit('refused', to, verdict.code)
      throw new Error(`refused:${verdict.code}`)
    }
    dialer.admission.greeted(to, overWire(verdict.answer))
    if (this.#nodes.get(from) !== dialer || this.#nodes.get(to) !== listener || !dialer.running || !listener.running) {
      throw unreachable(to, 'it went away meanwhile')
    }
    // Removed while the connection was being made: there was nothing to close yet.
    if (listener.admission.role(from) === undefined || dialer.admission.role(to) === undefined) throw unreachable(to, 'it is no member any more')
    if (this.linked(from, to)) return
    const link = new Link(dialer, listener)
    this.#linksOf(from).set(to, link)
    this.#linksOf(to).set(from, link)
    dialer.emit('admitted', to)
    await this.#ask(from, to, async () => { if (this.linked(from, to)) listener.emit('admitted', from) }, signal)
  }

  disconnect (a: DeviceId, b: DeviceId): void {
    const link = this.link(a, b)
    if (link === undefined) return
    this.#linksOf(a).delete(b)
    this.#linksOf(b).delete(a)
    const [first, second] = link.ends
    for (const [end, other] of [[first, second], [second, first]] as const) {
      // An earlier life of the device: nobody is there to hear of it.
      if (this.#nodes.get(end.self) !== end) continue
      this.#carrier.within(end.self, () => {
        for (const stream of link.streams) if (stream.device === other.self) stream.break(reset('the connection closed'))
        end.gone(other.self)
      })
    }
  }

  linked (a: DeviceId, b: DeviceId): boolean { return this.link(a, b) !== undefined }

  link (a: DeviceId, b: DeviceId): Link | undefined { return this.#links.get(a)?.get(b) }

  peersOf (device: DeviceId): DeviceId[] { return [...this.#links.get(device)?.keys() ?? []] }

  #linksOf (device: DeviceId): Map<DeviceId, Link> {
    const links = this.#links.get(device) ?? new Map<DeviceId, Link>()
    this.#links.set(device, links)
    return links
  }

  /** `act` happens there, its result comes back. */
  #ask<T> (from: DeviceId, to: DeviceId, act: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => { reject(aborted(signal, to)) }, { once: true })
      if (signal.aborted) reject(aborted(signal, to))
      this.carry(from, to, () => {
        act().then(value => { this.carry(to, from, () => { resolve(value) }) }, (error: Error) => { this.carry(to, from, () => { reject(error) }) })
      })
    })
  }
}

interface Registered<Handler> { gate: Gate, handler: Handler }

export class MemoryMesh implements Mesh {
  readonly self: DeviceId
  readonly address: string
  readonly admission: Doorkeeper
  /** Requests served, by service: for tests that count round trips. */
  readonly served: Map<Service, number> = new Map()
  /** Why streams that this node served broke: the peer does not learn it. */
  readonly broken: string[] = []
  running = false
  readonly #network: MemoryNetwork
  readonly #gatekeeper: Gatekeeper
  readonly #requests = new Map<Service, Registered<RequestHandler>>()
  readonly #streams = new Map<Service, Registered<StreamHandler>>()
  readonly #topics = new Map<Topic, Registered<GossipHandler>>()
  readonly #clients = new Map<string, RequestClient>()
  readonly #events = new Events<MeshEvents>(() => {})
  #offRemoved: () => void = () => {}

  constructor (self: DeviceId, admission: Doorkeeper, network: MemoryNetwork) {
    this.self = self
    this.address = `/memory/${self.slice(0, 8)}/p2p/${peerIdOf(self)}`
    this.admission = admission
    this.#network = network
    this.#gatekeeper = new Gatekeeper(device => this.admission.role(device))
  }

  addresses (): string[] { return this.running ? [this.address] : [] }

  reach (): Reach { return { reachable: 'unknown', through: [], relays: false } }

  peers (): Peer[] {
    return this.#network.peersOf(this.self).map(device => ({ device, path: 'direct', rttMs: 0.1, address: this.#network.node(device)?.address ?? '' }))
  }

  on<E extends keyof MeshEvents> (event: E, listener: MeshEvents[E]): () => void { return this.#events.on(event, listener) }

  emit<E extends keyof MeshEvents> (event: E, ...args: Parameters<MeshEvents[E]>): void { this.#events.emit(event, ...args) }

  onRequest (service: Service, gate: Gate, handler: RequestHandler): void { this.#register(this.#requests, service, gate, handler) }
  onStream (service: Service, gate: Gate, handler: StreamHandler): void { this.#register(this.#streams, service, gate, handler) }
  onGossip (topic: Topic, gate: Gate, handler: GossipHandler): void { this.#register(this.#topics, topic, gate, handler) }

  async request (device: DeviceId, service: Service, message: unknown, { signal }: CallOptions): Promise<Value> {
    this.#demandPeer(device, signal)
    return await this.#client(device, service).request(message, signal)
  }

  async openStream (device: DeviceId, service: Service, { signal }: CallOptions): Promise<FrameStream> {
    this.#demandPeer(device, signal)
    return await this.#open(device, service, signal, peer => peer.#acceptStream(service))
  }

  /** Floods: to the peers, and on through those who accept it. */
  async broadcast (topic: Topic, message: unknown): Promise<number> {
    if (encode(message).length > LIMITS.gossipBytesMax) throw new ElderError('TOO_LARGE', 'a gossip message exceeds the bound')
    const seen = new Set([this.self])
    const pass = (from: MemoryMesh): number => {
      const next = this.#network.peersOf(from.self).filter(device => !seen.has(device))
      for (const device of next) {
        seen.add(device)
        this.#network.carry(from.self, device, () => {
          const peer = this.#network.node(device)
          if (peer?.running === true && peer.#hear(this.self, topic, overWire(message))) pass(peer)
        })
      }
      return next.length
    }
    return pass(this)
  }

  async probe (device: DeviceId, { signal }: CallOptions): Promise<number> {
    this.#demandPeer(device, signal)
    const carry = this.#network.carry.bind(this.#network)
    const sentAtMs = performance.now()
    await new Promise<void>((resolve, reject) => {
      const off = this.on('gone', gone => { if (gone === device) reject(unreachable(device, 'the connection closed')) })
      const give = (): void => { off(); reject(aborted(signal, device)) }
      signal.addEventListener('abort', give, { once: true })
      carry(this.self, device, () => {
        carry(device, this.self, () => { off(); signal.removeEventListener('abort', give); resolve() })
      })
    })
    const rttMs = Math.max(0.001, performance.now() - sentAtMs)
    this.emit('rtt', device, rttMs)
    return rttMs
  }

  async expel (device: DeviceId): Promise<void> { this.#network.disconnect(this.self, device) }

  async start (): Promise<void> {
    this.#demandStopped()
    this.running = true
    this.#offRemoved = this.admission.onRemoved((device, left) => {
      if (left) setTimeout(() => { void this.expel(device) }, FAREWELL_MS).unref()
      else void this.expel(device)
    })
  }

  async stop (): Promise<void> {
    this.running = false
    this.#offRemoved()
    for (const device of this.#network.peersOf(this.self)) this.#network.disconnect(this.self, device)
  }

  /** The connection to the device is gone: what waits on it rejects now. */
  gone (device: DeviceId): void {
    for (const [key, client] of this.#clients) {
      if (!key.startsWith(device)) continue
      client.close()
      this.#clients.delete(key)
    }
    this.emit('gone', device)
  }

  // --- the answering half

  #acceptRequests (service: Service): ((stream: MemoryStream) => void) | undefined {
    const registered = this.#requests.get(service)
    if (registered === undefined) return undefined
    const handler: RequestHandler = (from, message, options) => {
      this.served.set(service, (this.served.get(service) ?? 0) + 1)
      return registered.handler(from, message, options)
    }
    return stream => { void serveRequests(stream, { name: service, gate: registered.gate, handler }, this.#gatekeeper, silent) }
  }

  #acceptStream (service: Service): ((stream: MemoryStream) => void) | undefined {
    const registered = this.#streams.get(service)
    return registered === undefined ? undefined : stream => { void this.#serveStream(stream, `${service}/stream`, registered) }
  }

  async #serveStream (stream: MemoryStream, name: string, { gate, handler }: Registered<StreamHandler>): Promise<void> {
    let leave: (() => void) | undefined
    let timer: ReturnType<typeof setTimeout> | undefined
    stream.closed.addEventListener('abort', () => { if (stream.failure !== undefined) this.broken.push(stream.failure.message) })
    try {
      leave = this.#gatekeeper.enter(stream.device, name, gate)
      if (gate.deadlineMs !== undefined) timer = setTimeout(() => { stream.abort(new Error(`${name} took too long`)) }, gate.deadlineMs)
      await handler(stream, { signal: stream.closed })
      await stream.close()
      linger(stream)
    } catch (error) {
      stream.abort(error as Error)
    } finally {
      clearTimeout(timer)
      leave?.()
    }
  }

  #hear (from: DeviceId, topic: Topic, message: Value): boolean {
    const registered = this.#topics.get(topic)
    if (!hasRole(this.admission.role(from), registered?.gate.role ?? 'observer')) return false
    try { registered?.handler(from, message) } catch { /* a handler that fails stops nobody else */ }
    return true
  }

  // --- the asking half

  #client (device: DeviceId, service: Service): RequestClient {
    const key = `${device} ${service}`
    const known = this.#clients.get(key)
    if (known !== undefined) return known
    const open = (signal: AbortSignal): Promise<RequestStream> => this.#open(device, service, signal, peer => peer.#acceptRequests(service))
    const client = new RequestClient(device, open, { concurrencyMax: this.#requests.get(service)?.gate.concurrencyMax ?? CONCURRENCY_MAX })
    this.#clients.set(key, client)
    return client
  }

  /** One round trip, as the negotiation of a protocol takes: a service without a handler is not there. */
  #open (
    device: DeviceId, service: Service, signal: AbortSignal, acceptOf: (peer: MemoryMesh) => ((stream: MemoryStream) => void) | undefined,
  ): Promise<MemoryStream> {
    const link = this.#network.link(this.self, device)
    const peer = link?.ends.find(end => end !== this)
    if (link === undefined || peer === undefined) return Promise.reject(unreachable(device, 'there is no connection'))
    const carry = this.#network.carry.bind(this.#network)
    const [ours, theirs] = streamPair(
      device, this.self, deliver => { carry(this.self, device, deliver) }, deliver => { carry(device, this.self, deliver) },
    )
    for (const stream of [ours, theirs]) {
      link.streams.add(stream)
      stream.closed.addEventListener('abort', () => { link.streams.delete(stream) })
    }
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => { ours.abort(new Error(why)); reject(unreachable(device, why)) }
      const onAbort = (): void => { fail('the caller gave up') }
      signal.addEventListener('abort', onAbort, { once: true })
      ours.closed.addEventListener('abort', () => { reject(unreachable(device, 'the connection closed')) })
      carry(this.self, device, () => {
        const accept = acceptOf(peer)
        if (accept !== undefined && !theirs.closed.aborted) accept(theirs)
        carry(device, this.self, () => {
          signal.removeEventListener('abort', onAbort)
          if (accept === undefined) fail(`${service} is not served there`)
          else resolve(ours)
        })
      })
    })
  }

  #demandPeer (device: DeviceId, signal: AbortSignal): void {
    if (!this.running) throw new ElderError('NOT_RUNNING', 'the mesh is not running')
    if (!this.#network.linked(this.self, device)) throw unreachable(device, 'there is no connection')
    if (signal.aborted) throw aborted(signal, device)
  }

  #register<Key, Handler> (handlers: Map<Key, Registered<Handler>>, key: Key, gate: Gate, handler: Handler): void {
    this.#demandStopped()
    if (handlers.has(key)) throw new Error(`${String(key)} has a handler already`)
    handlers.set(key, { gate, handler })
  }

  #demandStopped (): void { if (this.running) throw new Error('the mesh runs already: handlers are registered before start') }
}

/** As the other side reads it: canonical, bounded, a copy. */
function overWire (message: unknown): Value { return decode(encode(message), LIMITS.frameBytesMax) }

function linger (stream: MemoryStream): void {
  if (stream.closed.aborted) return
  const timer = setTimeout(() => { stream.abort(new Error('the peer did not end its side')) }, LINGER_MS)
  timer.unref()
  stream.closed.addEventListener('abort', () => { clearTimeout(timer) })
}
