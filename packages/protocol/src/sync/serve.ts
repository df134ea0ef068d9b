/** Answering questions: as many whole batches as one frame holds. Keeps nothing between questions. */
import type { Batch } from '../feed/chain.ts'
import type { Want } from '../feed/vector.ts'
import { LIMITS } from '../limits.ts'
import { batchBytes } from './paging.ts'

/** Room of a `batches` frame beside its batches. */
const ENVELOPE_BYTES = 256

/**
 * @param read signed batches along the path of a want, in order, from its first record on; none when the path is not held. Read
 *   lazily, so that a long feed is never in memory as a whole.
 * @returns for each want, from the first on, what of it fits the frame.
 */
export function serve (wants: readonly Want[], read: (want: Want) => Iterable<Batch>): Batch[][] {
  const answers: Batch[][] = []
  let [bytes, count] = [ENVELOPE_BYTES, 0]
  for (const want of wants) {
    const batches: Batch[] = []
    let isFull = false
    for (const batch of read(want)) {
      bytes += batchBytes(batch)
      isFull = bytes > LIMITS.frameBytesMax || ++count > LIMITS.syncBatchesMax
      if (isFull) break
      batches.push(batch)
    }
    // An empty answer means "I cannot serve this": a question that the frame has no room for is left unanswered instead.
    if (!isFull || batches.length > 0) answers.push(batches)
    if (isFull) return answers
  }
  return answers
}
