/** Stacks that stand on a remote and are not here yet. Whoever can push there can make folders: a stack is met by a record of one of ours. */
import { codeOf, feedDevice, LIMITS, stackId, type Crypto, type DeviceId, type StackId } from '@elder-node/protocol'
import type { GitMirror, GitOptions, TreeFile } from '../git/port.ts'
import { parseKey } from './layout.ts'
import { parseSegment } from './segments.ts'
import type { StackTree, TreeSegment } from './tree.ts'

interface Candidate { key: string, name: string, segment: TreeSegment }

/** `author`: the device whose record it was met by. */
export interface NewStack { key: string, author: DeviceId }

/** Keys of folders that are not `known` and hold a segment that verifies, of a device that may found it. At most LIMITS.stacksMax are looked at. */
export async function * newStacks (
  { git, crypto, mayFound }: { git: GitMirror, crypto: Crypto, mayFound (device: DeviceId, stack: StackId): boolean },
  stacks: Map<string, StackTree>, known: Set<string>, options: GitOptions,
): AsyncGenerator<NewStack> {
  const first = new Map<TreeFile, Candidate>()
  for (const [key, { segments }] of stacks) {
    const name = known.has(key) ? undefined : parseKey(key)?.name
    const segment = name === undefined ? undefined : segments.find(one => mayFound(feedDevice(one.name.feed), stackId(name, crypto)))
    if (name !== undefined && segment !== undefined && first.size < LIMITS.stacksMax) first.set(segment.file, { key, name, segment })
  }
  for await (const { file, content } of git.readBlobs([...first.keys()], options)) {
    const candidate = first.get(file)
    if (candidate !== undefined && isGenuine(candidate, content, crypto)) yield { key: candidate.key, author: feedDevice(candidate.segment.name.feed) }
  }
}

function isGenuine ({ name, segment }: Candidate, content: Uint8Array, crypto: Crypto): boolean {
  try {
    return parseSegment(stackId(name, crypto), segment.name, content, crypto).records.length > 0
  } catch (error) {
    if (codeOf(error) !== 'MALFORMED') throw error
    return false
  }
}
