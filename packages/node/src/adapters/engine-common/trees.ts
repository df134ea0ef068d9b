/** Folders of builds: `<root>/<id>.<slot>/{tree,home,tmp}`, each private to its user below a root that all may traverse. */
import { chmod, chown, lstat, mkdir, readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { runTool } from '../run-tool.ts'
import { findTool } from '../system-tools.ts'

/** Where anybody may leave files that outlive a build. */
const SHARED = ['/tmp', '/var/tmp', '/dev/shm']

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
