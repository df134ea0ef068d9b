/** Cuts long lists into frames. */
import { encode } from '../codec/cbor.ts'
import { batchValue, type Batch } from '../feed/chain.ts'
import { LIMITS } from '../limits.ts'
import type { StackSummary } from './digests.ts'
import type { NamedVector, SyncMessage } from './messages.ts'

/** Upper bounds of what an item costs in CBOR: [key (53), name (64), digest (32)] and [feedKey (40), seq (9), hash (32)]. */
const STACK_BYTES = 160
const ENTRY_BYTES = 90

function pages<Item> (items: readonly Item[], costOf: (item: Item) => number): Item[][] {
  const out: Item[][] = [[]]
  let bytes = 0
  for (const item of items) {
    const cost = costOf(item)
    if (bytes + cost > LIMITS.syncPageBytes && (out.at(-1) as Item[]).length > 0) {
      out.push([])
      bytes = 0
    }
    ;(out.at(-1) as Item[]).push(item)
    bytes += cost
  }
  return out
}

function withMore<Item, Message> (items: Item[][], of: (page: Item[], more: boolean) => Message): Message[] {
  return items.map((page, i) => of(page, i < items.length - 1))
}

/** At least one message, the last with `more: false`. */
export function stacksPages (differing: Uint8Array, stacks: readonly StackSummary[], traceparent: string | null): SyncMessage[] {
  return withMore(pages(stacks, () => STACK_BYTES), (page, more) => ({ type: 'stacks', differing, stacks: page, more, traceparent }))
}

/** A vector larger than a page goes on under the same key in the next one. */
export function vectorsPages (vectors: readonly NamedVector[]): SyncMessage[] {
  const cost = ({ vector }: NamedVector): number => STACK_BYTES + vector.length * ENTRY_BYTES
  return withMore(pages(vectors.flatMap(cutVector), cost), (page, more) => ({ type: 'vectors', vectors: page, more }))
}

function cutVector (named: NamedVector): NamedVector[] {
  const perPage = Math.floor((LIMITS.syncPageBytes - STACK_BYTES) / ENTRY_BYTES)
  if (named.vector.length <= perPage) return [named]
  return Array.from({ length: Math.ceil(named.vector.length / perPage) }, (_, i) => ({ ...named, vector: named.vector.slice(i * perPage, (i + 1) * perPage) }))
}

/** At least one message, the last with `more: false`. */
export function donePages (held: ReadonlyArray<{ key: NamedVector['key'], digest: Uint8Array }>): SyncMessage[] {
  return withMore(pages(held, () => STACK_BYTES), (page, more) => ({ type: 'done', held: page, more }))
}

export function originPages (key: NamedVector['key'], records: readonly Uint8Array[]): SyncMessage[] {
  return withMore(pages(records, record => record.length + 8), (page, more) => ({ type: 'origin', key, records: page, more }))
}

/** Bytes a batch takes on the wire. */
export function batchBytes (batch: Batch): number { return encode(batchValue(batch)).length }
