/** The few calls that decide over durability, behind an interface so that a full disk can be played in a test. */
import { open, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ElderError } from '@elder-node/protocol'

export interface LogFile {
  /** May write less than asked for, silently: Node does on a full disk. */
  write (bytes: Uint8Array, position: number): Promise<number>
  datasync (): Promise<void>
  truncate (size: number): Promise<void>
  close (): Promise<void>
}

export interface Io {
  /** Opens for reading and writing; creates the file when it is missing. */
  open (path: string): Promise<LogFile>
  /** Makes a new name durable. */
  syncDirectory (dir: string): Promise<void>
}

export const nodeIo: Io = {
  async open (path) {
    const handle = await open(path, 'r+').catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
      return await open(path, 'wx+', 0o600)
    })
    return {
      write: async (bytes, position) => (await handle.write(bytes, 0, bytes.length, position)).bytesWritten,
      datasync: async () => await handle.datasync(),
      truncate: async size => await handle.truncate(size),
      close: async () => await handle.close(),
    }
  },
  async syncDirectory (dir) {
    const handle = await open(dir, 'r')
    try {
      await handle.sync()
    } catch (error) {
      // Windows and some network file systems cannot sync a directory; there is nothing better to do there.
      if (!['EPERM', 'EINVAL', 'EISDIR', 'ENOTSUP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    } finally {
      await handle.close()
    }
  },
}

/**
 * Writes everything, or takes back what was written.
 *
 * @throws ElderError `DISK_FULL` on a short write, ENOSPC or EDQUOT; `STORAGE` on anything else.
 */
export async function appendAll (file: LogFile, bytes: Uint8Array, position: number): Promise<void> {
  try {
    for (let done = 0; done < bytes.length;) {
      const written = await file.write(bytes.subarray(done), position + done)
      if (written === 0) throw Object.assign(new Error('nothing was written'), { code: 'ENOSPC' })
      done += written
    }
    await file.datasync()
  } catch (error) {
    await file.truncate(position).catch(() => undefined)
    throw ioError(error)
  }
}

/** Old content or new content, never neither: temporary file, fsync, rename, fsync of the directory. @throws ElderError */
export async function replaceFile (io: Io, path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.new`
  try {
    const file = await io.open(temporary)
    try {
      await file.truncate(0)
      await appendAll(file, bytes, 0)
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await io.syncDirectory(dirname(path))
  } catch (error) {
    await unlink(temporary).catch(() => undefined)
    throw ioError(error)
  }
}

export function ioError (error: unknown): ElderError {
  if (error instanceof ElderError) return error
  const code = (error as NodeJS.ErrnoException).code ?? 'UNKNOWN'
  if (code === 'ENOSPC' || code === 'EDQUOT') return new ElderError('DISK_FULL', 'the disk is full: nothing was written', 'Free some space; the node goes on by itself.', {}, { cause: error })
  return new ElderError('STORAGE', `the disk refused: ${(error as Error).message}`, 'Check the disk and the rights of the data directory.', { errno: code }, { cause: error })
}
