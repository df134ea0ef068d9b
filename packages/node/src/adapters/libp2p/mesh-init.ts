/** What a mesh over libp2p takes and gives, beyond the port. */
import type { Admission } from '../../ports/admission.ts'
import type { Clock } from '../../ports/host.ts'
import type { Logger } from '../../ports/log.ts'
import type { Metrics } from '../../ports/metrics.ts'
import type { DeviceId } from '@elder-node/protocol'
import type { CallOptions, Directory, Mesh, Tried } from '../../ports/mesh.ts'
import type { RelayChoice } from './nat/nat.ts'
import type { DialAttempt } from './supervisor.ts'

export interface Libp2pMeshComponents {
  /** Ed25519 seed of this device, 32 bytes. */
  seed: Uint8Array
  admission: Admission
  clock: Clock
  log: Logger
  /** @default not counted */
  metrics?: Metrics
}

export interface Libp2pMeshInit {
  /** Multiaddrs to listen on. @default ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0'] */
  listen?: string[]
  /** Multiaddrs to tell others besides those of the interfaces. @default [] */
  announce?: string[]
  /** Announce and discover on the local network, in clear text. @default false */
  mdns?: boolean
  /** Pass connections on for members that nobody can dial. @default 'auto' */
  relay?: RelayChoice
}

export interface Libp2pMesh extends Mesh {
  readonly directory: Directory
  /** The last dial per device, with every address tried. */
  attempts (): DialAttempt[]
  /** Dials each known address of a device by itself, until one answers. Never rejects. */
  tryAddresses (device: DeviceId, options: CallOptions): Promise<Tried[]>
  /** Whether mDNS runs, and whom it has found. */
  localDiscovery (): { on: boolean, found: DeviceId[] }
  /** How far the clock of each connected device was ahead of this one when it last said hello, milliseconds; good to a round trip. */
  clocks (): Array<{ device: DeviceId, aheadMs: number }>
}

const LISTEN = ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0']

export function withDefaults (init: Libp2pMeshInit): Required<Libp2pMeshInit> {
  return { listen: init.listen ?? LISTEN, announce: init.announce ?? [], mdns: init.mdns ?? false, relay: init.relay ?? 'auto' }
}
