/** What a stack knows: the feeds as received, how far each was accepted, and the entries that follow from them. */
import type { Batch, Crypto, EntryId, FeedId, StackId, Vector } from '@elder-node/protocol'
import { forkMark } from '@elder-node/protocol'
import { Bodies } from './body.ts'
import type { EntryState } from './entries.ts'
import { FeedLog } from './feed-log.ts'

export interface FeedState {
  log: FeedLog
  /** Records of `log` that count; the rest waits for its deps, or stands behind a closing or a fork. */
  accepted: number
  /** Cumulative deps of the accepted records: highest seq named per feed. */
  past: Map<FeedId, number>
  /** `at` of the last accepted record. */
  lastAt: number
  /** The first invalid record: the feed ends before it. */
  closed: { seq: number, why: string } | undefined
  /** Two signed records at one seq: the feed ends at the last common one. */
  fork: Fork | undefined
}

export interface Fork { seq: number, evidence: [Batch, Batch] }

export class StackState {
  readonly id: StackId
  readonly crypto: Crypto
  readonly feeds: Map<FeedId, FeedState> = new Map()
  readonly entries: Map<EntryId, EntryState> = new Map()
  readonly bodies: Bodies = new Bodies()

  constructor (id: StackId, crypto: Crypto) {
    this.id = id
    this.crypto = crypto
  }

  feed (id: FeedId): FeedState {
    const found = this.feeds.get(id)
    if (found !== undefined) return found
    const made: FeedState = { log: new FeedLog(this.id, id, this.crypto), accepted: 0, past: new Map(), lastAt: 0, closed: undefined, fork: undefined }
    this.feeds.set(id, made)
    return made
  }

  /** Accepted heads. A forked feed shows a mark instead, so that peers ask for the proof. */
  vector (): Vector {
    const vector = new Map<FeedId, { seq: number, hash: Uint8Array }>()
    for (const [id, feed] of this.feeds) {
      if (feed.fork !== undefined) vector.set(id, { seq: forkMark(feed.fork.seq), hash: feed.log.hashAt(feed.fork.seq - 1) })
      else if (feed.accepted > 0) vector.set(id, { seq: feed.accepted, hash: feed.log.hashAt(feed.accepted) })
    }
    return vector
  }

  /** Records and bytes received but not accepted, of feeds that have not ended. */
  waiting (): { records: number, bytes: number } {
    const waiting = { records: 0, bytes: 0 }
    for (const feed of this.feeds.values()) {
      if (endOf(feed) !== undefined) continue
      waiting.records += feed.log.length - feed.accepted
      for (let i = feed.accepted; i < feed.log.length; i++) waiting.bytes += (feed.log.records[i] as Uint8Array).length
    }
    return waiting
  }
}

/** The seq at which a feed ends for ever, if it does. */
export function endOf (feed: FeedState): number | undefined {
  if (feed.closed === undefined) return feed.fork?.seq
  return Math.min(feed.closed.seq, feed.fork?.seq ?? Infinity)
}
