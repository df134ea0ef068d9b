/** Takes what a remote holds and this device does not: verified segments, and nothing else, ever change local state. */
import { codeOf, equalBytes, LIMITS, type Batch, type Crypto, type FeedId } from '@elder-node/protocol'
import type { GitMirror, GitOptions, TreeFile } from '../git/port.ts'
import type { SegmentName } from './layout.ts'
import { parseSegment, trimBatches } from './segments.ts'
import { lastSeq, seenKey, type StackTree, type TreeSegment } from './tree.ts'
import type { MirroredStack, MirrorProblem } from './types.ts'

export interface Taken {
  gained: boolean
  /** Some record waits for one that neither this device nor the remote has: our view may be behind the remote's. */
  waiting: boolean
  /** Segments that do not verify. */
  bad: TreeSegment[]
  problems: MirrorProblem[]
}

/** `seen` grows by every segment that verified. */
export async function takeSegments (git: GitMirror, stack: MirroredStack, tree: StackTree, seen: Set<string>, crypto: Crypto, options: GitOptions): Promise<Taken> {
  const taken: Taken = { gained: false, waiting: false, bad: [], problems: tree.junk.map(file => damaged(file, 'it is not a segment')) }
  const seqOf = (feed: FeedId): number => stack.vector().get(feed)?.seq ?? 0 // a fork's mark is above any seq
  const unseen = tree.segments.filter(({ name, file }) => !seen.has(seenKey(file)) || name.to > seqOf(name.feed)).sort((a, b) => a.name.from - b.name.from)
  const byFile = new Map(unseen.map(segment => [segment.file, segment]))
  for await (const { file, content } of git.readBlobs(unseen.map(({ file }) => file), options)) {
    const segment = byFile.get(file) as TreeSegment
    try {
      const batches = parseSegment(stack.id, segment.name, content, crypto)
      await receiveAll(stack, await news(stack, segment.name, batches), taken)
      seen.add(seenKey(file))
    } catch (error) {
      if (codeOf(error) !== 'MALFORMED') throw error
      taken.bad.push(segment)
      if (taken.problems.length < LIMITS.mirrorProblemsMax) taken.problems.push(damaged(file, (error as Error).message))
    }
  }
  return taken
}

/** The records we lack. Where the segment parts from our own chain, all of it: the stack finds the fork. */
async function news (stack: MirroredStack, name: SegmentName, batches: Batch[]): Promise<Batch[]> {
  const seq = lastSeq(stack.vector().get(name.feed)?.seq ?? 0)
  const shared = Math.min(seq, name.to)
  if (shared < name.from) return batches
  const [ours] = await stack.batches({ feed: name.feed, from: shared, to: shared })
  const [theirs] = trimBatches(batches, shared - 1)
  const same = ours !== undefined && theirs !== undefined && equalBytes(ours.records[0] as Uint8Array, theirs.records[0] as Uint8Array)
  return same ? trimBatches(batches, shared) : batches
}

async function receiveAll (stack: MirroredStack, batches: Batch[], taken: Taken): Promise<void> {
  for (const batch of batches) {
    const received = await stack.receive(batch)
    if (received.accepted > 0) taken.gained = true
    taken.waiting = received.missing.length > 0
  }
}

function damaged (file: TreeFile, why: string): MirrorProblem {
  return { code: 'MIRROR_SEGMENT', message: `${file.path} on the remote was skipped: ${why}`, fix: 'Nothing is lost here: a segment that this device holds is written anew. Look who can push to the remote.' }
}
