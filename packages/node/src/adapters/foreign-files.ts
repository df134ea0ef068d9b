/**
 * What this device reads of folders that somebody else may have made: an archive, a clone, a shared folder. One table, and one way:
 * a regular file, no symlink, not longer than its bound, and opened so that a pipe or a device cannot hold the reader.
 *
 * `.elder.json`, devcontainers, lock files and manifests are read from the snapshot, where everything is a blob of git and bounded by
 * {@link SNAPSHOT_FILE_BYTES_MAX}. Ignore rules and attributes of the tree are read by git alone, whose memory is bounded.
 */
import { constants, type Stats } from 'node:fs'
import { lstat, open, type FileHandle } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { pipeline } from 'node:stream/promises'

/** Bytes by what a file is for. */
export const FOREIGN_FILES = {
  /** `.git` of a linked work tree: one path. */
  gitfile: 8192,
  /** `index` and `sharedindex.*`: a million files take about 100 MB. */
  index: 536_870_912,
  /** `info/exclude` and `info/attributes`: lines that a person wrote. */
  rules: 1_048_576,
  /** `shallow`: 41 bytes for each commit where history was cut. */
  shallow: 4_194_304,
  /** `.stack/stack.json`: one name. */
  stackFile: 4096,
} as const

/** Of a file of a snapshot that says how to build: such files are short, whatever lies there under that name. */
export const SNAPSHOT_FILE_BYTES_MAX = 1_048_576

/** `odd`: there is something, and it was not read, because … */
export type ForeignFile = { bytes: Buffer, /** Who owns it. */ uid: number, odd?: never } | { bytes?: never, odd: string } | undefined

const FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)

/** Reads a whole file; undefined when there is none. */
export async function readForeign (path: string, bytesMax: number): Promise<ForeignFile> {
  return await using(path, bytesMax, async (handle, { size, uid }) => {
    // A file of /proc says 0 and has more: what counts is what comes.
    const buffer = Buffer.alloc(Math.min(bytesMax, Math.max(size, 4096)) + 1)
    let at = 0
    for (let read = 1; read > 0 && at < buffer.length; at += read) ({ bytesRead: read } = await handle.read(buffer, at, buffer.length - at, at))
    return at > bytesMax ? { odd: tooLong(bytesMax) } : { bytes: buffer.subarray(0, at), uid }
  })
}

/** As {@link readForeign}, for a file below `root`: no folder on the way may be a symlink either. */
export async function readForeignInside (root: string, path: string, bytesMax: number): Promise<ForeignFile> {
  for (let at = dirname(path); at !== '.'; at = dirname(at)) {
    const found = await lstat(join(root, at)).catch(() => undefined)
    if (found === undefined) return undefined
    if (!found.isDirectory()) return { odd: `${at} is ${found.isSymbolicLink() ? 'a symlink' : 'no folder'}` }
  }
  return await readForeign(join(root, path), bytesMax)
}

/** Copies a file to a new one; returns why it did not, or nothing. */
export async function copyForeign (from: string, to: string, bytesMax: number): Promise<string | undefined> {
  const copied = await using(from, bytesMax, async (handle, { size, uid }) => {
    const target = await open(to, 'wx', 0o600)
    // A file that grows meanwhile is copied as long as it was.
    if (size > 0) await pipeline(handle.createReadStream({ end: size - 1, autoClose: false }), target.createWriteStream())
    else await target.close()
    return { bytes: Buffer.alloc(0), uid }
  })
  return copied?.odd
}

/** True when `path` is `root` or below it; both absolute and without symlinks. */
export function isBelow (root: string, path: string): boolean {
  const way = relative(root, path)
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && !/^[A-Za-z]:/.test(way))
}

async function using (path: string, bytesMax: number, use: (handle: FileHandle, found: Stats) => Promise<ForeignFile>): Promise<ForeignFile> {
  let handle: FileHandle
  try {
    handle = await open(path, FLAGS)
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    return { odd: code === 'ELOOP' || code === 'EMLINK' ? 'it is a symlink' : code === 'ENXIO' ? 'it is no regular file' : `it cannot be opened (${code})` }
  }
  try {
    const found = await handle.stat()
    if (!found.isFile()) return { odd: 'it is no regular file' }
    if (found.size > bytesMax) return { odd: tooLong(bytesMax) }
    return await use(handle, found)
  } finally {
    await handle.close()
  }
}

function tooLong (bytesMax: number): string { return `it is longer than ${bytesMax} bytes` }
