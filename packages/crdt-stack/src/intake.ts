/** What to do with a batch from outside, before a byte of it is stored: chain, signature, duplicates, gaps and forks (rule 1). */
import { decodeRecord, equalBytes, genesisHash, LIMITS, MalformedError, recordHash, verifyBatch, type Batch, type ChainedRecord, type Range } from '@elder-node/protocol'
import type { StackState } from './state.ts'

export type Intake =
  | { type: 'duplicate' }
  /** Records before it are not here. */
  | { type: 'gap', missing: Range }
  /** New records that continue the chain; `duplicate` of the batch were here. */
  | { type: 'append', records: ChainedRecord[], duplicate: number }
  /** The batch and the log hold two signed records with this seq. */
  | { type: 'fork', seq: number, theirs: Batch }

/** @throws MalformedError when the batch breaks a bound, the chain or its signature: the sender's fault. */
export function inspect (state: StackState, batch: Batch): Intake {
  checkBounds(batch)
  const log = state.feeds.get(batch.feed)?.log
  const have = log?.length ?? 0
  const last = batch.from + batch.records.length - 1
  if (log !== undefined && last <= have && equalBytes(recordHash(batch.records.at(-1) as Uint8Array, state.crypto), log.hashAt(last))) return { type: 'duplicate' }
  if (batch.from > have + 1) return { type: 'gap', missing: { feed: batch.feed, from: have + 1, to: last } }
  // Nothing is made of a feed before its first batch has verified: names of feeds cost nothing to invent.
  const prev = log?.hashAt(batch.from - 1) ?? genesisHash(state.id, batch.feed, state.crypto)
  const first = decodeRecord(batch.records[0] as Uint8Array)
  if (batch.from > 1 && !equalBytes(first.prev, prev)) return earlierFork(state, batch, first.prev)
  const records = verifyBatch(state.id, batch, prev, state.crypto)
  const other = records.find(record => log !== undefined && record.seq <= have && !equalBytes(record.hash, log.hashAt(record.seq)))
  if (other !== undefined) return { type: 'fork', seq: other.seq, theirs: batch }
  const fresh = records.filter(record => record.seq > have)
  return { type: 'append', records: fresh, duplicate: records.length - fresh.length }
}

/** A signed chain that left ours before this batch: ask for the block before, until the point itself is seen. */
function earlierFork (state: StackState, batch: Batch, prev: Uint8Array): Intake {
  verifyBatch(state.id, batch, prev, state.crypto)
  const to = batch.from - 1
  const block = Math.floor((to - 1) / LIMITS.batchRecordsMax) * LIMITS.batchRecordsMax
  return { type: 'gap', missing: { feed: batch.feed, from: block + 1, to } }
}

function checkBounds (batch: Batch): void {
  const count = batch.records.length
  if (count === 0 || count > LIMITS.batchRecordsMax || batch.from < 1) throw new MalformedError(`a batch holds 1 to ${LIMITS.batchRecordsMax} records`)
  const block = (seq: number): number => Math.floor((seq - 1) / LIMITS.batchRecordsMax)
  if (block(batch.from) !== block(batch.from + count - 1)) throw new MalformedError('a batch does not cross a multiple of the batch size')
  const bytes = batch.records.reduce((sum, record) => sum + record.length, 0)
  if (count > 1 && bytes > LIMITS.batchBytesMax) throw new MalformedError(`a batch of ${bytes} bytes exceeds the bound`)
}
