/** Judges a commit's tree before a file of it is written: paths, sizes, symlinks. Pure. */
import { isUtf8 } from 'node:buffer'
import { ElderError, isGitsOwn, LIMITS } from '@elder-node/protocol'

export interface TreeEntry { mode: string, object: string, bytes: number, path: string }
export interface TreeBounds { entriesMax: number, bytesMax: number, foldsCase: boolean }

/** Files that a builder takes in one tree. */
export const TREE_ENTRIES_MAX = 200_000
/** Folders of one tree, and folders within each other: a few long paths make more of them than files. */
export const TREE_FOLDERS_MAX = 200_000
export const TREE_DEPTH_MAX = 128
/** What a small file and a folder take on most disks. */
const BLOCK_BYTES = 4096
const IGNORE = 'List what a build does not need in .gitignore.'
const RENAME = 'Rename it, or list it in .gitignore; if git tracks it: git rm --cached'
const POINT_INSIDE = 'Make it relative and point inside the project, or list it in .gitignore; if git tracks it: git rm --cached'

const invalid = (message: string, fix = RENAME): ElderError => new ElderError('SOURCE_INVALID', message, fix)

/** The parts of a listing with `-z`, as bytes. */
export function zeroEnded (listing: Buffer): Buffer[] {
  const found: Buffer[] = []
  for (let at = 0, end = listing.indexOf(0); end >= 0; at = end + 1, end = listing.indexOf(0, at)) found.push(listing.subarray(at, end))
  return found
}

/** Bytes of a name that are no UTF-8, readable: `na\\xefve`. */
export function shownName (name: Buffer): string {
  return isUtf8(name) ? name.toString() : name.toString('latin1').replaceAll(/[\x80-\xff]/g, char => `\\x${char.charCodeAt(0).toString(16)}`)
}

/**
 * Reads `git ls-tree -r -z`, with `-l` or without. Two names that are not UTF-8 would be read as one, and one of them judged.
 *
 * @throws ElderError `SOURCE_INVALID`
 */
export function parseTree (listing: Buffer): TreeEntry[] {
  const odd = isUtf8(listing) ? undefined : zeroEnded(listing).find(line => !isUtf8(line))
  if (odd !== undefined) throw invalid(`the name ${shownName(odd.subarray(odd.indexOf(9) + 1))} is not UTF-8`)
  return listing.toString().split('\0').filter(Boolean).map(line => {
    const tab = line.indexOf('\t')
    const [mode = '', , object = '', bytes = ''] = line.slice(0, tab).split(/ +/)
    return { mode, object, bytes: Number(bytes) || 0, path: line.slice(tab + 1) }
  })
}

/** @throws ElderError `SOURCE_INVALID`, `SOURCE_TOO_LARGE`, `SOURCE_UNSUPPORTED` */
export function checkTree (entries: TreeEntry[], { entriesMax, bytesMax, foldsCase }: TreeBounds): void {
  if (entries.length > entriesMax) throw new ElderError('SOURCE_TOO_LARGE', `the source has ${entries.length} files, the bound is ${entriesMax}`, IGNORE)
  countFolders(entries)
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0)
  if (bytes > bytesMax) throw new ElderError('SOURCE_TOO_LARGE', `the source unpacks to ${bytes} bytes, the bound is ${bytesMax}`, IGNORE)
  for (const { mode, path } of entries) {
    if (!/^(100644|100755|100664|120000|160000)$/.test(mode)) throw invalid(`${path} has the mode ${mode}`)
    if (path.length > LIMITS.pathCharsMax) throw invalid(`a path is longer than ${LIMITS.pathCharsMax} characters: ${path.slice(0, 80)}…`)
    if (path.split('/').some(isForbidden)) throw invalid(`${JSON.stringify(path)} is no path of a source tree`)
  }
  if (foldsCase) checkCollisions(entries)
}

/** What a checkout of the tree takes; every path counts, also of content that the repository holds once. @throws ElderError `SOURCE_TOO_LARGE` */
export function sizeOnDisk (entries: TreeEntry[]): { bytes: number, files: number } {
  const folders = countFolders(entries)
  const blocks = entries.reduce((sum, { bytes }) => sum + Math.ceil(bytes / BLOCK_BYTES), folders)
  return { bytes: blocks * BLOCK_BYTES, files: entries.length + folders }
}

/** Of a listing in git's order, in which what a folder holds stands together. */
function countFolders (entries: TreeEntry[]): number {
  let count = 0
  let last: string[] = []
  for (const { path } of entries) {
    const folders = path.split('/').slice(0, -1)
    if (folders.length > TREE_DEPTH_MAX) throw new ElderError('SOURCE_TOO_LARGE', `a path goes through ${folders.length} folders, the bound is ${TREE_DEPTH_MAX}: ${path.slice(0, 80)}…`, IGNORE)
    let shared = 0
    while (shared < folders.length && folders[shared] === last[shared]) shared++
    count += folders.length - shared
    if (count > TREE_FOLDERS_MAX) throw new ElderError('SOURCE_TOO_LARGE', `the source has more than ${TREE_FOLDERS_MAX} folders`, IGNORE)
    last = folders
  }
  return count
}

/** Git's own folder under any of its names, and whatever is not a plain name. */
function isForbidden (name: string): boolean {
  return name === '' || name === '.' || name === '..' || isGitsOwn(name)
}

/** On a file system that folds case, two names would be one file: the second would go through what the first made. */
function checkCollisions (entries: TreeEntry[]): void {
  const names = new Map<string, string>()
  for (const { path } of entries) {
    for (let end = path.indexOf('/'); ; end = path.indexOf('/', end + 1)) {
      const part = end < 0 ? path : path.slice(0, end)
      const folded = part.normalize('NFC').toLowerCase()
      if ((names.get(folded) ?? part) !== part) throw new ElderError('SOURCE_UNSUPPORTED', `${part} and ${names.get(folded)} are one name on this builder's file system`, 'Build on another device with --on, or rename one of them.')
      names.set(folded, part)
      if (end < 0) break
    }
  }
}

/**
 * Follows every symlink as the kernel would, through the tree's other symlinks, and refuses one that leaves the tree. One that
 * ends inside at nothing is kept.
 *
 * @throws ElderError `SOURCE_INVALID`
 */
export function checkSymlinks (links: Map<string, string>): void {
  for (const [path, target] of links) {
    if (!staysInside(path, target, links)) throw invalid(`the symlink ${path} -> ${target.slice(0, 200)} leaves the tree`, POINT_INSIDE)
  }
}

function staysInside (path: string, target: string, links: Map<string, string>): boolean {
  const at = path.split('/').slice(0, -1)
  const todo = target.split('/')
  if (target.startsWith('/') || target.includes('\0')) return false
  for (let steps = 0; todo.length > 0; steps++) {
    // The kernel gives up after 40 links; a loop is an error for whoever follows it, and goes nowhere.
    if (steps > 4096) return true
    const name = todo.shift() as string
    if (name === '' || name === '.') continue
    if (name === '..') {
      if (at.pop() === undefined) return false
      continue
    }
    const next = links.get([...at, name].join('/'))
    if (next === undefined) at.push(name)
    else if (next.startsWith('/')) return false
    else todo.unshift(...next.split('/'))
  }
  return true
}
