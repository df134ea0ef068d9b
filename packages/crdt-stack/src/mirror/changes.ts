/** What a commit must change so that the remote holds a stack in full: missing segments, and renders that differ. */
import { recordHash, type Batch, type Crypto, type Want } from '@elder-node/protocol'
import type { Change, Commit, GitMirror, GitOptions, TreeFile } from '../git/port.ts'
import { originPath, segmentPath, shortHash } from './layout.ts'
import { renderStack } from './render.ts'
import { isSealed } from './seal.ts'
import { makeSegment } from './segments.ts'
import { byWindow, type StackTree, type TreeSegment } from './tree.ts'
import type { MirroredStack, MirrorProblem } from './types.ts'

/** The windows of the stack that the remote lacks. `bad` segments count as absent. */
export function missingWindows (stack: MirroredStack, tree: StackTree, bad: TreeSegment[]): Window[] {
  const isBad = new Set(bad)
  const good = byWindow(tree.segments.filter(segment => !isBad.has(segment)))
  return stack.windows().flatMap(want => {
    const there = good.get(`${want.feed} ${want.from}`) ?? []
    const isHeld = there.some(({ name }) => name.to === want.to && name.hash === shortHash(want.hash))
    return isHeld ? [] : [{ want, there }]
  })
}

/** A segment per missing window; one of ours replaces a bad one of the same name. Strands of one window stand side by side. */
export function segmentChanges (stack: MirroredStack, windows: Window[], crypto: Crypto): Change[] {
  return windows.flatMap(({ want, there }) => {
    const batches = [...stack.path(want)]
    if (batches.length === 0) return []
    const segment = makeSegment(batches)
    const ours = hashesOf(batches, crypto)
    // Only what our longer one contains goes: another strand's segment stays.
    const shorter = there.filter(({ name }) => name.to < want.to && ours.get(name.to) === name.hash)
    return [{ path: segmentPath(stack.key, segment.name), content: segment.content }, ...shorter.map(({ file }) => ({ path: file.path, content: null }))]
  })
}

/** The membership records of the mesh that it came from, as far as the remote lacks them. */
export function originChanges ({ key, origin }: MirroredStack, tree: StackTree, crypto: Crypto): Change[] {
  const there = new Set(tree.origin.map(({ path }) => path))
  return (origin?.() ?? []).map(content => ({ path: originPath(key, content, crypto), content })).filter(({ path }) => !there.has(path))
}

/** Segments that do not verify and whose records stand in a longer one of ours: nobody needs them. What only they claim to hold stays, and is told. */
export function spoiledChanges (stack: MirroredStack, bad: readonly TreeSegment[]): Change[] {
  const ours = new Set(stack.windows().map(({ feed, to, hash }) => `${feed} ${to} ${shortHash(hash)}`))
  const isOurs = ({ name }: TreeSegment): boolean => ours.has(`${name.feed} ${name.to} ${name.hash}`)
  return bad.filter(segment => !isOurs(segment) && stack.holdsAt(segment.name.feed, segment.name.to, segment.name.hash)).map(({ file }) => ({ path: file.path, content: null }))
}

function hashesOf (batches: Batch[], crypto: Crypto): Map<number, string> {
  return new Map(batches.flatMap(batch => batch.records.map((bytes, i) => [batch.from + i, shortHash(recordHash(bytes, crypto))] as const)))
}

/** `there`: the good segments of the same window. */
export interface Window { want: Want, there: TreeSegment[] }
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
  const { copies, left } = await keepEdited(git, changes.flatMap(({ path }) => tree.rendered.get(path) ?? []), tip, crypto, options)
  return { changes: [...changes.filter(({ path }) => !left.has(path)), ...copies], problems: copies.map(edited) }
}

const EDITED_BYTES_MAX = 4_194_304
/** Looked at in one pass before they are replaced, and held if a person wrote them: whoever can push can make as many as it likes. */
const REPLACED_FILES_MAX = 20_000
const REPLACED_BYTES_MAX = 67_108_864

/** `left`: paths that stay as they are for now. */
async function keepEdited (git: GitMirror, files: TreeFile[], tip: Commit | undefined, crypto: Crypto, options: GitOptions): Promise<{ copies: Change[], left: Set<string> }> {
  const looked: TreeFile[] = []
  const left = new Set<string>()
  let bytes = 0
  for (const file of files) {
    if (looked.length < REPLACED_FILES_MAX && bytes + file.bytes <= REPLACED_BYTES_MAX) {
      looked.push(file)
      bytes += file.bytes
    } else {
      left.add(file.path)
    }
  }
  const copies: Change[] = []
  for await (const { file, content } of git.readBlobs(looked, options)) {
    if (!isSealed(content, crypto)) copies.push({ path: file.path.replace(/\.md$/, `.edited-${tip?.slice(0, 12) ?? ''}.md`), content })
  }
  return { copies, left }
}

function edited ({ path }: Change): MirrorProblem {
  return { code: 'MIRROR_EDITED', message: `A file of the mirror was edited on the host; the edit was kept as ${path}`, fix: 'Bring the text into the stack with: elder-node stack edit' }
}
