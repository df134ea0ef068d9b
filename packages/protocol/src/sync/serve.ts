/** Answering a question: as many whole batches as one frame holds. Keeps nothing between questions. */
import type { Batch } from '../feed/chain.ts'
import type { Range } from '../feed/vector.ts'
import { LIMITS } from '../limits.ts'
import { batchBytes } from './paging.ts'

/** Room of a `batches` frame beside its batches. */
const ENVELOPE_BYTES = 256

/**
 * @param read the stored batches that cover a range, in order; it may hold fewer records than asked, and its last batch may go beyond.
 * @returns batches for the ranges in order; empty when nothing of it can be served.
 */
export function serve (ranges: readonly Range[], read: (range: Range) => Batch[]): Batch[] {
  const out: Batch[] = []
  let bytes = ENVELOPE_BYTES
  for (const range of ranges) {
    for (const batch of blocks(range, read)) {
      bytes += batchBytes(batch)
      if (bytes > LIMITS.frameBytesMax || out.length === LIMITS.syncBatchesMax) return out
      out.push(batch)
    }
  }
  return out
}

/** Reads one block (a multiple of LIMITS.batchRecordsMax) at a time, so that a long feed is never in memory as a whole. */
function * blocks (range: Range, read: (range: Range) => Batch[]): Generator<Batch> {
  for (let from = range.from; from <= range.to;) {
    const to = Math.min(range.to, Math.ceil(from / LIMITS.batchRecordsMax) * LIMITS.batchRecordsMax)
    const batches = read({ feed: range.feed, from, to })
    yield * batches
    // The proof of a fork may follow the batches: it does not bring the range forward.
    const next = batches.reduce((at, batch) => batch.from === at ? batch.head.seq + 1 : at, from)
    if (next === from) return
    from = next
  }
}
