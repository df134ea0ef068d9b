/** A git remote in memory, and caches of it: what a mirror sees of git, without a process. Every call takes the time that `pause` takes. */
import { createHash } from 'node:crypto'
import type { BlobId, Change, Commit, GitMirror, GitOptions, NewCommit, TreeFile, TreeOptions } from '@elder-node/crdt-stack/mirror'

interface Stored { parent: Commit | undefined, files: ReadonlyMap<string, Uint8Array> }

const ids = new WeakMap<Uint8Array, BlobId>()

/** As git names it; contents do not change, so each is hashed once. */
function blobIdOf (content: Uint8Array): BlobId {
  const known = ids.get(content)
  if (known !== undefined) return known
  const id = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex') as BlobId
  ids.set(content, id)
  return id
}

export class MemoryRemote {
  tip: Commit | undefined
  readonly blobs = new Map<BlobId, Uint8Array>()
  readonly commits = new Map<Commit, Stored>()
  pushes = 0
  rejected = 0

  files (): Map<string, Uint8Array> { return new Map(this.tip === undefined ? [] : this.commits.get(this.tip)?.files) }

  /** What somebody with a clone and a keyboard does: a commit on the tip, by nobody's rules. */
  edit (changes: Change[]): void { this.tip = this.store({ parent: this.tip, changes }) }

  store ({ parent, changes }: Pick<NewCommit, 'parent' | 'changes'>): Commit {
    const files = new Map(parent === undefined ? [] : this.commits.get(parent)?.files)
    const hash = createHash('sha1').update(`${parent} ${this.commits.size}`)
    for (const { path, content } of changes) {
      if (content === null) files.delete(path)
      else files.set(path, content)
      if (content !== null) this.blobs.set(blobIdOf(content), content)
      hash.update(`${path} ${content === null ? '' : blobIdOf(content)}\n`)
    }
    const commit = hash.digest('hex') as Commit
    this.commits.set(commit, { parent, files })
    return commit
  }
}

export class MemoryGit implements GitMirror {
  readonly url = 'https://git.example.org/memory.git'
  readonly #remote: MemoryRemote
  readonly #pause: () => Promise<void>
  readonly #seen = new Set<Commit>()

  constructor (remote: MemoryRemote, pause: () => Promise<void> = async () => {}) {
    this.#remote = remote
    this.#pause = pause
  }

  async fetchTip ({ signal }: GitOptions): Promise<Commit | undefined> {
    signal.throwIfAborted()
    await this.#pause()
    for (let commit = this.#remote.tip; commit !== undefined; commit = this.#remote.commits.get(commit)?.parent) this.#seen.add(commit)
    return this.#remote.tip
  }

  async isAncestor (ancestor: Commit, commit: Commit): Promise<boolean> {
    if (!this.#seen.has(ancestor)) return false
    for (let at: Commit | undefined = commit; at !== undefined; at = this.#remote.commits.get(at)?.parent) if (at === ancestor) return true
    return false
  }

  async readTree (commit: Commit, { wants = () => true }: TreeOptions): Promise<TreeFile[]> {
    const files = [...this.#remote.commits.get(commit)?.files ?? []].filter(([path]) => wants(path))
    return files.sort(([a], [b]) => a < b ? -1 : 1).map(([path, content]) => ({ path, blob: this.blobId(content), bytes: content.length }))
  }

  async * readBlobs (files: TreeFile[]): AsyncGenerator<{ file: TreeFile, content: Uint8Array }> {
    for (const file of files) yield { file, content: this.#remote.blobs.get(file.blob) as Uint8Array }
  }

  blobId (content: Uint8Array): BlobId { return blobIdOf(content) }

  async commitTree (commit: NewCommit): Promise<Commit> {
    const made = this.#remote.store(commit)
    this.#seen.add(made)
    return made
  }

  async push (commit: Commit, { signal }: GitOptions): Promise<'ok' | 'rejected'> {
    signal.throwIfAborted()
    await this.#pause()
    const isNext = this.#remote.commits.get(commit)?.parent === this.#remote.tip
    this.#remote.pushes++
    if (!isNext) this.#remote.rejected++
    if (isNext) this.#remote.tip = commit
    return isNext ? 'ok' : 'rejected'
  }

  async close (): Promise<void> {}
}
