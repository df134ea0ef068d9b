/** The proof of a fork as it is kept beside a feed: ["fork", seq, our batch, their batch]. */
import { batchOf, batchValue, type Value } from '@elder-node/protocol'
import type { Fork } from './state.ts'

export function forkValue ({ seq, evidence: [ours, theirs] }: Fork): Value { return ['fork', seq, batchValue(ours), batchValue(theirs)] }

/** Undefined for evidence of another kind. @throws MalformedError */
export function forkOf (evidence: Value): Fork | undefined {
  const [type, seq, ours, theirs] = Array.isArray(evidence) ? evidence : []
  return type === 'fork' && typeof seq === 'number' ? { seq, evidence: [batchOf(ours), batchOf(theirs)] } : undefined
}
