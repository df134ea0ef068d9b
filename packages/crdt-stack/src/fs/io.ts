/** What decides over durability: appending, replacing and naming files so that they survive a power cut. */
import { constants } from 'node:fs'
import { open, rename, stat, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ElderError } from '@elder-node/protocol'

/** A pipe or a device in the place of a file would never end, and is refused. @throws ElderError `STORAGE` */
export async function readRegular (path: string): Promise<Buffer> {
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  try {
    if (!(await handle.stat()).isFile()) throw ioError(new Error(`${path} is not a regular file`))
    return await handle.readFile()
  } finally {
    await handle.close()
  }
}

/** Makes a new name durable. */
export async function syncDirectory (dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } catch (error) {
    // Windows and some network file systems cannot sync a directory; there is nothing better to do there.
    if (!['EPERM', 'EINVAL', 'EISDIR', 'ENOTSUP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  } finally {
    await handle.close()
  }
}

/**
 * Was the last name of an open file removed, or given to another? What is written into it is gone once it is closed.
 * A file system that does not count names is asked for the file itself.
 */
export async function isUnlinked (file: FileHandle, path: string): Promise<boolean> {
  const { nlink, dev, ino } = await file.stat()
  if (nlink > 0) return false
  const named = await stat(path).catch(() => undefined)
  return named === undefined || named.dev !== dev || named.ino !== ino
}

/** The first `size` bytes of an open file, as far as it has them. */
export async function readOpen (file: FileHandle, size: number): Promise<Buffer> {
  const bytes = Buffer.alloc(size)
  for (let done = 0; done < size;) {
    const { bytesRead } = await file.read(bytes, done, size - done, done)
    if (bytesRead === 0) return bytes.subarray(0, done)
    done += bytesRead
  }
  return bytes
}

/**
 * Writes everything at the end of a file that is open for appending, or takes back what was written.
 *
 * @returns how long the file was before
 * @throws ElderError `DISK_FULL` on a short write, ENOSPC or EDQUOT; `STORAGE` on anything else.
 */
export async function appendAll (file: FileHandle, bytes: Uint8Array): Promise<number> {
  const { size } = await file.stat()
  try {
    for (let done = 0; done < bytes.length;) {
      // Node writes less than asked for on a full disk, silently.
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done)
      if (bytesWritten === 0) throw Object.assign(new Error('nothing was written'), { code: 'ENOSPC' })
      done += bytesWritten
    }
    await file.datasync()
    return size
  } catch (error) {
    // What was told as failed must not be read at the next start.
    await file.truncate(size).catch(() => undefined)
    await file.datasync().catch(() => undefined)
    throw ioError(error)
  }
}

/**
 * Old content or new content, never neither: temporary file, fsync, rename, fsync of the directory.
 *
 * @param init.syncName the new name survives a power cut too. @default true
 * @throws ElderError
 */
export async function replaceFile (path: string, bytes: Uint8Array, { syncName = true }: { syncName?: boolean } = {}): Promise<void> {
  const temporary = `${path}.new`
  try {
    await unlink(temporary).catch(() => undefined)
    const file = await open(temporary, 'ax', 0o600)
    try {
      await appendAll(file, bytes)
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    if (syncName) await syncDirectory(dirname(path))
  } catch (error) {
    await unlink(temporary).catch(() => undefined)
    throw ioError(error)
  }
}

/** @throws ElderError; a file that is not there is none. */
export async function removeFile (path: string): Promise<void> {
  try {
    await unlink(path)
    await syncDirectory(dirname(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw ioError(error)
  }
}

export function ioError (error: unknown): ElderError {
  if (error instanceof ElderError) return error
  const code = (error as NodeJS.ErrnoException).code ?? 'UNKNOWN'
  if (code === 'ENOSPC' || code === 'EDQUOT') return new ElderError('DISK_FULL', 'the disk is full: nothing was written', 'Free some space; the node goes on by itself.', {}, { cause: error })
  return new ElderError('STORAGE', `the disk refused: ${(error as Error).message}`, 'Check the disk and the rights of the data directory.', { errno: code }, { cause: error })
}
