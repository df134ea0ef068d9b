/** A member that signs whatever it likes: forks, records that break rules, sessions that go on twice, names of what does not exist. */
import {
  encodeRecord, feedId, genesisHash, recordHash, risingPlaces, signHead, toHex, type Batch, type Dep, type FeedId,
  type StackId, type Value,
} from '@elder-node/protocol'
import * as Y from 'yjs'
import { baseClientId, clientIdOf } from '../../src/client-id.ts'
import { hashOf } from '../../src/feeds/node.ts'
import { crypto, signerOf } from './crypto.ts'
import { ancestors, type Known, type Mapping } from './mapping.ts'
import type { Random } from './world.ts'

export class Liar {
  readonly signer: ReturnType<typeof signerOf>
  readonly batches: Batch[] = []
  readonly #stack: StackId
  readonly #mapping: Mapping
  readonly #random: Random
  #feeds = 0

  constructor (name: string, stack: StackId, mapping: Mapping, random: Random) {
    this.signer = signerOf(name)
    this.#stack = stack
    this.#mapping = mapping
    this.#random = random
  }

  /** One batch of a few records: a new feed, a new strand, or more of one. */
  lie (): void {
    const { known } = this.#mapping
    const mine = [...known.values()].filter(record => record.record.dev === this.signer.id)
    const at = mine.length === 0 || this.#random.chance(0.08) ? undefined : this.#random.chance(0.3) ? mine.at(-1) : this.#random.pick(mine)
    const feed = at?.feed ?? feedId(this.signer.id, new Uint8Array(8).fill(++this.#feeds))
    const records: Uint8Array[] = []
    let prev = at === undefined ? genesisHash(this.#stack, feed, crypto) : hashOf(at.record.hash)
    const from = (at?.seq ?? 0) + 1
    for (let i = this.#random.int(3); i >= 0; i--) {
      const bytes = this.#record(feed, from + records.length, prev)
      // Each is known before the next one is made, so that it can build on it.
      this.#mapping.of({
        feed, from: from + records.length, records: [bytes],
        head: signHead(this.#stack, feed, from + records.length, recordHash(bytes, crypto), this.signer),
      })
      records.push(bytes)
      prev = recordHash(bytes, crypto)
    }
    const batch = {
      feed, from, records, head: signHead(this.#stack, feed, from + records.length - 1, prev, this.signer),
    }
    this.batches.push(batch)
  }

  #record (feed: FeedId, seq: number, prev: Uint8Array): Uint8Array {
    const random = this.#random
    const { known } = this.#mapping
    const past = ancestors(known, [toHex(prev)])
    const deps = new Map<string, Dep>()
    const name = (other: Known): void => {
      if (other.feed !== feed && !past.has(other.record.hash)) deps.set(other.record.hash, placeOf(other))
    }
    const others = [...known.values()].filter(other => other.feed !== feed)
    for (let i = random.int(3); i > 0 && others.length > 0; i--) name(random.pick(others))
    if (random.chance(0.03) && others.length > 0) {
      const other = random.pick(others)
      deps.set(other.record.hash, placeOf(other))
    }
    if (random.chance(0.03) && others.length > 0) {
      const other = random.pick(others)
      deps.set(other.record.hash, { ...placeOf(other), seq: other.seq + 1 })
    }
    if (random.chance(0.04)) deps.set('ff'.repeat(32), {
      feed: feedId(signerOf('nobody').id, new Uint8Array(8)), seq: 1, hash: random.bytes(32),
    })
    const entries = [...known.values()].filter(other => other.kind === 'new')
    const target = entries.length === 0 ? undefined : random.pick(entries)
    if (target !== undefined && !random.chance(0.1)) name(target)
    const roll = random.next()
    const [kind, body]: [string, Value] = target === undefined || roll < 0.2 ? [
      'new', { kind: 'note', fields: { title: `lie ${random.int(1e6)}` }, body: random.pick(['', 'abc def']), v: 1 },
    ]
      : roll < 0.4 ? ['set', { entry: hashOf(target.record.hash), field: 'title', value: random.int(1e6) }]
        : roll < 0.45 ? ['remove', { entry: hashOf(target.record.hash) }]
          : roll < 0.5 ? ['set', { entry: hashOf(target.record.hash) }]
            : roll < 0.55 ? ['see', {}] : ['text', this.#text(feed, toHex(prev), target, deps)]
    const list: Dep[] = []
    for (const dep of risingPlaces(deps.values())) if (
      toHex(dep.hash) !== toHex(list.at(-1)?.hash ?? prev)
    ) list.push(dep)
    return encodeRecord({ seq, prev, deps: list, at: 1_750_000_000_000 * 1024 + known.size, agent: null, kind, body })
  }

  /** What an editor would write on the text of the record's past; sometimes bent. */
  #text (feed: FeedId, prev: string, target: Known, deps: ReadonlyMap<string, Dep>): Value {
    const random = this.#random
    const { known } = this.#mapping
    const entry = target.record.hash
    const session = new Uint8Array(8).fill(random.int(2))
    const past = ancestors(known, [prev, ...deps.keys()])
    const doc = new Y.Doc({ gc: false })
    doc.clientID = baseClientId(this.#stack, entry, crypto)
    doc.getText('body').insert(0, (target.body as { body: string }).body)
    for (
      const other of [...known.values()].filter(
        ({ kind, body, record }) => kind === 'text' && past.has(record.hash) && toHex(
          (body as { entry: Uint8Array }).entry
        ) === entry
      )
    ) {
      try { Y.applyUpdate(doc, (other.body as { update: Uint8Array }).update) } catch { /* it was bent */ }
    }
    doc.clientID = clientIdOf(this.#stack, feed, entry, session, crypto)
    let update: Uint8Array = Uint8Array.of(0, 0)
    doc.once('update', (bytes: Uint8Array) => { update = bytes })
    const text = doc.getText('body')
    try {
      doc.transact(() => {
        if (random.chance(0.3) && text.length > 1) text.delete(random.int(text.length - 1), 1)
        if (!random.chance(0.1)) text.insert(random.int(text.length + 1), 'xyz'.slice(0, 1 + random.int(3)))
      })
    } catch { /* what it read was bent: so is its document */ }
    doc.destroy()
    if (random.chance(0.06)) update = update.map((byte, i) => i === random.int(update.length) ? byte ^ 1 : byte)
    return { entry: hashOf(entry), session, format: 1, update }
  }
}

function placeOf (known: Known): Dep { return { feed: known.feed, seq: known.seq, hash: hashOf(known.record.hash) } }
