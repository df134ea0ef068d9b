/**
 * Computes a stack again from what its store holds, trusting nothing that was computed before: every chain, every signature, every
 * record through the accept rule, no snapshot. What comes out must be what the running stack shows.
 */
import { codeOf, decode, genesisHash, LIMITS, toBase32, vectorDigest, verifyBatch, type Batch, type Crypto, type FeedId, type StackId } from '@elder-node/protocol'
import { contentDigest } from './digest.ts'
import { forkOf } from './evidence.ts'
import { Replica } from './replica.ts'
import { StackState } from './state.ts'
import type { Audit, AuditProblem, FeedStore, StackDigest, StoredFeed } from './types.ts'

export interface AuditInit {
  id: StackId
  crypto: Crypto
  stored: Awaited<ReturnType<FeedStore['reread']>>
  /** What the running stack shows. */
  live: StackDigest
  /** Records of each feed that were acknowledged as durable. */
  lengths: ReadonlyMap<FeedId, number>
  /** Awaited often: lets a node breathe while thousands of signatures are checked. @default goes on at once */
  pause?: () => Promise<void>
}

/** One feed on its way through the check. */
interface Walk { stored: StoredFeed, next: number, heads: number, prev: Uint8Array, broken: boolean }

const BATCHES_BETWEEN_PAUSES = 16

export async function audit ({ id, crypto, stored, live, lengths, pause }: AuditInit): Promise<Audit> {
  const problems: AuditProblem[] = stored.damaged.map(({ feed, records }) => problem('FEED_DAMAGED', feed, records + 1, 'its file does not read from there on: the checksum of a frame is wrong, or bytes are missing'))
  const replica = new Replica(new StackState(id, crypto))
  const walks = stored.feeds.map(feed => ({ stored: feed, next: 0, heads: 0, prev: genesisHash(id, feed.feed, crypto), broken: false }))
  let [signatures, batches] = [0, 0]
  // One batch of each feed in turn: records that wait for each other do not pile up.
  for (let going = true; going;) {
    going = false
    for (const walk of walks) {
      const batch = nextBatch(walk)
      if (batch === undefined) continue
      going = true
      signatures++
      if (++batches % BATCHES_BETWEEN_PAUSES === 0) await pause?.()
      const broken = take(replica, walk, batch, crypto)
      if (broken !== undefined) problems.push(broken)
    }
  }
  for (const { feed, evidence } of stored.notes) {
    const fork = forkOf(decode(evidence, 4 * LIMITS.frameBytesMax))
    if (fork !== undefined) replica.fork(feed, fork)
  }
  const { state } = replica
  for (const [feed, length] of lengths) {
    const here = state.feeds.get(feed)?.log.length ?? 0
    if (here < length && !problems.some(known => known.feed === feed)) problems.push(problem('FEED_SHORT', feed, here + 1, `the disk holds ${here} of ${length} records`))
  }
  const [digest, feeds] = [toBase32(contentDigest(state.entries.values(), state.bodies, crypto)), toBase32(vectorDigest(state.vector(), crypto))]
  if (problems.length === 0 && (digest !== live.digest || feeds !== live.feeds)) problems.push({ code: 'VIEW_DIFFERS', message: `computed again from the disk the digest is ${digest}, but this node shows ${live.digest}` })
  return { digest, feeds, signatures, records: walks.reduce((sum, { next }) => sum + next, 0), perFeed: walks.map(({ stored: { feed }, next }) => ({ feed, records: next })), problems }
}

/** Up to the next signed head. */
function nextBatch (walk: Walk): Batch | undefined {
  const { stored: { feed, records, heads }, next, broken } = walk
  const head = broken ? undefined : heads[walk.heads++]
  return head === undefined ? undefined : { feed, from: next + 1, records: records.slice(next, head.seq), head }
}

function take (replica: Replica, walk: Walk, batch: Batch, crypto: Crypto): AuditProblem | undefined {
  try {
    replica.push(batch.feed, verifyBatch(replica.state.id, batch, walk.prev, crypto), batch.head)
    walk.next = batch.head.seq
    walk.prev = batch.head.hash
    return undefined
  } catch (error) {
    if (codeOf(error) !== 'MALFORMED') throw error
    walk.broken = true
    return problem('FEED_BROKEN', batch.feed, batch.from, (error as Error).message)
  }
}

function problem (code: AuditProblem['code'], feed: FeedId, seq: number, why: string): AuditProblem {
  return { code, feed, seq, message: `the feed ${feed}, record ${seq}: ${why}` }
}
