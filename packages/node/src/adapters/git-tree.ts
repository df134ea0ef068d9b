/** Judges a commit's tree before a file of it is written: paths, sizes, symlinks. Pure. */
import { ElderError, isGitsOwn, LIMITS } from '@elder-node/protocol'

export interface TreeEntry { mode: string, object: string, bytes: number, path: string }
export interface TreeBounds { entriesMax: number, bytesMax: number, foldsCase: boolean }

const invalid = (message: string): ElderError => new ElderError('SOURCE_INVALID', message)

/** Reads `git ls-tree -r -z -l`. */
export function parseTree (listing: Buffer): TreeEntry[] {
  return listing.toString().split('\0').filter(Boolean).map(line => {
    const tab = line.indexOf('\t')
    const [mode = '', , object = '', bytes = ''] = line.slice(0, tab).split(/ +/)
    return { mode, object, bytes: Number(bytes) || 0, path: line.slice(tab + 1) }
  })
}

/** @throws ElderError `SOURCE_INVALID`, `SOURCE_TOO_LARGE` */
export function checkTree (entries: TreeEntry[], { entriesMax, bytesMax, foldsCase }: TreeBounds): void {
  if (entries.length > entriesMax) throw new ElderError('SOURCE_TOO_LARGE', `the source has ${entries.length} files, the bound is ${entriesMax}`)
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0)
  if (bytes > bytesMax) throw new ElderError('SOURCE_TOO_LARGE', `the source unpacks to ${bytes} bytes, the bound is ${bytesMax}`)
  for (const { mode, path } of entries) {
    if (!/^(100644|100755|100664|120000|160000)$/.test(mode)) throw invalid(`${path} has the mode ${mode}`)
    if (path.length > LIMITS.pathCharsMax) throw invalid('a path is too long')
    if (path.split('/').some(isForbidden)) throw invalid(`${JSON.stringify(path)} is no path of a source tree`)
  }
  if (foldsCase) checkCollisions(entries)
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
      if ((names.get(folded) ?? part) !== part) throw invalid(`${part} and ${names.get(folded)} are one name on this device's file system`)
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
    if (!staysInside(path, target, links)) throw invalid(`the symlink ${path} -> ${target.slice(0, 200)} leaves the tree`)
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
