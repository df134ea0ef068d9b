/**
 * Who may come in: what the door asks before any protocol exists, and what the gate asks at every handler afterwards.
 * Services implement it over the roster; the libp2p adapter only carries its bytes.
 */
import type { DeviceId, MeshId, RefusalCode, Role, Value } from '@elder-node/protocol'

export type { RefusalCode } from '@elder-node/protocol'

/** `proof` goes to a removed device, and to one that only a removed device let in: the records that show it. */
export type Verdict = { ok: true, answer: Value } | { ok: false, code: RefusalCode, proof?: Value }

/** How long the answer to a leave may take to get through, milliseconds. */
export const FAREWELL_MS = 1_000

export interface Admission {
  readonly meshId: MeshId
  /** 32 bytes that only members and ticket holders know: the knock before Noise is keyed with it. A wall, never the lock. */
  readonly meshSecret: Uint8Array
  role (device: DeviceId): Role | undefined
  isRevoked (device: DeviceId): boolean
  /** What this node shows when it dials: its member record with the chain of admins, or its ticket. At most LIMITS.doorBytesMax encoded. */
  hello (listener: DeviceId): Value
  /** Merges the proof or redeems (or carries) the ticket, then asks the roster. Bounded, never throws. */
  decide (dialer: DeviceId, hello: Value, options: { signal: AbortSignal }): Promise<Verdict>
  /** The dialer's side: merges the listener's proof; throws ElderError unless the listener is a member of this mesh. */
  greeted (listener: DeviceId, answer: Value): void
  /** The dialer's side of a no: `proof` as the listener sent it, untrusted. Remembers why; a verified revocation of this device is an eviction. Never throws. */
  refused (listener: DeviceId, code: RefusalCode, proof: Value | undefined): void
  /** Live members besides this device, with the addresses they last announced (newest first): whom the supervisor keeps connected.
   * While this device is joining: whom its ticket names. */
  members (): Array<{ device: DeviceId, addresses: string[] }>
  /** Called when a member is seen at new addresses. */
  learned (device: DeviceId, addresses: string[]): void
  /**
   * Fires when a device is revoked or lost: close its connections now. One that `left` by its own word waits for the answer to that, and
   * closes them itself: close them after {@link FAREWELL_MS}. Returns the unsubscriber.
   */
  onRemoved (listener: (device: DeviceId, left: boolean) => void): () => void
}
