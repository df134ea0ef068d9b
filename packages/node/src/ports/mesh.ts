/**
 * The mesh as services see it: admitted members only, never a socket. One implementation stands on libp2p.
 *
 * "Connected" is not "admitted": a device appears in {@link Mesh.peers} only after its hello was accepted.
 */
import type { DeviceId, Value } from '@elder-node/protocol'
import type { RefusalCode } from './admission.ts'

/** The services a device answers. Each has one long-lived request stream per peer, and streams of its own on demand. */
export type Service = 'roster' | 'join' | 'heads' | 'probe' | 'claim' | 'build' | 'sync'

/** The gossip topics of a mesh. */
export type Topic = 'advert' | 'stack' | 'roster'

export interface Peer {
  device: DeviceId
  path: 'direct' | 'relay'
  /** Smoothed round trip in milliseconds, measured on our own probe; undefined until the first answer. */
  rttMs: number | undefined
  /** Multiaddr text of the live connection. */
  address: string
  /** The member that passes the connection on, when `path` is `relay`. It sees sealed bytes only. */
  relay?: DeviceId
  /** It has not answered for a moment, and will be gone unless it does soon. */
  suspect?: boolean
}

/** Whether devices on other networks can dial this one: `unknown` until one of them has tried. */
export type Reachable = 'public' | 'private' | 'unknown'

/** How this device is reached, and what it does for others. */
export interface Reach {
  reachable: Reachable
  /** Members through which devices that cannot dial this one reach it. */
  through: DeviceId[]
  /** This device passes connections on for members. */
  relays: boolean
}

export interface CallOptions { signal: AbortSignal }

/** One address that was dialled by itself; `error` in a few words, null when it answered. */
export interface Tried { address: string, error: string | null }

/**
 * One bidirectional stream of bounded frames.
 *
 * Iterating ends when the peer closed its side after its last frame; it throws when the stream was reset or a frame broke
 * its bound. Frames that arrive before iteration starts are kept, up to the transport's buffer.
 */
export interface FrameStream extends AsyncIterable<Uint8Array> {
  readonly device: DeviceId
  /** Resolves when the transport takes more: honours back-pressure. Rejects once the stream is closed. */
  send (frame: Uint8Array): Promise<void>
  /** No more frames from us; frames from the peer still arrive. */
  close (): Promise<void>
  /** Resets the stream now, for both sides. */
  abort (reason: Error): void
}

/** Answers one request. What it throws travels as ErrorJson (`code`, `message`, `fix`). */
export type RequestHandler = (from: DeviceId, message: Value, options: CallOptions) => Promise<Value> | Value
export type StreamHandler = (stream: FrameStream, options: CallOptions) => Promise<void>
export type GossipHandler = (from: DeviceId, message: Value) => void

/** What the gate demands of the caller before a handler runs. Deny by default: a service without a handler is not there. */
export interface Gate {
  role: 'observer' | 'member' | 'builder' | 'admin'
  /** Requests a peer may have open at once. @default 32 */
  concurrencyMax?: number
  /** Milliseconds until the handler's signal aborts. @default 10_000 for requests, none for streams */
  deadlineMs?: number
}

export interface MeshEvents {
  /** A device was admitted: hello done, handlers live. */
  admitted: (device: DeviceId) => void
  /** The last connection to the device is gone. */
  gone: (device: DeviceId) => void
  /** A measured round trip. */
  rtt: (device: DeviceId, rttMs: number) => void
  /** A member's door said no to this device: `revoked` means this device was evicted. */
  refused: (device: DeviceId, code: RefusalCode) => void
}

export interface Mesh {
  readonly self: DeviceId
  /** Dialable multiaddrs of this node, each with `/p2p/`. */
  addresses (): string[]
  peers (): Peer[]
  reach (): Reach
  on<E extends keyof MeshEvents> (event: E, listener: MeshEvents[E]): () => void
  /** Register before start. At most one handler per service and kind. */
  onRequest (service: Service, gate: Gate, handler: RequestHandler): void
  onStream (service: Service, gate: Gate, handler: StreamHandler): void
  /** Messages of members only, already bounded and decoded; `from` is the signing author, verified. */
  onGossip (topic: Topic, gate: Gate, handler: GossipHandler): void
  /** @throws ElderError with the peer's code; `UNREACHABLE` when there is no connection and none can be made. */
  request (device: DeviceId, service: Service, message: unknown, options: CallOptions): Promise<Value>
  openStream (device: DeviceId, service: Service, options: CallOptions): Promise<FrameStream>
  /** Gossips one message; lossy, unordered. Resolves with the number of peers it was handed to. */
  broadcast (topic: Topic, message: unknown): Promise<number>
  /** Measures the round trip now. @throws ElderError `UNREACHABLE` | `TIMEOUT` */
  probe (device: DeviceId, options: CallOptions): Promise<number>
  /** Closes every connection to the device and forgets it (after a revocation). */
  expel (device: DeviceId): Promise<void>
  start (): Promise<void>
  /** Never rejects. */
  stop (): Promise<void>
}

/** Slow facts in the DHT: "I am a builder for linux/x64 with this engine". Never "free now". */
export interface Directory {
  /** Says that this device provides the capability; renewed until {@link withdraw}. */
  provide (capability: string, options: CallOptions): Promise<void>
  withdraw (capability: string): Promise<void>
  /** Devices that said so, each once, as they are found. May hold devices that are gone. Ends at `signal` or after a full walk. */
  find (capability: string, options: CallOptions): AsyncIterable<DeviceId>
}
