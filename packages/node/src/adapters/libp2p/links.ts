/** The live connections by device. State is kept by device, never by connection: two devices that dial each other have two. */
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import { deviceOfAddress } from '@elder-node/protocol'
import type { DeviceId } from '@elder-node/protocol'
import { interfaceAddresses, isRelayed } from './addresses.ts'
import { dialOrder } from './dial-order.ts'
import { peerIdOf } from './peer-id.ts'
import { refusalOf } from './refusal.ts'
import { unreachable } from './request-client.ts'

/** More than any node needs; a peer's list is bounded when it is learned, this bounds what a caller may pass. */
const ADDRESSES_MAX = 16
const SIMULTANEOUS_MS = 2_000
/** Before a relay is tried: one address that answers nothing, and a second that does. */
const DIRECT_FIRST_MS = 3_500
/** What a build and an exchange run over: not broken for a shorter way. */
const LASTING = /\/stream\/1$/

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
   * Tries the addresses in turn, relays last; resolves once the door said yes. Without any, asks the DHT, and then what libp2p knows.
   * Rejects as libp2p does.
   */
  async dial (device: DeviceId, addresses: string[], signal: AbortSignal): Promise<void> {
    const targets = targetsOf(device, addresses)
    const relayed = targets.filter(isRelayed)
    const direct = targets.filter(address => !isRelayed(address))
    if (targets.length === 0) await this.#dialFound(device, signal)
    else if (relayed.length === 0 || direct.length === 0) await this.#dial(targets, { signal })
    else await this.#dial(direct, { signal: AbortSignal.any([signal, AbortSignal.timeout(DIRECT_FIRST_MS)]) }).catch((error: unknown) => this.#dialThrough(relayed, error, signal))
  }

  /** What the device says of itself now, for those that ask this one by the DHT. */
  keep (device: DeviceId, addresses: string[]): void {
    const suffix = `/p2p/${peerIdOf(device).toString()}`
    const multiaddrs = addresses.flatMap(parsed).map(address => address.decapsulate(suffix))
    // At a stop the store may be closed before.
    this.#node.peerStore.patch(peerIdOf(device), { multiaddrs }).catch(() => {})
  }

  /** A connection of its own, whatever there is already. @throws as libp2p does; Error when no address is direct */
  async dialDirect (device: DeviceId, addresses: string[], signal: AbortSignal): Promise<void> {
    const direct = targetsOf(device, addresses).filter(address => !isRelayed(address))
    if (direct.length === 0) throw new Error('no address that is not a relay')
    await this.#dial(direct, { signal, force: true })
  }

  /** Makes a connection of its own to one of these and says to which; undefined when none answered as this device. */
  async reach (device: DeviceId, addresses: string[], signal: AbortSignal): Promise<string | undefined> {
    const targets = targetsOf(device, addresses)
    if (targets.length === 0) return undefined
    try {
      return (await this.#dial(targets, { signal, force: true })).remoteAddr.toString()
    } catch {
      return undefined
    }
  }

  /** Ends the relayed connections of a device whose direct one has lasted, unless a build or an exchange runs over them. */
  retireRelayed (device: DeviceId, lastedMs: number): void {
    const open = this.open(device)
    if (!open.some(({ direct, timeline }) => direct && timeline.open <= Date.now() - lastedMs)) return
    for (const connection of open) {
      if (!connection.direct && !connection.streams.some(({ protocol }) => LASTING.test(protocol))) connection.abort(new Error('there is a direct connection'))
    }
  }

  async #dialFound (device: DeviceId, signal: AbortSignal): Promise<void> {
    // Not from the store: what is there has failed, or is older.
    const found = await this.#node.peerRouting.findPeer(peerIdOf(device), { signal, useCache: false }).then(({ multiaddrs }) => multiaddrs.map(String), () => [])
    const suffix = `/p2p/${peerIdOf(device).toString()}`
    const targets = targetsOf(device, found.map(text => text.endsWith(suffix) ? text : text + suffix))
    if (targets.length > 0) await this.dial(device, targets, signal)
    else await this.#node.dial(peerIdOf(device), { signal })
  }

  /** What the door said to a direct dial, it would say again. */
  async #dialThrough (relayed: string[], error: unknown, signal: AbortSignal): Promise<Connection> {
    if (signal.aborted || refusalOf(error) !== undefined) throw error
    return await this.#dial(relayed, { signal })
  }

  async #dial (targets: string[], options: { signal: AbortSignal, force?: boolean }): Promise<Connection> {
    return await this.#node.dial(targets.flatMap(parsed), options)
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

/** Addresses of other devices are left out: the knock and Noise would refuse them, after a time-out each. */
function targetsOf (device: DeviceId, addresses: string[]): string[] {
  return dialOrder(addresses.filter(address => deviceOfAddress(address) === device), interfaceAddresses()).slice(0, ADDRESSES_MAX)
}

/** Of a peer's list nothing but its end has been checked. */
function parsed (address: string): Multiaddr[] {
  try { return [multiaddr(address)] } catch { return [] }
}
