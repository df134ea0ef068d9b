/**
 * A folder that git takes for a repository is a program: its hooks and its configuration run. Outputs never make one
 * up.
 */
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'

/** What a folder needs to be taken for a repository, and what makes one dangerous. */
const PARTS = ['HEAD', 'objects', 'refs', 'commondir', 'config', 'hooks']
const NAMES = new Map(PARTS.map(part => [part.toLowerCase(), part]))

/**
 * The first folder that is a repository once these paths are below `target`, together with what is there, and of which
 * at least one part is among the paths. Undefined when there is none.
 */
export async function repositoryIn (target: string, paths: string[]): Promise<string | undefined> {
  for (const [folder, parts] of partsOf(paths)) {
    const isThere = (part: string): Promise<boolean> => lstat(join(target, folder, part)).then(() => true, () => false)
    const has = async (part: string): Promise<boolean> => parts.has(part) || await isThere(part)
    if (await has('HEAD') && ((await has('objects') && await has('refs')) || await has('commondir'))) return folder
  }
  return undefined
}

/** By folder, which parts of a repository come. On a file system that folds case `head` is `HEAD`. */
function partsOf (paths: string[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  for (const path of paths) {
    const names = path.split('/')
    for (const [i, name] of names.entries()) {
      const part = NAMES.get(name.toLowerCase())
      if (part === undefined) continue
      const folder = names.slice(0, i).join('/')
      found.set(folder, (found.get(folder) ?? new Set<string>()).add(part))
    }
  }
  return found
}
