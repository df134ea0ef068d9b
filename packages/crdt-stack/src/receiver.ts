/**
 * Takes batches from outside: chain and signature, store, accept. Keeps the evidence: proofs of forks, and own feeds that are
 * never written again. One call at a time; the stack sees to that.
 */
import { encode, feedDevice, LIMITS, type Batch, type ChainedRecord, type DeviceId, type FeedId, type Value } from '@elder-node/protocol'
import { forkOf, forkValue } from './evidence.ts'
import { inspect, type Intake } from './intake.ts'
import type { Replica } from './replica.ts'
import { endOf, type Fork } from './state.ts'
import type { FeedStore, Received } from './types.ts'
import type { Writer } from './writer.ts'

export interface ReceiverComponents { store: FeedStore, replica: Replica, writer: Writer }

export interface ReceiverInit {
  /** @default every device */
  mayWrite?: (device: DeviceId) => boolean
  /** Pieces of evidence the store holds already. */
  notes: number
}

const FORKED = 'the device signed two different records with this number'

export class Receiver {
  readonly #store: FeedStore
  readonly #replica: Replica
  readonly #writer: Writer
  readonly #mayWrite: (device: DeviceId) => boolean
  /** Pieces of evidence in the store. */
  notes: number

  constructor ({ store, replica, writer }: ReceiverComponents, { mayWrite = () => true, notes }: ReceiverInit) {
    this.#store = store
    this.#replica = replica
    this.#writer = writer
    this.#mayWrite = mayWrite
    this.notes = notes
  }

  /** Resolves when what was new is durable. @throws MalformedError */
  async receive (batch: Batch): Promise<Received> {
    const { state } = this.#replica
    const nothing = { accepted: 0, duplicate: 0, waiting: 0, missing: [] }
    const isRefused = !this.#mayWrite(feedDevice(batch.feed)) || (!state.feeds.has(batch.feed) && state.feeds.size >= LIMITS.feedsPerStackMax)
    if (isRefused) return { ...nothing, refused: batch.records.length }
    const intake = inspect(state, batch)
    if (intake.type === 'gap') return { ...nothing, missing: [intake.missing] }
    if (intake.type === 'fork') return await this.#fork(batch.feed, intake)
    if (intake.type === 'duplicate') return this.#received(batch.feed, 0, batch.records.length)
    return await this.#append(batch, intake)
  }

  /** Takes up a piece of evidence that the store kept. */
  recall (feed: FeedId, evidence: Value): void {
    if (Array.isArray(evidence) && evidence[0] === 'retired') this.#writer.retire(feed)
    const fork = forkOf(evidence)
    if (fork !== undefined) this.#replica.fork(feed, fork)
  }

  /** This own feed belongs to a lost past: a peer held more of it, or its directory was copied. */
  async retire (feed: FeedId): Promise<void> {
    if (this.#writer.retire(feed)) await this.#note(feed, ['retired'])
  }

  /** Where and why a feed ended, if it did. */
  closing (id: FeedId): { feed: FeedId, seq: number, why: string } | undefined {
    const feed = this.#replica.state.feeds.get(id)
    const seq = feed === undefined ? undefined : endOf(feed)
    return seq === undefined ? undefined : { feed: id, seq, why: feed?.closed?.seq === seq ? feed.closed.why : FORKED }
  }

  async #append (batch: Batch, { records, duplicate }: Extract<Intake, { type: 'append' }>): Promise<Received> {
    const feed = this.#replica.state.feed(batch.feed)
    const first = records[0]
    // A feed that has ended is kept up to its end, as evidence, and no further.
    if (first === undefined || endOf(feed) !== undefined) return this.#received(batch.feed, 0, duplicate)
    if (this.#mustWait(batch.feed, records) && this.#isFull(records)) return this.#received(batch.feed, 0, duplicate)
    await this.#store.append({ feed: batch.feed, from: first.seq, records: records.map(record => record.bytes), head: batch.head })
    if (feedDevice(batch.feed) === this.#writer.device) await this.retire(batch.feed)
    return this.#received(batch.feed, this.#replica.push(batch.feed, records, batch.head), duplicate)
  }

  #mustWait (id: FeedId, records: ChainedRecord[]): boolean {
    const { feeds } = this.#replica.state
    const feed = this.#replica.state.feed(id)
    return feed.accepted < feed.log.length || records.some(({ deps }) => deps.some(dep => (feeds.get(dep.feed)?.accepted ?? 0) < dep.seq))
  }

  /** Would these records, if they wait, wait beyond the bounds? They are then not kept; the sender is asked again later. */
  #isFull (more: ChainedRecord[]): boolean {
    const waiting = this.#replica.state.waiting()
    const bytes = more.reduce((sum, record) => sum + record.bytes.length, waiting.bytes)
    return waiting.records + more.length > LIMITS.pendingRecordsMax || bytes > LIMITS.pendingBytesMax
  }

  async #fork (feed: FeedId, { seq, theirs }: Extract<Intake, { type: 'fork' }>): Promise<Received> {
    const known = this.#replica.state.feed(feed)
    const [ours] = known.log.batches(seq, seq)
    if (ours !== undefined && seq < (known.fork?.seq ?? Infinity)) {
      const fork: Fork = { seq, evidence: [ours, theirs] }
      await this.#note(feed, forkValue(fork))
      this.#replica.fork(feed, fork)
    }
    return this.#received(feed, 0, seq - theirs.from)
  }

  #received (id: FeedId, accepted: number, duplicate: number): Received {
    const feed = this.#replica.state.feeds.get(id)
    const closed = this.closing(id)
    const waiting = feed === undefined || closed !== undefined ? 0 : feed.log.length - feed.accepted
    return { accepted, duplicate, waiting, missing: this.#replica.missing(), ...(closed === undefined ? {} : { closed }) }
  }

  async #note (feed: FeedId, evidence: Value): Promise<void> {
    await this.#store.note(feed, encode(evidence))
    this.notes++
  }
}
