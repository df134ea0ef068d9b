/**
 * The Mesh port between several nodes of one process: for tests of services, without sockets.
 *
 * What is real: the door (each connection asks both Admissions, as the transport does), CBOR on every message, the gate's
 * role check, concurrency and deadline, errors as ErrorJson, one asynchronous turn per delivery, removal on revocation.
 * What is not: latency, loss and back-pressure. Links are cut and made by hand: `connect`, `disconnect`.
 *
 *   const network = new MemoryNetwork()
 *   const a = network.join(deviceA, admissionA)      // register handlers, then: await a.start()
 *   await network.connect(a.self, b.self)            // a dials b; throws `refused:<code>` when the door says no
 */
import { decode, ElderError, encode, LIMITS, hasRole, peerIdOf, type DeviceId, type ErrorJson, type Role, type Value } from '@elder-node/protocol'
import type { Admission } from '../../src/ports/admission.ts'
import type { CallOptions, FrameStream, Gate, GossipHandler, Mesh, MeshEvents, Peer, Reach, RequestHandler, Service, StreamHandler, Topic } from '../../src/ports/mesh.ts'
import { streamPair } from './memory-stream.ts'

/** What the mesh needs of an Admission; tests of other services may pass {@link openDoor}. */
export type Doorkeeper = Pick<Admission, 'hello' | 'decide' | 'greeted' | 'refused' | 'role' | 'onRemoved'>

/** Lets everybody in, with one role for all. */
export function openDoor (role: Role = 'admin'): Doorkeeper {
  return { hello: () => ({}), decide: async () => ({ ok: true, answer: {} }), greeted: () => {}, refused: () => {}, role: () => role, onRemoved: () => () => {} }
}

export class MemoryNetwork {
  readonly #nodes = new Map<DeviceId, MemoryMesh>()
  readonly #links = new Set<string>()

  /** A node on this network. Starts offline: `start` lets it be dialed. */
  join (device: DeviceId, admission: Doorkeeper = openDoor()): MemoryMesh {
    const mesh = new MemoryMesh(device, admission, this)
    this.#nodes.set(device, mesh)
    return mesh
  }

  node (device: DeviceId): MemoryMesh | undefined { return this.#nodes.get(device) }

  /** `from` dials `to` through the door. @throws Error `refused:<code>` | `UNREACHABLE` */
  async connect (from: DeviceId, to: DeviceId, { signal = AbortSignal.timeout(5000) }: Partial<CallOptions> = {}): Promise<void> {
    const dialer = this.#nodes.get(from)
    const listener = this.#nodes.get(to)
    if (dialer?.running !== true || listener?.running !== true) throw unreachable(to)
    if (this.linked(from, to)) return
    const verdict = await listener.admission.decide(from, overWire(dialer.admission.hello(to)), { signal })
    if (!verdict.ok) {
      dialer.admission.refused(to, verdict.code, verdict.proof === undefined ? undefined : overWire(verdict.proof))
      dialer.emit('refused', to, verdict.code)
      throw new Error(`refused:${verdict.code}`)
    }
    dialer.admission.greeted(to, overWire(verdict.answer))
    this.#links.add(linkName(from, to))
    listener.emit('admitted', from)
    dialer.emit('admitted', to)
  }

  disconnect (a: DeviceId, b: DeviceId): void {
    if (!this.#links.delete(linkName(a, b))) return
    this.#nodes.get(a)?.emit('gone', b)
    this.#nodes.get(b)?.emit('gone', a)
  }

  linked (a: DeviceId, b: DeviceId): boolean { return this.#links.has(linkName(a, b)) }

  peersOf (device: DeviceId): DeviceId[] { return [...this.#nodes.keys()].filter(other => this.linked(device, other)) }
}

interface Registered<Handler> { gate: Gate, handler: Handler, open: number }

export class MemoryMesh implements Mesh {
  readonly self: DeviceId
  readonly admission: Doorkeeper
  /** Requests served, by service: for tests that count round trips. */
  readonly served: Map<Service, number> = new Map()
  running = false
  readonly #network: MemoryNetwork
  readonly #requests = new Map<Service, Registered<RequestHandler>>()
  readonly #streams = new Map<Service, Registered<StreamHandler>>()
  readonly #topics = new Map<Topic, Registered<GossipHandler>>()
  readonly #listeners: { [E in keyof MeshEvents]: Set<MeshEvents[E]> } = { admitted: new Set(), gone: new Set(), rtt: new Set(), refused: new Set() }

  constructor (self: DeviceId, admission: Doorkeeper, network: MemoryNetwork) {
    this.self = self
    this.admission = admission
    this.#network = network
    admission.onRemoved(device => { void this.expel(device) })
  }

  addresses (): string[] { return [`/memory/${this.self.slice(0, 8)}/p2p/${peerIdOf(this.self)}`] }

  reach (): Reach { return { reachable: 'unknown', through: [], relays: false } }

  peers (): Peer[] {
    return this.#network.peersOf(this.self).map(device => ({ device, path: 'direct', rttMs: 0.1, address: `/memory/${device.slice(0, 8)}/p2p/${peerIdOf(device)}` }))
  }

  on<E extends keyof MeshEvents> (event: E, listener: MeshEvents[E]): () => void {
    const listeners: Set<MeshEvents[E]> = this.#listeners[event]
    listeners.add(listener)
    return () => { listeners.delete(listener) }
  }

  emit<E extends keyof MeshEvents> (event: E, ...args: Parameters<MeshEvents[E]>): void {
    const listeners: Set<MeshEvents[E]> = this.#listeners[event]
    for (const listener of listeners) (listener as (...args: Parameters<MeshEvents[E]>) => void)(...args)
  }

  onRequest (service: Service, gate: Gate, handler: RequestHandler): void { register(this.#requests, service, gate, handler) }
  onStream (service: Service, gate: Gate, handler: StreamHandler): void { register(this.#streams, service, gate, handler) }
  onGossip (topic: Topic, gate: Gate, handler: GossipHandler): void { register(this.#topics, topic, gate, handler) }

  async request (device: DeviceId, service: Service, message: unknown, { signal }: CallOptions): Promise<Value> {
    const peer = this.#reach(device)
    const answer = peer.#serve(this.self, service, overWire(message))
    const reply = await abortable(answer, signal, device)
    this.#reach(device)
    return reply
  }

  async openStream (device: DeviceId, service: Service): Promise<FrameStream> {
    const peer = this.#reach(device)
    const registered = peer.#admit(peer.#streams, this.self, service)
    const [ours, theirs] = streamPair(device, this.self)
    const lost = this.on('gone', gone => { if (gone === device) ours.abort(unreachable(device)) })
    const controller = new AbortController()
    registered.open++
    void turn().then(() => registered.handler(theirs, { signal: controller.signal }))
      .then(() => theirs.close(), error => { theirs.abort(error as Error) })
      .finally(() => { registered.open--; controller.abort(); lost() })
    return ours
  }

  /** Floods: to the peers, and on through those who had not seen it. */
  async broadcast (topic: Topic, message: unknown): Promise<number> {
    const value = overWire(message, LIMITS.gossipBytesMax)
    const peers = this.#network.peersOf(this.self)
    const seen = new Set([this.self])
    for (let hop = [this.self]; hop.length > 0;) {
      const next = hop.flatMap(device => this.#network.peersOf(device)).filter(device => !seen.has(device))
      hop = [...new Set(next)]
      for (const device of hop) seen.add(device)
    }
    seen.delete(this.self)
    for (const device of seen) {
      const peer = this.#network.node(device)
      if (peer !== undefined) void turn().then(() => { peer.#hear(this.self, topic, value) })
    }
    return peers.length
  }

  async probe (device: DeviceId): Promise<number> {
    this.#reach(device)
    this.emit('rtt', device, 0.1)
    return 0.1
  }

  async expel (device: DeviceId): Promise<void> { this.#network.disconnect(this.self, device) }

  async start (): Promise<void> { this.running = true }

  async stop (): Promise<void> {
    this.running = false
    for (const device of this.#network.peersOf(this.self)) this.#network.disconnect(this.self, device)
  }

  async #serve (from: DeviceId, service: Service, message: Value): Promise<Value> {
    await turn()
    const registered = this.#admit(this.#requests, from, service)
    this.served.set(service, (this.served.get(service) ?? 0) + 1)
    registered.open++
    try {
      const signal = AbortSignal.timeout(registered.gate.deadlineMs ?? 10_000)
      return overWire(await registered.handler(from, message, { signal }))
    } catch (error) {
      throw ElderError.fromJSON(errorJson(error))
    } finally {
      registered.open--
      await turn()
    }
  }

  #hear (from: DeviceId, topic: Topic, message: Value): void {
    const registered = this.#topics.get(topic)
    if (this.running && registered !== undefined && hasRole(this.admission.role(from), registered.gate.role)) registered.handler(from, message)
  }

  #admit<Handler> (handlers: Map<Service, Registered<Handler>>, from: DeviceId, service: Service): Registered<Handler> {
    const registered = handlers.get(service)
    if (registered === undefined) throw new ElderError('NO_SUCH_SERVICE', `${service} is not served here`)
    if (!hasRole(this.admission.role(from), registered.gate.role)) throw new ElderError('FORBIDDEN', `${service} needs the role ${registered.gate.role}`)
    if (registered.open >= (registered.gate.concurrencyMax ?? 32)) throw new ElderError('BUSY', `too many open calls of ${service}`)
    return registered
  }

  #reach (device: DeviceId): MemoryMesh {
    const peer = this.#network.node(device)
    if (peer === undefined || !peer.running || !this.#network.linked(this.self, device)) throw unreachable(device)
    return peer
  }
}

function register<Key, Handler> (handlers: Map<Key, Registered<Handler>>, key: Key, gate: Gate, handler: Handler): void {
  if (handlers.has(key)) throw new Error(`${String(key)} has a handler already`)
  handlers.set(key, { gate, handler, open: 0 })
}

/** As the other side reads it: canonical, bounded, a copy. */
function overWire (message: unknown, bytesMax: number = LIMITS.frameBytesMax): Value { return decode(encode(message), bytesMax) }

function turn (): Promise<void> { return new Promise(resolve => { setImmediate(resolve) }) }

function linkName (a: DeviceId, b: DeviceId): string { return [a, b].sort().join(' ') }

function unreachable (device: DeviceId): ElderError { return new ElderError('UNREACHABLE', `no connection to ${device.slice(0, 8)}`) }

function errorJson (error: unknown): ErrorJson {
  if (error instanceof ElderError) return error.toJSON()
  return { code: 'INTERNAL', message: (error as Error).message, fix: '' }
}

function abortable (answer: Promise<Value>, signal: AbortSignal, device: DeviceId): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => { reject(new ElderError('TIMEOUT', `${device.slice(0, 8)} did not answer in time`)) }
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    answer.then(resolve, reject).finally(() => { signal.removeEventListener('abort', onAbort) })
  })
}
