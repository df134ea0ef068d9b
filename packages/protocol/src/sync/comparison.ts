/**
 * The first half of an exchange: two round trips until both sides know which stacks differ, and each other's vectors of those.
 *
 * I opened the stream, R answers: root / root or buckets / stacks of the differing buckets / vectors of what differs / vectors.
 */
import { equalBytes } from '../codec/text.ts'
import type { Crypto } from '../crypto.ts'
import { MalformedError } from '../errors.ts'
import type { Vector, VectorEntry } from '../feed/vector.ts'
import { LIMITS } from '../limits.ts'
import { bucketDigest, bucketOf, differingBuckets, inBitmap, intoBuckets, packBuckets, rootDigest, type StackSummary } from './digests.ts'
import type { StackKey } from './keys.ts'
import type { NamedVector, SyncMessage } from './messages.ts'
import { stacksPages, vectorsPages } from './paging.ts'

export interface ComparedStacks {
  stacks: () => StackSummary[]
  /** Empty for a stack that is not here. */
  vector: (key: StackKey) => Vector
}

/** What to say, and whether that was all: `equal` when nothing differs, `known` when both vectors of all that differs are here. */
export interface Compared { say: SyncMessage[], outcome?: 'equal' | 'known' }

export interface ComparisonComponents {
  stacks: ComparedStacks
  crypto: Crypto
  /** Of the side that opens: told to the other one when something differs. @default null */
  traceparent?: string | null
}

export class Comparison {
  /** The peer's vector digests, as far as it showed them. */
  readonly peer: Map<StackKey, Uint8Array> = new Map()
  readonly #stacks: ComparedStacks
  readonly #crypto: Crypto
  readonly #local: StackSummary[]
  readonly #buckets: StackSummary[][]
  readonly #packed: Uint8Array
  readonly #root: Uint8Array
  readonly #listed = new Map<StackKey, StackSummary>()
  readonly #theirs = new Map<StackKey, { name: string, vector: VectorEntry[] }>()
  #entries = 0
  #awaits: 'root' | 'root or buckets' | 'stacks' | 'vectors' | 'nothing' = 'root'
  #initiator = false
  #traceparent: string | null

  constructor ({ stacks, crypto, traceparent = null }: ComparisonComponents) {
    this.#stacks = stacks
    this.#traceparent = traceparent
    this.#crypto = crypto
    this.#local = stacks.stacks()
    this.#buckets = intoBuckets(this.#local, crypto)
    const digests = this.#buckets.map(bucket => bucketDigest(bucket, crypto))
    this.#packed = packBuckets(digests)
    this.#root = rootDigest(digests, crypto)
  }

  /** The side that opened the stream speaks first. */
  open (): Compared {
    this.#initiator = true
    this.#awaits = 'root or buckets'
    return { say: [{ type: 'root', root: this.#root }] }
  }

  /** @throws MalformedError when the message has no place here. */
  hear (message: SyncMessage): Compared {
    switch (`${this.#awaits} ${message.type}`) {
      case 'root root': return this.#answerRoot((message as Extract<SyncMessage, { type: 'root' }>).root)
      case 'root or buckets root': return this.#confirmed((message as Extract<SyncMessage, { type: 'root' }>).root)
      case 'root or buckets buckets': return this.#list((message as Extract<SyncMessage, { type: 'buckets' }>).packed)
      case 'stacks stacks': return this.#compare(message as Extract<SyncMessage, { type: 'stacks' }>)
      case 'vectors vectors': return this.#learn(message as Extract<SyncMessage, { type: 'vectors' }>)
      default: throw new MalformedError(`a ${message.type} has no place here`)
    }
  }

  /** Not all was equal: the stacks were listed. */
  get differs (): boolean { return this.#awaits === 'vectors' || this.#awaits === 'nothing' }

  /** The trace of this exchange; on the side that answers, once it was told. */
  get traceparent (): string | null { return this.#traceparent }

  /** What the peer showed of the stacks that differ. */
  theirs (): NamedVector[] { return [...this.#theirs].map(([key, { name, vector }]) => ({ key, name, vector })) }

  /** What the peer says it holds now that it misses nothing more. */
  learn (held: ReadonlyArray<{ key: StackKey, digest: Uint8Array }>): void {
    for (const { key, digest } of held) if (this.#theirs.has(key)) this.peer.set(key, digest)
  }

  #answerRoot (root: Uint8Array): Compared {
    if (equalBytes(root, this.#root)) return { say: [{ type: 'root', root }], ...this.#allEqual() }
    this.#awaits = 'stacks'
    return { say: [{ type: 'buckets', packed: this.#packed }] }
  }

  #confirmed (root: Uint8Array): Compared {
    if (!equalBytes(root, this.#root)) throw new MalformedError('a root that differs is answered with buckets')
    return { say: [], ...this.#allEqual() }
  }

  #allEqual (): { outcome: 'equal' } {
    for (const { key, digest } of this.#local) this.peer.set(key, digest)
    return { outcome: 'equal' }
  }

  /** Which buckets to list. */
  protected differing (ours: Uint8Array, theirs: Uint8Array): Uint8Array { return differingBuckets(ours, theirs) }

  #list (packed: Uint8Array): Compared {
    const bitmap = this.differing(this.#packed, packed)
    this.#noteEqual(bitmap)
    this.#awaits = 'vectors'
    return { say: stacksPages(bitmap, this.#inBuckets(bitmap), this.#traceparent) }
  }

  #inBuckets (bitmap: Uint8Array): StackSummary[] {
    return this.#buckets.flatMap((bucket, i) => inBitmap(bitmap, i) ? bucket : [])
  }

  #noteEqual (bitmap: Uint8Array): void {
    this.#buckets.forEach((bucket, i) => {
      if (!inBitmap(bitmap, i)) for (const { key, digest } of bucket) this.peer.set(key, digest)
    })
  }

  #compare ({ differing, stacks, more, traceparent }: Extract<SyncMessage, { type: 'stacks' }>): Compared {
    this.#traceparent = traceparent
    for (const stack of stacks) {
      if (!inBitmap(differing, bucketOf(stack.key, this.#crypto))) throw new MalformedError('a stack outside the listed buckets')
      this.#listed.set(stack.key, stack)
      this.peer.set(stack.key, stack.digest)
    }
    if (this.#listed.size > LIMITS.stacksMax) throw new MalformedError('more stacks than a mesh holds')
    if (more) return { say: [] }
    this.#noteEqual(differing)
    const ours = this.#inBuckets(differing)
    const known = new Set(ours.map(({ key }) => key))
    const differ = ours.filter(({ key, digest }) => !equalBytes(this.#listed.get(key)?.digest ?? new Uint8Array(0), digest))
    this.#awaits = 'vectors'
    return { say: this.#vectors([...differ, ...[...this.#listed.values()].filter(({ key }) => !known.has(key))]) }
  }

  /** Our vectors of the stacks at hand, up to the bound of one exchange; the next one goes on from there. */
  #vectors (stacks: Array<{ key: StackKey, name: string }>): SyncMessage[] {
    let entries = 0
    const vectors: NamedVector[] = []
    for (const { key, name } of stacks) {
      const vector = this.#stacks.vector(key)
      entries += vector.length
      if (entries > LIMITS.syncVectorEntriesMax) break
      vectors.push({ key, name, vector })
    }
    return vectorsPages(vectors)
  }

  #learn ({ vectors, more }: Extract<SyncMessage, { type: 'vectors' }>): Compared {
    for (const { key, name, vector } of vectors) {
      const whole = this.#theirs.get(key) ?? { name, vector: [] }
      whole.vector.push(...vector)
      this.#theirs.set(key, whole)
      this.#entries += vector.length
    }
    if (this.#entries > LIMITS.syncVectorEntriesMax || this.#theirs.size > 2 * LIMITS.stacksMax) throw new MalformedError('more vectors than one exchange holds')
    if (more) return { say: [] }
    this.#awaits = 'nothing'
    if (this.#entries < LIMITS.syncVectorEntriesMax / 2) this.#noteUnlisted()
    return { say: this.#initiator ? this.#vectors(this.theirs()) : [], outcome: 'known' }
  }

  /** What the peer did not name is equal, unless its list was cut at the bound. */
  #noteUnlisted (): void {
    for (const { key, digest } of this.#local) if (!this.peer.has(key) && !this.#theirs.has(key)) this.peer.set(key, digest)
  }
}
