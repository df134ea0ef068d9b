/** Feeds in memory: for tests, the simulator, and stacks that need no disk. */
import { ElderError, type Batch, type FeedId } from '@elder-node/protocol'
import type { FeedStore, StoredFeed } from './types.ts'

/** What a memory store keeps; open another store on the same one to "restart". */
export interface Memory { feeds: Map<FeedId, StoredFeed>, notes: Array<{ feed: FeedId, evidence: Uint8Array }>, snapshot: Uint8Array | undefined }

export function createMemory (): Memory { return { feeds: new Map(), notes: [], snapshot: undefined } }

export class MemoryFeedStore implements FeedStore {
  readonly #memory: Memory
  #closed = false

  constructor (memory: Memory = createMemory()) { this.#memory = memory }

  async load (): ReturnType<FeedStore['load']> {
    const feeds = [...this.#memory.feeds.values()].map(({ feed, records, heads }) => ({ feed, records: [...records], heads: [...heads] }))
    return { feeds, repaired: [], notes: [...this.#memory.notes] }
  }

  async reread (): ReturnType<FeedStore['reread']> {
    this.#check()
    const { feeds, notes } = await this.load()
    return { feeds, damaged: [], notes: notes ?? [] }
  }

  async append (batch: Batch): Promise<void> {
    this.#check()
    const stored = this.#memory.feeds.get(batch.feed) ?? { feed: batch.feed, records: [], heads: [] }
    if (batch.from !== stored.records.length + 1) throw notNext(batch, stored.records.length)
    stored.records.push(...batch.records)
    stored.heads.push(batch.head)
    this.#memory.feeds.set(batch.feed, stored)
  }

  async note (feed: FeedId, evidence: Uint8Array): Promise<void> {
    this.#check()
    this.#memory.notes.push({ feed, evidence })
  }

  async saveSnapshot (bytes: Uint8Array): Promise<void> {
    this.#check()
    this.#memory.snapshot = bytes
  }

  async loadSnapshot (): Promise<Uint8Array | undefined> { return this.#memory.snapshot }
  async close (): Promise<void> { this.#closed = true }

  #check (): void { if (this.#closed) throw new ElderError('CLOSED', 'the feed store is closed') }
}

/** A caller's bug: batches of a feed are appended in order. */
export function notNext (batch: Batch, have: number): ElderError {
  return new ElderError('NOT_NEXT', `a batch from ${batch.from} does not continue a feed of ${have} records`, '', { feed: batch.feed })
}
