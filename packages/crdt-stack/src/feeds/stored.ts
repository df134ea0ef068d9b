/** Records that come back from this device's own store. */
import { codeOf, decodeRecord, recordHash, verifyBatch, type Batch, type Cuts } from '@elder-node/protocol'
import type { Graph } from './graph.ts'
import { heldRecords, type HeldRecord } from './node.ts'
import type { LoadedFeeds } from './store.ts'

/** Beside damage a checksum proves less: bytes inside a record may look like a frame. There the signatures count. */
export function * storedRecords (
  graph: Graph, { batches, damaged }: Pick<LoadedFeeds, 'batches' | 'damaged'>,
): Generator<HeldRecord> {
  const doubtful = new Set(damaged.map(({ feed }) => feed))
  for (const batch of batches) {
    yield * doubtful.has(batch.feed) ? verified(graph, batch) : decoded(graph, batch)
  }
}

/**
 * Without a look at the signature: the disk's checksum held, a record attaches by the hash that names it, and its
 * signature was checked when it came.
 */
function decoded ({ crypto, names }: Graph, { feed, records, head }: Batch): HeldRecord[] {
  const found = records.map(bytes => ({ ...decodeRecord(bytes, { isOurs: true }), feed, bytes, hash: recordHash(bytes, crypto) }))
  return heldRecords(found, head.signature, names)
}

/** The records of a stored batch, none when its chain or signature is broken. */
function verified (graph: Graph, batch: Batch): HeldRecord[] {
  try {
    return heldRecords(verifyBatch(graph.id, batch, graph.crypto), batch.head.signature, graph.names)
  } catch (error) {
    if (codeOf(error) !== 'MALFORMED') throw error
    return []
  }
}

/** Do these cuts keep something that those before did not? */
export function keepsMore (before: Cuts, cuts: Cuts): boolean {
  return [...before].some(([device, { keep }]) => {
    const now = cuts.get(device)
    return now === undefined || [...now.keep].some(name => !keep.has(name))
  })
}
