/**
 * Real records as records of the model, under the same names: a real record's hash is the model record's hash, so that every order
 * by hash is the same on both sides. What the model leaves to others (shapes of bodies, bytes of updates, what lies next to what in
 * a document) is told to it as a body that is wrong.
 */
import {
  decodeRecord, feedDevice, genesisHash, recordHash, toHex, type Batch, type FeedId, type StackId, type Value,
} from '@elder-node/protocol'
import { baseClientId, clientIdOf } from '../../src/client-id.ts'
import { Refusal } from '../../src/refusal.ts'
import { scanText, type ScannedText } from '../../src/scanner.ts'
import { markBody, newBody, setBody, textBody } from '../../src/schema.ts'
import { byFeedHash, clientOf, genesis, type ModelRecord } from '../../../../test/oracles/strands/rules.mjs'
import { crypto } from './crypto.ts'

export interface Known {
  record: ModelRecord, feed: FeedId, batch: Batch, seq: number, prev: string,
  deps: Array<{ feed: FeedId, seq: number, name: string }>, kind: string, body: Value,
}

export class Mapping {
  readonly known = new Map<string, Known>()
  readonly #stack: StackId
  readonly #clients = new Map<number, string>()
  readonly #ends = new Map<string, { client: number, end: number }>()

  constructor (stack: StackId) { this.#stack = stack }

  /** The records of a batch, in order. */
  of (batch: Batch): Known[] {
    return batch.records.map(bytes => {
      const name = toHex(recordHash(bytes, crypto))
      const before = this.known.get(name)
      if (before !== undefined) return before
      const { seq, prev, deps, at, kind, body } = decodeRecord(bytes)
      const feed = feedOf(batch.feed)
      const isFirst = seq === 1 && toHex(prev) === toHex(genesisHash(this.#stack, batch.feed, crypto))
      const named = deps.map(dep => ({ feed: dep.feed, seq: dep.seq, name: toHex(dep.hash) }))
      const record: ModelRecord = {
        feed, dev: feedDevice(batch.feed), seq, prev: isFirst ? genesis(feed) : toHex(prev), at, hash: name,
        deps: named.map(
          dep => ({ feed: feedOf(dep.feed), seq: dep.seq, hash: dep.name })
        ).sort(byFeedHash), ...this.#judged(batch.feed, name, toHex(prev), named.map(dep => dep.name), kind, body),
      }
      const known = { record, feed: batch.feed, batch, seq, prev: toHex(prev), deps: named, kind, body }
      this.known.set(name, known)
      return known
    })
  }

  /** The real stack said that the text does not fit its document, which the model does not have. Every device must say so. */
  displaced (name: string): void {
    const known = this.known.get(name)
    if (known?.record.kind === 'text') known.record.kind = 'bad'
  }

  #judged (
    feed: FeedId, name: string, prev: string, deps: string[], kind: string, body: Value
  ): Pick<ModelRecord, 'kind' | 'body'> {
    try {
      switch (kind) {
        case 'new': return { kind, body: { title: '', fields: Object.keys(newBody(body).fields) } }
        case 'set': { const { entry, field } = setBody(body); return { kind, body: { entry, field } } }
        case 'remove': case 'restore': return { kind: 'remove', body: { entry: markBody(body) } }
        case 'text': {
          const text = this.#text(feed, name, prev, body)
          // Text for an entry that its author had not seen is void, and nobody can build on it.
          return ancestors(
            this.known, [prev, ...deps]
          ).has(text['entry'] as string) ? { kind, body: text } : { kind: 'bad', body: {} }
        }
        default: return { kind: 'see', body: {} }
      }
    } catch (error) {
      if (error instanceof Refusal) return { kind: 'bad', body: {} }
      throw error
    }
  }

  #text (feed: FeedId, name: string, prev: string, body: Value): Record<string, unknown> {
    const { entry, session, update } = textBody(body)
    const scanned = scanText(update)
    const { block } = scanned
    const client = clientIdOf(this.#stack, feed, entry, session, crypto)
    const nonce = block === undefined ? `deletes ${name}` : toHex(session)
    this.#clients.set(client, clientOf(feedOf(feed), entry, toHex(session)))
    if (
      block !== undefined && (block.client !== client || client === baseClientId(this.#stack, entry, crypto))
    ) throw new Refusal('another client')
    const end = this.#endOfSession(prev, client)
    if (block !== undefined) this.#ends.set(name, { client, end: block.end })
    const needs = this.#needs(entry, client, block?.end ?? end, scanned).map(
      ([other, at]) => [this.#clients.get(other) ?? `nobody ${other}`, at]
    )
    return { entry, nonce, clock: block?.clock ?? 0, len: block === undefined ? 0 : block.end - block.clock, needs }
  }

  /** Every unit of others, and of the own session before this record; the entry's first content is always there, or the entry is not. */
  #needs (
    entry: string, client: number, end: number, { block, deletes }: ScannedText
  ): Array<readonly [number, number]> {
    const base = baseClientId(this.#stack, entry, crypto)
    const born = this.known.get(entry)
    const initial = born?.record.kind === 'new' ? (born.body as { body: string }).body.length : 0
    const needs: Array<readonly [number, number]> = []
    const need = (other: number, at: number, below: number): void => {
      if (other === client && at >= below) throw new Refusal('beyond its own session')
      if (other === base && at >= initial) throw new Refusal('beyond the first content')
      if (other !== base && !(other === client && at >= (block?.clock ?? end))) needs.push([other, at])
    }
    for (const { clock, origin, right } of block?.structs ?? []) {
      for (const place of [origin, right]) if (place !== undefined) need(place.client, place.clock, clock)
    }
    for (const range of deletes) for (
      let at = range.clock; at < range.clock + range.length; at++
    ) need(range.client, at, end)
    return needs
  }

  #endOfSession (prev: string, client: number): number {
    for (let name = prev; ;) {
      const session = this.#ends.get(name)
      if (session?.client === client) return session.end
      const before = this.known.get(name)
      if (before === undefined) return 0
      name = before.prev
    }
  }
}

/** Everything that these records and what they name lead back to, themselves included. */
export function ancestors (known: ReadonlyMap<string, Known>, names: readonly string[]): Set<string> {
  const seen = new Set<string>()
  const todo = [...names]
  for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
    const found = seen.has(name) ? undefined : known.get(name)
    if (found === undefined) continue
    seen.add(name)
    todo.push(found.prev, ...found.deps.map(dep => dep.name))
  }
  return seen
}

function feedOf (feed: FeedId): string { return feed.replace('-', '/') }
