/**
 * Folders that are held open while files are put into them. On Linux an entry is reached through the open folder, so
 * whoever swaps a folder on the way for a symlink changes nothing. Elsewhere the way is looked at again for each file.
 */
import { constants, type Stats } from 'node:fs'
import { lstat, mkdir, open, readFile, readlink, realpath, type FileHandle } from 'node:fs/promises'
import { platform } from 'node:os'
import { join } from 'node:path'
import { ElderError } from '@elder-node/protocol'

/** Linux, as on all processors that Node runs on: to go through a folder, the right to list it is not needed. */
const O_PATH = 0o10_000_000
const FLAGS = O_PATH | (constants.O_DIRECTORY ?? 0) | (constants.O_NOFOLLOW ?? 0)
const IS_LINUX = platform() === 'linux'
const [GROUP_WRITES, OTHERS_WRITE, STICKY] = [0o020, 0o002, 0o1000]

export class Folder {
  /** Absolute, without symlinks: where it was when it was opened. */
  readonly path: string
  readonly stats: Stats
  readonly #handle: FileHandle | undefined

  private constructor (path: string, stats: Stats, handle: FileHandle | undefined) {
    this.path = path
    this.stats = stats
    this.#handle = handle
  }

  /** Symlinks on the way are followed: the path is a person's. */
  static async open (path: string): Promise<Folder> {
    const real = await realpath(path)
    if (!IS_LINUX) return await Folder.#unheld(real, real)
    const handle = await open(real, FLAGS)
    return await Folder.#held(handle)
  }

  /** Undefined when there is no such entry. Never through a symlink: `ELOOP` or `ENOTDIR` for what is no folder. */
  async child (name: string, { make }: { make: boolean }): Promise<Folder | undefined> {
    if (make) {
      await mkdir(this.at(name)).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      })
    }
    try {
      const path = this.at(name)
      return IS_LINUX ? await Folder.#held(await open(path, FLAGS)) : await Folder.#unheld(path, path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  /** The path of an entry, for system calls only. */
  at (name: string): string { return join(this.#own, name) }

  /** It still is where it was opened. */
  async isInPlace (): Promise<boolean> {
    if (this.#handle !== undefined) return await readlink(this.#own) === this.path
    const found = await lstat(this.path).catch(() => undefined)
    return found?.ino === this.stats.ino && found.dev === this.stats.dev && await realpath(this.path) === this.path
  }

  async close (): Promise<void> { await this.#handle?.close() }

  get #own (): string { return this.#handle === undefined ? this.path : `/proc/self/fd/${this.#handle.fd}` }

  static async #held (handle: FileHandle): Promise<Folder> {
    try {
      return new Folder(await readlink(`/proc/self/fd/${handle.fd}`), await handle.stat(), handle)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  static async #unheld (path: string, real: string): Promise<Folder> {
    const found = await lstat(path)
    if (!found.isDirectory()) throw notDirectory(path)
    return new Folder(real, found, undefined)
  }
}

/** As the kernel says it where folders are held open. */
function notDirectory (path: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`${path} is no folder`)
  error.code = 'ENOTDIR'
  return error
}

/**
 * Whoever else may write to a folder can put a symlink where a file is about to be written, and what they choose is
 * written with this user's rights: as git does with "dubious ownership", such a folder is refused. A folder that all
 * may write to is fine where nobody can replace what another made (sticky, as /tmp is). A group may write when nobody
 * but the owner is in it: then each user has a group of their own, as with umask 002.
 *
 * @throws ElderError `OUTPUT_FOLDER`
 */
export async function refuseShared (folder: Folder): Promise<void> {
  const why = await whoElseWrites(folder.stats)
  if (why === undefined) return
  const message = `${folder.path} ${why}: they could redirect what is written there`
  throw new ElderError('OUTPUT_FOLDER', message, OWN_FOLDER, { path: folder.path })
}

const OWN_FOLDER = 'Run the node as the owner of that folder, take the right to write from others (chmod go-w), ' +
  'or choose a folder of your own with --to.'

/** Undefined: only this user and root. */
export async function whoElseWrites (folder: Pick<Stats, 'uid' | 'gid' | 'mode'>): Promise<string | undefined> {
  const { uid, gid, mode } = folder
  const self = process.getuid?.()
  if (self === undefined) return undefined
  if (uid !== self && uid !== 0) return `belongs to another user (uid ${uid})`
  if ((mode & STICKY) !== 0) return undefined
  if ((mode & OTHERS_WRITE) !== 0) return 'can be written by every user'
  if ((mode & GROUP_WRITES) === 0 || await isPrivateGroup(gid, uid)) return undefined
  return `can be written by a group that others may be in (gid ${gid})`
}

/** By the system's own files: a group that they do not know comes from a directory service, and is shared as a rule. */
async function isPrivateGroup (gid: number, uid: number): Promise<boolean> {
  const [groups, users] = await Promise.all(['/etc/group', '/etc/passwd'].map(linesOf))
  const group = groups?.find(fields => fields[2] === String(gid))
  if (!IS_LINUX || group === undefined) return false
  const others = (users ?? []).filter(fields => fields[2] !== String(uid) && fields[2] !== '0')
  const members = (group[3] ?? '').split(',').filter(name => name !== '')
  const owner = users?.find(fields => fields[2] === String(uid))?.[0]
  return others.every(fields => fields[3] !== String(gid)) && members.every(name => name === owner || name === 'root')
}

async function linesOf (path: string): Promise<string[][]> {
  const text = await readFile(path, 'utf8').catch(() => '')
  return text.split('\n').map(line => line.split(':'))
}
