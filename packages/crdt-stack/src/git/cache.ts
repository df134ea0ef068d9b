/** The bare repository on disk: made, cleaned after a crash, and replaced when it is beyond use. It is only a cache. */
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import { runGit } from './run.ts'
import { lastLine } from './failure.ts'

/** Present while a node has the cache open: found at open, the last one did not close and the cache is checked. */
const OPEN_MARK = 'elder-open'

export async function openCache (dir: string, signal: AbortSignal): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  await removeStale(dir, Date.now() - process.uptime() * 1000)
  const crashed = await stat(join(dir, OPEN_MARK)).then(() => true, () => false)
  if (!await usable(dir, crashed, signal)) await recreateCache(dir, signal)
  await markOpen(dir)
}

export async function markOpen (dir: string): Promise<void> { await writeFile(join(dir, OPEN_MARK), '') }

export async function closeCache (dir: string): Promise<void> { await rm(join(dir, OPEN_MARK), { force: true }) }

/** Deletes the cache and makes an empty one. */
export async function recreateCache (dir: string, signal: AbortSignal): Promise<void> {
  await emptyCache(dir)
  const { code, stderr } = await runGit({ profile: 'own', args: ['init', '--bare', '--quiet', '--template=', '--object-format=sha1', '--initial-branch=main', dir], signal })
  if (code !== 0) throw new ElderError('GIT_FAILED', `git could not make the local mirror: ${lastLine(stderr)}`, 'Check the free space and the permissions of the data directory.')
}

export async function emptyCache (dir: string): Promise<void> {
  await rm(dir, { recursive: true, force: true })
  await mkdir(dir, { recursive: true, mode: 0o700 })
}

/** True when git can read it; with `deep`, also when every object it needs is there and whole. */
export async function usable (dir: string, deep: boolean, signal: AbortSignal): Promise<boolean> {
  const bare = await runGit({ profile: 'own', args: ['rev-parse', '--is-bare-repository'], gitDir: dir, signal })
  if (bare.code !== 0 || bare.stdout.toString().trim() !== 'true') return false
  if (!deep) return true
  const fsck = await runGit({ profile: 'own', args: ['fsck', '--no-dangling', '--no-progress'], gitDir: dir, signal })
  return fsck.code === 0
}

/** Lock files, temporary packs and crash reports left by a git that was killed before this process began. */
export async function removeStale (dir: string, beforeMs: number): Promise<void> {
  const names = await readdir(dir, { recursive: true }).catch(() => [] as string[])
  const litter = names.filter(name => /\.(lock|temp)$/.test(name) || /(^|[/\\])tmp_/.test(name) || name.startsWith('fast_import_crash_'))
  for (const name of litter) {
    const path = join(dir, name)
    const at = await stat(path).then(info => info.mtimeMs, () => Infinity)
    if (at < beforeMs) await rm(path, { recursive: true, force: true })
  }
}
