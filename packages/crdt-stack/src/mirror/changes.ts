/** What a commit must change so that the remote holds a stack in full: missing segments, and renders that differ. */
import { decodeRecord, equalBytes, forkedAt, LIMITS, recordHash, type Batch, type Crypto, type FeedId, type Vector } from '@elder-node/protocol'
import type { Change, Commit, GitMirror, GitOptions, TreeFile } from '../git/port.ts'
import { segmentPath, shortHash } from './layout.ts'
import { renderStack } from './render.ts'
import { isSealed } from './seal.ts'
import { makeSegment } from './segments.ts'
import { byWindow, windowsOf, type StackTree, type TreeSegment } from './tree.ts'
import type { MirroredStack, MirrorProblem } from './types.ts'

/** The windows of the stack that the remote lacks or holds a shorter part of. `bad` segments count as absent. */
export function missingWindows (vector: Vector, tree: StackTree, bad: TreeSegment[]): Window[] {
  const isBad = new Set(bad)
  const good = byWindow(tree.segments.filter(segment => !isBad.has(segment)))
  return [...windowsOf(vector)].flatMap(({ feed, from, to }) => {
    const there = good.get(`${feed} ${from}`) ?? []
    const head = vector.get(feed)
    const forked = forkedAt(head?.seq ?? 0) === to
    const full = there.filter(({ name }) => name.to > to || (name.to === to && (head?.seq !== to || name.hash === shortHash(head.hash))))
    const held = full.length >= (forked ? 2 : 1) // both branches of a fork: together they are the proof
    return held ? [] : [{ feed, from, to, there }]
  })
}

/** A segment per missing window; one of ours replaces a bad one of the same name. */
export async function segmentChanges (stack: MirroredStack, windows: Window[], crypto: Crypto): Promise<Change[]> {
  const changes: Change[] = []
  for (const { feed, from, to, there } of windows) {
    const branches = branchesOf(await stack.batches({ feed, from, to }))
    for (const segment of branches.map(makeSegment)) {
      const path = segmentPath(stack.key, segment.name)
      if (!there.some(({ file }) => file.path === path)) changes.push({ path, content: segment.content })
    }
    // Only what our longer one contains goes: a fork's segment is evidence and stays.
    const ours = hashesOf(branches[0] ?? [], crypto)
    for (const { name, file } of there) if (name.to < Math.max(...ours.keys()) && ours.get(name.to) === name.hash) changes.push({ path: file.path, content: null })
  }
  return changes
}

/** The window's own chain, then, after a fork, the same window as the other branch has it. */
function branchesOf (batches: Batch[]): Batch[][] {
  const chain: Batch[] = []
  const rest: Batch[] = []
  for (const batch of batches) (chain.length === 0 || batch.from === (chain.at(-1) as Batch).head.seq + 1 ? chain : rest).push(batch)
  const records = chain.flatMap(batch => batch.records)
  const first = chain[0]?.from ?? 1
  const others = rest.filter(batch => batch.from >= first && !records.some(record => equalBytes(record, batch.records.at(-1) as Uint8Array)))
  // The head of the other branch signs what both have in common, too.
  const joined = others.map(batch => ({ ...batch, from: first, records: [...records.slice(0, batch.from - first), ...batch.records] }))
  const fits = (batch: Batch): boolean => batch.records.length <= LIMITS.batchRecordsMax && batch.records.reduce((sum, record) => sum + record.length, 0) <= LIMITS.batchBytesMax
  return [chain, ...joined.filter(fits).map(batch => [batch])].filter(branch => branch.length > 0)
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
