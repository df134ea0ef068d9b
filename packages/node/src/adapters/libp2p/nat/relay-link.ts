/**
 * Circuit relay v2 as this mesh uses it: members only, and with bounds that carry builds. The library's own (15 reservations,
 * 128 KiB and 2 minutes per connection) are made for strangers, and would cut an exchange of notes in the middle.
 */
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import type { CircuitRelayServerComponents, CircuitRelayService, CircuitRelayTransportComponents } from '@libp2p/circuit-relay-v2'
import type { Connection, PeerId, Stream, Transport } from '@libp2p/interface'
import type { DeviceId } from '@elder-node/protocol'
import { peerIdOf } from '../peer-id.ts'

/** Devices that nobody can dial, and that this one keeps a way open to. */
const RESERVATIONS_MAX = 64
/** Relayed connections that one member may have open through this device, and one may receive. */
const RELAYED_PER_PEER_MAX = 64
/** After either, the connection ends and the next one is made within a second. */
const RELAYED_BYTES_MAX = 17_179_869_184n
const RELAYED_MS_MAX = 86_400_000
const HOP_MS = 10_000
const RESERVE_MS = 10_000

export function relayServer (): (components: CircuitRelayServerComponents) => CircuitRelayService {
  return circuitRelayServer({
    maxInboundHopStreams: RELAYED_PER_PEER_MAX,
    maxOutboundStopStreams: RELAYED_PER_PEER_MAX,
    hopTimeout: HOP_MS,
    reservations: { maxReservations: RESERVATIONS_MAX, defaultDataLimit: RELAYED_BYTES_MAX, defaultDurationLimit: RELAYED_MS_MAX },
  })
}

/** The device's place among those that this one keeps a way open to. The library gives it back when it expires, hours later. */
export function removeReservation (relay: CircuitRelayService, device: DeviceId): void {
  const { reservationStore } = relay as unknown as { reservationStore: { removeReservation (peer: PeerId): void } }
  reservationStore.removeReservation(peerIdOf(device))
}

export interface RelayLink {
  /** The transport: dials through relays, and is dialled through those it has reserved on. */
  transport: (components: CircuitRelayTransportComponents) => Transport
  /** Asks the device to pass on connections; renewed by itself while we are connected to it. */
  reserve (relay: PeerId): Promise<void>
  isReserved (relay: PeerId): boolean
  cancelAll (): void
}

/** What the library keeps of its reservations, and what it does when a relay brings a connection; not in the type of its transport. */
interface Reserving {
  onStop (stream: Stream, connection: Connection): Promise<void>
  reservationStore: { addRelay (relay: PeerId, type: 'configured'): Promise<unknown>, hasReservation (relay: PeerId): boolean, cancelReservations (): void }
}

export function relayLink (): RelayLink {
  let store: Reserving['reservationStore'] | undefined
  return {
    transport: components => {
      const transport = circuitRelayTransport({ reservationCompletionTimeout: RESERVE_MS, maxInboundStopStreams: RELAYED_PER_PEER_MAX })(components)
      const reserving = transport as unknown as Reserving
      const { reservationStore, onStop } = reserving
      store = reservationStore
      // The library would make a reservation, and a listener each time, with any member that claims to bring a connection.
      reserving.onStop = async (stream, connection) => {
        if (reservationStore.hasReservation(connection.remotePeer)) await onStop(stream, connection)
        else stream.abort(new Error('no relay of ours'))
      }
      return transport
    },
    reserve: async relay => { await store?.addRelay(relay, 'configured') },
    isReserved: relay => store?.hasReservation(relay) ?? false,
    cancelAll: () => { store?.cancelReservations() },
  }
}
