/** Where one output goes: in its place, or beside a file that is not this build's to replace. */
import { createHash, type Hash } from 'node:crypto'
import { constants, type BigIntStats } from 'node:fs'
import { copyFile, lstat, open, readlink, realpath, rename } from 'node:fs/promises'
import { basename, dirname, join, relative, sep } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { KeptWhy, OutputFile, SentTree } from '../ports/source.ts'
import { refuseShared, type Folder } from './folder.ts'
import { ELSEWHERE } from './output-target.ts'

/** Names tried for a file beside: nobody keeps more of one. */
const BESIDE_MAX = 10_000
/** Of a file's name, on every file system that is in use. */
const NAME_BYTES_MAX = 255
/** Not a link: some file systems have none. */
const ANEW = constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE
/** A pipe or a device that took a file's place must not hold the reader. */
const READ = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
const CHUNK_BYTES = 1 << 17

export interface Placing {
  /** Undefined: whatever is in the way is replaced. */
  sent: SentTree | undefined
  /** Path to sha256 of what earlier builds wrote below the target. */
  recorded: ReadonlyMap<string, string>
}

export interface Placed {
  /** The name beside, when it went there, and why. */
  beside?: string
  kept?: KeptWhy
  /** What stood there had the same bytes, and no build is known to have written it. */
  isEqual?: boolean
}

/** `now`: what the verdict is about; it still holds while that is there unchanged. */
interface Verdict { now: BigIntStats | undefined, kept?: KeptWhy, isEqual?: boolean }

/** What is known of the places before the first file appears. */
export class Places {
  readonly #root: Folder
  readonly #init: Placing
  /** The target relative to the tree that was sent; undefined outside of it. */
  #below: string | undefined
  #ids = new Map<string, string>()
  #present: ReadonlySet<string> | undefined
  /** The folder of the last file: the next one is in the same, as a rule. */
  #last: { dir: string, folder: Folder } | undefined

  private constructor (root: Folder, init: Placing) {
    this.#root = root
    this.#init = init
  }

  /**
   * Looks at every place.
   *
   * @param files - What is to be placed.
   * @throws ElderError `OUTPUT_INVALID`: a folder or a symlink is in the way; `OUTPUT_FOLDER`: others may write there
   */
  static async open (root: Folder, init: Placing, files: OutputFile[]): Promise<Places> {
    const places = new Places(root, init)
    try {
      await refuseShared(root)
      for (const { path } of files) await places.#check(path)
      await places.#learn(files)
      return places
    } catch (error) {
      await places.close()
      throw error
    }
  }

  async close (): Promise<void> {
    await this.#last?.folder.close()
    this.#last = undefined
  }

  /** Moves a staged file to its place. */
  async put (staged: string, file: OutputFile): Promise<Placed> {
    const folder = await this.#folder(dirname(file.path), true)
    if (folder === undefined) throw new Error(`${dirname(file.path)} went away`)
    const place = folder.at(basename(file.path))
    const verdict = await this.#verdict(place, file)
    await keepMode(staged, verdict.now, file.mode)
    // Reading it took a while, in which somebody may have saved it.
    const isAsSeen = this.#init.sent === undefined || isSame(verdict.now, await statOf(place))
    const kept = verdict.kept ?? (isAsSeen ? undefined : 'changed')
    if (kept !== undefined) return { kept, beside: await this.#beside(staged, folder, file.path) }
    await rename(staged, place)
    return verdict.isEqual === true ? { isEqual: true } : {}
  }

  async #learn (files: OutputFile[]): Promise<void> {
    const { sent } = this.#init
    const below = this.#below = sent === undefined ? undefined : await within(sent.root, this.#root.path)
    if (sent === undefined || below === undefined) return
    [this.#ids, this.#present] = await Promise.all([sent.ids(files.map(({ path }) => join(below, path))), sent.present])
  }

  async #verdict (place: string, { path, sha256 }: OutputFile): Promise<Verdict> {
    const { sent, recorded } = this.#init
    const now = await statOf(place)
    const byProject = sent?.globsBy === 'project'
    if (sent === undefined || now === undefined || (this.#below === undefined && !byProject)) return { now }
    const id = this.#below === undefined ? undefined : this.#ids.get(join(this.#below, path))
    // Globs of a person are their word on what may be replaced; of what came since then they knew nothing.
    if (id === undefined && !byProject && (this.#present === undefined || this.#present.has(path))) return { now }
    if (!now.isFile() && !now.isSymbolicLink()) return { now, kept: 'special' }
    const found = await hashesOf(place, now)
    if (found === undefined) return { now, kept: 'changed' }
    const wasWritten = now.isFile() && recorded.get(path) === found.sha256
    if (now.isFile() && found.sha256 === sha256) return { now, isEqual: !wasWritten }
    if (id !== undefined || !byProject) return found.id === id ? { now } : { now, kept: 'changed' }
    return wasWritten ? { now } : { now, kept: 'not-ours' }
  }

  /** Never over a file that is there: a second one gets a number. */
  async #beside (staged: string, folder: Folder, path: string): Promise<string> {
    const name = besideOf(basename(path), `.from-${this.#init.sent?.builder ?? ''}`)
    for (let i = 1; i < BESIDE_MAX; i++) {
      const beside = i === 1 ? name : `${name}.${i}`
      const copying = copyFile(staged, folder.at(beside), ANEW)
      const isCopied = await copying.then(() => true, (error: NodeJS.ErrnoException) => {
        if (error.code === 'EEXIST') return false
        throw error
      })
      if (isCopied) return join(dirname(path), beside)
    }
    throw new Error(`there are ${BESIDE_MAX} files beside ${path}`)
  }

  async #check (path: string): Promise<void> {
    const folder = await this.#folder(dirname(path), false)
    const there = folder === undefined ? undefined : await statOf(folder.at(basename(path)))
    if (there?.isDirectory() === true) throw invalid(`${join(this.#root.path, path)} is a folder`)
  }

  /** Folder by folder from the target, no symlinks, nobody else's. Undefined: it is not there, and not to be made. */
  async #folder (dir: string, make: boolean): Promise<Folder | undefined> {
    if (dir === '.') return this.#root
    if (this.#last?.dir === dir && await this.#last.folder.isInPlace()) return this.#last.folder
    await this.close()
    let at = this.#root
    for (const name of dir.split('/')) {
      const next = await this.#enter(at, name, make).finally(() => at === this.#root ? undefined : at.close())
      if (next === undefined) return undefined
      at = next
    }
    this.#last = { dir, folder: at }
    return at
  }

  async #enter (from: Folder, name: string, make: boolean): Promise<Folder | undefined> {
    const folder = await from.child(name, { make }).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTDIR' && error.code !== 'ELOOP' && error.code !== 'EMLINK') throw error
      const isLink = (await statOf(from.at(name)))?.isSymbolicLink() === true
      throw invalid(`${join(from.path, name)} is ${isLink ? 'a symlink' : 'no folder'}`)
    })
    if (folder === undefined) return undefined
    await refuseShared(folder).catch(async (error: unknown) => {
      await folder.close()
      throw error
    })
    return folder
  }
}

function invalid (message: string): ElderError { return new ElderError('OUTPUT_INVALID', message, ELSEWHERE) }

async function statOf (path: string): Promise<BigIntStats | undefined> {
  return await lstat(path, { bigint: true }).catch(() => undefined)
}

/** Nobody has written to it, or put another in its place. */
function isSame (a: BigIntStats | undefined, b: BigIntStats | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return a.dev === b.dev && a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs
}

/** Who may read and write it stays as the user had it; whether it is a program, the build says. */
async function keepMode (staged: string, old: BigIntStats | undefined, mode: number): Promise<void> {
  if (old?.isFile() !== true || (process.getuid !== undefined && Number(old.uid) !== process.getuid())) return
  const kept = Number(old.mode) & 0o666
  const handle = await open(staged, READ)
  try {
    await handle.chmod((mode & 0o100) === 0 ? kept : kept | ((kept & 0o444) >> 2))
  } finally {
    await handle.close()
  }
}

/** With room for a number behind it; a name that is too long for both is cut. */
function besideOf (name: string, suffix: string): string {
  const chars = [...name]
  const bytesMax = NAME_BYTES_MAX - Buffer.byteLength(suffix) - `.${BESIDE_MAX}`.length
  while (Buffer.byteLength(chars.join('')) > bytesMax) chars.pop()
  return `${chars.join('')}${suffix}`
}

async function within (root: string, target: string): Promise<string | undefined> {
  const below = relative(await realpath(root).catch(() => root), target)
  return below === '..' || below.startsWith(`..${sep}`) || below.startsWith('/') ? undefined : below
}

function hashesFor (bytes: number): [id: Hash, sha256: Hash] {
  return [createHash('sha1').update(`blob ${bytes}\0`), createHash('sha256')]
}

interface Hashes { id: string, sha256: string }

/** As git names content, and as the manifest does. Undefined when it does not read. The caller asks if it changed. */
async function hashesOf (place: string, now: BigIntStats): Promise<Hashes | undefined> {
  if (now.isSymbolicLink()) {
    const target = await readlink(place, { encoding: 'buffer' }).catch(() => undefined)
    if (target === undefined) return undefined
    const [id, sha256] = hashesFor(target.length).map(hash => hash.update(target).digest('hex')) as [string, string]
    return { id, sha256 }
  }
  const handle = await open(place, READ).catch(() => undefined)
  if (handle === undefined) return undefined
  try {
    const found = await handle.stat({ bigint: true })
    if (!found.isFile()) return undefined
    const [id, sha256] = hashesFor(Number(found.size))
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
    for (let at = 0, read = 1; read > 0; at += read) {
      ({ bytesRead: read } = await handle.read(buffer, 0, buffer.length, at))
      for (const hash of [id, sha256]) hash.update(buffer.subarray(0, read))
    }
    return { id: id.digest('hex'), sha256: sha256.digest('hex') }
  } finally {
    await handle.close()
  }
}
