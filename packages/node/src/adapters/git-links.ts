/** Where the symlinks of a tree point: read from git, nothing of it written to the disk. */
import { ElderError, LIMITS } from '@elder-node/protocol'
import { runGit, type GitOptions } from './git-run.ts'
import type { TreeEntry } from './git-tree.ts'

/**
 * Path -> target. One that the repository does not have is left out.
 *
 * @throws ElderError `SOURCE_INVALID` for a target that no system takes
 */
export async function readLinks (entries: TreeEntry[], git: GitOptions): Promise<Map<string, string>> {
  const links = entries.filter(entry => entry.mode === '120000')
  const found = new Map<string, string>()
  if (links.length === 0) return found
  // Sizes are known where somebody else sent the tree: nothing large is read for them.
  for (const { path, bytes } of links) checkLength(path, bytes)
  const { stdout } = await runGit(['cat-file', '--batch=%(objectsize)'], { ...git, stdin: links.map(link => `${link.object}\n`).join('') })
  let at = 0
  for (const { path } of links) {
    const line = stdout.indexOf(10, at)
    const bytes = Number(stdout.subarray(at, line).toString())
    at = line + 1
    if (Number.isNaN(bytes)) continue
    checkLength(path, bytes)
    found.set(path, stdout.subarray(at, at + bytes).toString())
    at += bytes + 1
  }
  return found
}

function checkLength (path: string, bytes: number): void {
  if (bytes > LIMITS.pathCharsMax) throw new ElderError('SOURCE_INVALID', `the symlink ${path} has a target of ${bytes} bytes, which no system takes`, 'Remove it, or list it in .gitignore.')
}
