/**
 * The builder's source cache: one bare repository per requester and project. A pack enters through a quarantine and is judged
 * whole before the repository sees it; what is refused leaves nothing behind.
 */
import { createHash, randomBytes } from 'node:crypto'
import { access, lstat, mkdir, mkdtemp, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ElderError, LIMITS } from '@elder-node/protocol'
import type { SourceCache } from '../ports/source.ts'
import { aheadOfBuilds, needRoom } from './disk-watch.ts'
import { readLinks } from './git-links.ts'
import { gitText, PACK_DEADLINE_MS, RAW_ATTRIBUTES, runGit, startGit, type GitOptions } from './git-run.ts'
import { KeyedQueue } from './keyed-queue.ts'
import { checkSymlinks, checkTree, parseTree, sizeOnDisk, TREE_ENTRIES_MAX, type TreeEntry } from './git-tree.ts'
import { unlessAborted } from './unless-aborted.ts'

export interface GitCacheInit {
  /** Folder of the repositories; made when missing. */
  dir: string
  /** Largest pack in bytes. @default LIMITS.sourceBytesMax */
  packBytesMax?: number
  /** Largest unpacked tree in bytes. @default 2 * LIMITS.sourceBytesMax */
  treeBytesMax?: number
  /** Files of one tree. @default TREE_ENTRIES_MAX */
  entriesMax?: number
  /** All repositories together, in bytes; the ones unused for longest leave first. @default 10 GiB */
  totalBytesMax?: number
  /** Whether names that differ in case alone are one file. @default asked of the file system */
  foldsCase?: boolean
}

/** Snapshots one repository keeps, and packs after which they are merged into one. */
const SNAPSHOTS_MAX = 32
const PACKS_MAX = 40
/** A few trees that name each other many times list billions of paths: the listing is cut where honest ones end. */
const LISTING_BYTES_PER_ENTRY = 400
const COMMIT = /^[0-9a-f]{40}$/
/** What git says of objects that arrived whole and that nobody should take. Anything else may be the way here, or this disk. */
const REFUSED = /fsck error|^error: object [0-9a-f]{40}: |invalid .*object/m
const FSCK = 'Run it again; when it stays, git fsck in the project names what is broken.'

export class GitCache implements SourceCache {
  readonly #init: Required<Omit<GitCacheInit, 'foldsCase'>>
  #foldsCase: boolean | undefined
  readonly #queue = new KeyedQueue()

  constructor (init: GitCacheInit) {
    this.#init = { packBytesMax: LIMITS.sourceBytesMax, treeBytesMax: 2 * LIMITS.sourceBytesMax, entriesMax: TREE_ENTRIES_MAX, totalBytesMax: 10 * 2 ** 30, ...init }
    this.#foldsCase = init.foldsCase
  }

  async have (owner: string, project: string, commits: string[], { signal }: { signal: AbortSignal }): Promise<string[]> {
    signal.throwIfAborted()
    const repo = this.#repo(owner, project)
    const found = await Promise.all(commits.slice(0, 64).map(commit => accepted(repo, commit)))
    return commits.filter((_, i) => found[i] === true)
  }

  async receive (owner: string, project: string, commit: string, pack: AsyncIterable<Uint8Array>, { signal }: { signal: AbortSignal }): Promise<void> {
    if (!COMMIT.test(commit)) throw new ElderError('SOURCE_INVALID', 'a commit id has 40 hex digits')
    const repo = this.#repo(owner, project)
    await this.#queue.run(repo, async () => {
      await this.#open(repo, signal)
      const quarantine = await mkdtemp(join(repo, 'incoming-'))
      try {
        // Every member may send many packs at once, and the bound on all of them holds only afterwards.
        await aheadOfBuilds(quarantine, signal, async watched => {
          const git: GitOptions = { env: { GIT_DIR: repo, GIT_OBJECT_DIRECTORY: quarantine, GIT_ALTERNATE_OBJECT_DIRECTORIES: join(repo, 'objects') }, signal: watched }
          await this.#index(pack, git)
          await this.#judge(commit, git)
          await admit(quarantine, repo)
          await writeFile(join(repo, 'refs/elder', commit), `${commit}\n`)
        })
      } finally {
        await rm(quarantine, { recursive: true, force: true })
      }
      await maintain(repo, signal)
    }, signal)
    await this.#trim(repo)
  }

  async checkout (owner: string, project: string, commit: string, tree: string, { signal, bytesMax = Infinity }: { signal: AbortSignal, bytesMax?: number }): Promise<void> {
    const repo = this.#repo(owner, project)
    if (!COMMIT.test(commit) || !await accepted(repo, commit)) throw new ElderError('SOURCE_BROKEN', `this device does not have the source ${commit.slice(0, 12)}`, 'Run it again: it is sent anew.')
    if ((await readdir(tree)).length > 0) throw new ElderError('BUILDER_FAILED', `the folder for the source is not empty: ${tree}`, 'Run it again.')
    await this.#fits(repo, commit, tree, bytesMax, signal)
    const index = join(repo, `index.${randomBytes(6).toString('hex')}`)
    const env = { GIT_DIR: repo, GIT_WORK_TREE: tree, GIT_INDEX_FILE: index }
    try {
      await aheadOfBuilds(tree, signal, watched => gitText(['read-tree', '-u', '--reset', commit], { cwd: tree, env, signal: watched }))
    } finally {
      await rm(index, { force: true })
    }
    const now = new Date()
    await utimes(join(repo, 'refs/elder', commit), now, now).catch(() => undefined)
  }

  /** A pack says little about what it unpacks to: one blob may stand under every name of a tree. */
  async #fits (repo: string, commit: string, tree: string, bytesMax: number, signal: AbortSignal): Promise<void> {
    const size = sizeOnDisk(await this.#entries(commit, { env: { GIT_DIR: repo }, signal }))
    if (size.bytes > bytesMax) throw new ElderError('SOURCE_TOO_LARGE', `the source unpacks to ${size.bytes} bytes on the disk, a build here has ${bytesMax}`, 'List what a build does not need in .gitignore, or build on another device with --on (its owner sets limits.disk).')
    await needRoom(tree, size)
  }

  #repo (owner: string, project: string): string {
    return join(this.#init.dir, `${createHash('sha256').update(JSON.stringify([owner, project])).digest('hex').slice(0, 32)}.git`)
  }

  async #open (repo: string, signal: AbortSignal): Promise<void> {
    if (await access(join(repo, 'refs/elder')).then(() => true, () => false)) {
      // Quarantines of an earlier life: the queue holds everybody else back.
      for (const name of await readdir(repo)) if (name.startsWith('incoming-')) await rm(join(repo, name), { recursive: true, force: true })
      return
    }
    await mkdir(repo, { recursive: true, mode: 0o700 })
    await gitText(['init', '-q', '--bare', '--template=', '--object-format=sha1', repo], { signal })
    await mkdir(join(repo, 'info'), { recursive: true })
    await writeFile(join(repo, 'info/attributes'), RAW_ATTRIBUTES)
    await mkdir(join(repo, 'refs/elder'), { recursive: true })
  }

  async #index (pack: AsyncIterable<Uint8Array>, git: GitOptions): Promise<void> {
    const max = this.#init.packBytesMax
    const index = startGit(['index-pack', '--stdin', '--fix-thin', '--strict', `--max-input-size=${max}`, '--threads=1'], { ...git, deadlineMs: PACK_DEADLINE_MS, config: ['core.bigFileThreshold=32m'] })
    index.stdout.resume()
    let isOver = false
    const over = index.end.then(() => undefined, () => undefined).finally(() => { isOver = true })
    let bytes = 0
    try {
      for await (const chunk of unlessAborted(pack, git.signal)) {
        bytes += chunk.length
        if (bytes > max) throw new ElderError('SOURCE_TOO_LARGE', `the pack is larger than ${max} bytes`)
        if (isOver) break
        if (!index.stdin.write(chunk)) await Promise.race([new Promise<void>(resolve => { index.stdin.once('drain', resolve) }), over])
      }
      index.stdin.end()
      if (bytes === 0) return
      const { code, stderr } = await index.end
      if (code !== 0) throw new ElderError(REFUSED.test(stderr) ? 'SOURCE_INVALID' : 'SOURCE_BROKEN', `the pack was refused: ${stderr.trim().slice(0, 500)}`, FSCK)
    } finally {
      index.kill()
      await over
    }
  }

  /** Everything the commit names is there, and its tree can be written without harm. */
  async #judge (commit: string, git: GitOptions): Promise<void> {
    const { code, stderr } = await runGit(['rev-list', '--objects', '--quiet', `${commit}^{commit}`], { ...git, allow: [1, 128] })
    if (code !== 0) throw new ElderError('SOURCE_BROKEN', `the pack does not hold all of ${commit.slice(0, 12)}: ${stderr.trim().slice(0, 300)}`, FSCK)
    const entries = await this.#entries(commit, git)
    this.#foldsCase ??= await foldsCase(this.#init.dir)
    checkTree(entries, { entriesMax: this.#init.entriesMax, bytesMax: this.#init.treeBytesMax, foldsCase: this.#foldsCase })
    checkSymlinks(await readLinks(entries, git))
  }

  async #entries (commit: string, git: GitOptions): Promise<TreeEntry[]> {
    return parseTree((await runGit(['ls-tree', '-r', '-z', '-l', '--full-tree', commit], { ...git, outputBytesMax: LISTING_BYTES_PER_ENTRY * this.#init.entriesMax })).stdout)
  }

  async #trim (current: string): Promise<void> {
    const repos = await Promise.all((await readdir(this.#init.dir)).map(async name => {
      const path = join(this.#init.dir, name)
      return { path, usedMs: (await stat(join(path, 'refs/elder')).catch(() => undefined))?.mtimeMs ?? 0, bytes: await packBytes(path) }
    }))
    let total = repos.reduce((sum, repo) => sum + repo.bytes, 0)
    for (const { path, bytes } of repos.filter(repo => repo.path !== current).sort((a, b) => a.usedMs - b.usedMs)) {
      if (total <= this.#init.totalBytesMax) return
      await this.#queue.run(path, () => rm(path, { recursive: true, force: true }))
      total -= bytes
    }
  }
}

function accepted (repo: string, commit: string): Promise<boolean> {
  return COMMIT.test(commit) ? access(join(repo, 'refs/elder', commit)).then(() => true, () => false) : Promise.resolve(false)
}

/** A pack without its index is not seen by git: the index moves last. */
async function admit (quarantine: string, repo: string): Promise<void> {
  const from = join(quarantine, 'pack')
  const names = (await readdir(from).catch((): string[] => [])).filter(name => /^pack-[0-9a-f]+\.(pack|rev|idx)$/.test(name))
  await mkdir(join(repo, 'objects/pack'), { recursive: true })
  for (const name of names.sort((a, b) => Number(a.endsWith('.idx')) - Number(b.endsWith('.idx')))) await rename(join(from, name), join(repo, 'objects/pack', name))
}

async function maintain (repo: string, signal: AbortSignal): Promise<void> {
  const packs = (await readdir(join(repo, 'objects/pack'))).filter(name => name.endsWith('.pack'))
  if (packs.length <= PACKS_MAX) return
  const refs = await Promise.all((await readdir(join(repo, 'refs/elder'))).map(async name => ({ name, usedMs: (await stat(join(repo, 'refs/elder', name))).mtimeMs })))
  for (const { name } of refs.sort((a, b) => b.usedMs - a.usedMs).slice(SNAPSHOTS_MAX)) await rm(join(repo, 'refs/elder', name))
  await gitText(['repack', '-a', '-d', '-q'], { env: { GIT_DIR: repo }, signal })
}

async function packBytes (repo: string): Promise<number> {
  const dir = join(repo, 'objects/pack')
  const sizes = await Promise.all((await readdir(dir).catch((): string[] => [])).map(async name => (await lstat(join(dir, name)).catch(() => undefined))?.size ?? 0))
  return sizes.reduce((sum, size) => sum + size, 0)
}

async function foldsCase (dir: string): Promise<boolean> {
  const probe = await mkdtemp(join(dir, 'case-'))
  await writeFile(join(probe, 'a'), '')
  const folds = await access(join(probe, 'A')).then(() => true, () => false)
  await rm(probe, { recursive: true })
  return folds
}
