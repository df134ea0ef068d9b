/**
 * A stack: the memory of a repository and of the agents that work on it, as entries computed from signed feeds.
 *
 * Everything that changes state runs one after the other, and nothing is visible before it is durable. Order of a write: draft and
 * judge, sign, store, take, acknowledge, tell. Order of a received batch: bounds, chain and signature, store, take.
 */
import {
  ElderError, feedDevice, toBase32, toHex, vectorDigest,
  type Batch, type Crypto, type Cuts, type DeviceId, type FeedId, type Signer, type StackId, type Vector, type VectorEntry, type Want,
} from '@elder-node/protocol'
import { audit } from './audit.ts'
import { Changes } from './changes.ts'
import { Commits } from './commits.ts'
import { contentDigest } from './digest.ts'
import { Edits } from './edits.ts'
import { glanceAt, isRemoved, outlineOf, toEntry, type EntryState } from './entries.ts'
import { headsBeyond } from './feeds/beyond.ts'
import { forksOf, isWithin } from './feeds/forks.ts'
import { Graph } from './feeds/graph.ts'
import { hashOf, type Node, type RecordName } from './feeds/node.ts'
import { pathBatches, windows } from './feeds/path.ts'
import { Receiver } from './feeds/receiver.ts'
import type { Damage, FeedStore } from './feeds/store.ts'
import { keepsMore, storedRecords } from './feeds/stored.ts'
import { Writer } from './feeds/writer.ts'
import { history, type HistoryOptions } from './history.ts'
import { Serial } from './serial.ts'
import { Shown } from './shown.ts'
import { isoOf } from './time.ts'
import type { Audit, EditOptions, Entry, EntryPatch, Fork, HistoryItem, KnownUntil, NewEntry, Outline, Received, StackChange, StackDigest, StackFault, UnshownRecord, WaitingRecords } from './types.ts'

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
  /** May this device's feeds be taken? Membership, asked at receive. @default every device */
  mayWrite?: (device: DeviceId) => boolean
  /** Refuses local writes; still receives and serves. @default false */
  readonly?: boolean
  /** What counts of evicted devices. @default nobody was evicted */
  cuts?: Cuts
  /** Bare heads kept of one device. @default LIMITS.headsPerDeviceMax */
  headsMax?: number
}

export interface EntryFilter {
  kind?: string
  tag?: string
  /** Lists removed entries too. @default false */
  removed?: boolean
}

const MISSING_MAX = 256

export class Stack {
  readonly id: StackId
  readonly name: string
  readonly #store: FeedStore
  readonly #crypto: Crypto
  readonly #init: StackInit
  readonly #graph: Graph
  readonly #shown: Shown
  readonly #writer: Writer
  readonly #edits: Edits
  readonly #commits: Commits
  readonly #receiver: Receiver
  readonly #serial = new Serial()
  readonly #changes = new Changes()
  /** Bytes of the store that did not read when the stack was opened. */
  readonly damaged: readonly Damage[]
  #digest: StackDigest | undefined
  #vector: Vector | undefined
  #feeds: Uint8Array | undefined
  #closed = false

  private constructor (components: StackComponents, init: StackInit, damaged: readonly Damage[]) {
    const { store, crypto, wallMs, random } = components
    this.id = init.id
    this.name = init.name
    this.damaged = damaged
    this.#init = init
    this.#store = store
    this.#crypto = crypto
    this.#graph = new Graph(init.id, crypto, { judge: (node, isOwn) => this.#shown.view.judge(node, isOwn), ...(init.headsMax === undefined ? {} : { headsMax: init.headsMax }) })
    this.#graph.setCuts(init.cuts ?? new Map())
    this.#shown = new Shown({ id: init.id, crypto, graph: this.#graph, changes: this.#changes, onDropped: () => { this.#dropped() } })
    this.#writer = new Writer({ graph: this.#graph, ...components })
    this.#edits = new Edits({ view: () => this.#shown.view, writer: this.#writer, wallMs, random, entryAt: (entry, revision) => this.#shown.entryAt(entry, revision) })
    const onTaken = (node: Node): void => {
      this.#shown.fold(node)
      this.#changed()
    }
    const onRefused = (entry: string | undefined): void => {
      const { view } = this.#shown
      if (entry !== undefined) view.bodies.drop(view.byId(entry)?.name ?? '')
    }
    this.#commits = new Commits({ graph: this.#graph, store, writer: this.#writer, serial: this.#serial, onTaken, onRefused })
    this.#receiver = new Receiver({
      graph: this.#graph, store, self: this.#writer.device, mayWrite: init.mayWrite ?? (() => true), onTaken,
      onOwn: ({ feed }) => { if (feed === this.#writer.feed) this.#writer.retire() },
      pin: async device => { if (this.#mayPin()) await this.#commits.pin(device) },
    })
  }

  /** Reads the store and computes the entries. What does not read is in {@link damaged}: peers and mirrors send it again. */
  static async open (components: StackComponents, init: StackInit): Promise<Stack> {
    const loaded = await components.store.load()
    const { damaged, cleanEnd } = loaded
    const stack = new Stack(components, init, damaged)
    const graph = stack.#graph
    for (const record of storedRecords(graph, loaded)) graph.add(record, node => { stack.#shown.load(node) })
    stack.#shown.tidy({ isStale: graph.cuts.size > 0 })
    const tip = cleanEnd === undefined ? undefined : graph.node(cleanEnd.name)
    // A record of ours behind the noted head: what was written here went on, so the note is not about this place.
    // A log that is gone says nothing of the one that the note is about.
    if (tip !== undefined && tip.children === 0 && damaged.every(({ gone }) => gone === true)) stack.#writer.resume(tip)
    return stack
  }

  /** No record was ever taken. */
  get isEmpty (): boolean { return this.#graph.size === 0 }

  /** Heads by name; see {@link Vector}. */
  vector (): Vector { return this.#vector ??= this.#graph.vector() }

  /** What is compared with peers: the heads, the cuts, the number of the rules. 32 bytes. */
  feedsDigest (): Uint8Array { return this.#feeds ??= vectorDigest(this.vector(), this.#graph.cuts, this.#crypto) }

  /** Would this head bring something that this device keeps? */
  wants ({ feed, hash }: VectorEntry): boolean {
    const name = toHex(hash)
    const cut = this.#graph.cuts.get(feedDevice(feed))
    return !this.#graph.holds(name) && (this.#init.mayWrite?.(feedDevice(feed)) ?? true) && (cut === undefined || cut.keep.has(name))
  }

  /** Taken, or waiting for what it names. */
  holds (hash: Uint8Array): boolean { return this.#graph.holds(toHex(hash)) }

  /** Is the record taken whose address this is and whose hash (hex) begins so? */
  holdsAt (feed: FeedId, seq: number, hashPrefix: string): boolean {
    return this.#graph.runs().some(run => run.feed === feed && run.nodes[seq - run.from]?.name.startsWith(hashPrefix) === true)
  }

  /** The greatest seq below `below` that is held of a feed, on any strand; 0 when none is. */
  longest (feed: FeedId, below: number): number { return this.#graph.longest(feed, below) }

  /** What waiting records name and is not here, a bounded list. */
  missing (): VectorEntry[] { return this.#graph.missing(MISSING_MAX) }

  /**
   * Records that are held and cannot be shown, because something that they lead to is not here; each device's together.
   * What an eviction hides in any case is left out. `among`: only records of these names (hex).
   */
  waiting (among?: ReadonlySet<string>): WaitingRecords[] {
    return [...this.#graph.waiting.waiting()].flatMap(([device, all]) => {
      const records = this.#isHidden(device) ? [] : all.filter(({ name }) => among?.has(name) ?? true)
      if (records.length === 0) return []
      const oldest = records.reduce((a, b) => b.at < a.at ? b : a)
      return [{ device, records: records.length, more: this.#graph.waiting.hasMore(device), oldestAt: isoOf(oldest.at) }]
    })
  }

  /**
   * Members that had more histories that nobody names than are kept of one device, and how many of their records are
   * not kept, as far as that was seen since this stack was opened.
   */
  dropped (): Array<{ device: DeviceId, records: number }> {
    const { cuts, dropped } = this.#graph
    return [...dropped].filter(([device, names]) => names.size > 0 && !cuts.has(device))
      .map(([device, names]) => ({ device, records: names.size }))
  }

  /** Does all that counts of this evicted device stand here? What else it wrote is taken only when another device's record names it. */
  isCut (device: DeviceId): boolean {
    const cut = this.#graph.cuts.get(device)
    return cut !== undefined && [...cut.keep].every(name => this.#graph.node(name) !== undefined)
  }

  /**
   * Signed batches along the path that ends at the record of `want`, in order, as long as this device holds them. Each is within
   * LIMITS.batchRecordsMax and batchBytesMax, crosses no multiple of 256 and ends at a stored head, so the last may go beyond.
   */
  path ({ feed, from, hash }: Want): Iterable<Batch> { return pathBatches(this.#graph, { feed, from, hash: toHex(hash) }) }

  /** Every path cut into windows of 256, each by its last record: what a mirror holds. */
  windows (): Want[] { return windows(this.#graph) }

  /** Names (hex) of the records that no other names: everything that is held lies at or below them. */
  bareHeads (): string[] { return [...this.#graph.heads.bare()].map(({ name }) => name).sort() }

  /** Does everything that is held lie at or below these heads? See {@link KnownUntil}. */
  isWithin (heads: readonly KnownUntil[]): boolean { return isWithin(this.#graph, heads) }

  /** The device that wrote everything here, when one did. */
  soleAuthor (): DeviceId | undefined {
    const [first, ...others] = new Set(this.vector().map(({ feed }) => feedDevice(feed)))
    return others.length === 0 ? first : undefined
  }

  /** The heads of one device: what a cut names. */
  headsOf (device: DeviceId): Uint8Array[] { return this.vector().filter(({ feed }) => feedDevice(feed) === device).map(({ hash }) => hash) }

  /**
   * The heads of an evicted device that its cut leaves out, highest first: what a further cut names to bring them back.
   * Read from the store, where records that left the state are kept.
   */
  async headsBeyond (device: DeviceId): Promise<Uint8Array[]> {
    return await this.#serial.run(async () => {
      if (this.#closed || !this.#graph.cuts.has(device)) return []
      return headsBeyond(this.#graph, device, await this.#store.reread()).map(({ name }) => hashOf(name))
    })
  }

  /**
   * Takes batches from a peer or a mirror, in order. Resolves when what was new is durable.
   *
   * @throws MalformedError when bounds, chain or signature are broken: drop it and blame the sender. The batches before it count.
   */
  async receive (batches: Batch | readonly Batch[]): Promise<Received> {
    return await this.#serial.run(async () => {
      if (this.#closed) throw closedError(this.name)
      try {
        const taken = await this.#receiver.receive('feed' in batches ? [batches] : batches)
        return { ...taken, missing: this.missing() }
      } finally {
        if (this.#shown.tidy()) this.#changed()
        this.#shown.settle()
      }
    })
  }

  /**
   * Membership changed: what counts of evicted devices. What an earlier cut dropped comes back from the store when this one
   * keeps it.
   *
   * @returns whether they are others than before
   * @throws ElderError when the store does not read; the cuts hold even so
   */
  async setCuts (cuts: Cuts): Promise<boolean> {
    return await this.#serial.run(async () => {
      const before = this.#graph.cuts
      if (this.#closed || !this.#graph.setCuts(cuts)) return false
      try {
        if (keepsMore(before, cuts)) await this.#takeBack()
      } finally {
        this.#shown.tidy({ isStale: true })
        this.#changed()
        this.#shown.settle()
      }
      return true
    })
  }

  /** @throws ElderError `READ_ONLY`, `EVICTED`, `ENTRY_INVALID`, `SECRET`, `TOO_LARGE`, `DISK_FULL` */
  async add (entry: NewEntry, author: { agent?: string } = {}): Promise<Entry> { return await this.#write(undefined, () => this.#edits.add(entry, author.agent)) }

  /**
   * Writes only what differs; the body by its smallest difference. With `base`, the difference between that revision's text and the
   * new one is applied to the text as it is now.
   *
   * @throws ElderError `NO_SUCH_ENTRY`, `ENTRY_REMOVED`, `NO_SUCH_REVISION`, `STALE_EDIT`, `IMMUTABLE`, and as {@link add}
   */
  async edit (id: string, patch: EntryPatch, author: { agent?: string } = {}, options: EditOptions = {}): Promise<Entry> {
    return await this.#write(id, () => this.#edits.edit(id, patch, author.agent, options))
  }

  /** Nothing is deleted: the entry is left out of lists and can be restored. @throws ElderError `NO_SUCH_ENTRY`, and as {@link add} */
  async remove (id: string, author: { agent?: string } = {}): Promise<Entry> { return await this.#write(id, () => this.#edits.mark(id, true, author.agent)) }

  /** @throws ElderError `NO_SUCH_ENTRY`, and as {@link add} */
  async restore (id: string, author: { agent?: string } = {}): Promise<Entry> { return await this.#write(id, () => this.#edits.mark(id, false, author.agent)) }

  /** Sorted by creation, then id. */
  entries (filter: EntryFilter = {}): Entry[] { return this.#filtered(filter).map(entry => toEntry(entry, this.#shown.view.bodies)) }

  /** The same with bodies to be asked for, which keeps none of them in memory: what {@link search} reads. */
  documents (filter: EntryFilter = {}): Array<Outline & { body: () => string }> {
    return this.#filtered(filter).map(entry => ({ ...outlineOf(entry), body: () => glanceAt(entry, this.#shown.view.bodies) }))
  }

  /** A removed entry too. */
  entry (id: string): Entry | undefined {
    const entry = this.#shown.view.byId(id)
    return entry === undefined ? undefined : toEntry(entry, this.#shown.view.bodies)
  }

  /** The entry as it was at a revision; undefined when this device does not hold what the revision names. */
  entryAt (id: string, revision: string): Entry | undefined {
    const entry = this.#shown.view.byId(id)
    return entry === undefined ? undefined : this.#shown.entryAt(entry, revision)
  }

  /** The same for many revisions of one entry, each asked after those before it; `pause` is awaited in between. */
  replay (id: string, { pause = async () => {} }: { pause?: () => Promise<void> } = {}): { at (revision: string): Promise<Entry | undefined> } | undefined {
    const entry = this.#shown.view.byId(id)
    return entry === undefined ? undefined : this.#shown.replay(entry, pause)
  }

  /** Who wrote what, newest first by the writers' clocks. */
  history (options: HistoryOptions = {}): HistoryItem[] { return history(this.#graph, this.#shown.view, options) }

  /** Feeds of which two histories are held: each with the first seq that was written twice. */
  forks (): Fork[] { return forksOf(this.#graph) }

  /** What is held and not shown, and who is at fault. */
  unshown (): UnshownRecord[] {
    return this.#shown.view.unshown(this.#graph).map(({ node, state, why, device }) => ({ feed: node.feed, seq: node.seq, kind: node.record.kind, state, why, device }))
  }

  /** Reads every feed from the store again, checks all of it and computes the digest anew; see {@link Audit}. `pause` is awaited in between. */
  async audit ({ pause }: { pause?: () => Promise<void> } = {}): Promise<Audit> {
    const seen = await this.#serial.run(async () => ({
      stored: await this.#store.reread(), live: this.digest(), names: [...this.#graph.nodes()].map(({ name, feed, seq }) => ({ name, feed, seq })), cuts: this.#graph.cuts,
    }))
    return await audit({ id: this.id, crypto: this.#crypto, headsMax: this.#graph.headsMax, ...seen, ...(pause === undefined ? {} : { pause }) })
  }

  /** Equal `feeds` implies equal `digest`, on every device and in every mesh. Cached until the next record. */
  digest (): StackDigest {
    this.#digest ??= {
      stack: this.name,
      digest: toBase32(contentDigest(this.#shown.view.shown(), this.#shown.view.bodies, this.#crypto)),
      feeds: toBase32(this.feedsDigest()),
    }
    return { ...this.#digest }
  }

  /** Calls back with each batch of own records, once it is durable. @returns the way to stop it */
  onAppend (listener: (batch: Batch) => void): () => void { return this.#commits.onAppend(listener) }

  /** Calls back with each fork and each void record, once. @returns the way to stop it */
  onFault (listener: (fault: StackFault) => void): () => void { return this.#shown.onFault(listener) }

  /** Every change from now on; a slow reader gets the latest state of each entry. Ends with `signal` or the stack. */
  changes ({ signal }: { signal: AbortSignal }): AsyncIterable<StackChange> { return this.#changes.read(signal) }

  /** Finishes what is under way, notes a clean end, closes the store. Idempotent. */
  async close (): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#serial.run(async () => {
      const { feed, tip } = this.#writer
      await this.#store.close(this.#commits.hasWritten && feed !== undefined && tip !== undefined ? { feed, name: tip.name } : undefined)
    })
    this.#changes.close()
  }

  #filtered ({ kind, tag, removed = false }: EntryFilter): EntryState[] {
    return [...this.#shown.view.shown()]
      .filter(entry => (kind === undefined || entry.kind === kind) && (removed || !isRemoved(entry)))
      .filter(entry => tag === undefined || outlineOf(entry).tags.includes(tag))
      .sort((a, b) => a.birth.record.at - b.birth.record.at || (a.id < b.id ? -1 : 1))
  }

  async #write (entry: string | undefined, run: () => RecordName): Promise<Entry> {
    if (this.#init.readonly === true) throw new ElderError('READ_ONLY', `the stack ${this.name} is read-only on this device`, 'Open it without `readonly`, on a device that is admitted; a stack of another mesh stays read-only.')
    if (this.#closed) throw closedError(this.name)
    const name = await this.#commits.write(entry, () => {
      // What it wrote now would be beyond its cut: acknowledged here, and shown nowhere.
      if (this.#graph.cuts.has(this.#writer.device)) throw new ElderError('EVICTED', 'this device was evicted from the mesh: what it writes counts no more', 'Join again with a new key: move the data directory aside first.')
      return run()
    })
    this.#shown.settle()
    const { view } = this.#shown
    return toEntry(view.entries.get(name) as EntryState, view.bodies)
  }

  /** Does nothing that waits of this device count any more? A kept head that is not taken yet may be among it. */
  #isHidden (device: DeviceId): boolean {
    const cut = this.#graph.cuts.get(device)
    if (cut === undefined) return false
    return cut.undo === true || [...cut.keep].every(name => this.#graph.node(name) !== undefined)
  }

  /** A device that may not write pins nothing. */
  #mayPin (): boolean { return this.#init.readonly !== true && (this.#init.mayWrite?.(this.#writer.device) ?? true) }

  #changed (): void {
    this.#digest = undefined
    this.#vector = undefined
    this.#feeds = undefined
  }

  /**
   * Every other device may have dropped the same records, so nobody would be asked for them. Those of all devices: what
   * comes back may name records of another one that was cut.
   */
  async #takeBack (): Promise<void> {
    for (const record of storedRecords(this.#graph, await this.#store.reread())) {
      this.#graph.add(record, node => { this.#shown.fold(node) })
    }
  }

  /** A feed whose last record was dropped, because this device was evicted, is never continued: nothing could attach there. */
  #dropped (): void {
    const { tip } = this.#writer
    if (tip !== undefined && this.#graph.node(tip.name) !== tip) this.#writer.retire()
  }
}

function closedError (name: string): ElderError { return new ElderError('CLOSED', `the stack ${name} is closed`, 'Open it again.') }
