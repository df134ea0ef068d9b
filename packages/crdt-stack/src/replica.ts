/**
 * The machine of one stack: feeds in, entries out. Pure: no clock, no disk. Records that were stored go in, changes come out.
 * A fork found later takes accepted records back, so the state is then computed again from the logs.
 */
import { decodeRecord, type ChainedRecord, type FeedId, type Head, type Range } from '@elder-node/protocol'
import { accept } from './accept.ts'
import type { EntryState } from './entries.ts'
import { endOf, StackState, type FeedState, type Fork } from './state.ts'

export type Effect =
  | { type: 'entry', entry: EntryState, feed: FeedId, seq: number }
  | { type: 'closed', feed: FeedId, seq: number, why: string }
  | { type: 'fork', feed: FeedId, seq: number }

export class Replica {
  state: StackState
  /** Feeds with records that are not accepted yet, and what each waits for (undefined: for a record that waits itself). */
  readonly #behind = new Map<FeedId, Range | undefined>()
  /** Decoded records of the batch being pushed: spares a second decoding. */
  #fresh = new Map<number, ChainedRecord>()
  #effects: Effect[] = []
  /** Records accepted since this replica was made. */
  accepted = 0

  constructor (state: StackState) {
    this.state = state
    for (const [id, feed] of state.feeds) if (feed.accepted < feed.log.length) this.#behind.set(id, undefined)
  }

  /** Takes stored records that continue the feed. @returns how many records, of any feed, became accepted. */
  push (feed: FeedId, records: ChainedRecord[], head: Head): number {
    const { log } = this.state.feed(feed)
    for (const record of records) log.push(record.bytes, record.hash)
    log.heads.push(head)
    this.#behind.set(feed, undefined)
    this.#fresh = new Map(records.map(record => [record.seq, record]))
    const first = this.#advance(feed)
    this.#fresh = new Map()
    return first + this.drain()
  }

  /** Accepts whatever can be accepted now. */
  drain (): number {
    let total = 0
    for (let progress = true; progress;) {
      progress = false
      for (const id of Array.from(this.#behind.keys())) {
        const accepted = this.#advance(id)
        total += accepted
        progress ||= accepted > 0 || !this.#behind.has(id)
      }
    }
    return total
  }

  /** Ranges that waiting records name and that are not here. */
  missing (): Range[] {
    const byFeed = new Map<FeedId, Range>()
    for (const range of this.#behind.values()) {
      const known = range === undefined ? undefined : byFeed.get(range.feed)
      if (range !== undefined) byFeed.set(range.feed, { feed: range.feed, from: Math.min(range.from, known?.from ?? range.from), to: Math.max(range.to, known?.to ?? 0) })
    }
    return [...byFeed.values()]
  }

  /** Closes a feed at a fork. Records accepted at or after it, and what was built on them, are taken back on every peer alike. */
  fork (id: FeedId, fork: Fork): void {
    const feed = this.state.feed(id)
    if (feed.fork !== undefined && feed.fork.seq <= fork.seq) return
    feed.fork = fork
    this.#effects.push({ type: 'fork', feed: id, seq: fork.seq })
    if (feed.accepted >= fork.seq) this.replay()
    else this.drain()
  }

  /** Computes the state again from the logs and the known forks. */
  replay (): void {
    const before = this.state
    const known = new Set([...before.feeds].filter(([, feed]) => feed.closed !== undefined).map(([id]) => id))
    this.state = new StackState(before.id, before.crypto)
    for (const [id, { log, fork }] of before.feeds) {
      this.state.feeds.set(id, { log, fork, accepted: 0, past: new Map(), lastAt: 0, closed: undefined })
      if (log.length > 0) this.#behind.set(id, undefined)
    }
    const told = this.#effects
    this.drain()
    this.#effects = [...told, ...this.#effects.filter(effect => effect.type === 'closed' && !known.has(effect.feed))]
  }

  /** Changes since the last call, in order. */
  takeEffects (): Effect[] {
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  /** A change made by this device's own record, applied by the writer. */
  record (effect: Effect): void {
    this.accepted++
    this.#effects.push(effect)
  }

  #advance (id: FeedId): number {
    const feed = this.state.feed(id)
    const start = feed.accepted
    while (feed.accepted < feed.log.length && feed.accepted + 1 < (endOf(feed) ?? Infinity)) {
      const record = this.#next(feed)
      const verdict = accept(this.state, record)
      if (verdict.type === 'waits') {
        this.#behind.set(id, verdict.missing)
        return feed.accepted - start
      }
      if (verdict.type === 'invalid') this.#close(feed, record.seq, verdict.why)
      else if (verdict.entry !== undefined) this.#effects.push({ type: 'entry', entry: verdict.entry, feed: id, seq: record.seq })
      if (verdict.type === 'accepted') this.accepted++
    }
    this.#behind.delete(id)
    return feed.accepted - start
  }

  #close (feed: FeedState, seq: number, why: string): void {
    feed.closed = { seq, why }
    this.#effects.push({ type: 'closed', feed: feed.log.feed, seq, why })
  }

  #next (feed: FeedState): ChainedRecord {
    const seq = feed.accepted + 1
    const bytes = feed.log.records[seq - 1] as Uint8Array
    return this.#fresh.get(seq) ?? { ...decodeRecord(bytes), feed: feed.log.feed, hash: feed.log.hashAt(seq), bytes }
  }
}
