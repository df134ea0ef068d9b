/** Devices as their owner sees them: who they are, how they are, how they are reached, how one leaves. */
import type { Role } from '@elder-node/protocol'

export interface DeviceRef { id: string, name: string }

export interface DeviceStatus {
  id: string
  name: string
  role: Role
  /** Admitted, connected, fresh advert. This device itself is always online. */
  online: boolean
  rttMs: number | null
  path: 'self' | 'direct' | 'relay' | 'none'
  /** The member that passes the connection on, when the path is `relay`. */
  relay?: DeviceRef
  cpu: { cores: number, load: number } | null
  memory: { totalBytes: number, freeBytes: number } | null
  disk: { totalBytes: number, freeBytes: number } | null
  slots: { total: number, free: number }
  engine: string | null
  platform: string | null
  version: string | null
  /** ISO 8601; null when never seen. */
  lastSeen: string | null
  /** It has not answered for a moment, and will be offline unless it does soon. Such a device is not elected. */
  suspect?: true
}

export interface Problem { code: string, message: string, fix: string,
  /** The device at fault, where there is one. */
  device?: { id: string, name: string },
  /** The file to look at. */
  file?: string }

export interface PingOptions {
  /** Round trips. @default 5 */
  count?: number
  /** From the beginning of one to that of the next, milliseconds. @default 1000 */
  intervalMs?: number
  signal?: AbortSignal
}

export type PingEvent =
  /** `relay`: the member that passes the connection on, when there is no direct one. `address`: multiaddr of the connection. */
  | { event: 'pong', device: DeviceRef, seq: number, rttMs: number, path: 'direct' | 'relay', relay: DeviceRef | null, address: string }
  | { event: 'lost', device: DeviceRef, seq: number, code: 'UNREACHABLE' | 'TIMEOUT', message: string }

/** A device before it is evicted. */
export interface Evictee extends DeviceRef {
  /** Null when it is no member any more. */
  role: Role | null
  /** ISO 8601; null when this node never saw it. */
  lastSeen: string | null
  /** Those that only it added; they end with it. */
  remotes: Array<{ stack: string, url: string }>
  /** With `keep`: per stack, how many strands beyond its cut come back. A stack that is not here goes by its id. */
  kept?: Array<{ stack: string, heads: number }>
}

export interface LeaveOptions {
  /** Go also as the last admin, with stacks that are only here, or with nobody told. @default false */
  force?: boolean
  signal?: AbortSignal
}

/** `told`: members that know of it already. `lost`: stacks that were only here. */
export interface Departure { device: DeviceRef, mesh: { id: string, name: string }, told: DeviceRef[], lost: string[] }

/** What only the running node sees; `doctor` judges it. */
export interface Diagnosis {
  /** `found`: devices that announced themselves on the local network since the start. */
  mdns: { on: boolean, found: DeviceRef[] }
  connections: Array<{ device: DeviceRef, path: 'direct' | 'relay', address: string }>
  /** How far the clock of each connected device was ahead of this one at its last hello, milliseconds; good to a round trip. */
  clocks: Array<{ device: DeviceRef, aheadMs: number }>
  /** The node can run git, in its own environment. */
  git: boolean
}
