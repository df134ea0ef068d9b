/** Stacks from a remote alone: no peer, no local state. What does not verify is left out and named. */
import { codeOf, ElderError, feedDevice, LIMITS, stackId, toHex, type Batch, type ChainedRecord, type Crypto, type DeviceId, type StackId } from '@elder-node/protocol'
import type { Commit, GitMirror, GitOptions, TreeFile } from '../git/port.ts'
import { HEADER_BYTES_MAX, parseHeader, refuseFormat } from './header.ts'
import { parseKey, rosterPath } from './layout.ts'
import { parseSegment } from './segments.ts'
import { readMirror, type MirrorTree, type StackTree, type TreeSegment } from './tree.ts'
import type { MirrorHeader } from './types.ts'

/** What the membership records of a mirror say. */
export interface RosterVerdict {
  /** Those that verify. */
  records: Uint8Array[]
  /** True for a device that was ever a member: what lies beyond a cut is masked by the view, not by the restore. */
  mayWrite (device: DeviceId): boolean
}

export interface Quarantined { path: string, why: string }

export interface RestoredContent {
  id: StackId
  /** The stack's own name. */
  name: string
  /** Its folder: `<name>`, or `<name>@<mesh>` when it was archived there already. */
  key: string
  /** Mesh it came from, and that mesh's membership records. */
  mesh: string
  roster: Uint8Array[]
  /** Verified batches, what comes first in a feed before what follows. */
  batches: Batch[]
  /** Hashes (hex) of all records in them. */
  names: ReadonlySet<string>
}

/** `roster`: what verifies of the membership records of that mesh. */
export interface RestoredMirror { commit: Commit, mesh: string, roster: Uint8Array[], stacks: RestoredContent[], quarantined: Quarantined[] }

export interface RestoreComponents {
  git: GitMirror
  crypto: Crypto
  verifyRoster (records: Uint8Array[], mesh: string): RosterVerdict | Promise<RosterVerdict>
}

/** `only`: the folder of the one stack to be read. */
export interface RestoreOptions extends GitOptions { only?: string }

/** @throws ElderError `MIRROR_EMPTY` when the remote has no mirror, `MIRROR_NEWER`, `MIRROR_OLDER`, and whatever {@link GitMirror} throws. */
export async function restoreMirror (components: RestoreComponents, { only, ...options }: RestoreOptions): Promise<RestoredMirror> {
  const { git } = components
  const commit = await git.fetchTip(options)
  if (commit === undefined) throw empty(git.url)
  const tree = await readMirror(git, commit, options)
  const { mesh } = await readHeader(git, tree, options)
  const quarantined: Quarantined[] = []
  const own = await readRoster(components, tree.roster, mesh, quarantined, options)
  const stacks: RestoredContent[] = []
  for (const [key, stackTree] of [...tree.stacks].slice(0, LIMITS.stacksMax)) {
    const parsed = parseKey(key)
    if (parsed === undefined || (only !== undefined && key !== only)) continue
    const id = stackId(parsed.name, components.crypto)
    // One that was archived there came from yet another mesh, and stands on the members of that one.
    const roster = parsed.mesh === undefined ? own : await readRoster(components, stackTree.origin, parsed.mesh, quarantined, options)
    const content = await readFeeds(components, id, stackTree, roster, quarantined, options)
    stacks.push({ id, name: parsed.name, key, mesh: parsed.mesh ?? mesh, roster: roster.records, ...content })
  }
  return { commit, mesh, roster: own.records, stacks, quarantined }
}

async function readHeader (git: GitMirror, tree: MirrorTree, options: GitOptions): Promise<MirrorHeader> {
  let header: MirrorHeader | undefined
  const readable = tree.header !== undefined && tree.header.bytes <= HEADER_BYTES_MAX ? [tree.header] : []
  for await (const { content } of git.readBlobs(readable, options)) header = parseHeader(content)
  if (header === undefined) throw empty(git.url)
  const refusal = refuseFormat(header, git.url)
  if (refusal !== undefined) throw new ElderError(refusal.code, refusal.message, refusal.fix)
  return header
}

function empty (url: string): ElderError {
  return new ElderError('MIRROR_EMPTY', `${url} holds no mirror: the branch elder/memory with an elder.json is not there`, 'Check the URL, and on a device of the mesh: elder-node stack remote list')
}

/**
 * Whoever can push can make files: they are read in parts, of which only what verifies is kept, and once more while that brings
 * more, because a record may stand before the one that entitles it.
 */
async function readRoster ({ git, crypto, verifyRoster }: RestoreComponents, files: TreeFile[], mesh: string, quarantined: Quarantined[], options: GitOptions): Promise<RosterVerdict> {
  const fitting = files.filter(file => file.bytes <= LIMITS.memberRecordBytesMax)
  const strange = new Set<TreeFile>()
  let verdict = await verifyRoster([], mesh)
  for (let before = -1, isWhole = false; verdict.records.length > before && !isWhole;) {
    before = verdict.records.length
    isWhole = fitting.length <= LIMITS.rosterKeptMax
    for (let at = 0; at < fitting.length; at += LIMITS.rosterKeptMax) {
      const records: Uint8Array[] = []
      for await (const { file, content } of git.readBlobs(fitting.slice(at, at + LIMITS.rosterKeptMax).filter(one => !strange.has(one)), options)) {
        if (rosterPath(content, crypto) === file.path.slice(file.path.lastIndexOf('roster/'))) records.push(content)
        else strange.add(file)
      }
      verdict = await verifyRoster([...verdict.records, ...records], mesh)
    }
  }
  for (const { path } of strange) quarantined.push({ path, why: 'its name is not the hash of its content' })
  return verdict
}

async function readFeeds ({ git, crypto }: RestoreComponents, stack: StackId, tree: StackTree, roster: RosterVerdict, quarantined: Quarantined[], options: GitOptions): Promise<Pick<RestoredContent, 'batches' | 'names'>> {
  quarantined.push(...tree.junk.map(file => ({ path: file.path, why: 'it is not a segment' })))
  const parsed: Array<{ path: string, content: ReturnType<typeof parseSegment> }> = []
  const byFile = new Map(tree.segments.map(segment => [segment.file, segment]))
  for await (const { file, content } of git.readBlobs(tree.segments.map(({ file }) => file), options)) {
    const { name } = byFile.get(file) as TreeSegment
    try {
      if (!roster.mayWrite(feedDevice(name.feed))) quarantined.push({ path: file.path, why: 'its author was never a member' })
      else parsed.push({ path: file.path, content: parseSegment(stack, name, content, crypto) })
    } catch (error) {
      if (codeOf(error) !== 'MALFORMED') throw error
      quarantined.push({ path: file.path, why: (error as Error).message })
    }
  }
  return joined(parsed, quarantined)
}

/** Every segment whose records lead back to the beginning of their feed, strands side by side; the others are named. */
function joined (parsed: Array<{ path: string, content: ReturnType<typeof parseSegment> }>, quarantined: Quarantined[]): Pick<RestoredContent, 'batches' | 'names'> {
  const out: { batches: Batch[], names: Set<string> } = { batches: [], names: new Set() }
  const from = ({ records: [first] }: ReturnType<typeof parseSegment>): ChainedRecord => first as ChainedRecord
  for (const { path, content } of parsed.sort((a, b) => from(a.content).seq - from(b.content).seq)) {
    const { seq, prev } = from(content)
    if (seq > 1 && !out.names.has(toHex(prev))) {
      quarantined.push({ path, why: 'the records before it are missing or do not lead to it' })
      continue
    }
    out.batches.push(...content.batches)
    for (const { hash } of content.records) out.names.add(toHex(hash))
  }
  return out
}
