import type { Fork, Stack, UnshownRecord } from '@elder-node/crdt-stack'
import { equalBytes, type DeviceId, type MeshId, type StackKey } from '@elder-node/protocol'

export interface HeldInit {
  key: StackKey
  name: string
  archivedFrom: MeshId | undefined
  stack: Stack
  mayWrite: (device: DeviceId) => boolean
}

/** One stack on this device, with what is asked of it often. */
export class HeldStack {
  readonly key: StackKey
  readonly name: string
  readonly archivedFrom: MeshId | undefined
  readonly stack: Stack
  /** Of an archived stack it changes when more members of its mesh are known. */
  mayWrite: (device: DeviceId) => boolean
  #feeds: Uint8Array | undefined
  #entries: number | undefined
  #faults: { forks: Fork[], unshown: UnshownRecord[] } | undefined

  constructor ({ key, name, archivedFrom, stack, mayWrite }: HeldInit) {
    this.key = key
    this.name = name
    this.archivedFrom = archivedFrom
    this.stack = stack
    this.mayWrite = mayWrite
  }

  /** How it is named where names must tell apart, in a mirror and in the settings: its name, or `<name>@<mesh>` for one of another mesh. */
  get folder (): string { return this.archivedFrom === undefined ? this.name : `${this.name}@${this.archivedFrom}` }

  /** Entries that are not removed. */
  entries (): number { return this.#entries ??= this.stack.entries().length }

  /** Does it hold nothing at all? With records that wait for others the stack is there, though it shows nothing. */
  isBlank (): boolean { return this.stack.isEmpty && this.stack.waiting().length === 0 }

  /** To be called after every append and receive. @returns whether the feeds are others than before */
  moved (): boolean {
    const before = this.#feeds
    this.#feeds = this.stack.feedsDigest()
    const changed = before === undefined || !equalBytes(before, this.#feeds)
    if (changed) this.#entries = undefined
    if (changed) this.#faults = undefined
    return changed
  }

  /** Forks, and records that are held and not shown. */
  faults (): { forks: Fork[], unshown: UnshownRecord[] } { return this.#faults ??= { forks: this.stack.forks(), unshown: this.stack.unshown() } }
}
