/**
 * This device's own feed: drafts records, runs the accept rule on them before they are signed, and signs one head per batch.
 * A feed that was closed, forked, or behind what a peer holds is never continued: a new incarnation opens.
 */
import {
  compareFeeds, deviceId, ElderError, encodeRecord, feedDevice, feedId, LIMITS, nextAt, recordHash, signHead,
  type Batch, type Dep, type DeviceId, type FeedId, type Signer, type Value,
} from '@elder-node/protocol'
import { accept } from './accept.ts'
import type { EntryState } from './entries.ts'
import type { Replica } from './replica.ts'
import { endOf, type FeedState } from './state.ts'

/** A clock, another device's or our own of earlier, is followed at most this far ahead of the one we have now. */
const AHEAD_MS_MAX = 300_000
const INCARNATION_BYTES = 8

export interface WriterComponents { replica: Replica, signer: Signer, wallMs: () => number, random: (n: number) => Uint8Array }

export class Writer {
  readonly device: DeviceId
  readonly #replica: Replica
  readonly #signer: Signer
  readonly #wallMs: () => number
  readonly #random: (n: number) => Uint8Array
  readonly #retired = new Set<FeedId>()
  #feed: FeedId | undefined
  #signed = 0

  constructor ({ replica, signer, wallMs, random }: WriterComponents) {
    this.device = deviceId(signer.publicKey)
    this.#replica = replica
    this.#signer = signer
    this.#wallMs = wallMs
    this.#random = random
  }

  /** Never writes to this feed again. @returns false when it was retired before. */
  retire (feed: FeedId): boolean {
    if (this.#feed === feed) this.#feed = undefined
    if (this.#retired.has(feed)) return false
    this.#retired.add(feed)
    return true
  }

  /** The feed to write to: the latest own one that may be continued, else a new incarnation. Call before the first draft of a batch. */
  begin (): FeedId {
    const current = this.#feed !== undefined && this.#isOpen(this.#feed) ? this.#feed : this.#latest()
    this.#feed = current ?? feedId(this.device, this.#random(INCARNATION_BYTES))
    this.#signed = this.#state().log.length
    return this.#feed
  }

  /** Where the next record will stand: its feed and seq, and the clientID ids derived from them. */
  next (): { feed: FeedId, seq: number } {
    this.#nameTheMany()
    return { feed: this.#feed as FeedId, seq: this.#state().log.length + 1 }
  }

  /**
   * Makes, judges and applies one record. It is neither signed nor stored yet: {@link sign}, or {@link rollback}.
   *
   * @throws ElderError `TOO_LARGE`, `AGENT_NAME`; nothing is changed then.
   */
  draft (kind: string, body: Value, agent: string | undefined): EntryState | undefined {
    this.#nameTheMany()
    return this.#draft(kind, body, agent)
  }

  /** Signs what was drafted since {@link begin}, in batches within the bounds. */
  sign (): Batch[] {
    const { log } = this.#state()
    const batches: Batch[] = []
    while (this.#signed < log.length) {
      const from = this.#signed + 1
      const to = lastOfBatch(log.records, from)
      const head = signHead(this.#replica.state.id, log.feed, to, log.hashAt(to), this.#signer)
      log.heads.push(head)
      batches.push({ feed: log.feed, from, records: log.records.slice(from - 1, to), head })
      this.#signed = to
    }
    return batches
  }

  /** Takes back everything after record `length`: it could not be stored. */
  rollback (length: number): void {
    this.#state().log.truncate(length)
    this.#replica.replay()
  }

  #state (): FeedState { return this.#replica.state.feed(this.#feed as FeedId) }

  #isOpen (id: FeedId): boolean {
    const feed = this.#replica.state.feeds.get(id)
    return feed !== undefined && !this.#retired.has(id) && endOf(feed) === undefined && feed.accepted === feed.log.length
  }

  #latest (): FeedId | undefined {
    const own = [...this.#replica.state.feeds].filter(([id]) => feedDevice(id) === this.device && this.#isOpen(id))
    return own.sort(([, a], [, b]) => b.lastAt - a.lastAt)[0]?.[0]
  }

  /** More changed heads than one record may name: records of kind `see` name the first ones. */
  #nameTheMany (): void {
    while (this.#changedHeads().length > LIMITS.depsMax) this.#draft('see', {}, undefined)
  }

  #draft (kind: string, body: Value, agent: string | undefined): EntryState | undefined {
    const { state } = this.#replica
    const { log } = this.#state()
    if (agent !== undefined && (agent.length === 0 || agent.length > 64)) throw new ElderError('AGENT_NAME', 'the name of an agent has 1 to 64 characters', 'Give a shorter name with --as.')
    const seq = log.length + 1
    const deps = this.#changedHeads().slice(0, LIMITS.depsMax).sort((a, b) => compareFeeds(a.feed, b.feed))
    const record = { seq, prev: log.hashAt(seq - 1).slice(), deps, at: this.#at(), agent: agent ?? null, kind, body }
    const bytes = encodeRecord(record)
    if (bytes.length > LIMITS.recordBytesMax) throw new ElderError('TOO_LARGE', `this change takes ${bytes.length} bytes; a record holds ${LIMITS.recordBytesMax}`, 'Split it into several entries or smaller edits.')
    const hash = recordHash(bytes, state.crypto)
    const verdict = accept(state, { ...record, feed: log.feed, hash, bytes }, true)
    if (verdict.type !== 'accepted') throw new Error(`other devices would refuse this change: ${verdict.type === 'invalid' ? verdict.why : 'it waits for another'}`)
    log.push(bytes, hash)
    if (verdict.entry !== undefined) this.#replica.record({ type: 'entry', entry: verdict.entry, feed: log.feed, seq })
    return verdict.entry
  }

  /** Heads of other feeds that changed since our last record. */
  #changedHeads (): Dep[] {
    const { past } = this.#state()
    const deps: Dep[] = []
    for (const [id, feed] of this.#replica.state.feeds) {
      if (id !== this.#feed && feed.accepted > (past.get(id) ?? 0)) deps.push({ feed: id, seq: feed.accepted, hash: feed.log.hashAt(feed.accepted).slice() })
    }
    return deps
  }

  #at (): number {
    const now = this.#wallMs()
    const ahead = (now + AHEAD_MS_MAX) * 1024
    let last = 0
    for (const { lastAt } of this.#replica.state.feeds.values()) if (lastAt > last && lastAt <= ahead) last = lastAt
    return nextAt(last, now)
  }
}

function lastOfBatch (records: Uint8Array[], from: number): number {
  const block = Math.ceil(from / LIMITS.batchRecordsMax) * LIMITS.batchRecordsMax
  let bytes = (records[from - 1] as Uint8Array).length
  let to = from
  while (to < Math.min(block, records.length) && (bytes += (records[to] as Uint8Array).length) <= LIMITS.batchBytesMax) to++
  return to
}
