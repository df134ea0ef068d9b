/** A disk for the simulated devices: appends take time, unsynced ones may be lost in a crash, it fills, and it can be copied back. */
import type { FeedStore, LoadedFeeds } from '@elder-node/crdt-stack'
import { ElderError, type Batch, type FeedId } from '@elder-node/protocol'

export interface DiskFaults {
  /** The evidence that a life is not a clean one is never written. For a mutant. */
  keepsCleanEnd?: boolean
  /** What is read again lacks what left the state. For a mutant. */
  forgetsAside?: boolean
}

/** What of one stack survives a process. */
export class SimDisk {
  durable: Batch[] = []
  /** Written, and not known to be on the platter. */
  unsynced: Batch[] = []
  cleanEnd: LoadedFeeds['cleanEnd']
  isFull = false
  /** Names of places that do not read: those batches are damaged. */
  readonly damaged = new Set<Batch>()

  /** Power goes: of what was not synced some is there, some is not. */
  crash (random: () => number): void {
    this.durable.push(...this.unsynced.filter(() => random() < 0.5))
    this.unsynced = []
  }

  copy (): SimDisk {
    const copy = new SimDisk()
    copy.durable = [...this.durable]
    copy.cleanEnd = this.cleanEnd
    return copy
  }
}

export class SimStore implements FeedStore {
  readonly #disk: SimDisk
  readonly #synced: () => Promise<void>
  readonly #random: () => number
  readonly #faults: DiskFaults
  readonly #writing = new Set<Promise<void>>()
  #closed = false

  /** `synced` resolves after the time that the disk takes. */
  constructor (disk: SimDisk, synced: () => Promise<void>, random: () => number, faults: DiskFaults = {}) {
    this.#disk = disk
    this.#synced = synced
    this.#random = random
    this.#faults = faults
  }

  /** In another order each time: it must mean nothing. */
  async load (): Promise<LoadedFeeds> {
    const { batches, damaged } = this.#read()
    const ordered = batches.map(batch => ({ batch, order: this.#random() })).sort((a, b) => a.order - b.order)
    return { batches: ordered.map(({ batch }) => batch), damaged, cleanEnd: this.#disk.cleanEnd }
  }

  async reread (): ReturnType<FeedStore['reread']> {
    this.#check()
    return this.#faults.forgetsAside === true ? { batches: [], damaged: [] } : this.#read()
  }

  async append (batches: readonly Batch[]): Promise<void> {
    this.#check()
    const writing = this.#write(batches)
    this.#writing.add(writing)
    await writing.finally(() => { this.#writing.delete(writing) })
  }

  async forgetCleanEnd (): Promise<void> {
    this.#check()
    if (this.#faults.keepsCleanEnd !== true) this.#disk.cleanEnd = undefined
  }

  async close (cleanEnd?: { feed: FeedId, name: string }): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.allSettled(this.#writing)
    if (cleanEnd !== undefined) this.#disk.cleanEnd = cleanEnd
  }

  async #write (batches: readonly Batch[]): Promise<void> {
    const disk = this.#disk
    disk.unsynced.push(...batches)
    await this.#synced()
    disk.unsynced = disk.unsynced.filter(batch => !batches.includes(batch))
    if (disk.isFull) throw new ElderError('DISK_FULL', 'the disk is full')
    disk.durable.push(...batches)
  }

  #read (): Pick<LoadedFeeds, 'batches' | 'damaged'> {
    const { durable, damaged } = this.#disk
    return {
      batches: durable.filter(batch => !damaged.has(batch)),
      damaged: [...damaged].map(({ feed }) => ({ feed, file: `${feed}.log`, at: 0, bytes: 1 })),
    }
  }

  #check (): void { if (this.#closed) throw new ElderError('CLOSED', 'the feed store is closed') }
}
