import { closeSync, constants, existsSync, fstatSync, fsyncSync, ftruncateSync, fdatasyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ElderError } from '@elder-node/protocol'

const OWNER_ONLY = 0o600
const NOT_A_FOLDER = ['a file is where a folder should be', 'Choose another path with --dir.'] as const
const STORAGE_WORDS: Record<string, readonly [why: string, fix: string]> = {
  EROFS: ['the file system is read-only', 'Choose another path with --dir.'], ENOTDIR: NOT_A_FOLDER, EEXIST: NOT_A_FOLDER,
  EACCES: ['permission denied', 'See who owns it, or choose a path of your own with --dir.'],
}

/** Undefined when there is no such file. A pipe or a device in its place would never end, and is refused. @throws ElderError `STORAGE` */
export function readIfThere (path: string): Uint8Array | undefined {
  try {
    return withFile(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0), 0, fd => {
      if (!fstatSync(fd).isFile()) throw new Error('it is not a regular file')
      return new Uint8Array(readFileSync(fd))
    })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw storageError(path, error)
  }
}

/** Temporary file, fsync, rename, fsync of the directory: after a crash there is the old file or the new one. */
export function writeAtomic (path: string, bytes: Uint8Array): void {
  const temporary = `${path}.${process.pid}.tmp`
  try {
    rmSync(temporary, { force: true })
    withFile(temporary, 'wx', OWNER_ONLY, fd => {
      writeAll(fd, bytes)
      fsyncSync(fd)
    })
    renameSync(temporary, path)
    syncDir(dirname(path))
  } catch (error) {
    rmSync(temporary, { force: true })
    throw storageError(path, error)
  }
}

/** After a crash the file does not come back. */
export function removeDurable (path: string): void {
  try {
    if (!existsSync(path)) return
    rmSync(path)
    syncDir(dirname(path))
  } catch (error) {
    throw storageError(path, error)
  }
}

/** Appends and syncs; cuts back what a full disk left behind. @throws ElderError `DISK_FULL`, `STORAGE` */
export function appendDurable (path: string, bytes: Uint8Array): void {
  try {
    withFile(path, 'a', OWNER_ONLY, fd => {
      const before = fstatSync(fd).size
      try {
        writeAll(fd, bytes)
        fdatasyncSync(fd)
      } catch (error) {
        cutBack(fd, before)
        throw error
      }
      if (before === 0) syncDir(dirname(path))
    })
  } catch (error) {
    throw storageError(path, error)
  }
}

/** Best effort: the first failure is the one to report, and a torn tail is recognised when the file is read. */
function cutBack (fd: number, size: number): void {
  try {
    ftruncateSync(fd, size)
  } catch {
    // The device takes no truncation.
  }
}

/** On a full disk `writeSync` writes less than it was given and says nothing: go on until all is written or it throws. */
export function writeAll (fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    const written = writeSync(fd, bytes, at, bytes.length - at)
    if (written === 0) throw Object.assign(new Error('nothing was written'), { code: 'ENOSPC' })
    at += written
  }
}

/** As `mkdir -p`. Node's own recursive mkdir never ends where a system says ENOENT for good, as Linux does below /proc. */
export function makeFolders (path: string, mode = 0o777): void {
  try {
    mkdirSync(path, { mode })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && statSync(path).isDirectory()) return
    if (code !== 'ENOENT' || existsSync(dirname(path))) throw error
    makeFolders(dirname(path), mode)
    makeFolders(path, mode)
  }
}

/** Deletes a folder; the file `last` goes when all else has gone. */
export async function removeFolder (path: string, last: string): Promise<void> {
  const names = existsSync(path) ? await readdir(path) : []
  for (const name of names) if (name !== last) await rm(join(path, name), { recursive: true, force: true })
  await rm(path, { recursive: true, force: true })
}

/** A directory of this user only. */
export function makePrivateDir (path: string): void {
  try {
    makeFolders(path, 0o700)
  } catch (error) {
    throw storageError(path, error)
  }
}

function withFile<T> (path: string, flags: string | number, mode: number, use: (fd: number) => T): T {
  const fd = openSync(path, flags, mode)
  try {
    return use(fd)
  } finally {
    closeSync(fd)
  }
}

function syncDir (path: string): void {
  // Windows cannot open a directory; its file system journals the rename.
  if (process.platform !== 'win32') withFile(path, 'r', 0, fsyncSync)
}

export function storageError (path: string, error: unknown): ElderError {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT') return new ElderError('DISK_FULL', `There is no space left to write ${path}.`, 'Free some disk space; nothing that was acknowledged is lost.', { path }, { cause: error })
  const [why, fix] = STORAGE_WORDS[code ?? ''] ?? [message, 'Check the permissions of the data directory, or choose another with --dir.']
  return new ElderError('STORAGE', `Cannot read or write ${path}: ${why}`, fix, { path }, { cause: error })
}
