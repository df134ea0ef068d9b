/**
 * Folders of builds: `<root>/<id>.<slot>/{tree,home,tmp}`. As root the folder lets in the build's own user alone, whatever modes
 * the build gives to its tree.
 *
 * Root never walks where a build has been: another build could have a hand in it, and swap a folder for a symlink under root's
 * feet. A tree is handed over once, before its first command; what a build leaves goes with the rights of its owner.
 */
import { chmod, chown, lstat, mkdir, readdir, rmdir, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { LeftoverError } from '../../ports/engine.ts'
import { removeAll, removeBelow, unlock } from '../remove-all.ts'
import { runTool } from '../run-tool.ts'
import { findTool } from '../system-tools.ts'
import { isBuildUser } from './uids.ts'

/** Where anybody may leave files that outlive a build. */
const SHARED = ['/tmp', '/var/tmp', '/dev/shm', '/run/lock', '/var/crash']
/** Two builds can put folders into each other's, some levels deep; each turn takes one level. */
const TURNS = 8
const FIND_MS = 60_000

export interface BuildFolder { folder: string, tree: string, home: string, tmp: string }

export function folderOf (tree: string): BuildFolder {
  const folder = dirname(tree)
  return { folder, tree, home: join(folder, 'home'), tmp: join(folder, 'tmp') }
}

/** @param uid - Owner; undefined when builds run as this node's user. */
export async function makeFolder (root: string, id: string, slot: number, uid: number | undefined): Promise<string> {
  const { folder, tree, home, tmp } = folderOf(join(root, `${id}.${slot}`, 'tree'))
  const mode = uid === undefined ? 0o711 : 0o710
  await mkdir(folder, { mode: 0o700 })
  if (uid !== undefined) await chown(folder, 0, uid)
  await chmod(folder, mode)
  for (const dir of [tree, home, tmp]) {
    await mkdir(dir, { mode: 0o700 })
    // The tree is still to be filled, and nobody else's until then.
    if (uid !== undefined && dir !== tree) await chown(dir, uid, uid)
  }
  return tree
}

/**
 * Gives everything in the tree to the build's user, once: before that nobody else could enter it, after that root does not walk
 * it again. Never follows a symlink, and leaves a file with several names alone unless it is a folder: it could be a file from
 * elsewhere.
 */
export async function ownTree (tree: string, uid: number): Promise<void> {
  if ((await lstat(tree)).uid === uid) return
  const find = findTool('find') ?? 'find'
  const chosen = ['-mindepth', '1', '-xdev', '(', '-type', 'd', '-o', '-links', '1', ')', '!', '-user', String(uid)]
  await runTool(find, [tree, ...chosen, '-exec', findTool('chown') ?? 'chown', '-h', `${uid}:${uid}`, '{}', '+'])
  // The top last: it lets the user in.
  await chown(tree, uid, uid)
}

/**
 * Removes a build's folder, and what its user left in the folders that everybody shares.
 *
 * @returns what stays in the latter @throws Error when something of the folder stays. Its user cannot enter it any more.
 */
export async function removeFolder (folder: string, uid: number | undefined): Promise<string[]> {
  if (process.getuid?.() === 0) await removeAsOwners(folder)
  else await removeAll(folder)
  return uid === undefined ? [] : await removeStrays(uid, 1)
}

/** As root. Only root can change the names in the folder, so what they stand for stays the same while it works. */
async function removeAsOwners (folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(noneThere)) {
    const path = join(folder, name)
    const { uid } = await lstat(path)
    // Root's own was never handed over.
    if (uid === 0) await removeAll(path)
    else if (!await takenAway(path)) await emptied([path], uid, () => takenAway(path))
  }
  await rmdir(folder).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return
    await chmod(folder, 0o700)
    throw error
  })
}

function noneThere (error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOENT') return []
  throw error
}

/** One name, and no way below it. */
async function takenAway (path: string): Promise<boolean> {
  const isFolder = (await lstat(path).catch(() => undefined))?.isDirectory()
  return isFolder === undefined || await (isFolder ? rmdir(path) : unlink(path)).then(() => true, () => false)
}

/** Removes what is below with the rights of its owner; of other builds' users too, when one has left something there. */
async function emptied (paths: string[], uid: number, isDone: () => Promise<boolean>): Promise<void> {
  await removeBelow(paths, uid)
  let owners = [uid]
  for (let turn = 0; turn < TURNS && !await isDone(); turn++) {
    for (const owner of owners) {
      await unlock(paths, owner)
      await removeBelow(paths, owner)
    }
    owners = [...new Set([...await ownersBelow(paths), uid])]
  }
}

/** Users of builds that own a folder there. Where `find` cannot tell them: none. */
async function ownersBelow (paths: string[]): Promise<number[]> {
  const lines = await runTool(findTool('find') ?? 'find', [...paths, '-xdev', '-type', 'd', '-printf', '%U\\n'], { timeoutMs: FIND_MS }).catch(() => '')
  return [...new Set(lines.split('\n').filter(Boolean).map(Number))].filter(isBuildUser)
}

/** What users of the range have at the top of the folders that everybody shares. */
export async function straysOf (firstUid: number, count: number): Promise<string[]> { return (await ownedStrays(firstUid, count)).map(({ path }) => path) }

async function ownedStrays (firstUid: number, count: number): Promise<Array<{ path: string, uid: number }>> {
  const lists = await Promise.all(SHARED.map(async dir => Promise.all((await readdir(dir).catch((): string[] => [])).map(async name => {
    const path = join(dir, name)
    const uid = (await lstat(path).catch(() => undefined))?.uid ?? -1
    return uid >= firstUid && uid < firstUid + count ? [{ path, uid }] : []
  }))))
  return lists.flat(2)
}

/** What cannot be removed stays until the next time. @returns that */
export async function removeStrays (firstUid: number, count: number): Promise<string[]> {
  for (const [uid, strays] of Map.groupBy(await ownedStrays(firstUid, count), stray => stray.uid)) {
    await emptied(strays.map(({ path }) => path), uid, async () => (await straysOf(uid, 1)).length === 0)
  }
  return await straysOf(firstUid, count)
}

/**
 * Removes every build's folder, each on its own: what one build left is no reason to keep another's.
 *
 * @throws LeftoverError when something stays.
 */
export async function sweepFolders (root: string): Promise<void> {
  const left: string[] = []
  for (const folder of await foldersIn(root)) await removeFolder(folder, undefined).catch(() => { left.push(folder) })
  if (left.length > 0) throw new LeftoverError(left)
}

/** The build folders that exist. Nothing else lives in the root except the folder `environment` of files for builds. */
async function foldersIn (root: string): Promise<string[]> {
  return (await readdir(root)).filter(name => /\.\d+$/.test(name)).map(name => join(root, name))
}

export function slotOf (tree: string): number { return Number(/\.(\d+)$/.exec(basename(dirname(tree)))?.[1] ?? Number.NaN) }
