/** Folders of builds: `<root>/<id>.<slot>/{tree,home,tmp}`, each private to its user below a root that all may traverse. */
import { createHash } from 'node:crypto'
import { chmod, chown, lstat, mkdir, readdir, realpath, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import { runTool } from '../run-tool.ts'
import { findTool } from '../system-tools.ts'

/** Where anybody may leave files that outlive a build. */
const SHARED = ['/tmp', '/var/tmp', '/dev/shm']

const asRoot = (): boolean => process.getuid?.() === 0

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

export interface BuildFolder { folder: string, tree: string, home: string, tmp: string }

export function folderOf (tree: string): BuildFolder {
  const folder = dirname(tree)
  return { folder, tree, home: join(folder, 'home'), tmp: join(folder, 'tmp') }
}

/** @param uid - Owner; undefined when builds run as this node's user. */
export async function makeFolder (root: string, id: string, slot: number, uid: number | undefined): Promise<string> {
  const { folder, tree, home, tmp } = folderOf(join(root, `${id}.${slot}`, 'tree'))
  await mkdir(folder, { mode: 0o711 })
  await chmod(folder, 0o711)
  for (const dir of [tree, home, tmp]) {
    await mkdir(dir, { mode: 0o700 })
    if (uid !== undefined) await chown(dir, uid, uid)
  }
  return tree
}

/**
 * Gives everything in the tree to the build's user. Never follows a symlink, and leaves a file with several names alone unless
 * it is a folder: it could be a file from elsewhere.
 */
export async function ownTree (tree: string, uid: number): Promise<void> {
  const find = findTool('find') ?? 'find'
  const args = [tree, '-xdev', '(', '-type', 'd', '-o', '-links', '1', ')', '!', '-user', String(uid), '-exec', findTool('chown') ?? 'chown', '-h', `${uid}:${uid}`, '{}', '+']
  await runTool(find, args)
}

/** Removes a build's folder, and what its user left in the folders that everybody shares. */
export async function removeFolder (folder: string, uid: number | undefined): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch(async () => {
    // As an ordinary user: a build may have taken the write bit from its own folders.
    await runTool(findTool('chmod') ?? 'chmod', ['-R', 'u+rwx', folder]).catch(() => undefined)
    await rm(folder, { recursive: true, force: true })
  })
  if (uid !== undefined) await removeStrays(uid, 1)
}

/** What users of the range have at the top of the folders that everybody shares. */
export async function straysOf (firstUid: number, count: number): Promise<string[]> {
  const lists = await Promise.all(SHARED.map(async dir => Promise.all((await readdir(dir).catch((): string[] => [])).map(async name => {
    const path = join(dir, name)
    const owner = (await lstat(path).catch(() => undefined))?.uid ?? -1
    return owner >= firstUid && owner < firstUid + count ? [path] : []
  }))))
  return lists.flat(2)
}

export async function removeStrays (firstUid: number, count: number): Promise<void> {
  await Promise.all((await straysOf(firstUid, count)).map(path => rm(path, { recursive: true, force: true })))
}

/** The build folders that exist. Nothing else lives in the root except the folder `environment` of files for builds. */
export async function foldersIn (root: string): Promise<string[]> {
  return (await readdir(root)).filter(name => /\.\d+$/.test(name)).map(name => join(root, name))
}

export function slotOf (tree: string): number { return Number(/\.(\d+)$/.exec(basename(dirname(tree)))?.[1] ?? Number.NaN) }
