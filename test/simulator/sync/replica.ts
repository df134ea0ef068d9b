/** A light feed replica for the simulator: the chain rules of the protocol, causal deps, and nothing of entries or text. */
import { createHash } from 'node:crypto'
import {
  compareFeeds, encodeRecord, feedId, genesisHash, recordHash, signHead, stackId, stackKey, vectorDigest, verifyBatch, deviceId,
  type Batch, type Crypto, type Dep, type DeviceId, type FeedId, type Range, type Replica, type Signer, type StackId, type StackKey, type StackSummary, type Vector, type VectorEntry,
} from '@elder-node/protocol'

export const sha256 = (...parts: Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}

/** Signatures that only cost a hash: the simulator tests replication, not Ed25519. */
export const cheapCrypto: Crypto = {
  sha256,
  verify: (key, signature, message) => Buffer.from(signature.subarray(0, 32)).equals(sha256(key, message)),
}

export function cheapSigner (name: string): Signer {
  const publicKey = sha256(Buffer.from(name))
  return { publicKey, sign: message => Uint8Array.from([...sha256(publicKey, message), ...new Uint8Array(32)]) }
}

interface FeedState { batches: Batch[], hashes: Uint8Array[], waiting: Batch[] }
interface StackState { id: StackId, name: string, feeds: Map<FeedId, FeedState>, seen: Map<FeedId, number> }

export class SimReplica implements Replica {
  readonly device: DeviceId
  readonly #signer: Signer
  readonly #stacks = new Map<StackKey, StackState>()

  constructor (signer: Signer) {
    this.#signer = signer
    this.device = deviceId(signer.publicKey)
  }

  /** What a crash leaves: everything applied, nothing that waited. */
  restart (): void {
    for (const stack of this.#stacks.values()) for (const feed of stack.feeds.values()) feed.waiting = []
  }

  stacks (): StackSummary[] {
    return [...this.#stacks].filter(([key]) => this.vector(key).size > 0)
      .map(([key, { name }]) => ({ key, name, digest: vectorDigest(this.vector(key), cheapCrypto) }))
  }

  has (key: StackKey): boolean { return this.#stacks.has(key) }
  origin (): Uint8Array[] { return [] }
  accepts (): boolean { return true }

  vector (key: StackKey): Vector {
    const feeds = [...this.#stacks.get(key)?.feeds ?? []].filter(([, { hashes }]) => hashes.length > 0)
    return new Map<FeedId, VectorEntry>(feeds.map(([feed, { hashes }]) => [feed, { seq: hashes.length, hash: hashes.at(-1) as Uint8Array }]))
  }

  batches (key: StackKey, { feed, from, to }: Range): Batch[] {
    return this.#stacks.get(key)?.feeds.get(feed)?.batches.filter(batch => batch.from >= from && batch.from <= to) ?? []
  }

  append (name: string, texts: string[]): { key: StackKey, name: string, batch: Batch } {
    const { key, stack } = this.#open(name)
    const feed = feedId(this.device, new Uint8Array(8))
    const state = feedOf(stack, feed)
    const deps = this.#newDeps(key, stack, feed)
    const from = state.hashes.length + 1
    let prev = state.hashes.at(-1) ?? genesisHash(stack.id, feed, cheapCrypto)
    const records = texts.map((body, i) => {
      const bytes = encodeRecord({ seq: from + i, prev, deps: i === 0 ? deps : [], at: from + i, agent: null, kind: 'new', body })
      prev = recordHash(bytes, cheapCrypto)
      state.hashes.push(prev)
      return bytes
    })
    const batch = { feed, from, records, head: signHead(stack.id, feed, from + records.length - 1, prev, this.#signer) }
    state.batches.push(batch)
    return { key, name, batch }
  }

  #newDeps (key: StackKey, stack: StackState, own: FeedId): Dep[] {
    const deps = [...this.vector(key)].filter(([feed, { seq }]) => feed !== own && (stack.seen.get(feed) ?? 0) < seq)
    for (const [feed, { seq }] of deps) stack.seen.set(feed, seq)
    return deps.sort(([a], [b]) => compareFeeds(a, b)).map(([feed, { seq, hash }]) => ({ feed, seq, hash }))
  }

  #open (name: string): { key: StackKey, stack: StackState } {
    const id = stackId(name, cheapCrypto)
    const key = stackKey(id)
    const stack = this.#stacks.get(key) ?? { id, name, feeds: new Map(), seen: new Map() }
    this.#stacks.set(key, stack)
    return { key, stack }
  }

  /** @returns the deps that are not here. Throws when the predecessor of the batch is unknown: a caller's bug. */
  receive (name: string, batch: Batch): Range[] {
    const { stack } = this.#open(name)
    const state = feedOf(stack, batch.feed)
    const tail = state.waiting.at(-1)?.head ?? { seq: state.hashes.length, hash: state.hashes.at(-1) ?? genesisHash(stack.id, batch.feed, cheapCrypto) }
    if (batch.head.seq <= tail.seq) return []
    if (batch.from !== tail.seq + 1) throw new Error(`a batch from ${batch.from} was handed to a feed that ends at ${tail.seq}`)
    verifyBatch(stack.id, batch, tail.hash, cheapCrypto)
    state.waiting.push(batch)
    this.#settle(stack)
    return this.#unseen(stack)
  }

  #settle (stack: StackState): void {
    for (let moved = true; moved;) {
      moved = false
      for (const [feed, state] of stack.feeds) {
        const batch = state.waiting[0]
        if (batch === undefined || this.#missingOf(stack, feed, batch).length > 0) continue
        const prev = state.hashes.at(-1) ?? genesisHash(stack.id, feed, cheapCrypto)
        state.hashes.push(...verifyBatch(stack.id, batch, prev, cheapCrypto).map(({ hash }) => hash))
        state.batches.push(batch)
        state.waiting.shift()
        moved = true
      }
    }
  }

  #unseen (stack: StackState): Range[] {
    return [...stack.feeds].flatMap(([feed, { waiting }]) => waiting[0] === undefined ? [] : this.#missingOf(stack, feed, waiting[0]))
  }

  #missingOf (stack: StackState, feed: FeedId, batch: Batch): Range[] {
    const state = feedOf(stack, feed)
    const prev = state.hashes.at(-1) ?? genesisHash(stack.id, feed, cheapCrypto)
    return verifyBatch(stack.id, batch, prev, cheapCrypto).flatMap(({ deps }) => deps).flatMap(({ feed, seq }) => {
      const have = stack.feeds.get(feed)?.hashes.length ?? 0
      return have < seq ? [{ feed, from: have + 1, to: seq }] : []
    })
  }
}

function feedOf (stack: StackState, feed: FeedId): FeedState {
  const state = stack.feeds.get(feed) ?? { batches: [], hashes: [], waiting: [] }
  stack.feeds.set(feed, state)
  return state
}
