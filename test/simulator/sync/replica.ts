/** The shipped stacks of one simulated device, on disks that survive its process. */
import { Stack, type StackInit } from '@elder-node/crdt-stack'
import { deviceId, stackId, stackKey, type Batch, type Cuts, type DeviceId, type FeedId, type Replica, type Signer, type StackKey, type StackSummary, type Vector, type VectorEntry, type Want } from '@elder-node/protocol'
import { cheapCrypto, cheapSigner } from '../../../packages/protocol/test/support/cheap-crypto.ts'
import { SimDisk, SimStore, type DiskFaults } from './disk.ts'

export interface ReplicaHost {
  random: () => number
  wallMs: () => number
  /** Resolves when the disk has synced, in virtual time; never in a life that has ended. */
  synced: () => Promise<void>
  onAppend: (key: StackKey, name: string, batch: Batch) => void
}

export class SimReplica implements Replica {
  readonly device: DeviceId
  readonly #signer: Signer
  readonly #host: ReplicaHost
  readonly #faults: DiskFaults
  readonly disks = new Map<string, SimDisk>()
  #stacks = new Map<StackKey, Stack>()
  #cuts: Cuts = new Map()

  constructor (name: string, host: ReplicaHost, faults: DiskFaults) {
    this.#signer = cheapSigner(name)
    this.device = deviceId(this.#signer.publicKey)
    this.#host = host
    this.#faults = faults
  }

  /** A new life: everything is read from the disks again. */
  async boot (): Promise<void> {
    this.#stacks = new Map()
    for (const name of this.disks.keys()) await this.open(name)
  }

  /** A clean end of every stack. */
  async close (): Promise<void> { for (const stack of this.#stacks.values()) await stack.close() }

  async open (name: string): Promise<Stack> {
    const id = stackId(name, cheapCrypto)
    const key = stackKey(id)
    const known = this.#stacks.get(key)
    if (known !== undefined) return known
    const { random, wallMs, synced, onAppend } = this.#host
    const disk = this.disks.get(name) ?? new SimDisk()
    this.disks.set(name, disk)
    const init: StackInit = { id, name, cuts: this.#cuts, headsMax: 8 }
    const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, () => Math.floor(random() * 256))
    const stack = await Stack.open({ store: new SimStore(disk, synced, random, this.#faults), crypto: cheapCrypto, signer: this.#signer, wallMs, random: bytes }, init)
    stack.onAppend(batch => { onAppend(key, name, batch) })
    this.#stacks.set(key, stack)
    return stack
  }

  async setCuts (cuts: Cuts): Promise<void> {
    this.#cuts = cuts
    for (const stack of this.#stacks.values()) await stack.setCuts(cuts)
  }

  get (name: string): Stack | undefined { return this.#stacks.get(stackKey(stackId(name, cheapCrypto))) }

  stacks (): StackSummary[] {
    return [...this.#stacks].filter(([, stack]) => !stack.isEmpty).map(([key, stack]) => ({ key, name: stack.name, digest: stack.feedsDigest() }))
  }

  has (key: StackKey): boolean { return this.#stacks.has(key) }
  origin (): Uint8Array[] { return [] }
  vector (key: StackKey): Vector { return this.#stacks.get(key)?.vector() ?? [] }
  digest (key: StackKey): Uint8Array { return this.#stacks.get(key)?.feedsDigest() ?? new Uint8Array(32) }
  path (key: StackKey, want: Want): Iterable<Batch> { return this.#stacks.get(key)?.path(want) ?? [] }
  wants (key: StackKey, head: VectorEntry): boolean { return this.#stacks.get(key)?.wants(head) ?? true }
  holds (key: StackKey, hash: Uint8Array): boolean { return this.#stacks.get(key)?.holds(hash) ?? false }
  longest (key: StackKey, feed: FeedId, below: number): number { return this.#stacks.get(key)?.longest(feed, below) ?? 0 }
  missing (key: StackKey): VectorEntry[] { return this.#stacks.get(key)?.missing() ?? [] }
}
