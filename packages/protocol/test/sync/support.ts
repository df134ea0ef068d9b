/** Two sessions wired to each other, over replicas that are plain maps of signed batches. */
import { createHash } from 'node:crypto'
import {
  deviceId, encodeRecord, feedId, genesisHash, recordHash, signHead, stackIdOf, stackKey, SyncSession, vectorDigest,
  type Batch, type Crypto, type Dep, type FeedId, type MeshId, type Range, type Replica, type SessionEffect, type SessionInput, type Signer, type StackKey, type VectorEntry,
} from '../../src/index.ts'

export const crypto: Crypto = {
  sha256: (...parts) => {
    const hash = createHash('sha256')
    for (const part of parts) hash.update(part)
    return new Uint8Array(hash.digest())
  },
  verify: (key, signature, message) => Buffer.from(signature.subarray(0, 32)).equals(crypto.sha256(key, message)),
}

export function signerOf (name: string): Signer {
  const publicKey = crypto.sha256(Buffer.from(name))
  return { publicKey, sign: message => Uint8Array.from([...crypto.sha256(publicKey, message), ...new Uint8Array(32)]) }
}

export function keyOf (name: string, mesh?: string): StackKey { return stackKey(stackIdOf(name, crypto), mesh as MeshId | undefined) }

/** One batch per element of `sizes`, each of one record of about so many bytes. */
export function feedOf (writer: string, stack: string, sizes: number[], deps: Dep[] = []): { feed: FeedId, batches: Batch[] } {
  const signer = signerOf(writer)
  const id = stackIdOf(stack, crypto)
  const feed = feedId(deviceId(signer.publicKey), new Uint8Array(8))
  let prev = genesisHash(id, feed, crypto)
  const batches = sizes.map((size, i) => {
    const bytes = encodeRecord({ seq: i + 1, prev, deps: i === 0 ? deps : [], at: i, agent: null, kind: 'new', body: 'x'.repeat(size) })
    prev = recordHash(bytes, crypto)
    return { feed, from: i + 1, records: [bytes], head: signHead(id, feed, i + 1, prev, signer) }
  })
  return { feed, batches }
}

interface Held { name: string, feeds: Map<FeedId, Batch[]>, origin: Uint8Array[] }

export class MapReplica implements Replica {
  readonly held = new Map<StackKey, Held>()

  put (name: string, { feed, batches }: { feed: FeedId, batches: Batch[] }, mesh?: string, origin: Uint8Array[] = []): this {
    const key = keyOf(name, mesh)
    const held = this.held.get(key) ?? { name, feeds: new Map<FeedId, Batch[]>(), origin }
    this.held.set(key, held)
    held.feeds.set(feed, batches)
    return this
  }

  stacks (): ReturnType<Replica['stacks']> { return [...this.held].map(([key, { name }]) => ({ key, name, digest: vectorDigest(this.vector(key), crypto) })) }
  has (key: StackKey): boolean { return this.held.has(key) }
  origin (key: StackKey): Uint8Array[] { return this.held.get(key)?.origin ?? [] }
  accepts (): boolean { return true }
  vector (key: StackKey): Map<FeedId, VectorEntry> {
    return new Map([...this.held.get(key)?.feeds ?? []].flatMap(([feed, batches]) => batches.slice(-1).map(({ head }) => [feed, { seq: head.seq, hash: head.hash }] as const)))
  }

  batches (key: StackKey, { feed, from, to }: Range): Batch[] { return this.held.get(key)?.feeds.get(feed)?.filter(batch => batch.from >= from && batch.from <= to) ?? [] }

  apply ({ key, name, batches }: Extract<SessionEffect, { type: 'apply' }>): void {
    const held = this.held.get(key) ?? { name, feeds: new Map<FeedId, Batch[]>(), origin: [] }
    this.held.set(key, held)
    for (const batch of batches) {
      const have = held.feeds.get(batch.feed) ?? []
      if (batch.from === have.length + 1) held.feeds.set(batch.feed, [...have, batch])
    }
  }
}

export interface Sent { from: 'I' | 'R', frame: Uint8Array }

/** Runs both sides to the end, one frame at a time. */
export function exchange (i: MapReplica, r: MapReplica, { acceptOrigin = true } = {}): { sent: Sent[], ends: Array<Extract<SessionEffect, { type: 'end' }>> } {
  const sides = { I: { session: new SyncSession({ replica: i, crypto }), replica: i }, R: { session: new SyncSession({ replica: r, crypto }), replica: r } }
  const sent: Sent[] = []
  const queue: Sent[] = []
  const ends: Array<Extract<SessionEffect, { type: 'end' }>> = []
  const drive = (side: 'I' | 'R', input: SessionInput): void => {
    const { session, replica } = sides[side]
    for (const effect of session.handle(input, 0)) {
      if (effect.type === 'send') { sent.push({ from: side, frame: effect.frame }); queue.push({ from: side, frame: effect.frame }) }
      if (effect.type === 'end') ends.push(effect)
      if (effect.type === 'apply') { replica.apply(effect); drive(side, { type: 'applied', missing: [], closed: [] }) }
      if (effect.type === 'origin') {
        if (acceptOrigin) replica.held.set(effect.key, { name: effect.name, feeds: new Map(), origin: effect.records })
        drive(side, { type: 'origin', accepted: acceptOrigin })
      }
    }
  }
  drive('I', { type: 'start' })
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) drive(next.from === 'I' ? 'R' : 'I', { type: 'frame', frame: next.frame })
  return { sent, ends }
}
