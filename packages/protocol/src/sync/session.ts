/**
 * One exchange between two devices, either side of it: pure, `handle(input, now) -> effects`. The words are in messages.ts.
 *
 * state      | hears    | does
 * -----------|----------|-----------------------------------------------------------------
 * idle (I)   | start    | sends root -> compare
 * idle (R)   | root     | equal: root, ends; else buckets -> listing
 * compare    | root     | equal: ends
 * compare    | buckets  | stacks of the differing buckets -> listing
 * listing(R) | stacks   | vectors of what differs -> vectors
 * listing(I) | vectors  | own vectors of the same stacks, first question -> pulling
 * vectors(R) | vectors  | first question -> pulling
 * pulling    | batches  | effect `apply`; the next question only after `applied`
 * pulling    | want/ask | answers with what fits a frame
 * pulling    | done     | ends when this side is done too
 *
 * An exchange may break at any point: nothing of it has to be remembered, the next one starts from the vectors of that moment.
 * Model of the drill-down: TinyBase synchronizers; of the two-sided pull: secure-scuttlebutt's EBT and OrbitDB.
 */
import { equalBytes } from '../codec/text.ts'
import type { Crypto } from '../crypto.ts'
import { codeOf, MalformedError } from '../errors.ts'
import type { Batch } from '../feed/chain.ts'
import { vectorDigest, type Range, type VectorEntry } from '../feed/vector.ts'
import type { FeedId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { bucketDigest, differingBuckets, inBitmap, intoBuckets, packBuckets, rootDigest, bucketOf, type StackSummary } from './digests.ts'
import { parseStackKey, type StackKey } from './keys.ts'
import { decodeSync, encodeSync, type NamedVector, type SyncMessage } from './messages.ts'
import { originPages, stacksPages, vectorsPages } from './paging.ts'
import { Puller, type PullerView } from './puller.ts'
import { serve } from './serve.ts'

/** The local stacks as an exchange reads them. Reads are synchronous; writes leave as effects. */
export interface Replica extends PullerView {
  stacks: () => StackSummary[]
  /** Stored batches that cover the range, in order; empty when the first record is not here. */
  batches: (key: StackKey, range: Range) => Batch[]
  has: (key: StackKey) => boolean
  /** Membership records of the mesh an archived stack came from. */
  origin: (key: StackKey) => Uint8Array[]
}

export type SessionInput =
  | { type: 'start' }
  | { type: 'frame', frame: Uint8Array }
  /** Answer to effect `apply`. */
  | { type: 'applied', missing: Range[], closed: FeedId[] }
  /** Answer to effect `origin`. */
  | { type: 'origin', accepted: boolean }
  /** Answer to either effect that could not be carried out: a bad signature is `malformed`, a full disk is `failed`. */
  | { type: 'refused', reason: 'malformed' | 'failed' }
  | { type: 'tick' }

export type EndReason = 'done' | 'timeout' | 'malformed' | 'failed'

export type SessionEffect =
  | { type: 'send', frame: Uint8Array }
  | { type: 'apply', key: StackKey, name: string, batches: Batch[] }
  | { type: 'origin', key: StackKey, name: string, records: Uint8Array[] }
  /** `peer`: the vector digests of the other device as far as this exchange showed them. */
  | { type: 'end', reason: EndReason, peer: Map<StackKey, Uint8Array> }

export interface SessionInit {
  /** Milliseconds without a frame from the peer after which the exchange ends. @default 15_000 */
  idleMsMax?: number
}

type State = 'idle' | 'compare' | 'listing' | 'vectors' | 'pulling' | 'ended'

export class SyncSession {
  readonly #replica: Replica
  readonly #crypto: Crypto
  readonly #idleMsMax: number
  #state: State = 'idle'
  #initiator = false
  #heardAt: number | undefined
  /** Waiting for our own stack, not for the peer: no time-out. */
  #busy = false
  #local: StackSummary[] = []
  #buckets: StackSummary[][] = []
  #packed: Uint8Array = new Uint8Array(0)
  #root: Uint8Array = new Uint8Array(0)
  #listed = new Map<StackKey, StackSummary>()
  #vectors = new Map<StackKey, { name: string, vector: Map<FeedId, VectorEntry> }>()
  #vectorEntries = 0
  #peer = new Map<StackKey, Uint8Array>()
  #puller: Puller | undefined
  #wanted: { key: StackKey, name: string } | undefined
  #asking: { key: StackKey, name: string, records: Uint8Array[] } | undefined
  #sentDone = false
  #heardDone = false

  constructor (components: { replica: Replica, crypto: Crypto }, init: SessionInit = {}) {
    this.#replica = components.replica
    this.#crypto = components.crypto
    this.#idleMsMax = init.idleMsMax ?? 15_000
  }

  get ended (): boolean { return this.#state === 'ended' }

  /** Never throws for what a peer sent: a broken rule ends the exchange with `malformed`. */
  handle (input: SessionInput, now: number): SessionEffect[] {
    if (this.#state === 'ended') return []
    if (input.type === 'tick') return this.#tick(now)
    this.#heardAt = now
    try {
      return this.#step(input)
    } catch (error) {
      return this.#end(codeOf(error) === 'MALFORMED' ? 'malformed' : 'failed')
    }
  }

  #step (input: Exclude<SessionInput, { type: 'tick' }>): SessionEffect[] {
    switch (input.type) {
      case 'start': return this.#start()
      case 'frame': return this.#hear(decodeSync(input.frame, this.#crypto))
      case 'applied': return this.#applied(input.missing, input.closed)
      case 'origin': return this.#judged(input.accepted)
      case 'refused': return this.#end(input.reason)
    }
  }

  #tick (now: number): SessionEffect[] {
    this.#heardAt ??= now
    return !this.#busy && now - this.#heardAt >= this.#idleMsMax ? this.#end('timeout') : []
  }

  // ---- what differs

  #start (): SessionEffect[] {
    this.#initiator = true
    this.#snapshot()
    this.#state = 'compare'
    return [this.#send({ type: 'root', root: this.#root })]
  }

  #snapshot (): void {
    this.#local = this.#replica.stacks()
    this.#buckets = intoBuckets(this.#local, this.#crypto)
    const digests = this.#buckets.map(bucket => bucketDigest(bucket, this.#crypto))
    this.#packed = packBuckets(digests)
    this.#root = rootDigest(digests, this.#crypto)
  }

  #hear (message: SyncMessage): SessionEffect[] {
    const { type } = message
    if (type === 'root' && this.#state === 'idle') return this.#answerRoot(message.root)
    if (type === 'root' && this.#state === 'compare') return this.#confirmed(message.root)
    if (type === 'buckets' && this.#state === 'compare') return this.#list(message.packed)
    if (type === 'stacks' && this.#state === 'listing' && !this.#initiator) return this.#compareStacks(message)
    if (type === 'vectors' && (this.#state === 'vectors' || (this.#state === 'listing' && this.#initiator))) return this.#learn(message)
    if (this.#state !== 'pulling') throw new MalformedError(`a ${type} has no place here`)
    if (type === 'batches') return this.#receive(message.key, message.batches)
    if (type === 'origin') return this.#hearOrigin(message)
    if (this.#heardDone) throw new MalformedError('nothing is asked after done')
    if (type === 'want') return this.#serve(message.key, message.ranges)
    if (type === 'ask') return originPages(message.key, this.#replica.origin(message.key)).map(page => this.#send(page))
    if (type === 'done') return this.#doneThere()
    throw new MalformedError(`a ${type} has no place here`)
  }

  #answerRoot (root: Uint8Array): SessionEffect[] {
    this.#snapshot()
    if (equalBytes(root, this.#root)) return [this.#send({ type: 'root', root }), ...this.#inSync()]
    this.#state = 'listing'
    return [this.#send({ type: 'buckets', packed: this.#packed })]
  }

  #confirmed (root: Uint8Array): SessionEffect[] {
    if (!equalBytes(root, this.#root)) throw new MalformedError('a root that differs is answered with buckets')
    return this.#inSync()
  }

  #inSync (): SessionEffect[] {
    for (const { key, digest } of this.#local) this.#peer.set(key, digest)
    return this.#end('done')
  }

  /** Which buckets to list. A method of its own so that a test can break it. */
  protected differing (ours: Uint8Array, theirs: Uint8Array): Uint8Array { return differingBuckets(ours, theirs) }

  #list (packed: Uint8Array): SessionEffect[] {
    const bitmap = this.differing(this.#packed, packed)
    this.#noteEqual(bitmap)
    this.#state = 'listing'
    return stacksPages(bitmap, this.#inBuckets(bitmap)).map(page => this.#send(page))
  }

  #inBuckets (bitmap: Uint8Array): StackSummary[] {
    return this.#buckets.flatMap((bucket, i) => inBitmap(bitmap, i) ? bucket : [])
  }

  #noteEqual (bitmap: Uint8Array): void {
    this.#buckets.forEach((bucket, i) => {
      if (!inBitmap(bitmap, i)) for (const { key, digest } of bucket) this.#peer.set(key, digest)
    })
  }

  #compareStacks ({ differing, stacks, more }: Extract<SyncMessage, { type: 'stacks' }>): SessionEffect[] {
    for (const stack of stacks) {
      if (!inBitmap(differing, bucketOf(stack.key, this.#crypto))) throw new MalformedError('a stack outside the listed buckets')
      this.#listed.set(stack.key, stack)
      this.#peer.set(stack.key, stack.digest)
    }
    if (this.#listed.size > LIMITS.stacksMax) throw new MalformedError('more stacks than a mesh holds')
    if (more) return []
    this.#noteEqual(differing)
    const ours = this.#inBuckets(differing)
    const known = new Set(ours.map(({ key }) => key))
    const differ = ours.filter(({ key, digest }) => !equalBytes(this.#listed.get(key)?.digest ?? new Uint8Array(0), digest))
    this.#state = 'vectors'
    return this.#sendVectors([...differ, ...[...this.#listed.values()].filter(({ key }) => !known.has(key))])
  }

  /** The vectors of the stacks at hand, up to the bound of one exchange; the next one goes on from there. */
  #sendVectors (stacks: Array<{ key: StackKey, name: string }>): SessionEffect[] {
    let entries = 0
    const vectors: NamedVector[] = []
    for (const { key, name } of stacks) {
      const vector = this.#replica.vector(key)
      entries += vector.size
      if (entries > LIMITS.syncVectorEntriesMax) break
      vectors.push({ key, name, vector })
    }
    return vectorsPages(vectors).map(page => this.#send(page))
  }

  #learn ({ vectors, more }: Extract<SyncMessage, { type: 'vectors' }>): SessionEffect[] {
    for (const { key, name, vector } of vectors) {
      const whole = this.#vectors.get(key) ?? { name, vector: new Map<FeedId, VectorEntry>() }
      for (const [feed, entry] of vector) whole.vector.set(feed, entry)
      this.#vectors.set(key, whole)
      this.#vectorEntries += vector.size
    }
    if (this.#vectorEntries > LIMITS.syncVectorEntriesMax || this.#vectors.size > 2 * LIMITS.stacksMax) throw new MalformedError('more vectors than one exchange holds')
    if (more) return []
    const theirs = [...this.#vectors].map(([key, { name, vector }]) => ({ key, name, vector }))
    if (this.#vectorEntries + LIMITS.feedsPerStackMax < LIMITS.syncVectorEntriesMax) this.#noteUnlisted()
    this.#state = 'pulling'
    this.#puller = new Puller(this.#replica, [...theirs])
    return [...(this.#initiator ? this.#sendVectors(theirs) : []), ...this.next()]
  }

  /** What the peer did not name is equal, unless its list was cut at the bound. */
  #noteUnlisted (): void {
    for (const { key, digest } of this.#local) if (!this.#peer.has(key) && !this.#vectors.has(key)) this.#peer.set(key, digest)
  }

  // ---- both sides ask for what they miss

  protected next (): SessionEffect[] {
    const want = this.#puller?.next()
    if (want === undefined) return this.doneHere()
    this.#wanted = want
    if (parseStackKey(want.key).archivedFrom !== undefined && !this.#replica.has(want.key)) {
      this.#asking = { key: want.key, name: want.name, records: [] }
      return [this.#send({ type: 'ask', key: want.key })]
    }
    return [this.#send({ type: 'want', key: want.key, ranges: want.ranges })]
  }

  /** Nothing more to ask. Ends only when the peer has said so too: it may still need our answers. */
  protected doneHere (): SessionEffect[] {
    this.#sentDone = true
    return [this.#send({ type: 'done' }), ...(this.#heardDone ? this.#complete() : [])]
  }

  #doneThere (): SessionEffect[] {
    this.#heardDone = true
    return this.#sentDone ? this.#complete() : []
  }

  /** The peer asked for all it missed of what we showed, so it holds both vectors now. */
  #complete (): SessionEffect[] {
    for (const [key, { vector }] of this.#vectors) this.#peer.set(key, vectorDigest(vector, this.#crypto))
    return this.#end('done')
  }

  #serve (key: StackKey, ranges: Range[]): SessionEffect[] {
    const batches = serve(ranges, range => this.#replica.batches(key, range))
    for (const { feed, head } of batches) this.#bump(key, feed, head)
    return [this.#send({ type: 'batches', key, batches })]
  }

  /** The peer holds what it was served. */
  #bump (key: StackKey, feed: FeedId, head: VectorEntry): void {
    const vector = this.#vectors.get(key)?.vector
    if (vector !== undefined && (vector.get(feed)?.seq ?? 0) < head.seq) vector.set(feed, { seq: head.seq, hash: head.hash })
  }

  #receive (key: StackKey, batches: Batch[]): SessionEffect[] {
    if (this.#busy || this.#asking !== undefined || this.#wanted === undefined) throw new MalformedError('batches that nobody asked for')
    this.#puller?.answered(key, batches)
    if (batches.length === 0) return this.next()
    this.#busy = true
    return [{ type: 'apply', key, name: this.#wanted.name, batches }]
  }

  #applied (missing: Range[], closed: FeedId[]): SessionEffect[] {
    this.#busy = false
    this.#puller?.applied(missing, closed)
    return this.next()
  }

  #hearOrigin ({ key, records, more }: Extract<SyncMessage, { type: 'origin' }>): SessionEffect[] {
    const asking = this.#asking
    if (asking === undefined || asking.key !== key || this.#busy) throw new MalformedError('an origin that nobody asked for')
    asking.records.push(...records)
    if (asking.records.length > LIMITS.rosterRecordsMax) throw new MalformedError('more membership records than a roster holds')
    if (more) return []
    this.#busy = true
    return [{ type: 'origin', key, name: asking.name, records: asking.records }]
  }

  #judged (accepted: boolean): SessionEffect[] {
    const asking = this.#asking
    this.#busy = false
    this.#asking = undefined
    if (!accepted || asking === undefined || !this.#replica.has(asking.key)) this.#puller?.skip()
    return this.next()
  }

  #send (message: SyncMessage): SessionEffect { return { type: 'send', frame: encodeSync(message) } }

  #end (reason: EndReason): SessionEffect[] {
    this.#state = 'ended'
    this.#vectors = new Map()
    this.#puller = undefined
    return [{ type: 'end', reason, peer: this.#peer }]
  }
}

