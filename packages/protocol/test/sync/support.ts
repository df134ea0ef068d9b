/** Two sessions wired to each other, over replicas that are plain trees of signed records. */
import {
  decodeRecord, deviceId, encodeRecord, feedId, genesisHash, recordHash, signHead, stackIdOf, stackKey, SyncSession, toHex, vectorDigest,
  type Batch, type Cuts, type Dep, type FeedId, type MeshId, type Replica, type SessionEffect, type SessionInput, type StackKey, type VectorEntry, type Want,
} from '../../src/index.ts'
import { cheapCrypto, cheapSigner } from '../support/cheap-crypto.ts'

export { cheapCrypto as crypto, cheapSigner as signerOf }

export function keyOf (name: string, mesh?: string): StackKey { return stackKey(stackIdOf(name, cheapCrypto), mesh as MeshId | undefined) }

interface Written { feed: FeedId, batches: Batch[] }

/** One batch per element of `sizes`, each of one record of about so many bytes. `after`: a batch of the feed that the first one follows, for a fork. */
export function feedOf (writer: string, stack: string, sizes: number[], deps: Dep[] = [], after?: Batch): Written {
  const signer = cheapSigner(writer)
  const id = stackIdOf(stack, cheapCrypto)
  const feed = feedId(deviceId(signer.publicKey), new Uint8Array(8))
  let { seq, hash } = after?.head ?? { seq: 0, hash: genesisHash(id, feed, cheapCrypto) }
  const batches = sizes.map((size, i) => {
    const bytes = encodeRecord({
      seq: ++seq, prev: hash, deps: i === 0 ? deps : [], at: i, agent: null, kind: 'new',
      body: `${after === undefined ? '' : 'fork '}${'x'.repeat(size)}`,
    })
    hash = recordHash(bytes, cheapCrypto)
    return { feed, from: seq, records: [bytes], head: signHead(id, feed, seq, hash, signer) }
  })
  return { feed, batches }
}

interface Held { name: string, records: Map<string, Batch>, feeds: Map<FeedId, Batch[]>, origin: Uint8Array[] }

const NO_CUTS: Cuts = new Map()

/** Holds signed records as trees by `prev`; what does not attach to anything waits. */
export class MapReplica implements Replica {
  readonly held = new Map<StackKey, Held>()

  put (name: string, { batches }: Pick<Written, 'batches'>, mesh?: string, origin: Uint8Array[] = []): this {
    const held = this.#of(keyOf(name, mesh), name)
    held.origin = origin
    for (const batch of batches) this.#keep(held, batch)
    return this
  }

  stacks (): ReturnType<Replica['stacks']> { return [...this.held].map(([key, { name }]) => ({ key, name, digest: this.digest(key) })) }
  digest (key: StackKey): Uint8Array { return this.has(key) ? vectorDigest(this.vector(key), NO_CUTS, cheapCrypto) : new Uint8Array(32) }
  has (key: StackKey): boolean { return this.held.has(key) }
  origin (key: StackKey): Uint8Array[] { return this.held.get(key)?.origin ?? [] }
  holds (key: StackKey, hash: Uint8Array): boolean { return this.held.get(key)?.records.has(toHex(hash)) === true }
  wants (key: StackKey, { hash }: VectorEntry): boolean { return !this.holds(key, hash) }
  longest (key: StackKey, feed: FeedId, below: number): number {
    return Math.max(
      0, ...(this.held.get(key)?.feeds.get(feed) ?? []).filter(batch => batch.from < below).map(batch => batch.from)
    )
  }

  missing (key: StackKey): VectorEntry[] {
    return this.#batches(key).flatMap(batch => {
      const hash = prevOf(batch)
      return batch.from === 1 || this.holds(key, hash) ? [] : [{ feed: batch.feed, seq: batch.from - 1, hash }]
    })
  }

  vector (key: StackKey): VectorEntry[] {
    const heads = new Map<string, VectorEntry>()
    const taken = new Set<string>()
    for (const batch of this.#batches(key).sort((a, b) => a.from - b.from)) {
      const { feed, head: { seq, hash } } = batch
      const before = toHex(prevOf(batch))
      if (batch.from > 1 && !taken.has(before)) continue
      heads.delete(before)
      taken.add(toHex(hash))
      heads.set(toHex(hash), { feed, seq, hash })
    }
    return [...heads.values()]
  }

  path (key: StackKey, { from, hash }: Want): Batch[] {
    const last = this.held.get(key)?.records.get(toHex(hash))
    return (last === undefined ? undefined : this.#path(key, last))?.filter(batch => batch.from >= from) ?? []
  }

  apply ({ key, name, batches }: Extract<SessionEffect, { type: 'apply' }>): void {
    const held = this.#of(key, name)
    for (const batch of batches) this.#keep(held, batch)
  }

  #keep ({ records, feeds }: Held, batch: Batch): void {
    records.set(toHex(batch.head.hash), batch)
    feeds.set(batch.feed, [...feeds.get(batch.feed) ?? [], batch])
  }

  /** Undefined when it does not lead back to the beginning of its feed. */
  #path (key: StackKey, last: Batch): Batch[] | undefined {
    const path: Batch[] = []
    for (
      let batch: Batch | undefined = last; batch !== undefined;
      batch = this.held.get(key)?.records.get(toHex(prevOf(batch)))
    ) path.unshift(batch)
    return path[0]?.from === 1 ? path : undefined
  }

  #batches (key: StackKey): Batch[] { return [...this.held.get(key)?.records.values() ?? []] }

  #of (key: StackKey, name: string): Held {
    const held = this.held.get(key) ?? {
      name, records: new Map<string, Batch>(), feeds: new Map<FeedId, Batch[]>(), origin: [],
    }
    this.held.set(key, held)
    return held
  }
}

const prevs = new WeakMap<Uint8Array, Uint8Array>()

function prevOf ({ records: [first] }: Batch): Uint8Array {
  const bytes = first as Uint8Array
  const prev = prevs.get(bytes) ?? decodeRecord(bytes).prev
  prevs.set(bytes, prev)
  return prev
}

export interface Sent { from: 'I' | 'R', frame: Uint8Array }

/** Runs both sides to the end, one frame at a time. */
export function exchange (i: MapReplica, r: MapReplica, { acceptOrigin = true } = {}): {
  sent: Sent[], ends: Array<Extract<SessionEffect, { type: 'end' }>>,
} {
  const sides = {
    I: { session: new SyncSession({ replica: i, crypto: cheapCrypto }), replica: i },
    R: { session: new SyncSession({ replica: r, crypto: cheapCrypto }), replica: r },
  }
  const sent: Sent[] = []
  const queue: Sent[] = []
  const ends: Array<Extract<SessionEffect, { type: 'end' }>> = []
  const drive = (side: 'I' | 'R', input: SessionInput): void => {
    const { session, replica } = sides[side]
    for (const effect of session.handle(input, 0)) {
      if (effect.type === 'send') {
        sent.push({ from: side, frame: effect.frame })
        queue.push({ from: side, frame: effect.frame })
      }
      if (effect.type === 'end') ends.push(effect)
      if (effect.type === 'apply') { replica.apply(effect); drive(side, { type: 'applied' }) }
      if (effect.type === 'origin') {
        const known = replica.held.get(effect.key) ?? { name: effect.name, records: new Map(), feeds: new Map() }
        if (acceptOrigin) replica.held.set(effect.key, { ...known, origin: effect.records })
        drive(side, { type: 'origin' })
      }
    }
  }
  drive('I', { type: 'start' })
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) drive(next.from === 'I' ? 'R' : 'I', {
    type: 'frame', frame: next.frame,
  })
  return { sent, ends }
}
