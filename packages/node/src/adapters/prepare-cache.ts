/**
 * What `--prepare` added to a tree, kept for later builds. An entry is taken right after the prepare command, before the build
 * runs, so a build's leftovers never enter it; every build gets a copy of its own.
 */
import { chown, lstat, mkdir, mkdtemp, readdir, readFile, rename, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fromUtf8, utf8 } from '@elder-node/protocol'
import type { Logger } from '../ports/log.ts'
import type { PreparedTrees, PrepareParts } from '../ports/prepare.ts'
import { copyPaths, diskBytes, dropSetuid } from './copy-tree.ts'
import { aheadOfBuilds } from './disk-watch.ts'
import { KeyedQueue } from './keyed-queue.ts'
import { prepareKey } from './prepare-key.ts'
import { removeAll } from './remove-all.ts'
import { seal, STORE_FORMAT, unseal } from './sealed.ts'

export interface PrepareCacheInit {
  /** Folder of the entries; made when missing. Best on the disk of the trees. */
  dir: string
  /** All entries together; the ones unused for longest leave first. @default 5 GiB */
  bytesMax?: number
  /** Hears what could not be removed. @default nobody */
  log?: Logger
}

interface Meta { paths: string[], bytes: number }

/** What the entry holds, and how much: a sealed JSON. */
const META = 'meta'

export class PrepareCache implements PreparedTrees {
  readonly #dir: string
  readonly #bytesMax: number
  readonly #log: Logger | undefined
  readonly #queue = new KeyedQueue()
  #swept: Promise<void> | undefined

  constructor ({ dir, bytesMax = 5 * 2 ** 30, log }: PrepareCacheInit) {
    this.#dir = dir
    this.#bytesMax = bytesMax
    this.#log = log
  }

  async furnish (parts: PrepareParts, tree: string, run: () => Promise<void>, options: { signal: AbortSignal }): Promise<'reused' | 'prepared'> {
    return await this.prepare(await prepareKey(parts, tree, options.signal), tree, run, options)
  }

  /**
   * Puts the entry into the tree, or runs `prepare` and keeps what it added. Builds of one key that come together wait for the
   * first; when that fails, the next prepares itself. `prepare` must have ended with every process of it gone.
   */
  async prepare (key: string, tree: string, prepare: () => Promise<void>, { signal }: { signal: AbortSignal }): Promise<'reused' | 'prepared'> {
    this.#swept ??= this.#sweep().catch((error: unknown) => {
      this.#swept = undefined
      throw error
    })
    await this.#swept
    const outcome = await this.#queue.run(key, async () => {
      signal.throwIfAborted()
      if (await this.#apply(key, tree, signal)) return 'reused'
      const before = await listing(tree)
      await prepare()
      // The tree is prepared all the same: a build need not fail because its next one will prepare again.
      await this.#store(key, tree, before, signal).catch((error: unknown) => {
        signal.throwIfAborted()
        this.#log?.warn({ err: error, key }, 'a prepared tree could not be kept')
      })
      return 'prepared'
    }, signal)
    if (outcome === 'prepared') await this.#trim(key)
    return outcome
  }

  async #apply (key: string, tree: string, signal: AbortSignal): Promise<boolean> {
    const entry = join(this.#dir, key)
    const meta = await readMeta(entry)
    if (meta === undefined) return false
    // The source has changed in a way that the key does not tell: what it brings itself wins, and is prepared anew.
    for (const path of meta.paths) if (!await isFree(tree, path)) return false
    await aheadOfBuilds(tree, signal, watched => copyPaths(join(entry, 'files'), tree, meta.paths, { signal: watched }))
    const now = new Date()
    await utimes(join(entry, META), now, now)
    return true
  }

  async #store (key: string, tree: string, before: Set<string>, signal: AbortSignal): Promise<void> {
    const staging = await mkdtemp(join(this.#dir, 'staging-'))
    try {
      const paths: string[] = []
      for await (const path of added(tree, '', before)) paths.push(path)
      const files = join(staging, 'files')
      await mkdir(files, { mode: 0o700 })
      const owner = await ownerOf(tree)
      if (owner !== undefined) await chown(files, owner, owner)
      await aheadOfBuilds(staging, signal, watched => copyPaths(tree, files, paths, { uid: owner, signal: watched }))
      await dropSetuid(files, signal)
      const meta: Meta = { paths, bytes: await diskBytes(staging, signal) }
      await writeFile(join(staging, META), seal(utf8(JSON.stringify(meta))))
      await removeAll(join(this.#dir, key))
      await rename(staging, join(this.#dir, key))
    } finally {
      await this.#discard(staging)
    }
  }

  /** Staging folders of an earlier life, and entries that do not read: nobody would count what they take. What one left must not fail the builds of others. */
  async #sweep (): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    for (const name of await readdir(this.#dir)) {
      const entry = join(this.#dir, name)
      if (await readMeta(entry) === undefined) await this.#discard(entry)
    }
  }

  /** What stays is tried again at the next start. */
  async #discard (path: string): Promise<void> {
    await removeAll(path).catch((error: unknown) => { this.#log?.error({ err: error, path }, 'a prepared tree could not be removed') })
  }

  async #trim (current: string): Promise<void> {
    const entries = await Promise.all((await readdir(this.#dir)).map(async name => ({
      name, bytes: (await readMeta(join(this.#dir, name)))?.bytes ?? 0, usedMs: (await lstat(join(this.#dir, name, META)).catch(() => undefined))?.mtimeMs,
    })))
    let total = entries.reduce((sum, entry) => sum + entry.bytes, 0)
    for (const { name, bytes, usedMs } of entries.sort((a, b) => (a.usedMs ?? 0) - (b.usedMs ?? 0))) {
      if (total <= this.#bytesMax) return
      if (usedMs === undefined || name === current) continue
      await this.#queue.run(name, () => this.#discard(join(this.#dir, name)))
      total -= bytes
    }
  }
}

/**
 * The user whose rights are enough to read a tree; undefined: this process's own. Root's would be too many: a build that swaps a
 * folder for a symlink meanwhile would have any file of the disk in its entry.
 */
async function ownerOf (tree: string): Promise<number | undefined> {
  const { uid } = await lstat(tree)
  return process.getuid?.() !== 0 || uid === 0 ? undefined : uid
}

/** An entry whose list does not read is none: it is prepared anew. */
async function readMeta (entry: string): Promise<Meta | undefined> {
  const bytes = await readFile(join(entry, META)).catch(() => undefined)
  const found = bytes === undefined ? undefined : unseal(bytes)
  return found === undefined || 'damaged' in found || found.format !== STORE_FORMAT ? undefined : JSON.parse(fromUtf8(found.content)) as Meta
}

/** Every path in the tree; folders too. Symlinks are not followed. */
async function listing (tree: string): Promise<Set<string>> {
  return new Set(await readdir(tree, { recursive: true }))
}

/** The topmost paths that are new: inside a new folder everything is. */
async function * added (tree: string, dir: string, before: Set<string>): AsyncGenerator<string> {
  for (const entry of await readdir(join(tree, dir), { withFileTypes: true })) {
    const path = dir === '' ? entry.name : `${dir}/${entry.name}`
    if (!before.has(path)) {
      if (entry.isDirectory() || entry.isFile() || entry.isSymbolicLink()) yield path
    } else if (entry.isDirectory()) {
      yield * added(tree, path, before)
    }
  }
}

/** Nothing is at the path, and every folder above it is missing or a folder. */
async function isFree (tree: string, path: string): Promise<boolean> {
  if (await lstat(join(tree, path)).then(() => true, () => false)) return false
  for (let dir = dirname(path); dir !== '.'; dir = dirname(dir)) {
    if ((await lstat(join(tree, dir)).catch(() => undefined))?.isDirectory() === false) return false
  }
  return true
}
