/** Who wrote what, and when: the accepted records of every feed, newest first. */
import { decodeRecord, feedDevice, type EntryId, type FeedId, type FeedRecord } from '@elder-node/protocol'
import { outlineOf } from './entries.ts'
import type { StackState } from './state.ts'
import { isoOf } from './time.ts'
import type { Author, HistoryItem } from './types.ts'

export interface HistoryOptions {
  /** Of one entry. */
  entry?: EntryId
  /** @default 50 */
  limit?: number
}

const ITEMS = 50

/** By the writers' clocks; the order within a feed is always kept. Reads from the ends of the feeds, no more than it needs. */
export function history (state: StackState, { entry, limit = ITEMS }: HistoryOptions = {}): HistoryItem[] {
  const items: HistoryItem[] = []
  for (const { feed, record } of newestFirst(state)) {
    if (items.length >= limit) break
    const item = itemOf(state, feed, record)
    if (entry === undefined || item.entry?.id === entry) items.push(item)
  }
  return items
}

function * newestFirst (state: StackState): Generator<{ feed: FeedId, record: FeedRecord }> {
  const tails = [...state.feeds].map(([feed, { log, accepted }]) => ({ feed, log, record: recordAt(log.records, accepted) }))
  for (;;) {
    const last = tails.reduce((best, tail) => (tail.record?.at ?? -1) > (best?.record?.at ?? -1) ? tail : best, tails[0])
    if (last?.record === undefined) return
    yield { feed: last.feed, record: last.record }
    last.record = recordAt(last.log.records, last.record.seq - 1)
  }
}

function recordAt (records: Uint8Array[], seq: number): FeedRecord | undefined {
  const bytes = records[seq - 1]
  return bytes === undefined ? undefined : decodeRecord(bytes)
}

function itemOf (state: StackState, feed: FeedId, { seq, at, agent, kind, body }: FeedRecord): HistoryItem {
  const author: Author = { device: feedDevice(feed), ...(agent === null ? {} : { agent }) }
  const { id, field } = (typeof body === 'object' && body !== null && !Array.isArray(body) && !(body instanceof Uint8Array) ? body : {}) as { id?: unknown, field?: unknown }
  const entry = typeof id === 'string' ? state.entries.get(id as EntryId) : undefined
  const known = entry === undefined ? undefined : outlineOf(entry)
  return {
    at: isoOf(at), author, change: kind, field: kind === 'text' ? 'body' : typeof field === 'string' ? field : null,
    entry: known === undefined ? null : { id: known.id, kind: known.kind, title: known.title }, feed, seq,
  }
}
