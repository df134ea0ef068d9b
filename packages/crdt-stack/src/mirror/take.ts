/** Takes what a remote holds and this device does not: verified segments, and nothing else, ever change local state. */
import { codeOf, feedDevice, LIMITS, type Crypto } from '@elder-node/protocol'
import type { GitMirror, GitOptions, TreeFile } from '../git/port.ts'
import { parseSegment } from './segments.ts'
import { seenKey, type StackTree, type TreeSegment } from './tree.ts'
import type { MirroredStack, MirrorProblem } from './types.ts'

export interface Taken {
  gained: boolean
  /** Some record waits for one that neither this device nor the remote has: our view may be behind the remote's. */
  waiting: boolean
  /** The stack itself did not take what it was given. */
  failed: boolean
  /** Segments that do not verify. */
  bad: TreeSegment[]
  problems: MirrorProblem[]
}

/** `seen` grows by every segment that verified. */
export async function takeSegments (git: GitMirror, stack: MirroredStack, tree: StackTree, seen: Set<string>, crypto: Crypto, options: GitOptions): Promise<Taken> {
  const taken: Taken = { gained: false, waiting: false, failed: false, bad: [], problems: tree.junk.map(file => damaged(file, 'it is not a segment')) }
  // What an evicted device wrote beyond its cut is dropped as soon as it is stored: once is enough, unless something waits for it.
  const isTail = ({ feed }: TreeSegment['name']): boolean => stack.isCut?.(feedDevice(feed)) === true && stack.waiting?.().length === 0
  const unseen = tree.segments.filter(({ name, file }) => !seen.has(seenKey(file)) || (!stack.holdsAt(name.feed, name.to, name.hash) && !isTail(name))).sort((a, b) => a.name.from - b.name.from)
  const byFile = new Map(unseen.map(segment => [segment.file, segment]))
  for await (const { file, content } of git.readBlobs(unseen.map(({ file }) => file), options)) {
    if (taken.failed) continue
    const segment = byFile.get(file) as TreeSegment
    try {
      const { accepted, missing } = await stack.receive(parseSegment(stack.id, segment.name, content, crypto).batches)
      if (accepted > 0) taken.gained = true
      taken.waiting = (stack.waiting?.() ?? missing).length > 0
      seen.add(seenKey(file))
    } catch (error) {
      if (codeOf(error) !== 'MALFORMED') {
        if (codeOf(error) === 'DISK_FULL' || options.signal.aborted) throw error
        taken.failed = taken.waiting = true
        taken.problems.unshift(notTaken(stack.key, error as Error))
        continue
      }
      taken.bad.push(segment)
      if (taken.problems.length < LIMITS.mirrorProblemsMax) taken.problems.push(damaged(file, (error as Error).message))
    }
  }
  return taken
}

function damaged (file: TreeFile, why: string): MirrorProblem {
  return { code: 'MIRROR_SEGMENT', message: `${file.path} on the remote was skipped: ${why}`, fix: 'Nothing is lost here: a segment that this device holds is written anew. Look who can push to the remote.' }
}

/** One stack keeps no other from its mirror. */
export function notTaken (key: string, error: Error): MirrorProblem {
  return { code: 'STACK_NOT_RESTORED', message: `What the remote holds of the stack ${key} was not taken: ${error.message}`, fix: 'The other stacks go on. Once it opens again, the next pass takes it.' }
}
