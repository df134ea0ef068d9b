/** The real file system, on files that a pool opens and closes: thousands of stores share a few descriptors. */
import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { Handles } from './handles.ts'
import { nodeIo, type Io, type LogFile } from './io.ts'

/** Never in append mode, where the system ignores the position of a write. */
const READ_WRITE_CREATE = constants.O_RDWR | constants.O_CREAT

export function pooledIo (handles: Handles): Io {
  return { open: async path => await openPooled(handles, path), syncDirectory: dir => nodeIo.syncDirectory(dir) }
}

/** Opens now, so that a failure is met where the file is asked for. What is not yet on the disk when it is closed is synced after it is opened anew. */
async function openPooled (handles: Handles, path: string): Promise<LogFile> {
  const use = async <T>(work: (handle: FileHandle) => Promise<T>): Promise<T> => await handles.use(path, READ_WRITE_CREATE, work)
  await use(async () => {})
  return {
    write: (bytes, position) => use(async handle => (await handle.write(bytes, 0, bytes.length, position)).bytesWritten),
    datasync: () => use(async handle => { await handle.datasync() }),
    truncate: size => use(async handle => { await handle.truncate(size) }),
    close: () => handles.close(path),
  }
}
