/**
 * Pipes and devices where git reads a file of a repository that somebody else may have made. Git opens them like any
 * other, and a pipe that nobody writes to never answers. Looked for before git is asked; what is not looked for (a
 * loose object, a nested ignore file) is left to the deadline of the call.
 */
import type { Dirent, Stats } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { FOREIGN_FILES, readForeign, type ForeignFile } from './foreign-files.ts'

/** Of the folder of a work tree. */
const OWN = ['HEAD', 'commondir', 'config.worktree']
/** Of the folder that all work trees share. */
const COMMON = [
  'config', 'packed-refs', 'shallow', 'objects/info/alternates', 'objects/info/commit-graph',
  'objects/pack/multi-pack-index',
]

/** The first such file on the way that git takes from `folder`, in words; undefined when there is none. */
export async function specialFile (folder: string): Promise<string | undefined> {
  for (let at = folder; ; at = dirname(at)) {
    const entry = join(at, '.git')
    const found = await stat(entry).catch(() => undefined)
    if (found?.isDirectory() === true) return await inRepository(entry)
    if (found !== undefined) return odd(entry, found) ?? await inLinked(at, entry)
    // Git takes a folder with these names for a repository without a work tree, and looks into its HEAD first.
    const head = await look(join(at, 'HEAD'))
    if (head !== undefined || dirname(at) === at) return head
  }
}

/** A `.git` file leads to the repository. */
async function inLinked (folder: string, entry: string): Promise<string | undefined> {
  const dir = lineOf(await readForeign(entry, FOREIGN_FILES.gitfile), /^gitdir: (.+?)\s*$/)
  return dir === undefined ? undefined : await inRepository(resolve(folder, dir))
}

async function inRepository (dir: string): Promise<string | undefined> {
  const own = await first(OWN.map(name => join(dir, name)))
  if (own !== undefined) return own
  const elsewhere = lineOf(await readForeign(join(dir, 'commondir'), FOREIGN_FILES.gitfile), /^(.+?)\s*$/)
  const common = resolve(dir, elsewhere ?? '.')
  // What HEAD names may be a file of its own.
  const ref = lineOf(await readForeign(join(dir, 'HEAD'), FOREIGN_FILES.gitfile), /^ref: (refs\/.+?)\s*$/)
  const refs = ref === undefined || ref.split('/').includes('..') ? [] : [join(common, ref), join(dir, ref)]
  const shared = await first([...COMMON.map(name => join(common, name)), ...refs])
  return shared ?? await inPacks(join(common, 'objects/pack'))
}

async function inPacks (dir: string): Promise<string | undefined> {
  const names = await readdir(dir, { withFileTypes: true }).catch((): Dirent[] => [])
  return await first(names.filter(entry => !entry.isFile()).map(({ name }) => join(dir, name)))
}

function lineOf (file: ForeignFile, shape: RegExp): string | undefined {
  return file?.bytes === undefined ? undefined : shape.exec(file.bytes.toString())?.[1]
}

async function first (paths: string[]): Promise<string | undefined> {
  for (const path of paths) {
    const said = await look(path)
    if (said !== undefined) return said
  }
  return undefined
}

/** Through symlinks, as git opens it. */
async function look (path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found === undefined ? undefined : odd(path, found)
}

function odd (path: string, found: Stats): string | undefined {
  if (found.isFile() || found.isDirectory()) return undefined
  return `${path} is a ${found.isFIFO() ? 'pipe' : found.isSocket() ? 'socket' : 'device'}, and no file`
}
