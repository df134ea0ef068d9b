/** What a commit must change so that the remote holds a stack in full: missing segments, and renders that differ. */
import { decodeRecord, recordHash, type Batch, type Crypto, type FeedId, type Vector } from '@elder-node/protocol'
import type { Change, Commit, GitMirror, GitOptions, TreeFile } from '../git/port.ts'
import { segmentPath, shortHash } from './layout.ts'
import { renderStack } from './render.ts'
import { isSealed } from './seal.ts'
import { makeSegment } from './segments.ts'
import { byWindow, windowsOf, type StackTree, type TreeSegment } from './tree.ts'
import type { MirroredStack, MirrorProblem } from './types.ts'

/** The windows of the stack that the remote lacks or holds a shorter part of. `bad` segments count as absent. */
export function missingWindows (vector: Vector, tree: StackTree, bad: TreeSegment[]): Window[] {
  const good = byWindow(tree.segments.filter(segment => !bad.includes(segment)))
  return [...windowsOf(vector)].flatMap(({ feed, from, to }) => {
    const there = good.get(`${feed} ${from}`) ?? []
    const head = vector.get(feed)
    const held = there.some(({ name }) => name.to > to || (name.to === to && (head?.seq !== to || name.hash === shortHash(head.hash))))
    return held ? [] : [{ feed, from, to, there }]
  })
}

/** A segment per missing window; one of ours replaces a bad one of the same name. */
export async function segmentChanges (stack: MirroredStack, windows: Window[], crypto: Crypto): Promise<Change[]> {
  const changes: Change[] = []
  for (const { feed, from, to, there } of windows) {
    const batches = await stack.batches({ feed, from, to })
    const segment = makeSegment(batches)
    changes.push({ path: segmentPath(stack.key, segment.name), content: segment.content })
    // Only what our longer one contains goes: a fork's segment is evidence and stays.
    const ours = hashesOf(batches, crypto)
    for (const { name, file } of there) if (ours.get(name.to) === name.hash) changes.push({ path: file.path, content: null })
  }
  return changes
}

function hashesOf (batches: Batch[], crypto: Crypto): Map<number, string> {
  return new Map(batches.flatMap(batch => batch.records.map(bytes => [decodeRecord(bytes).seq, shortHash(recordHash(bytes, crypto))] as const)))
}

export interface Window { feed: FeedId, from: number, to: number, there: TreeSegment[] }
export interface RenderChanges { changes: Change[], problems: MirrorProblem[] }

/** Renders the stack and compares blobs. A file that a person wrote is kept beside its render as `<name>.edited-<commit>.md`. */
export async function renderChanges (git: GitMirror, stack: MirroredStack, tree: StackTree, tip: Commit | undefined, crypto: Crypto, options: GitOptions): Promise<RenderChanges> {
  const renders = renderStack(stack.key, await stack.entries(), crypto)
  const wanted: Change[] = [...renders].map(([path, content]) => ({ path, content }))
  const gone: Change[] = [...tree.rendered.keys()].filter(path => !renders.has(path)).map(path => ({ path, content: null }))
  const changes = [...wanted, ...gone].filter(({ path, content }) => {
    const there = tree.rendered.get(path)
    // Far larger than any render: a person's. It stays as it is.
    if (there !== undefined && there.bytes > EDITED_BYTES_MAX) return false
    return content === null || there?.blob !== git.blobId(content)
  })
  const replaced = changes.flatMap(({ path }) => tree.rendered.get(path) ?? [])
  const kept = await keepEdited(git, replaced, tip, crypto, options)
  return { changes: [...changes, ...kept], problems: kept.map(edited) }
}

const EDITED_BYTES_MAX = 4_194_304

async function keepEdited (git: GitMirror, files: TreeFile[], tip: Commit | undefined, crypto: Crypto, options: GitOptions): Promise<Change[]> {
  const copies: Change[] = []
  for await (const { file, content } of git.readBlobs(files, options)) {
    if (!isSealed(content, crypto)) copies.push({ path: file.path.replace(/\.md$/, `.edited-${tip?.slice(0, 12) ?? ''}.md`), content })
  }
  return copies
}

function edited ({ path }: Change): MirrorProblem {
  return { code: 'MIRROR_EDITED', message: `A file of the mirror was edited on the host; the edit was kept as ${path}`, fix: 'Bring the text into the stack with: elder-node stack edit' }
}
