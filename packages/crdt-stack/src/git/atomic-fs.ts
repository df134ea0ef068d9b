/**
 * The file system that isomorphic-git is given.
 *
 * With Node's own it leaves torn objects when it is killed, and could not commit any more after 18 of 25 kills. Here every file
 * appears whole or not at all: temporary file, fsync, rename. The folder is not synced: a name that a power cut took is a
 * missing object, which is noticed when it is read, and the cache is fetched anew.
 */
import { constants } from 'node:fs'
import * as nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import type { PromiseFsClient } from 'isomorphic-git'
import { replaceFile } from '../fs/io.ts'

const { readFile, unlink, readdir, mkdir, rmdir, stat, lstat, readlink, symlink, rm } = nodeFs

/** @throws ElderError `DISK_FULL` on a short write, `STORAGE` on anything else; what was there before is still there. */
async function writeFile (path: string, content: string | Uint8Array): Promise<void> {
  await replaceFile(path, typeof content === 'string' ? Buffer.from(content, 'utf8') : content, { syncName: false })
}

export const atomicFs: PromiseFsClient = { promises: { readFile, writeFile, unlink, readdir, mkdir, rmdir, stat, lstat, readlink, symlink } }

/** Deletes what a killed process left half done: temporary files, and packs whose index was never written. */
export async function sweepLitter (dir: string): Promise<void> {
  const names = await readdir(dir, { recursive: true }).catch(() => [] as string[])
  const indexed = new Set(names.filter(name => name.endsWith('.idx')).map(name => name.slice(0, -4)))
  const litter = names.filter(name => name.endsWith('.new') || (name.endsWith('.pack') && !indexed.has(name.slice(0, -5))))
  for (const name of litter) await rm(join(dir, name), { force: true })
}

/** git's own measures for `gc --auto`: 27 of 256 folders' worth of 6,700 loose objects, or 50 packs. */
const LOOSE_SAMPLE_MAX = 27
const PACKS_MAX = 50

/** True when the cache has grown so many files that it is cheaper to fetch it anew, as one pack: isomorphic-git cannot repack. */
export async function isCrowded (dir: string): Promise<boolean> {
  const count = async (folder: string, ending: string): Promise<number> => {
    const names = await readdir(join(dir, 'objects', folder)).catch(() => [] as string[])
    return names.filter(name => name.endsWith(ending)).length
  }
  return await count('17', '') > LOOSE_SAMPLE_MAX || await count('pack', '.pack') > PACKS_MAX
}

/** True when something that looks like a bare repository of a format we know stands there. */
export async function looksBare (dir: string): Promise<boolean> {
  const config = await readFile(join(dir, 'config'), 'utf8').catch(() => '')
  const folders = await Promise.all(['objects', 'refs', 'HEAD'].map(name => nodeFs.access(join(dir, name), constants.R_OK).then(() => true, () => false)))
  return folders.every(Boolean) && /^\s*bare\s*=\s*true\s*$/m.test(config) && !/^\s*\[extensions/m.test(config)
}
