/** A batch from outside, before a byte of it is stored: bounds, chain and signature, and where it attaches. */
import { equalBytes, LIMITS, MalformedError, toHex, verifyBatch, type Batch } from '@elder-node/protocol'
import type { Graph } from './graph.ts'
import { heldRecords, type HeldRecord } from './node.ts'

/** `fresh`: the batch from its first record on that is not held; undefined when all of it is. */
export interface Intake { records: HeldRecord[], fresh: HeldRecord[], batch: Batch | undefined }

/** @throws MalformedError when the batch is wrong in itself: the sender's fault, and nothing of it is remembered. */
export function inspect (graph: Graph, batch: Batch): Intake {
  checkBounds(batch)
  const last = graph.node(toHex(batch.head.hash))?.record
  // A name is a hash of everything before it: a head that is taken and signed needs no second look. One that waits may wait for this.
  if (last?.signature !== undefined && last.feed === batch.feed && isSameRecord(last, batch)) return { records: [], fresh: [], batch: undefined }
  const records = heldRecords(verifyBatch(graph.id, batch, graph.crypto), batch.head.signature, graph.names)
  const first = records[0] as HeldRecord
  if (!graph.isChained(first)) throw new MalformedError('the batch does not follow the record it names', { feed: batch.feed, seq: first.seq })
  const start = records.findIndex(record => !graph.holds(record.name))
  if (start === -1) return { records, fresh: [], batch: undefined }
  const rest = records.slice(start)
  return {
    records, fresh: rest.filter(record => !graph.holds(record.name)),
    batch: { feed: batch.feed, from: (rest[0] as HeldRecord).seq, records: batch.records.slice(start), head: batch.head },
  }
}

function isSameRecord (held: HeldRecord, batch: Batch): boolean { return equalBytes(held.bytes, batch.records.at(-1) as Uint8Array) && held.seq === batch.head.seq }

function checkBounds (batch: Batch): void {
  const count = batch.records.length
  if (count === 0 || count > LIMITS.batchRecordsMax || batch.from < 1) throw new MalformedError(`a batch holds 1 to ${LIMITS.batchRecordsMax} records`)
  const block = (seq: number): number => Math.floor((seq - 1) / LIMITS.batchRecordsMax)
  if (block(batch.from) !== block(batch.from + count - 1)) throw new MalformedError('a batch does not cross a multiple of the batch size')
  const bytes = batch.records.reduce((sum, record) => sum + record.length, 0)
  if (count > 1 && bytes > LIMITS.batchBytesMax) throw new MalformedError(`a batch of ${bytes} bytes exceeds the bound`)
}
