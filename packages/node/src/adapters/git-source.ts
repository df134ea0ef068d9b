/**
 * Source of builds through native git. Everything happens in a private bare repository per work tree, which borrows the user's
 * objects: the user's index, refs, configuration, hooks, filters and object store are never touched or run.
 *
 * A snapshot is a commit without parents that depends on the content alone: the same files are the same commit on any day, and
 * a builder that has none of it receives the files without their history.
 */
import { createHash, randomBytes } from 'node:crypto'
import { access, copyFile, lstat, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { codeOf, ElderError, LIMITS } from '@elder-node/protocol'
import type { Snapshot, SourceReader } from '../ports/source.ts'
import { ended, gitFailed, gitText, RAW_ATTRIBUTES, runGit, startGit, type GitOptions, type GitResult } from './git-run.ts'
import { KeyedQueue } from './keyed-queue.ts'
import { STAGING_PREFIX } from './output-writer.ts'
import { filterNames, findWorktree, type Worktree } from './git-worktree.ts'
import { SharedWork } from './shared-work.ts'

const REFS = 'refs/elder'
/** Snapshots kept per work tree: the bases of later thin packs. */
const SNAPSHOTS_MAX = 32
/** Bases named to git for one pack: the newest suffices, a few more help after a change of branch. */
const BASES_MAX = 4
/** Bytes of new and changed files in one snapshot: what a builder unpacks at most. */
const NEW_BYTES_MAX = 2 * LIMITS.sourceBytesMax
/** Of a file that {@link GitSource.read} answers: what a project says of itself is short, whatever lies there under that name. */
const READ_BYTES_MAX = 1_048_576
/** Answers of `read` kept. */
const READS_MAX = 16
/** Loose objects of the private repository after which it is packed. */
const LOOSE_MAX = 2000
const WHO = { NAME: 'elder-node', EMAIL: 'build@elder-node.invalid', DATE: '@0 +0000' }
const IDENTITY = Object.fromEntries(Object.entries(WHO).flatMap(([key, value]) => [[`GIT_AUTHOR_${key}`, value], [`GIT_COMMITTER_${key}`, value]]))

export interface GitSourceInit {
  /** Folder of the private repositories; made when missing. */
  dir: string
  /** Largest pack in bytes. @default LIMITS.sourceBytesMax */
  packBytesMax?: number
}

interface Committed { tree: string, commit: string, gitlinks: string[] }

export class GitSource implements SourceReader {
  readonly #dir: string
  readonly #packBytesMax: number
  readonly #queue = new KeyedQueue()
  /** The last commit of each repository: most builds are of what was built just before. */
  readonly #last = new Map<string, Committed>()
  /** Small files read from the last commits; a commit never changes. */
  readonly #reads = new Map<string, Promise<Uint8Array | undefined>>()
  /** Snapshots that have not begun, by folder: whoever asks meanwhile gets the same, which is younger than every question. */
  readonly #waiting = new Map<string, SharedWork<Snapshot>>()

  constructor ({ dir, packBytesMax = LIMITS.sourceBytesMax }: GitSourceInit) {
    this.#dir = dir
    this.#packBytesMax = packBytesMax
  }

  snapshot (dir: string, { signal }: { signal: AbortSignal }): Promise<Snapshot> {
    const path = resolve(dir)
    const waiting = this.#waiting.get(path)
    return (waiting === undefined || waiting.abandoned ? this.#plan(path) : waiting).join(signal)
  }

  #plan (path: string): SharedWork<Snapshot> {
    const planned: SharedWork<Snapshot> = new SharedWork(signal => this.#queue.run(path, () => {
      if (this.#waiting.get(path) === planned) this.#waiting.delete(path)
      return this.#take(path, signal)
    }))
    this.#waiting.set(path, planned)
    return planned
  }

  async #take (dir: string, signal: AbortSignal): Promise<Snapshot> {
    const worktree = await findWorktree(dir, signal)
    const repo = this.#repo(worktree.root)
    return this.#queue.run(repo, async () => {
      await openPrivate(repo, worktree, signal)
      const index = await openIndex(repo, worktree)
      try {
        const { snapshot, committed } = await commit(repo, index, worktree, signal, this.#last.get(repo))
        this.#last.set(repo, committed)
        return snapshot
      } finally {
        await rm(index, { force: true })
        await rm(`${index}.lock`, { force: true })
      }
    })
  }

  async * pack (snapshot: Snapshot, have: string[], { signal }: { signal: AbortSignal }): AsyncGenerator<Uint8Array> {
    if (have.includes(snapshot.commit)) return
    const repo = this.#repo(snapshot.root)
    const bases = await known(repo, have)
    let sent = 0
    try {
      for await (const chunk of packObjects(repo, snapshot.commit, bases, signal)) {
        sent += chunk.length
        if (sent > this.#packBytesMax) throw new ElderError('SOURCE_TOO_LARGE', `the source is larger than ${this.#packBytesMax} bytes when packed`, 'List what a build does not need in .gitignore.')
        yield chunk
      }
    } catch (error) {
      // A base may have lost objects that it borrowed: the user's repository was pruned. Without bases nothing is missing.
      if (sent > 0 || bases.length === 0 || signal.aborted) throw error
      yield * this.pack(snapshot, [], { signal })
    }
  }

  async packBytes (snapshot: Snapshot, have: string[], { signal }: { signal: AbortSignal }): Promise<number | undefined> {
    const repo = this.#repo(snapshot.root)
    const bases = await known(repo, have)
    const { code, stdout } = await runGit(['rev-list', '--objects', '--disk-usage', snapshot.commit, ...bases.map(base => `^${base}^{tree}`)], { env: { GIT_DIR: repo }, allow: [128, 129], signal })
    const bytes = Number(stdout.toString().trim())
    return code === 0 && bytes > 0 ? bytes : undefined
  }

  read (snapshot: Snapshot, path: string): Promise<Uint8Array | undefined> {
    const name = `${snapshot.commit}:${path}`
    const reading = this.#reads.get(name) ?? this.#read(snapshot, name)
    // Rejoins as the youngest: the eldest leaves.
    this.#reads.delete(name)
    this.#reads.set(name, reading)
    const eldest = this.#reads.keys().next()
    if (this.#reads.size > READS_MAX && eldest.done === false) this.#reads.delete(eldest.value)
    reading.catch(() => { this.#reads.delete(name) })
    return reading
  }

  async #read (snapshot: Snapshot, name: string): Promise<Uint8Array | undefined> {
    const { code, stdout } = await runGit(['cat-file', 'blob', name], { env: { GIT_DIR: this.#repo(snapshot.root) }, allow: [128], outputBytesMax: READ_BYTES_MAX }).catch((error: unknown) => {
      throw codeOf(error) === 'SOURCE_TOO_LARGE' ? new ElderError('SOURCE_TOO_LARGE', `${name.slice(name.indexOf(':') + 1)} is longer than ${READ_BYTES_MAX} bytes, which no file is that says how to build`, 'Is it the right file? Rename it, or shorten it.') : error
    })
    return code === 0 ? stdout : undefined
  }

  #repo (root: string): string { return join(this.#dir, `${createHash('sha256').update(root).digest('hex').slice(0, 32)}.git`) }
}

async function openPrivate (repo: string, { git }: Worktree, signal: AbortSignal): Promise<void> {
  // Left by a life that ended in the middle: the queue lets one snapshot at a time in here.
  for (const name of await readdir(repo).catch((): string[] => [])) if (/^(index|sharedindex)\.|\.lock$/.test(name)) await rm(join(repo, name), { force: true })
  if (!await access(join(repo, 'HEAD')).then(() => true, () => false)) {
    await mkdir(repo, { recursive: true, mode: 0o700 })
    await gitText(['init', '-q', '--bare', '--template=', '--object-format=sha1', repo], { signal })
  }
  await mkdir(join(repo, 'info'), { recursive: true })
  await writeFile(join(repo, 'info/attributes'), RAW_ATTRIBUTES)
  const exclude = git === undefined ? '' : await readFile(join(git.common, 'info/exclude'), 'utf8').catch(() => '')
  await writeFile(join(repo, 'info/exclude'), `${exclude}\n${STAGING_PREFIX}*/\n`)
  await writeFile(join(repo, 'objects/info/alternates'), git === undefined ? '' : `${join(git.common, 'objects')}\n`)
  if (await looseObjects(repo) > LOOSE_MAX) await gitText(['gc', '-q'], { env: { GIT_DIR: repo }, config: ['gc.pruneExpire=1.hour.ago'], signal })
}

/** Estimated as git does it: ids are spread evenly over 256 folders, so one of them tells. Asking git would be a process per build. */
async function looseObjects (repo: string): Promise<number> { return 256 * (await readdir(join(repo, 'objects/17')).catch(() => [])).length }

/** A copy of the user's index, whose knowledge of unchanged files saves hashing them; of a plain folder, of our last one. */
async function openIndex (repo: string, { git }: Worktree): Promise<string> {
  const index = join(repo, `index.${randomBytes(6).toString('hex')}`)
  const from = git === undefined ? join(repo, 'index') : join(git.dir, 'index')
  const times = await stat(from).catch(() => undefined)
  if (times === undefined) return index
  await copyFile(from, index)
  if (git !== undefined) await copyShared(git.dir, repo)
  // Git distrusts entries younger than their index: the copy must not look younger than the original.
  const second = Math.floor(times.mtimeMs / 1000)
  await utimes(index, second, second)
  return index
}

/** A split index leaves most of itself in a file beside it. */
async function copyShared (from: string, to: string): Promise<void> {
  for (const name of (await readdir(from)).filter(name => name.startsWith('sharedindex.'))) await copyFile(join(from, name), join(to, name))
}

async function commit (repo: string, index: string, worktree: Worktree, signal: AbortSignal, last: Committed | undefined): Promise<{ snapshot: Snapshot, committed: Committed }> {
  const git: GitOptions = { cwd: worktree.root, env: { GIT_DIR: repo, GIT_WORK_TREE: worktree.root, GIT_INDEX_FILE: index, ...IDENTITY }, personal: true, signal }
  await dropFiltered(worktree, git, signal)
  const changed = await changedPaths(git)
  await checkSize(changed, worktree.root)
  const left = changed.length === 0 ? [] : unreadable((await addAll(git)).stderr)
  const tree = await gitText(['write-tree', '--missing-ok'], git)
  const kept = last?.tree === tree && (await snapshotsOf(repo)).some(name => name.endsWith(last.commit)) ? last : undefined
  const committed = kept ?? { tree, commit: await gitText(['commit-tree', tree, '-m', 'build'], git), gitlinks: await gitlinks(git) }
  const ancestors = await remember(repo, committed.commit)
  if (worktree.git === undefined) await rename(index, join(repo, 'index'))
  const { project, cwd, root } = worktree
  const warnings = [...left, ...committed.gitlinks]
  return { committed, snapshot: { commit: committed.commit, project, cwd, ancestors, root, ...(warnings.length > 0 ? { warnings } : {}) } }
}

/** Paths that differ from the index: new, changed and deleted ones. Without any there is nothing to add. */
async function changedPaths (git: GitOptions): Promise<string[]> {
  return (await runGit(['ls-files', '-z', '-o', '-m', '--exclude-standard'], git)).stdout.toString().split('\0').filter(Boolean)
}

/** Exit code 1: some files could not be read; the rest is there, and the warnings say which. A file that goes away meanwhile ends git: again. */
async function addAll (git: GitOptions, tries = 3): Promise<GitResult> {
  const added = await runGit(['add', '-A', '--ignore-errors', '--', '.'], { ...git, allow: [1, 128] })
  if (added.code !== 128) return added
  if (tries > 1 && added.stderr.includes('unable to stat')) return addAll(git, tries - 1)
  throw gitFailed(['add'], added.code, added.stderr)
}

/** Before anything is hashed: a home directory taken for a project would otherwise be copied whole into the private repository. */
async function checkSize (paths: string[], root: string): Promise<void> {
  let bytes = 0
  for (let at = 0; at < paths.length; at += 256) {
    const sizes = await Promise.all(paths.slice(at, at + 256).map(async path => (await lstat(join(root, path)).catch(() => undefined))?.size ?? 0))
    bytes += sizes.reduce((sum, size) => sum + size, 0)
    if (bytes > NEW_BYTES_MAX) throw new ElderError('SOURCE_TOO_LARGE', `${root} holds more than ${NEW_BYTES_MAX} bytes of files that git does not know yet`, 'Is this the project\'s folder? List what a build does not need in .gitignore.')
  }
}

/** Files that a filter (Git LFS) keeps elsewhere leave the index, so that they enter with their content, not as pointers. */
async function dropFiltered (worktree: Worktree, git: GitOptions, signal: AbortSignal): Promise<void> {
  const names = await filterNames(worktree, signal)
  if (names.length === 0) return
  const paths = (await runGit(['ls-files', '-z', '--', ...names.map(name => `:(attr:filter=${name})`)], { cwd: worktree.root, signal })).stdout.toString()
  if (paths !== '') await runGit(['update-index', '--force-remove', '-z', '--stdin'], { ...git, stdin: paths })
}

function unreadable (stderr: string): string[] {
  return stderr.split('\n').filter(line => line.startsWith('error:')).slice(0, 20).map(line => `left out: ${line.slice(7)}`)
}

async function gitlinks (git: GitOptions): Promise<string[]> {
  const entries = (await runGit(['ls-files', '-s', '-z'], git)).stdout.toString().split('\0')
  return entries.filter(entry => entry.startsWith('160000 ')).map(entry => `${entry.slice(entry.indexOf('\t') + 1)} is a repository of its own (submodule): the build sees an empty folder there`)
}

/** Names of the refs, `<when>-<commit>`, newest first. */
async function snapshotsOf (repo: string): Promise<string[]> {
  return (await readdir(join(repo, REFS)).catch((): string[] => [])).filter(name => /^\d{13}-[0-9a-f]{40}$/.test(name)).sort().reverse()
}

/** Names the snapshot by a ref, so that its objects stay; returns the earlier ones, newest first. */
async function remember (repo: string, commit: string): Promise<string[]> {
  const dir = join(repo, REFS)
  await mkdir(dir, { recursive: true })
  const names = await snapshotsOf(repo)
  const earlier = names.filter(name => !name.endsWith(commit))
  for (const name of [...names.filter(name => name.endsWith(commit)), ...earlier.slice(SNAPSHOTS_MAX - 1)]) await rm(join(dir, name), { force: true })
  const last = Number(names[0]?.slice(0, 13) ?? 0)
  await writeFile(join(dir, `${Math.max(Date.now(), last + 1)}-${commit}`), `${commit}\n`)
  return earlier.slice(0, SNAPSHOTS_MAX - 1).map(name => name.slice(14))
}

/** Of the commits a builder has, those that can serve as a base here. */
async function known (repo: string, have: string[]): Promise<string[]> {
  const asked = have.filter(commit => /^[0-9a-f]{40}$/.test(commit)).slice(0, 64)
  const answer = await gitText(['cat-file', '--batch-check=%(objectname) %(objecttype)'], { env: { GIT_DIR: repo }, stdin: asked.map(commit => `${commit}\n`).join('') })
  const found = new Set(answer.split('\n').filter(line => line.endsWith(' commit')).map(line => line.slice(0, 40)))
  return asked.filter(commit => found.has(commit)).slice(0, BASES_MAX)
}

async function * packObjects (repo: string, commit: string, bases: string[], signal: AbortSignal): AsyncGenerator<Uint8Array> {
  // --shallow: the bases are no parents of the commit; git must look at their trees all the same.
  const args = ['pack-objects', '--revs', '--thin', '--shallow', '--stdout', '--delta-base-offset', '-q']
  const child = startGit(args, { env: { GIT_DIR: repo }, signal })
  const end = ended(child, 'pack-objects')
  end.catch(() => undefined)
  child.stdin.end(`${[commit, ...bases.map(base => `^${base}`)].join('\n')}\n`)
  try {
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; at += LIMITS.chunkBytesMax) yield chunk.subarray(at, at + LIMITS.chunkBytesMax)
    }
    const { code, stderr } = await end
    if (code !== 0) throw gitFailed(args, code, stderr)
  } finally {
    child.kill('SIGKILL')
  }
}
