/** What a remote holds of one stack, read from the remote and verified as a restore would: nothing remembered counts. */
import { equalBytes, type FeedId, type Head } from '@elder-node/protocol'
import type { Commit, GitOptions } from '../git/port.ts'
import { restoreMirror, type Quarantined, type RestoreComponents } from './restore.ts'
import { lastSeq } from './tree.ts'
import type { MirroredStack } from './types.ts'

/** `lacks`: records of this device that are not there. `bad`: files of this stack that do not verify, or lead elsewhere. */
export interface Inspection { commit: Commit, lacks: number, bad: Quarantined[] }

/** @throws as {@link restoreMirror} */
export async function inspectMirror (stack: Pick<MirroredStack, 'key' | 'vector'>, components: RestoreComponents, options: GitOptions): Promise<Inspection> {
  const { commit, stacks, quarantined } = await restoreMirror(components, { ...options, only: stack.key })
  const heads = new Map<FeedId, Head>()
  for (const { feed, head } of stacks[0]?.batches ?? []) if (head.seq > (heads.get(feed)?.seq ?? 0)) heads.set(feed, head)
  const bad = quarantined.filter(({ path }) => path.startsWith(`stacks/${stack.key}/`))
  let lacks = 0
  for (const [feed, { seq, hash }] of stack.vector()) {
    const there = heads.get(feed)
    lacks += Math.max(0, lastSeq(seq) - (there?.seq ?? 0))
    if (there?.seq === seq && !equalBytes(there.hash, hash)) bad.push({ path: `stacks/${stack.key}/feeds/${feed}`, why: 'its records are others than those of this device' })
  }
  return { commit, lacks, bad }
}
