/** The live connections by device. State is kept by device, never by connection: two devices that dial each other have two. */
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { deviceOfAddress } from '@elder-node/protocol'
import type { DeviceId } from '@elder-node/protocol'
import { peerIdOf } from './peer-id.ts'
import { unreachable } from './request-client.ts'

/** More than any node needs; a peer's list is bounded when it is learned, this bounds what a caller may pass. */
const ADDRESSES_MAX = 16
const SIMULTANEOUS_MS = 2_000

export class Links {
  readonly #node: Libp2p

  constructor (node: Libp2p) { this.#node = node }

  /** Direct ones first, newest first: after a change of address the older one is the dead one. */
  open (device: DeviceId): Connection[] {
    return this.#node.getConnections(peerIdOf(device))
      .filter(connection => connection.status === 'open')
      .sort((a, b) => Number(b.direct) - Number(a.direct) || b.timeline.open - a.timeline.open)
  }

  /** Opens a stream on the first connection that gives one. @throws ElderError `UNREACHABLE` */
  async stream (device: DeviceId, protocol: string, signal: AbortSignal): Promise<Stream> {
    let why = 'there is no connection'
    for (const connection of this.open(device)) {
      try {
        return await connection.newStream([protocol], { signal, maxOutboundStreams: 256, runOnLimitedConnection: true })
      } catch (error) {
        why = (error as Error).message
        if (signal.aborted) break
        // Its muxer is gone and its socket not yet: nothing will come of it any more.
        if ((error as Error).name === 'ConnectionClosedError') connection.abort(error as Error)
      }
    }
    throw unreachable(device, why)
  }

  /**
   * Tries the addresses in turn; resolves once the door said yes. Addresses of other devices are left out: the knock and
   * Noise would refuse them, after a time-out each. Without any, asks what libp2p knows and then the DHT. Rejects as libp2p does.
   */
  async dial (device: DeviceId, addresses: string[], signal: AbortSignal): Promise<void> {
    const targets = addresses.filter(address => deviceOfAddress(address) === device).slice(0, ADDRESSES_MAX)
    await this.#node.dial(targets.length > 0 ? targets.map(address => multiaddr(address)) : peerIdOf(device), { signal })
  }

  /** abort, not close: close waits for the peer. */
  abort (device: DeviceId, reason: Error): void {
    for (const connection of this.#node.getConnections(peerIdOf(device))) connection.abort(reason)
  }

  /** The peer says that this connection is its only one: older ones are dead at its end. Those of one simultaneous dial are not older. */
  abortOlder (device: DeviceId, than: Connection): void {
    for (const connection of this.#node.getConnections(peerIdOf(device))) {
      if (connection.timeline.open < than.timeline.open - SIMULTANEOUS_MS) connection.abort(new Error('the peer has a newer connection'))
    }
  }
}
