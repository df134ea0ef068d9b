/** Sources in memory: folders, snapshots of them, and what builders have of them. Without git and without a disk. */
import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { ElderError, LIMITS } from '@elder-node/protocol'
import { unlessAborted } from '../../src/adapters/unless-aborted.ts'
import type { Snapshot, SourceCache, SourceReader } from '../../src/ports/source.ts'
import { gitId } from './memory-outputs.ts'

/** Path to text. */
export type Files = ReadonlyMap<string, string>
type Options = { signal: AbortSignal }

/** The files that the base does not have, and the paths that are not there any more. */
interface Pack { base: string | null, files: Array<[path: string, text: string]>, gone: string[] }

const ANCESTORS_MAX = 31
const COMMIT = /^[0-9a-f]{40}$/
const sha1 = (text: string): string => createHash('sha1').update(text).digest('hex')
const commitOf = (files: Files): string => sha1(JSON.stringify([...files].sort()))
const broken = (why: string): ElderError => new ElderError('SOURCE_BROKEN', why, 'Run it again.')
const tooLarge = (bytesMax: number): ElderError =>
  new ElderError('SOURCE_TOO_LARGE', `the pack is larger than ${bytesMax} bytes`)

export interface MemorySourceInit {
  /** @default LIMITS.sourceBytesMax */
  packBytesMax?: number
  /** What a snapshot that is taken now could not take. @default nothing */
  warnings?: () => string[]
  /** Waited for after each chunk. @default not at all */
  pace?: () => Promise<void>
}

export class MemorySource implements SourceReader {
  readonly #folderOf: (dir: string) => Files | undefined
  readonly #init: MemorySourceInit
  /** Of each folder: its snapshots by commit, oldest first. */
  readonly #taken = new Map<string, Map<string, Files>>()

  /** The files of a folder now; undefined when there is none. */
  constructor (folderOf: (dir: string) => Files | undefined, init: MemorySourceInit = {}) {
    this.#folderOf = folderOf
    this.#init = init
  }

  async snapshot (dir: string, { signal }: Options): Promise<Snapshot> {
    signal.throwIfAborted()
    const root = resolve('/', dir)
    const files = this.#folderOf(root)
    if (files === undefined) throw new ElderError('NOT_A_FOLDER', `${dir} is not a folder`)
    const taken = this.#taken.get(root) ?? new Map<string, Files>()
    const commit = commitOf(files)
    taken.delete(commit)
    const ancestors = [...taken.keys()].reverse().slice(0, ANCESTORS_MAX)
    this.#taken.set(root, taken.set(commit, new Map(files)))
    const warnings = this.#init.warnings?.() ?? []
    const snapshot = { commit, project: sha1(root).slice(0, 32), cwd: '.', ancestors, root }
    return warnings.length > 0 ? { ...snapshot, warnings } : snapshot
  }

  async * pack (snapshot: Snapshot, have: string[], { signal }: Options): AsyncGenerator<Uint8Array> {
    signal.throwIfAborted()
    const bytes = this.#pack(snapshot, have)
    const { packBytesMax = LIMITS.sourceBytesMax, pace } = this.#init
    for (let at = 0; at < bytes.length; at += LIMITS.chunkBytesMax) {
      signal.throwIfAborted()
      if (at + LIMITS.chunkBytesMax > packBytesMax && bytes.length > packBytesMax) throw tooLarge(packBytesMax)
      yield bytes.subarray(at, at + LIMITS.chunkBytesMax)
      await pace?.()
    }
  }

  async packBytes (snapshot: Snapshot, have: string[], { signal }: Options): Promise<number | undefined> {
    signal.throwIfAborted()
    return this.#filesOf(snapshot) === undefined ? undefined : this.#pack(snapshot, have).length
  }

  async read (snapshot: Snapshot, path: string, { signal }: Options): Promise<Uint8Array | undefined> {
    signal.throwIfAborted()
    const text = this.#filesOf(snapshot)?.get(path)
    return text === undefined ? undefined : new Uint8Array(Buffer.from(text))
  }

  async ids (snapshot: Snapshot, paths: string[], { signal }: Options): Promise<Map<string, string>> {
    signal.throwIfAborted()
    const files = this.#filesOf(snapshot) ?? new Map<string, string>()
    return new Map(paths.flatMap(path => {
      const text = files.get(path)
      return text === undefined ? [] : [[path, gitId(text)] as const]
    }))
  }

  #filesOf ({ root, commit }: Snapshot): Files | undefined { return this.#taken.get(root)?.get(commit) }

  #pack (snapshot: Snapshot, have: string[]): Buffer {
    if (have.includes(snapshot.commit)) return Buffer.alloc(0)
    const files = this.#filesOf(snapshot)
    if (files === undefined) throw new ElderError('GIT_FAILED', `there is no snapshot ${snapshot.commit}`)
    const base = have.find(commit => this.#taken.get(snapshot.root)?.has(commit) === true)
    const before = base === undefined ? new Map<string, string>() : this.#taken.get(snapshot.root)?.get(base) as Files
    const changed = [...files].filter(([path, text]) => before.get(path) !== text)
    const pack: Pack = { base: base ?? null, files: changed, gone: [...before.keys()].filter(path => !files.has(path)) }
    return Buffer.from(JSON.stringify(pack))
  }
}

export class MemoryCache implements SourceCache {
  /** Every folder that a source is written into. */
  readonly #trees: Map<string, Map<string, string>>
  readonly #packBytesMax: number
  /** By owner and project, then by commit. */
  readonly #repositories = new Map<string, Map<string, Files>>()
  /** Bytes of packs that came. */
  received = 0

  constructor (trees: Map<string, Map<string, string>>, init: Pick<MemorySourceInit, 'packBytesMax'> = {}) {
    this.#trees = trees
    this.#packBytesMax = init.packBytesMax ?? LIMITS.sourceBytesMax
  }

  async have (owner: string, project: string, commits: string[], { signal }: Options): Promise<string[]> {
    signal.throwIfAborted()
    return commits.slice(0, 64).filter(commit => this.#of(owner, project).has(commit))
  }

  async receive (
    owner: string, project: string, commit: string, pack: AsyncIterable<Uint8Array>, { signal }: Options,
  ): Promise<void> {
    if (!COMMIT.test(commit)) throw new ElderError('SOURCE_INVALID', 'a commit id has 40 hex digits')
    const chunks: Uint8Array[] = []
    let bytes = 0
    for await (const chunk of unlessAborted(pack, signal)) {
      this.received += chunk.length
      bytes += chunk.length
      if (bytes > this.#packBytesMax) throw tooLarge(this.#packBytesMax)
      chunks.push(chunk.slice())
    }
    const repository = this.#of(owner, project)
    const files = filesIn(Buffer.concat(chunks), repository)
    if (commitOf(files) !== commit) throw broken(`the pack does not hold all of ${commit}`)
    repository.set(commit, files)
  }

  async checkout (owner: string, project: string, commit: string, tree: string, { signal, bytesMax = Infinity }: Options & { bytesMax?: number }): Promise<void> {
    signal.throwIfAborted()
    const files = this.#of(owner, project).get(commit)
    if (files === undefined) throw broken(`this device does not have the source ${commit}`)
    if ((this.#trees.get(tree)?.size ?? 0) > 0) throw new ElderError('BUILDER_FAILED', `${tree} is not empty`)
    if ([...files.values()].reduce((sum, text) => sum + text.length, 0) > bytesMax) throw tooLarge(bytesMax)
    this.#trees.set(tree, new Map(files))
  }

  #of (owner: string, project: string): Map<string, Files> {
    const name = JSON.stringify([owner, project])
    const repository = this.#repositories.get(name) ?? new Map<string, Files>()
    this.#repositories.set(name, repository)
    return repository
  }
}

function filesIn (bytes: Buffer, repository: ReadonlyMap<string, Files>): Files {
  let pack: Pack
  try { pack = JSON.parse(bytes.toString()) as Pack } catch { throw broken('that is no pack') }
  const base = pack.base === null ? new Map<string, string>() : repository.get(pack.base)
  if (base === undefined) throw broken('the base of the pack is not here')
  const files = new Map([...base, ...pack.files])
  for (const path of pack.gone) files.delete(path)
  return files
}
