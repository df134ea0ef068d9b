/** Where the mirror's bare caches lie: one folder per remote in the data directory, named by a hash of its URL. */
import { createHash, randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { openNativeGit, type GitMirror, type GitOptions } from '@elder-node/crdt-stack/git'

/** `dir` is this node's alone. With `scratch`, the cache holds one commit and is deleted when closed. */
export function createGitCaches (dir: string): (url: string, options: GitOptions & { scratch?: boolean }) => Promise<GitMirror> {
  return async (url, { signal, scratch = false }) => {
    if (!scratch) return await openNativeGit({ dir: join(dir, createHash('sha256').update(url).digest('hex').slice(0, 16)), url }, { signal })
    const folder = join(dir, `scratch-${randomUUID()}`)
    const remove = async (): Promise<void> => { await rm(folder, { recursive: true, force: true }) }
    try {
      const git = await openNativeGit({ dir: folder, url, depth: 1 }, { signal })
      return Object.assign(git, { close: remove })
    } catch (error) {
      await remove()
      throw error
    }
  }
}
