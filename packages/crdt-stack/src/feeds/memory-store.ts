/** Feeds in memory: for tests, the simulator, and stacks that need no disk. */
import { ElderError, type Batch, type FeedId } from '@elder-node/protocol'
import type { FeedStore, LoadedFeeds } from './store.ts'

/** What a memory store keeps; open another store on the same one to "restart". */
export interface Memory { batches: Batch[], cleanEnd: LoadedFeeds['cleanEnd'] }

export function createMemory (): Memory { return { batches: [], cleanEnd: undefined } }

export class MemoryFeedStore implements FeedStore {
  readonly #memory: Memory
  #closed = false

  constructor (memory: Memory = createMemory()) { this.#memory = memory }

  async load (): Promise<LoadedFeeds> {
    return { batches: [...this.#memory.batches], damaged: [], cleanEnd: this.#memory.cleanEnd }
  }

  async reread (): ReturnType<FeedStore['reread']> {
    this.#check()
    return { batches: [...this.#memory.batches], damaged: [] }
  }

  async append (batches: readonly Batch[]): Promise<void> {
    this.#check()
    this.#memory.batches.push(...batches)
  }

  async forgetCleanEnd (): Promise<void> {
    this.#check()
    this.#memory.cleanEnd = undefined
  }

  async close (cleanEnd?: { feed: FeedId, name: string }): Promise<void> {
    if (!this.#closed && cleanEnd !== undefined) this.#memory.cleanEnd = cleanEnd
    this.#closed = true
  }

  #check (): void { if (this.#closed) throw new ElderError('CLOSED', 'the feed store is closed') }
}
