import type { Stack } from '@elder-node/crdt-stack'
import type { Batch, FeedId, Range } from '@elder-node/protocol'

/** What to fetch next, and which feeds ended. */
export interface ReceivedBatches { missing: Range[], closed: FeedId[] }

/**
 * Offers batches to a stack, in order, until nothing moves: a stack lets a bounded number of records wait, and what it turned away is
 * offered again once others moved on.
 *
 * @throws MalformedError the sender's fault; ElderError `DISK_FULL`
 */
export async function receiveAll (stack: Stack, batches: readonly Batch[]): Promise<ReceivedBatches> {
  for (let rest = batches; ;) {
    const { accepted, missing, closed } = await pass(stack, rest)
    const vector = stack.vector()
    rest = rest.filter(({ feed, head }) => !closed.includes(feed) && (vector.get(feed)?.seq ?? 0) < head.seq)
    if (accepted === 0 || rest.length === 0) return { missing, closed }
  }
}

async function pass (stack: Stack, batches: readonly Batch[]): Promise<ReceivedBatches & { accepted: number }> {
  const result = { accepted: 0, missing: [] as Range[], closed: [] as FeedId[] }
  for (const batch of batches) {
    const { accepted, missing, closed } = await stack.receive(batch)
    result.accepted += accepted
    result.missing = missing
    if (closed !== undefined) result.closed.push(closed.feed)
  }
  return result
}
