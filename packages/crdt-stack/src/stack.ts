/**
 * A stack: the memory of a repository and of the agents that work on it, as entries computed from signed feeds.
 *
 * Everything that changes state runs one after the other; what is acknowledged is durable. Order of a write: draft and judge,
 * sign, store (durable), acknowledge, tell. Order of a received batch: chain and signature, store, accept.
 */
import {
  decode, ElderError, feedDevice, LIMITS, toBase32, vectorDigest,
  type Batch, type Crypto, type DeviceId, type EntryId, type FeedId, type Range, type Signer, type StackId, type Vector,
} from '@elder-node/protocol'
import { audit } from './audit.ts'
import { Changes } from './changes.ts'
import { contentDigest } from './digest.ts'
import { Edits } from './edits.ts'
import { glanceAt, isRemoved, outlineOf, toEntry, type EntryState } from './entries.ts'
import { history, type HistoryOptions } from './history.ts'
import { loadLogs } from './load.ts'
import { Receiver } from './receiver.ts'
import type { Effect, Replica } from './replica.ts'
import { Serial } from './serial.ts'
import { saveState } from './snapshot.ts'
import type { Audit, Entry, EntryPatch, FeedStore, HistoryItem, NewEntry, Outline, Received, StackChange, StackDigest } from './types.ts'
import { Writer } from './writer.ts'

export interface StackComponents {
  store: FeedStore
  crypto: Crypto
  /** This device's key. */
  signer: Signer
  /** Milliseconds since 1970. */
  wallMs: () => number
  /** `n` unpredictable bytes. */
  random: (n: number) => Uint8Array
}

export interface StackInit {
  id: StackId
  name: string
  /** May this device's feeds be accepted? Membership, asked at receive. @default every device */
  mayWrite?: (device: DeviceId) => boolean
  /** Refuses local writes; still receives and serves. @default false */
  readonly?: boolean
}

export interface EntryFilter {
  kind?: string
  tag?: string
  /** Lists removed entries too. @default false */
  removed?: boolean
}

interface Job { run: () => EntryState, resolve: (entry: Entry) => void, reject: (error: unknown) => void }

/** Writes that wait while another is stored share the next signature. */
const JOBS_PER_BATCH_MAX = 128
/** Records accepted since the last snapshot that make another worth its cost: while running, and when closing. */
const SNAPSHOT_RECORDS = 5000
const SNAPSHOT_RECORDS_AT_CLOSE = 256

export class Stack {
  readonly id: StackId
  readonly name: string
  readonly #store: FeedStore
  readonly #crypto: Crypto
  readonly #replica: Replica
  readonly #writer: Writer
  readonly #edits: Edits
  readonly #receiver: Receiver
  readonly #readonly: boolean
  readonly #serial = new Serial()
  readonly #changes = new Changes()
  readonly #listeners = new Set<(batch: Batch) => void>()
  #jobs: Job[] = []
  #snapshotAt = 0
  #digest: StackDigest | undefined
  #closed = false

  private constructor (components: StackComponents, init: StackInit, replica: Replica, notes: number) {
    this.id = init.id
    this.name = init.name
    this.#store = components.store
    this.#crypto = components.crypto
    this.#replica = replica
    this.#writer = new Writer({ ...components, replica })
    this.#edits = new Edits({ replica, writer: this.#writer, crypto: components.crypto, wallMs: components.wallMs })
    this.#readonly = init.readonly ?? false
    this.#receiver = new Receiver({ store: this.#store, replica, writer: this.#writer }, { ...(init.mayWrite === undefined ? {} : { mayWrite: init.mayWrite }), notes })
  }

  /**
   * Reads the store, checks every feed's chain and the signature of its last head, and computes the entries.
   *
   * @throws ElderError `STORE_CORRUPT` when a stored feed breaks its own chain.
   */
  static async open (components: StackComponents, init: StackInit): Promise<Stack> {
    const loaded = await components.store.load()
    const snapshot = await components.store.loadSnapshot()
    const notes = (loaded.notes ?? []).map(({ feed, evidence }) => ({ feed, evidence: decode(evidence, 4 * LIMITS.frameBytesMax) }))
    const replica = loadLogs(init.id, components.crypto, loaded.feeds, snapshot, notes.length)
    const stack = new Stack(components, init, replica, notes.length)
    for (const { feed, evidence } of notes) stack.#receiver.recall(feed, evidence)
    for (const feed of lostPast(loaded, replica.state.feeds.keys())) if (feedDevice(feed) === stack.#writer.device) await stack.#receiver.retire(feed)
    replica.drain()
    replica.takeEffects()
    return stack
  }

  /** Accepted heads. A forked feed shows {@link forkMark}. */
  vector (): Vector { return this.#replica.state.vector() }

  /**
   * Signed batches that cover the range, as far as this device holds it. Each is within LIMITS.batchRecordsMax and
   * batchBytesMax, crosses no multiple of 256 and ends at a stored head, so the last may end beyond `range.to`.
   * From the seq where a feed forked on, the other branch's batch follows: together they are the proof.
   */
  batches (range: Range): Batch[] {
    const feed = this.#replica.state.feeds.get(range.feed)
    if (feed === undefined) return []
    const batches = feed.log.batches(range.from, range.to)
    return feed.fork !== undefined && range.to >= feed.fork.seq ? [...batches, ...feed.fork.evidence] : batches
  }

  /**
   * Takes a batch from a peer or a mirror. Resolves when what was new is durable.
   *
   * @throws MalformedError when bounds, chain or signature are broken: drop it and blame the sender.
   */
  async receive (batch: Batch): Promise<Received> {
    return await this.#serial.run(async () => {
      if (this.#closed) throw closedError(this.name)
      const received = await this.#receiver.receive(batch)
      await this.#settle()
      return received
    })
  }

  /** @throws ElderError `READ_ONLY`, `ENTRY_INVALID`, `SECRET`, `TOO_LARGE`, `DISK_FULL` */
  async add (entry: NewEntry, author: { agent?: string } = {}): Promise<Entry> { return await this.#write(() => this.#edits.add(entry, author.agent)) }

  /** Writes only what differs; the body by its smallest difference. @throws ElderError `NO_SUCH_ENTRY`, `IMMUTABLE`, and as {@link add} */
  async edit (id: string, patch: EntryPatch, author: { agent?: string } = {}): Promise<Entry> { return await this.#write(() => this.#edits.edit(id, patch, author.agent)) }

  /** Nothing is deleted: the entry is left out of lists and can be restored. @throws ElderError `NO_SUCH_ENTRY`, and as {@link add} */
  async remove (id: string, author: { agent?: string } = {}): Promise<Entry> { return await this.#write(() => this.#edits.mark(id, true, author.agent)) }

  /** @throws ElderError `NO_SUCH_ENTRY`, and as {@link add} */
  async restore (id: string, author: { agent?: string } = {}): Promise<Entry> { return await this.#write(() => this.#edits.mark(id, false, author.agent)) }

  /** Sorted by creation, then id. */
  entries (filter: EntryFilter = {}): Entry[] {
    return this.#filtered(filter).map(entry => toEntry(entry, this.#replica.state.bodies))
  }

  /** The same with bodies to be asked for, which keeps none of them in memory: what {@link search} reads. */
  documents (filter: EntryFilter = {}): Array<Outline & { body: () => string }> {
    return this.#filtered(filter).map(entry => ({ ...outlineOf(entry), body: () => glanceAt(entry, this.#replica.state.bodies) }))
  }

  /** Who wrote what, newest first by the writers' clocks. */
  history (options: HistoryOptions = {}): HistoryItem[] { return history(this.#replica.state, options) }

  /** Reads every feed from the store again, checks all of it and computes the digest anew; see {@link Audit}. `pause` is awaited in between. */
  async audit ({ pause }: { pause?: () => Promise<void> } = {}): Promise<Audit> {
    const seen = await this.#serial.run(async () => ({
      stored: await this.#store.reread(), live: this.digest(),
      lengths: new Map([...this.#replica.state.feeds].map(([feed, { log }]) => [feed, log.length])),
    }))
    return await audit({ id: this.id, crypto: this.#crypto, ...seen, ...(pause === undefined ? {} : { pause }) })
  }

  /** A removed entry too. */
  entry (id: string): Entry | undefined {
    const { entries, bodies } = this.#replica.state
    const entry = entries.get(id as EntryId)
    return entry === undefined ? undefined : toEntry(entry, bodies)
  }

  /** Equal `feeds` implies equal `digest`, on every device and in every mesh. Cached until the next record. */
  digest (): StackDigest {
    const { state } = this.#replica
    this.#digest ??= {
      stack: this.name,
      digest: toBase32(contentDigest(state.entries.values(), state.bodies, this.#crypto)),
      feeds: toBase32(vectorDigest(state.vector(), this.#crypto)),
    }
    return { ...this.#digest }
  }

  /** Calls back with each batch of own records, once it is durable. @returns the way to stop it */
  onAppend (listener: (batch: Batch) => void): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  /** Every change from now on; a slow reader gets the latest state of each entry. Ends with `signal` or the stack. */
  changes ({ signal }: { signal: AbortSignal }): AsyncIterable<StackChange> { return this.#changes.read(signal) }

  /** Feeds that ended at an invalid record or a fork. */
  closedFeeds (): Array<{ feed: FeedId, seq: number, why: string }> {
    return [...this.#replica.state.feeds.keys()].flatMap(feed => this.#receiver.closing(feed) ?? [])
  }

  /** Finishes what is under way, saves a snapshot when it is worth it, closes the store. Idempotent. */
  async close (): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#serial.run(async () => {
      await this.#saveSnapshot(SNAPSHOT_RECORDS_AT_CLOSE)
      await this.#store.close()
    })
    this.#changes.close()
  }

  #filtered ({ kind, tag, removed = false }: EntryFilter): EntryState[] {
    return [...this.#replica.state.entries.values()]
      .filter(entry => (kind === undefined || entry.kind === kind) && (removed || !isRemoved(entry)))
      .filter(entry => tag === undefined || outlineOf(entry).tags.includes(tag))
      .sort((a, b) => a.birth.at - b.birth.at || (a.id < b.id ? -1 : 1))
  }

  async #write (run: () => EntryState): Promise<Entry> {
    if (this.#readonly) throw new ElderError('READ_ONLY', `the stack ${this.name} is read-only on this device`, 'Write on a device that is admitted, or adopt the stack.')
    if (this.#closed) throw closedError(this.name)
    return await new Promise<Entry>((resolve, reject) => {
      this.#jobs.push({ run, resolve, reject })
      if (this.#jobs.length === 1) void this.#serial.run(() => this.#commit())
    })
  }

  async #commit (): Promise<void> {
    const jobs = this.#jobs.splice(0, JOBS_PER_BATCH_MAX)
    if (this.#jobs.length > 0) void this.#serial.run(() => this.#commit())
    const feed = this.#writer.begin()
    const done = jobs.flatMap(job => attempt(job))
    this.#digest = undefined
    try {
      await this.#persist(feed)
    } catch (error) {
      for (const { job } of done) job.reject(error)
      return
    }
    for (const { job, entry } of done) job.resolve(toEntry(entry, this.#replica.state.bodies))
    await this.#settle()
  }

  /** Signs and stores what was drafted. What could not be stored is taken back. */
  async #persist (feed: FeedId): Promise<void> {
    const batches = this.#writer.sign()
    for (const batch of batches) {
      try {
        await this.#store.append(batch)
      } catch (error) {
        this.#writer.rollback(batch.from - 1)
        this.#replica.takeEffects()
        throw error
      }
      for (const listener of this.#listeners) listener(batch)
    }
    if (this.#replica.state.feed(feed).log.length === 0) this.#replica.state.feeds.delete(feed)
  }

  async #settle (): Promise<void> {
    const effects = this.#replica.takeEffects()
    if (effects.length > 0) this.#digest = undefined
    for (const effect of effects) this.#changes.emit(this.#changeOf(effect))
    await this.#saveSnapshot(SNAPSHOT_RECORDS)
  }

  #changeOf (effect: Effect): StackChange {
    return effect.type === 'entry' ? { ...effect, entry: toEntry(effect.entry, this.#replica.state.bodies) } : effect
  }

  async #saveSnapshot (afterRecords: number): Promise<void> {
    if (this.#replica.accepted - this.#snapshotAt < afterRecords) return
    this.#snapshotAt = this.#replica.accepted
    // Only a cache: a disk that cannot take it must not fail the write it follows.
    try {
      await this.#store.saveSnapshot(saveState(this.#replica.state, this.#receiver.notes))
    } catch {
      this.#snapshotAt -= afterRecords / 2
    }
  }
}

function attempt (job: Job): Array<{ job: Job, entry: EntryState }> {
  try {
    return [{ job, entry: job.run() }]
  } catch (error) {
    job.reject(error)
    return []
  }
}

/**
 * Feeds that may have gone on elsewhere: those of a copied directory, and those whose tail was cut, since a peer may hold what was
 * there. Another record in that place would be a fork, and would cost everything after it.
 */
function lostPast ({ moved, repaired }: Awaited<ReturnType<FeedStore['load']>>, feeds: Iterable<FeedId>): FeedId[] {
  return moved === true ? [...feeds] : repaired.map(({ feed }) => feed)
}

function closedError (name: string): ElderError { return new ElderError('CLOSED', `the stack ${name} is closed`, 'Open it again.') }
