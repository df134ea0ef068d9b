/**
 * The folder that outputs go to. A person names it once, and symlinks are followed then; when the outputs come, minutes
 * later, the same path is walked without any: whoever owns a folder above it could have put one there.
 */
import { lstat, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import { Folder, refuseShared } from './folder.ts'

export const ELSEWHERE = 'Move it out of the way, or have the outputs written to another folder with --to.'

/**
 * @returns the absolute path without symlinks, of a folder that may not be there yet
 * @throws ElderError `OUTPUT_FOLDER`: others may write to it; `OUTPUT_INVALID`: it is no folder
 */
export async function resolveTarget (to: string): Promise<string> {
  const { there, missing } = await nearest(resolve(to), stat)
  const isFolder = await stat(there).then(found => found.isDirectory(), () => false)
  if (!isFolder) throw new ElderError('OUTPUT_INVALID', `${there} is not a folder`, ELSEWHERE)
  if (missing.length > 0) return join(await realpath(there), ...missing)
  const folder = await Folder.open(there)
  return await refuseShared(folder).then(() => folder.path).finally(() => folder.close())
}

/** `target`: as {@link resolveTarget} says it. Undefined when it is not there. @throws ElderError `OUTPUT_INVALID` */
export async function openTarget (target: string): Promise<Folder | undefined> {
  const { there, missing } = await nearest(target, lstat)
  return missing.length > 0 ? undefined : await openInPlace(there)
}

/** As {@link openTarget}; made when missing. */
export async function makeTarget (target: string): Promise<Folder> {
  const { there, missing } = await nearest(target, lstat)
  let at = await openInPlace(there)
  for (const name of missing) {
    const next = await makeChild(at, name, target).finally(() => at.close())
    if (next === undefined) throw cannotBeMade(target, new Error(`${name} went away`))
    at = next
  }
  return at
}

async function makeChild (above: Folder, name: string, target: string): Promise<Folder | undefined> {
  return await above.child(name, { make: true }).catch((error: unknown) => { throw cannotBeMade(target, error) })
}

/** The nearest folder above the target that is there. */
export async function openAbove (target: string): Promise<Folder> {
  const { there } = await nearest(dirname(target), lstat)
  return await openInPlace(there)
}

async function openInPlace (path: string): Promise<Folder> {
  const folder = await Folder.open(path).catch((error: unknown) => { throw cannotBeMade(path, error) })
  if (folder.path === path) return folder
  await folder.close()
  const message = `${path} is reached through a symlink, which was not there when the build began`
  throw new ElderError('OUTPUT_INVALID', message, 'See who owns the folders above it, or choose another with --to.')
}

type Look = (path: string) => Promise<unknown>

async function nearest (path: string, look: Look): Promise<{ there: string, missing: string[] }> {
  const missing: string[] = []
  let there = path
  while (there !== dirname(there) && await look(there).then(() => false, () => true)) {
    missing.unshift(basename(there))
    there = dirname(there)
  }
  return { there, missing }
}

function cannotBeMade (target: string, error: unknown): ElderError {
  return new ElderError('OUTPUT_INVALID', `${target} cannot be made: ${(error as Error).message}`, ELSEWHERE)
}
