/** Opens files in folders that somebody hostile has written, as a user who may read everything. */
import { constants, type Dirent } from 'node:fs'
import { lstat, open, readdir, readlink, realpath, type FileHandle } from 'node:fs/promises'
import { platform } from 'node:os'
import { join } from 'node:path'
import { ElderError } from '@elder-node/protocol'

export interface SafeFile { handle: FileHandle, bytes: number, executable: boolean }

const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
const FOLDER_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_DIRECTORY

/**
 * Opens a regular file below `root`, reached through no symlink. Checked on the open file, so a swap after the check changes
 * nothing: the kernel is asked where the open file is (Linux), or the path is resolved again and must be the same file.
 * A file with several names must belong to `root`'s owner: a build cannot smuggle out another user's file by a hard link.
 *
 * @param root - Absolute and without symlinks.
 * @throws ElderError `OUTPUT_INVALID`
 */
export async function openInside (root: string, path: string): Promise<SafeFile> {
  const full = join(root, path)
  const handle = await open(full, FLAGS).catch((error: unknown) => { throw refuse(path, (error as { code?: string }).code ?? 'cannot be opened') })
  try {
    const [found, owner] = await Promise.all([handle.stat(), lstat(root)])
    if (!found.isFile()) throw refuse(path, 'not a regular file')
    if (found.nlink > 1 && found.uid !== owner.uid) throw refuse(path, 'a second name of a file of another user')
    if (await whereIs(handle, full) !== full) throw refuse(path, 'reached through a symlink')
    return { handle, bytes: found.size, executable: (found.mode & 0o100) !== 0 }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/**
 * The entries of a folder below `root`, reached through no symlink: of the open folder, so a swap after the check shows
 * nothing else.
 * Undefined when it is not there, or not there any more.
 *
 * @param root - Absolute and without symlinks.
 */
export async function listInside (root: string, path: string): Promise<Dirent[] | undefined> {
  return await (platform() === 'linux' ? listOpen : listPlain)(join(root, path)).catch(() => undefined)
}

async function listOpen (full: string): Promise<Dirent[] | undefined> {
  const handle = await open(full, FOLDER_FLAGS)
  try {
    if (await whereIs(handle, full) !== full) return undefined
    return await readdir(`/proc/self/fd/${handle.fd}`, { withFileTypes: true })
  } finally {
    await handle.close()
  }
}

async function listPlain (full: string): Promise<Dirent[] | undefined> {
  return await realpath(full) === full ? await readdir(full, { withFileTypes: true }) : undefined
}

async function whereIs (handle: FileHandle, full: string): Promise<string> {
  if (platform() === 'linux') return readlink(`/proc/self/fd/${handle.fd}`)
  const [opened, real] = await Promise.all([handle.stat(), realpath(full)])
  const found = await lstat(real)
  return found.ino === opened.ino && found.dev === opened.dev ? real : ''
}

function refuse (path: string, why: string): ElderError {
  return new ElderError('OUTPUT_INVALID', `the output ${path} was not read: ${why}`, 'Let the command write a plain file there, and end all that it started; or leave it out of --out.')
}
