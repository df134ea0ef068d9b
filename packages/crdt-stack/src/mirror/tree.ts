/** A fetched tree, sorted by what its paths mean. */
import { LIMITS } from '@elder-node/protocol'
import type { Commit, GitMirror, GitOptions, TreeFile } from '../git/port.ts'
import { parsePath, type SegmentName } from './layout.ts'
import { SEGMENT_BYTES_MAX } from './segments.ts'

export interface TreeSegment { name: SegmentName, file: TreeFile }

export interface StackTree {
  segments: TreeSegment[]
  /** Below `feeds/`, yet no segment: wrong name or too large. */
  junk: TreeFile[]
  /** Membership records of the mesh that the stack came from. */
  origin: TreeFile[]
  /** Entries and views by path. */
  rendered: Map<string, TreeFile>
}

export interface MirrorTree { header: TreeFile | undefined, roster: TreeFile[], stacks: Map<string, StackTree>, /** Names of all folders below `stacks/`. */ folders: Set<string> }

/** Lists what is ours, and of what stands in our folders without being ours as much as is told. @throws what {@link GitMirror.readTree} throws */
export async function readMirror (git: GitMirror, commit: Commit, options: GitOptions): Promise<MirrorTree> {
  const folders: Set<string> = new Set()
  let junk = 0
  const wants = (path: string): boolean => {
    const { type } = parsePath(path)
    const [top, key = ''] = path.split('/', 2)
    if (top === 'stacks' && folders.size < LIMITS.stacksMax) folders.add(key)
    return type === 'junk' ? ++junk <= LIMITS.mirrorProblemsMax : type !== 'other'
  }
  return sortTree(await git.readTree(commit, { ...options, wants }), folders)
}

export function sortTree (files: TreeFile[], folders: Set<string> = new Set()): MirrorTree {
  const tree: MirrorTree = { header: undefined, roster: [], stacks: new Map(), folders }
  const stackOf = (key: string): StackTree => {
    const stack = tree.stacks.get(key) ?? { segments: [], junk: [], origin: [], rendered: new Map() }
    tree.stacks.set(key, stack)
    return stack
  }
  for (const file of files) {
    const path = parsePath(file.path)
    if (path.type === 'header') tree.header = file
    else if (path.type === 'roster') tree.roster.push(file)
    else if (path.type === 'origin') stackOf(path.key).origin.push(file)
    else if (path.type === 'segment' && file.bytes <= SEGMENT_BYTES_MAX) stackOf(path.key).segments.push({ name: path.name, file })
    else if (path.type === 'segment' || path.type === 'junk') stackOf(path.key).junk.push(file)
    else if (path.type === 'entry' || path.type === 'view') stackOf(path.key).rendered.set(file.path, file)
  }
  return tree
}

/** Names one content at one path: what was found good once is good for ever. */
export function seenKey (file: TreeFile): string { return `${file.path} ${file.blob}` }

/** By feed and window: `<feed> <from>`. */
export function byWindow (segments: TreeSegment[]): Map<string, TreeSegment[]> {
  return Map.groupBy(segments, ({ name }) => `${name.feed} ${name.from}`)
}
