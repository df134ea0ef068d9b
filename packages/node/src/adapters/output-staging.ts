/** The folder where outputs wait until all are there. It holds files named by number and nothing else. */
import { randomBytes } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
import { mkdir, readdir, rmdir, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fromUtf8, utf8 } from '@elder-node/protocol'
import { makePrivateDir } from './files.ts'
import { Folder, refuseShared, whoElseWrites } from './folder.ts'
import { makeTarget, openAbove, openTarget } from './output-target.ts'
import { privateFiles } from './private-files.ts'

/** Begins the folder's name. It may lie in a work tree, and is no source. */
export const STAGING_PREFIX = '.elder-outputs-'
const NAME = /^\.elder-outputs-[0-9a-f]{16}$/

export class StagingFolder {
  readonly folder: Folder
  readonly #parent: Folder
  readonly #notes: StagingNotes | undefined

  private constructor (parent: Folder, folder: Folder, notes: StagingNotes | undefined) {
    this.#parent = parent
    this.folder = folder
    this.#notes = notes
  }

  /**
   * Beside the target when that is the same disk, writable and nobody else's, so that whoever watches the target never
   * sees half a result; else inside.
   *
   * @throws ElderError `OUTPUT_FOLDER` when others may write to the target, `OUTPUT_INVALID`
   */
  static async make (target: string, notes: StagingNotes | undefined): Promise<StagingFolder> {
    const name = `${STAGING_PREFIX}${randomBytes(8).toString('hex')}`
    const device = await deviceOf(target)
    const above = await openAbove(target).catch(() => undefined)
    const isOneDisk = device === undefined || above?.stats.dev === device
    if (above !== undefined && isOneDisk && await whoElseWrites(above.stats) === undefined) {
      const made = await StagingFolder.#in(above, name, notes).catch(() => undefined)
      if (made !== undefined) return made
    }
    await above?.close()
    const inside = await makeTarget(target)
    return await StagingFolder.#in(inside, name, notes).catch(async (error: unknown) => {
      await inside.close()
      throw error
    })
  }

  static async #in (parent: Folder, name: string, notes: StagingNotes | undefined): Promise<StagingFolder> {
    notes?.add(name, join(parent.path, name))
    try {
      await mkdir(parent.at(name), { mode: 0o700 })
      const folder = await parent.child(name, { make: false })
      if (folder === undefined) throw new Error(`${join(parent.path, name)} went away`)
      return new StagingFolder(parent, folder, notes)
    } catch (error) {
      notes?.remove(name)
      throw error
    }
  }

  /** Deletes it. What somebody else may have put in its place stays. */
  async remove (): Promise<void> {
    const name = basename(this.folder.path)
    await empty(this.folder)
    const isGone = await rmdir(this.#parent.at(name)).then(() => true, () => false)
    await Promise.all([this.folder.close(), this.#parent.close()])
    if (isGone) this.#notes?.remove(name)
  }
}

/** Staging folders that this device has made: those that a crash left behind go at the next start. */
export class StagingNotes {
  readonly #dir: string
  readonly #files: ReturnType<typeof privateFiles>
  readonly #old: string[]

  /** `dir`: its own, in the data directory. */
  constructor (dir: string) {
    this.#dir = dir
    this.#files = privateFiles(dir)
    this.#old = namesIn(dir).filter(name => NAME.test(name))
  }

  add (name: string, path: string): void {
    makePrivateDir(this.#dir)
    this.#files.replace(name, utf8(path))
  }

  remove (name: string): void { rmSync(this.#files.path(name), { force: true }) }

  /** Deletes what an earlier life of this node left. Never rejects. */
  async sweep (): Promise<void> {
    for (const name of this.#old) {
      const bytes = this.#files.readCache(name)
      if (bytes === undefined || await isSwept(fromUtf8(bytes), name).catch(() => false)) this.remove(name)
    }
  }
}

/** True when the folder is gone. Only one of this user's, that lies where it was made. */
async function isSwept (path: string, name: string): Promise<boolean> {
  if (basename(path) !== name) return true
  const parent = await Folder.open(dirname(path)).catch(() => undefined)
  if (parent === undefined) return true
  let folder: Folder | undefined
  try {
    if (parent.path !== dirname(path)) return true
    folder = await parent.child(name, { make: false }).catch(() => undefined)
    if (folder === undefined || folder.stats.uid !== (process.getuid?.() ?? folder.stats.uid)) return true
    await empty(folder)
    await rmdir(parent.at(name))
    return true
  } finally {
    await Promise.all([folder?.close(), parent.close()])
  }
}

/** Only what lies in it by a number: nothing else was put there by a node. */
async function empty (folder: Folder): Promise<void> {
  const names = await readdir(folder.at(''))
  for (const name of names.filter(entry => /^\d+$/.test(entry))) await unlink(folder.at(name)).catch(() => undefined)
}

/** Of the target; undefined when it is not there yet. @throws ElderError `OUTPUT_FOLDER` */
async function deviceOf (target: string): Promise<number | undefined> {
  const folder = await openTarget(target)
  if (folder === undefined) return undefined
  return await refuseShared(folder).then(() => folder.stats.dev).finally(() => folder.close())
}

function namesIn (dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch {
    return []
  }
}
