/** What this node answers: the handlers of services, each behind its gate, as libp2p protocols. */
import type { Connection, Stream } from '@libp2p/interface'
import { ElderError } from '@elder-node/protocol'
import type { MeshId } from '@elder-node/protocol'
import type { Gate, RequestHandler, Service, StreamHandler } from '../../ports/mesh.ts'
import type { Logger } from '../../ports/log.ts'
import { CONCURRENCY_MAX } from './gate.ts'
import type { Gatekeeper } from './gate.ts'
import { Libp2pFrameStream } from './frame-stream.ts'
import type { MeshNode } from './options.ts'
import { deviceOf } from './peer-id.ts'
import { serveRequests } from './request-server.ts'

/** `hello` and `dial-back` are the adapter's own, beside what the port names. */
export type WireService = Service | 'hello' | 'dial-back'

/** Request streams of one service on one connection: one is in use, a second while the peer replaces it. */
const REQUEST_STREAMS_MAX = 4
const OUTBOUND_STREAMS_MAX = 256
/** A handler has ended: the peer may take this long to end its own side. */
const LINGER_MS = 5_000

export function requestProtocol (meshId: MeshId, service: WireService): string { return `/elder/${meshId}/${service}/1` }
export function streamProtocol (meshId: MeshId, service: Service): string { return `/elder/${meshId}/${service}/stream/1` }

type Accept = (stream: Stream, connection: Connection) => void
interface Registered { accept: Accept, inboundMax: number }

export interface ServicesComponents { meshId: MeshId, gatekeeper: Gatekeeper, log: Logger }

export class Services {
  readonly #components: ServicesComponents
  readonly #registered = new Map<string, Registered>()
  readonly #gates = new Map<WireService, Gate>()

  constructor (components: ServicesComponents) { this.#components = components }

  onRequest (service: WireService, gate: Gate, handler: RequestHandler): void {
    this.onConnectionRequest(service, gate, () => handler)
  }

  /** As {@link onRequest}, for a handler that needs to know which connection asks. */
  onConnectionRequest (service: WireService, gate: Gate, handlerOf: (connection: Connection) => RequestHandler): void {
    const { meshId, gatekeeper, log } = this.#components
    this.#gates.set(service, gate)
    this.#register(requestProtocol(meshId, service), REQUEST_STREAMS_MAX, (stream, connection) => {
      const frames = open(stream, connection)
      if (frames !== undefined) void serveRequests(frames, { name: service, gate, handler: handlerOf(connection) }, gatekeeper, log)
    })
  }

  onStream (service: Service, gate: Gate, handler: StreamHandler): void {
    this.#register(streamProtocol(this.#components.meshId, service), (gate.concurrencyMax ?? CONCURRENCY_MAX) + 1, (stream, connection) => {
      const frames = open(stream, connection)
      if (frames !== undefined) void this.#serveStream(frames, `${service}/stream`, gate, handler)
    })
  }

  /** Requests one peer may have open at a service, which is also what this node asks at most. */
  concurrencyMax (service: WireService): number { return this.#gates.get(service)?.concurrencyMax ?? CONCURRENCY_MAX }

  async attach (node: MeshNode): Promise<void> {
    for (const [protocol, { accept, inboundMax }] of this.#registered) {
      await node.handle(protocol, accept, { maxInboundStreams: inboundMax, maxOutboundStreams: OUTBOUND_STREAMS_MAX, runOnLimitedConnection: true })
    }
  }

  #register (protocol: string, inboundMax: number, accept: Accept): void {
    if (this.#registered.has(protocol)) throw new Error(`${protocol} has a handler`)
    this.#registered.set(protocol, { accept, inboundMax })
  }

  async #serveStream (frames: Libp2pFrameStream, name: string, gate: Gate, handler: StreamHandler): Promise<void> {
    let leave: (() => void) | undefined
    let timer: ReturnType<typeof setTimeout> | undefined
    try {
      leave = this.#components.gatekeeper.enter(frames.device, name, gate)
      if (gate.deadlineMs !== undefined) timer = setTimeout(() => { frames.abort(new ElderError('TIMEOUT', `${name} took too long`)) }, gate.deadlineMs)
      await handler(frames, { signal: frames.closed })
      await frames.close()
      linger(frames)
    } catch (error) {
      this.#components.log.debug({ err: error, service: name, device: frames.device }, 'a stream ended early')
      frames.abort(error as Error)
    } finally {
      clearTimeout(timer)
      leave?.()
    }
  }
}

/** In the turn the stream is handed over, before any await: see the frame stream. */
function open (stream: Stream, connection: Connection): Libp2pFrameStream | undefined {
  const device = deviceOf(connection.remotePeer)
  if (device !== undefined) return new Libp2pFrameStream(stream, device)
  stream.abort(new Error('not a device'))
  return undefined
}

function linger (frames: Libp2pFrameStream): void {
  const timer = setTimeout(() => { frames.abort(new ElderError('TIMEOUT', 'the peer did not end its side')) }, LINGER_MS)
  timer.unref()
  frames.closed.addEventListener('abort', () => { clearTimeout(timer) })
}
