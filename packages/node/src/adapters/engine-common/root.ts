/** The folder that holds the builds of one node, where its engine and their users can reach it. */
import { createHash } from 'node:crypto'
import { chmod, lstat, mkdir, realpath, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve, sep } from 'node:path'
import { ElderError } from '@elder-node/protocol'

const asRoot = (): boolean => process.getuid?.() === 0

/** Names a node's own things on this machine: its data directory, hashed. */
export function rootName (dataDir: string): string { return createHash('sha256').update(resolve(dataDir)).digest('hex').slice(0, 16) }

/** Makes the engine's root. @throws ElderError `ENGINE_UNAVAILABLE` when it is not ours or, as root, when a build's user could not reach it. */
export async function openRoot (dataDir: string, given: string | undefined): Promise<string> {
  const shared = join(tmpdir(), `elder-node-${process.getuid?.() ?? 0}`)
  const parents = given !== undefined ? [dirname(resolve(given))] : asRoot() ? ['/var/lib/elder-node', shared] : [shared]
  for (const parent of parents) {
    const root = given === undefined ? join(parent, rootName(dataDir)) : resolve(given)
    const mode = asRoot() ? 0o711 : 0o700
    try {
      await mkdir(root, { recursive: true, mode })
      const own = await lstat(root)
      if (!own.isDirectory() || own.uid !== process.getuid?.() || (given === undefined && (await lstat(parent)).uid !== own.uid)) continue
      await chmod(root, mode)
      return await reachable(await realpath(root))
    } catch (error) {
      if (error instanceof ElderError) throw error
    }
  }
  throw new ElderError('ENGINE_UNAVAILABLE', `the folder for builds cannot be made below ${parents.join(' or ')}`, 'Give the engine a root on a writable disk.')
}

async function reachable (root: string): Promise<string> {
  if (!asRoot()) return root
  for (let dir = dirname(root); dir !== sep; dir = dirname(dir)) {
    if (((await stat(dir)).mode & 0o001) === 0) {
      throw new ElderError('ENGINE_UNAVAILABLE', `builds run as their own users, and those cannot traverse ${dir}`, `Choose a root outside of it, or: chmod o+x ${dir}`)
    }
  }
  return root
}
