/** Records that come back from this device's own store. */
import { codeOf, decodeRecord, recordHash, verifyBatch, type Batch, type Cuts, type DeviceId } from '@elder-node/protocol'
import type { Graph } from './graph.ts'
import { heldRecords, type HeldRecord } from './node.ts'

/**
 * Without a look at the signature: the disk's checksum held, a record attaches by the hash that names it, and its
 * signature was checked when it came.
 */
export function decoded ({ crypto, names }: Graph, { feed, records, head }: Batch): HeldRecord[] {
  const found = records.map(bytes => ({ ...decodeRecord(bytes, { isOurs: true }), feed, bytes, hash: recordHash(bytes, crypto) }))
  return heldRecords(found, head.signature, names)
}

/** The records of a stored batch, none when its chain or signature is broken. */
export function verified (graph: Graph, batch: Batch): HeldRecord[] {
  try {
    return heldRecords(verifyBatch(graph.id, batch, graph.crypto), batch.head.signature, graph.names)
  } catch (error) {
    if (codeOf(error) !== 'MALFORMED') throw error
    return []
  }
}

/** Devices of which these cuts keep something that those before did not. */
export function keepsMore (before: Cuts, cuts: Cuts): Set<DeviceId> {
  const more = [...before].filter(([device, { keep }]) => {
    const now = cuts.get(device)
    return now === undefined || [...now.keep].some(name => !keep.has(name))
  })
  return new Set(more.map(([device]) => device))
}
