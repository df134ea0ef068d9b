/**
 * Source of builds through native git. Everything happens in a private bare repository per work tree, which borrows the user's
 * objects: the user's index, refs, configuration, hooks, filters and object store are never touched or run.
 *
 * A snapshot is a commit without parents that depends on the content alone: the same files are the same commit on any day, and
 * a builder that has none of it receives the files without their history.
 */
import { createHash, randomBytes } from 'node:crypto'
import { access, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { codeOf, ElderError, LIMITS } from '@elder-node/protocol'
import type { Snapshot, SourceReader } from '../ports/source.ts'
import { copyForeign, FOREIGN_FILES, readForeign, SNAPSHOT_FILE_BYTES_MAX } from './foreign-files.ts'
import { changedPaths, dropFiltered, mark, onlyWhatIsThere, openIndex, readable, update } from './git-index.ts'
import { readLinks } from './git-links.ts'
import { gitFailed, gitText, PACK_DEADLINE_MS, runGit, startGit, type GitOptions } from './git-run.ts'
import { checkSymlinks, checkTree, parseTree, TREE_ENTRIES_MAX, type TreeEntry } from './git-tree.ts'
import { KeyedQueue } from './keyed-queue.ts'
import { STAGING_PREFIX } from './output-staging.ts'
import { findWorktree, plainFolder, projectName, type Worktree } from './git-worktree.ts'
import { SharedWork } from './shared-work.ts'

const REFS = 'refs/elder'
/** Snapshots kept per work tree: the bases of later thin packs. */
const SNAPSHOTS_MAX = 32
/** Bases named to git for one pack: the newest suffices, a few more help after a change of branch. */
const BASES_MAX = 4
/** Several may wait for one answer of `read`, so it has its own deadline. */
const READ_MS = 60_000
/** Where a folder's repository is: a question about a few small files. */
const ASK_MS = 60_000
/** Answers of `read` kept. */
const READS_MAX = 16
/** Loose objects of the private repository after which it is packed. */
const LOOSE_MAX = 2000
/** Sentences about files that were left out. */
const LEFT_MAX = 20
const WHO = { NAME: 'elder-node', EMAIL: 'build@elder-node.invalid', DATE: '@0 +0000' }
const IDENTITY = Object.fromEntries(Object.entries(WHO).flatMap(([key, value]) => [[`GIT_AUTHOR_${key}`, value], [`GIT_COMMITTER_${key}`, value]]))

export interface GitSourceInit {
  /** Folder of the private repositories; made when missing. */
  dir: string
  /** Largest pack in bytes. @default LIMITS.sourceBytesMax */
  packBytesMax?: number
  /** Milliseconds one command over the tree may take: a pipe among the ignore rules never says a word. @default 600_000 */
  deadlineMs?: number
}

interface Committed { tree: string, commit: string, gitlinks: string[] }

export class GitSource implements SourceReader {
  readonly #dir: string
  readonly #packBytesMax: number
  readonly #deadlineMs: number
  readonly #queue = new KeyedQueue()
  /** The last commit of each repository: most builds are of what was built just before. */
  readonly #last = new Map<string, Committed>()
  /** Small files read from the last commits; a commit never changes. */
  readonly #reads = new Map<string, SharedWork<Uint8Array | undefined>>()
  /** Snapshots that have not begun, by folder: whoever asks meanwhile gets the same, which is younger than every question. */
  readonly #waiting = new Map<string, SharedWork<Snapshot>>()

  constructor ({ dir, packBytesMax = LIMITS.sourceBytesMax, deadlineMs = 600_000 }: GitSourceInit) {
    this.#dir = dir
    this.#deadlineMs = deadlineMs
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
    const worktree = await findWorktree(dir, signal, Math.min(ASK_MS, this.#deadlineMs))
    return await this.#commit(worktree, signal) ?? await this.#commit(plainFolder(join(worktree.root, worktree.cwd)), signal) as Snapshot
  }

  /** Undefined for a folder that its repository ignores: it is no part of that repository's snapshot, and a source by itself. */
  #commit (worktree: Worktree, signal: AbortSignal): Promise<Snapshot | undefined> {
    const repo = this.#repo(worktree.root)
    return this.#queue.run(repo, async () => {
      const odd = await openPrivate(repo, worktree, signal)
      const index = join(repo, `index.${randomBytes(6).toString('hex')}`)
      try {
        odd.push(...await openIndex(repo, index, worktree))
        const git: GitOptions = { cwd: worktree.root, env: { GIT_DIR: repo, GIT_WORK_TREE: worktree.root, GIT_INDEX_FILE: index, ...IDENTITY }, personal: true, signal, deadlineMs: this.#deadlineMs }
        if (await isIgnored(worktree.cwd, git)) return undefined
        const { snapshot, committed } = await commit(repo, worktree, git, this.#last.get(repo), odd)
        if (worktree.git === undefined) await rename(index, join(repo, 'index'))
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
    const bases = await known(repo, have, signal)
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
    const bases = await known(repo, have, signal)
    const { code, stdout } = await runGit(['rev-list', '--objects', '--disk-usage', snapshot.commit, ...bases.map(base => `^${base}^{tree}`)], { env: { GIT_DIR: repo }, allow: [128, 129], signal })
    const bytes = Number(stdout.toString().trim())
    return code === 0 && bytes > 0 ? bytes : undefined
  }

  async read (snapshot: Snapshot, path: string, { signal }: { signal: AbortSignal }): Promise<Uint8Array | undefined> {
    const name = `${snapshot.commit}:${path}`
    const known = this.#reads.get(name)
    const reading = known === undefined || known.abandoned ? new SharedWork(shared => this.#read(snapshot, name, shared)) : known
    // Rejoins as the youngest: the eldest leaves.
    this.#reads.delete(name)
    this.#reads.set(name, reading)
    const eldest = this.#reads.keys().next()
    if (this.#reads.size > READS_MAX && eldest.done === false) this.#reads.delete(eldest.value)
    const bytes = await reading.join(signal).catch((error: unknown) => {
      if (this.#reads.get(name) === reading) this.#reads.delete(name)
      throw error
    })
    // A copy: the answer is kept for others.
    return bytes === undefined ? undefined : new Uint8Array(bytes)
  }

  async ids (snapshot: Snapshot, paths: string[], { signal }: { signal: AbortSignal }): Promise<Map<string, string>> {
    // A name with a line break cannot be asked for; it counts as not sent.
    const asked = paths.filter(path => !path.includes('\n'))
    const git: GitOptions = { env: { GIT_DIR: this.#repo(snapshot.root) }, stdin: asked.map(path => `${snapshot.commit}:${path}\n`).join(''), signal }
    const answers = (await gitText(['cat-file', '--batch-check=%(objecttype) %(objectname)'], git)).split('\n')
    return new Map(asked.flatMap((path, i) => answers[i]?.startsWith('blob ') === true ? [[path, answers[i].slice(5)] as const] : []))
  }

  async #read (snapshot: Snapshot, name: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { code, stdout } = await runGit(['cat-file', 'blob', name], { env: { GIT_DIR: this.#repo(snapshot.root) }, allow: [128], outputBytesMax: SNAPSHOT_FILE_BYTES_MAX, signal, deadlineMs: READ_MS }).catch((error: unknown) => {
      throw codeOf(error) === 'SOURCE_TOO_LARGE' ? new ElderError('SOURCE_TOO_LARGE', `${name.slice(name.indexOf(':') + 1)} is longer than ${SNAPSHOT_FILE_BYTES_MAX} bytes, which no file is that says how to build`, 'Is it the right file? Rename it, or shorten it.') : error
    })
    return code === 0 ? stdout : undefined
  }

  #repo (root: string): string { return join(this.#dir, `${createHash('sha256').update(root).digest('hex').slice(0, 32)}.git`) }
}

/** Makes or cleans the private repository. Returns what of the user's settings was not read, one sentence each. */
async function openPrivate (repo: string, { git }: Worktree, signal: AbortSignal): Promise<string[]> {
  // Left by a life that ended in the middle: the queue lets one snapshot at a time in here.
  for (const name of await readdir(repo).catch((): string[] => [])) if (/^(index|sharedindex)\.|\.lock$/.test(name)) await rm(join(repo, name), { force: true })
  if (!await access(join(repo, 'HEAD')).then(() => true, () => false)) {
    await mkdir(repo, { recursive: true, mode: 0o700 })
    await gitText(['init', '-q', '--bare', '--template=', '--object-format=sha1', repo], { signal })
  }
  await mkdir(join(repo, 'info'), { recursive: true })
  const odd: string[] = []
  const rules = async (name: string): Promise<Buffer | string> => {
    const file = git === undefined ? undefined : await readForeign(join(git.common, 'info', name), FOREIGN_FILES.rules)
    if (file?.odd !== undefined) odd.push(`.git/info/${name} was ignored: ${file.odd}`)
    return file?.bytes ?? ''
  }
  await writeFile(join(repo, 'info/exclude'), Buffer.concat([Buffer.from(await rules('exclude')), Buffer.from(`\n${STAGING_PREFIX}*/\n`)]))
  await writeFile(join(repo, 'info/attributes'), await rules('attributes'))
  await writeFile(join(repo, 'objects/info/alternates'), git === undefined ? '' : `${join(git.common, 'objects')}\n`)
  if (await looseObjects(repo) > LOOSE_MAX) await gitText(['gc', '-q'], { env: { GIT_DIR: repo }, config: ['gc.pruneExpire=1.hour.ago'], signal })
  return odd
}

/** Estimated as git does it: ids are spread evenly over 256 folders, so one of them tells. Asking git would be a process per build. */
async function looseObjects (repo: string): Promise<number> { return 256 * (await readdir(join(repo, 'objects/17')).catch(() => [])).length }

/** An ignored folder without a tracked file is no part of the work tree's snapshot. */
async function isIgnored (path: string, git: GitOptions): Promise<boolean> {
  if (path === '.') return false
  const { code } = await runGit(['check-ignore', '-q', '--', path], { ...git, allow: [1, 128] })
  return code === 0 && await gitText(['ls-files', '--', path], git) === ''
}

async function commit (repo: string, worktree: Worktree, git: GitOptions, last: Committed | undefined, odd: string[]): Promise<{ snapshot: Snapshot, committed: Committed }> {
  await dropFiltered(repo, git)
  const unnamed = new Set(await onlyWhatIsThere(worktree.root, git))
  const { paths, left } = await readable(await changedPaths(git, unnamed), worktree.root)
  left.push(...await update(paths, git))
  // Left out whole: what stands in the index of such a file is an older content.
  await mark('--force-remove', left.map(({ path }) => path.replace(/\/$/, '')), git)
  // The index may say which tree its entries are, and nobody compares: an archive's own index could name another.
  const tree = await gitText(['write-tree', '--missing-ok', '--ignore-cache-tree'], git)
  const kept = last?.tree === tree && (await snapshotsOf(repo)).some(name => name.endsWith(last.commit)) ? last : undefined
  const committed = kept ?? { tree, gitlinks: await judged(tree, git), commit: await gitText(['commit-tree', tree, '-m', 'build'], git) }
  const ancestors = await remember(repo, committed.commit)
  const { cwd, root } = worktree
  const project = projectName(root, await firstCommit(repo, worktree, git))
  const sentences = [...[...unnamed].map(name => `left out: ${name}: its name is not UTF-8; rename it, or list it in .gitignore`), ...left.map(({ path, why }) => `left out: ${path} ${why}`)]
  const more = sentences.length > LEFT_MAX ? [`${sentences.length - LEFT_MAX} more files are left out`] : []
  const warnings = [...worktree.warnings, ...odd, ...sentences.slice(0, LEFT_MAX), ...more, ...committed.gitlinks]
  return { committed, snapshot: { commit: committed.commit, project, cwd, ancestors, root, ...(warnings.length > 0 ? { warnings } : {}) } }
}

/** Looked for in our repository, which borrows the user's objects and has no remote that a missing one could be fetched from. */
async function firstCommit (repo: string, { git: user }: Worktree, git: GitOptions): Promise<string | undefined> {
  if (user?.head === undefined) return undefined
  const cut = join(repo, 'index.shallow')
  await rm(cut, { force: true })
  await copyForeign(join(user.common, 'shallow'), cut, FOREIGN_FILES.shallow)
  const { code, stdout } = await runGit(['rev-list', '--max-parents=0', user.head], { ...git, env: { GIT_DIR: repo, GIT_SHALLOW_FILE: cut }, allow: [128] })
  return code === 0 ? stdout.toString().split('\n').filter(Boolean).sort()[0] : undefined
}

/** Every builder would refuse such a tree, so it costs none of them anything. Returns a sentence for each submodule. */
async function judged (tree: string, git: GitOptions): Promise<string[]> {
  const entries = parseTree((await runGit(['ls-tree', '-r', '-z', '--full-tree', tree], git)).stdout)
  checkTree(entries, { entriesMax: TREE_ENTRIES_MAX, bytesMax: Infinity, foldsCase: false })
  checkSymlinks(await readLinks(entries, git))
  return gitlinks(entries)
}

function gitlinks (entries: TreeEntry[]): string[] {
  return entries.filter(({ mode }) => mode === '160000').map(({ path }) => `${path} is a repository of its own (submodule): the build sees an empty folder there`)
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
async function known (repo: string, have: string[], signal: AbortSignal): Promise<string[]> {
  const asked = have.filter(commit => /^[0-9a-f]{40}$/.test(commit)).slice(0, 64)
  const answer = await gitText(['cat-file', '--batch-check=%(objectname) %(objecttype)'], { env: { GIT_DIR: repo }, stdin: asked.map(commit => `${commit}\n`).join(''), signal })
  const found = new Set(answer.split('\n').filter(line => line.endsWith(' commit')).map(line => line.slice(0, 40)))
  return asked.filter(commit => found.has(commit)).slice(0, BASES_MAX)
}

async function * packObjects (repo: string, commit: string, bases: string[], signal: AbortSignal): AsyncGenerator<Uint8Array> {
  // --shallow: the bases are no parents of the commit; git must look at their trees all the same.
  const args = ['pack-objects', '--revs', '--thin', '--shallow', '--stdout', '--delta-base-offset', '-q']
  const git = startGit(args, { env: { GIT_DIR: repo }, signal, deadlineMs: PACK_DEADLINE_MS })
  git.stdin.end(`${[commit, ...bases.map(base => `^${base}`)].join('\n')}\n`)
  try {
    for await (const chunk of git.stdout as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; at += LIMITS.chunkBytesMax) yield chunk.subarray(at, at + LIMITS.chunkBytesMax)
    }
    const { code, stderr } = await git.end
    if (code !== 0) throw gitFailed(args, code, stderr)
  } finally {
    git.kill()
  }
}
