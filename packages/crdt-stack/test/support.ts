/** Node's crypto behind the ports of the protocol, and small stacks in memory. */
import { randomBytes } from 'node:crypto'
import {
  deviceId, encodeRecord, genesisHash, recordHash, signHead, stackId, stackKey, SyncSession, toHex, type Batch,
  type DeviceId, type FeedId, type FeedRecord, type Replica, type SessionInput, type Signer, type StackId,
} from '@elder-node/protocol'
import { crypto, signerOf } from '../../protocol/test/support/crypto.ts'
import { createMemory, MemoryFeedStore, Stack, type Memory, type StackInit } from '../src/index.ts'

export { crypto }

/** Ed25519 from a 32-byte seed; random without one. */
export function createSigner (seed: Uint8Array = randomBytes(32)): Signer { return signerOf(seed) }

export const NAME = 'demo'
export const STACK: StackId = stackId(NAME, crypto)
export const random = (n: number): Uint8Array => new Uint8Array(randomBytes(n))

export interface Device {
  signer: Signer, id: DeviceId, memory: Memory, clock: { ms: number },
  open: (init?: Partial<StackInit>) => Promise<Stack>,
}

/** A device with its own clock and memory; `open` restarts it. With a seed, its key and incarnations replay. */
export function createDevice (seed?: number): Device {
  const signer = createSigner(seed === undefined ? undefined : new Uint8Array(32).fill(seed))
  const memory = createMemory()
  const clock = { ms: 1_750_000_000_000 }
  let drawn = 0
  const draw = seed === undefined ? random : (n: number): Uint8Array => new Uint8Array(n).fill(++drawn)
  const open = async (init: Partial<StackInit> = {}): Promise<Stack> =>
    await Stack.open({ store: new MemoryFeedStore(memory), crypto, signer, wallMs: () => clock.ms++, random: draw }, {
      id: STACK, name: NAME, ...init,
    })
  return { signer, id: deviceId(signer.publicKey), memory, clock, open }
}

/** Everything `to` lacks from `from`, as an exchange would bring it: what waiting records name, then heads. */
export async function pull (to: Stack, from: Stack): Promise<void> {
  const asked = new Map<string, number>()
  const heads = from.vector().filter(head => to.wants(head))
  for (let next = [...to.missing(), ...heads]; next.length > 0; next = to.missing()) {
    const fresh = next.filter(({ hash }) => (asked.get(toHex(hash)) ?? 0) < 2 && !to.holds(hash))
    for (const { hash } of fresh) asked.set(toHex(hash), (asked.get(toHex(hash)) ?? 0) + 1)
    if (fresh.length === 0) return
    for (const head of fresh) await to.receive([...from.path({ ...head, from: 1, to: head.seq })])
  }
}

/** One exchange as devices have it: both ask for what they lack, frame by frame. */
export async function exchange (a: Stack, b: Stack): Promise<void> {
  const sessions = [a, b].map(stack => ({ stack, session: new SyncSession({ replica: replicaOf(stack), crypto }) }))
  const queue: Array<{ to: number, frame: Uint8Array }> = []
  const drive = async (side: number, input: SessionInput): Promise<void> => {
    const { stack, session } = sessions[side] as typeof sessions[0]
    for (const effect of session.handle(input, 0)) {
      if (effect.type === 'send') queue.push({ to: 1 - side, frame: effect.frame })
      else if (effect.type === 'apply') {
        await stack.receive(effect.batches)
        await drive(side, { type: 'applied' })
      } else if (effect.type === 'end' && effect.reason !== 'done') throw new Error(`the exchange ended: ${effect.reason}`)
    }
  }
  await drive(0, { type: 'start' })
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    await drive(next.to, { type: 'frame', frame: next.frame })
  }
}

export function replicaOf (stack: Stack): Replica {
  const key = stackKey(stack.id)
  return {
    stacks: () => [{
      key, name: stack.name, digest: stack.feedsDigest(),
    }], vector: () => stack.vector(), path: (_key, want) => stack.path(want), digest: () => stack.feedsDigest(), has: () => true,
    origin: () => [], wants: (_key, head) => stack.wants(head), holds: (_key, hash) => stack.holds(hash), longest: (_key, feed, below) => stack.longest(feed, below), missing: () => stack.missing(),
  }
}

export async function converge (stacks: Stack[], rounds = 2): Promise<void> {
  for (let i = 0; i < rounds; i++) {
    for (const to of stacks) for (const from of stacks) if (to !== from) await pull(to, from)
  }
}

/** A feed written by hand: whatever a hostile device might sign. */
export class RawFeed {
  readonly feed: FeedId
  readonly signer: Signer
  readonly records: Uint8Array[] = []
  readonly hashes: Uint8Array[]
  constructor (feed: FeedId, signer: Signer) {
    this.feed = feed
    this.signer = signer
    this.hashes = [genesisHash(STACK, feed, crypto)]
  }

  get seq (): number { return this.records.length }
  hash (seq = this.seq): Uint8Array { return this.hashes[seq] as Uint8Array }

  /** Signs one more record and returns it as a batch of one. */
  write (record: Partial<FeedRecord> & { kind: string, body: FeedRecord['body'] }): Batch {
    const bytes = encodeRecord({
      seq: this.seq + 1, prev: this.hash(), deps: [], at: 1_750_000_000_000 * 1024 + this.seq, agent: null, ...record,
    })
    this.records.push(bytes)
    this.hashes.push(recordHash(bytes, crypto))
    return this.batch(this.seq)
  }

  /** Another history from here on. */
  fork (): RawFeed {
    const fork = new RawFeed(this.feed, this.signer)
    fork.records.push(...this.records)
    fork.hashes.push(...this.hashes.slice(1))
    return fork
  }

  batch (from: number, to: number = from): Batch {
    return {
      feed: this.feed, from, records: this.records.slice(from - 1, to),
      head: signHead(STACK, this.feed, to, this.hash(to), this.signer),
    }
  }
}
