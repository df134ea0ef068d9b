/** The folder that holds the builds of one node, where its engine and their users can reach it. */
import { createHash } from 'node:crypto'
import { chmod, lstat, mkdir, realpath, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, isAbsolute, join, resolve, sep } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import { xdgDir } from '../xdg.ts'

const asRoot = (): boolean => process.getuid?.() === 0

/** Names a node's own things on this machine: its data directory, hashed. */
export function rootName (dataDir: string): string { return createHash('sha256').update(resolve(dataDir)).digest('hex').slice(0, 16) }

/**
 * Where a root may be, best first. Anybody can make the one in the shared folder before us, or the variable that names that folder
 * leads nowhere: then a user's cache, which nobody else can make.
 */
export function rootParents (uid: number, env: Readonly<Record<string, string | undefined>> = process.env, shared: string = tmpdir()): string[] {
  const own = uid === 0 ? '/var/lib/elder-node' : cacheFolder(env)
  // A relative one would be below the current folder.
  const temporary = isAbsolute(shared) ? join(shared, `elder-node-${uid}`) : undefined
  return (uid === 0 ? [own, temporary] : [temporary, own]).filter(parent => parent !== undefined)
}

/** None for a user without a home. */
function cacheFolder (env: Readonly<Record<string, string | undefined>>): string | undefined {
  try {
    return join(xdgDir('XDG_CACHE_HOME', env), 'elder-node')
  } catch {
    return undefined
  }
}

/** Makes the engine's root. @throws ElderError `ENGINE_UNAVAILABLE` when it is not ours or, as root, when a build's user could not reach it. */
export async function openRoot (dataDir: string, given: string | undefined): Promise<string> {
  const parents = given !== undefined ? [dirname(resolve(given))] : rootParents(process.getuid?.() ?? 0)
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
