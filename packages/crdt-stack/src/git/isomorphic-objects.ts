/** The objects of a bare repository by isomorphic-git: plain reads and writes, its errors passed on as they are. */
import { atomicFs } from './atomic-fs.ts'
import { isMissing } from './isomorphic-failure.ts'
import type { TreeStore } from './tree-edit.ts'

export type Library = typeof import('isomorphic-git')
export interface Repository { fs: typeof atomicFs, gitdir: string, cache: object }

const WRITES_AT_ONCE = 16
const SIZES_MAX = 100_000
const DEPTH_MAX = 16

export class IsomorphicObjects implements TreeStore {
  readonly #git: Library
  readonly #gitdir: string
  /** Blob sizes, which cost a read of the blob. */
  readonly #bytes = new Map<string, number>()
  #packs: object = {}

  constructor (git: Library, gitdir: string) {
    this.#git = git
    this.#gitdir = gitdir
  }

  /** What every call of the library needs. Its `cache` holds whole packs. */
  get repository (): Repository { return { fs: atomicFs, gitdir: this.#gitdir, cache: this.#packs } }

  /** Lets go of the packs in memory. A size belongs to a content for ever: those only go when there are too many. */
  forget (): void {
    this.#packs = {}
    if (this.#bytes.size > SIZES_MAX) this.#bytes.clear()
  }

  /** @throws the library's error when it is there and damaged. */
  async hasCommit (oid: string): Promise<boolean> {
    return await this.#git.readCommit({ ...this.repository, oid }).then(() => true, (error: unknown) => {
      if (isMissing(error)) return false
      throw error
    })
  }

  /** True when `ancestor` is in the history of `commit`, both of them there. */
  async descends (commit: string, ancestor: string): Promise<boolean> {
    return commit === ancestor || await this.#git.isDescendent({ ...this.repository, oid: commit, ancestor, depth: -1 })
  }

  async readTree (oid: string): ReturnType<TreeStore['readTree']> { return (await this.#git.readTree({ ...this.repository, oid })).tree }

  async writeTree (lines: Parameters<TreeStore['writeTree']>[0]): Promise<string> { return await this.#git.writeTree({ ...this.repository, tree: lines }) }

  /** The regular files below a tree or commit. `pass` is told of every name, and ends a listing without end by throwing. */
  async * files (tree: string, pass: () => void, prefix = '', depth = 0): AsyncGenerator<{ path: string, oid: string }> {
    for (const { mode, path, oid, type } of await this.readTree(tree)) {
      pass()
      // Deeper than any path of ours: each level would hold a generator and a longer text.
      if (type === 'tree' && depth < DEPTH_MAX) yield * this.files(oid, pass, `${prefix}${path}/`, depth + 1)
      else if (/^100(?:644|755)$/.test(mode)) yield { path: prefix + path, oid }
    }
  }

  async blob (oid: string): Promise<Uint8Array> {
    const { blob } = await this.#git.readBlob({ ...this.repository, oid })
    this.#bytes.set(oid, blob.length)
    return blob
  }

  async bytes (oid: string): Promise<number> { return this.#bytes.get(oid) ?? (await this.blob(oid)).length }

  /** Many at once, since each waits for the disk. All different: two of the same would write one file. */
  async writeBlobs (contents: Uint8Array[]): Promise<void> {
    for (let at = 0; at < contents.length; at += WRITES_AT_ONCE) {
      const written = await Promise.allSettled(contents.slice(at, at + WRITES_AT_ONCE).map(blob => this.#git.writeBlob({ ...this.repository, blob })))
      for (const result of written) if (result.status === 'rejected') throw result.reason
    }
  }
}
