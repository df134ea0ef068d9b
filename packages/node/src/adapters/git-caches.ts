/** Where the mirror's bare caches lie: one folder per remote in the data directory, named by a hash of its URL. */
import { createHash, randomUUID } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { nativeGitWorks, openIsomorphicGit, openNativeGit, type GitMirror, type GitOptions } from '@elder-node/crdt-stack/git'
import type { Logger } from '../ports/log.ts'
import { Opening } from './engine-common/opening.ts'

type Open = typeof openNativeGit

/**
 * `dir` is this node's alone. With `scratch`, the cache holds one commit and is deleted when closed.
 *
 * Native git when it works on this device, else isomorphic-git: decided at the first use that could tell, for the life of the node.
 */
export function createGitCaches (dir: string, log?: Logger): (url: string, options: GitOptions & { scratch?: boolean }) => Promise<GitMirror> {
  const choice = new Opening(async () => {
    await removeScratch(dir)
    return await chooseGit(log)
  })
  return async (url, { signal, scratch = false }) => {
    const open = await choice.get()
    if (scratch) return await openScratch(open, join(dir, `scratch-${randomUUID()}`), url, signal)
    return await open({ dir: join(dir, createHash('sha256').update(url).digest('hex').slice(0, 16)), url }, { signal })
  }
}

async function chooseGit (log?: Logger): Promise<Open> {
  const native = await nativeGitWorks()
  if (native) log?.debug('mirrors use the git of this device')
  else log?.info('git is not installed on this device: mirrors use isomorphic-git, over http and https only')
  return native ? openNativeGit : openIsomorphicGit
}

async function openScratch (open: Open, dir: string, url: string, signal: AbortSignal): Promise<GitMirror> {
  const remove = async (): Promise<void> => { await rm(dir, { recursive: true, force: true }) }
  try {
    const git = await open({ dir, url, depth: 1 }, { signal })
    const close = git.close.bind(git)
    return Object.assign(git, { close: async () => { await close().finally(remove) } })
  } catch (error) {
    await remove()
    throw error
  }
}

/** What a killed restore left. */
async function removeScratch (dir: string): Promise<void> {
  const names = await readdir(dir).catch(() => [] as string[])
  for (const name of names) if (name.startsWith('scratch-')) await rm(join(dir, name), { recursive: true, force: true })
}
