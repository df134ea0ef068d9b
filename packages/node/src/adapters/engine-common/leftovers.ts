/** What builds left and nothing could remove or end, for as long as it is there: a person has to know of it. */
import { lstatSync } from 'node:fs'
import { LeftoverError, type Leftover } from '../../ports/engine.ts'
import { removeFolder, sweepFolders } from './trees.ts'

export class Leftovers {
  readonly #owners = new Map<string, number>()

  /** As {@link removeFolder}, whose error it passes on. */
  async remove (folder: string, uid: number | undefined): Promise<void> {
    try {
      this.note(await removeFolder(folder, uid))
    } catch (error) {
      this.note([folder])
      throw error
    }
  }

  /** As {@link sweepFolders}, whose error it passes on. */
  async sweep (root: string): Promise<void> {
    try {
      await sweepFolders(root)
    } catch (error) {
      if (error instanceof LeftoverError) this.note(error.folders)
      throw error
    }
  }

  note (paths: readonly string[]): void {
    for (const path of paths) {
      const uid = ownerOf(path)
      if (uid !== undefined) this.#owners.set(path, uid)
    }
  }

  /** Those that are there still. Of another owner it is something else by now: pids are given again. */
  list (): Leftover[] {
    for (const [path, uid] of this.#owners) if (ownerOf(path) !== uid) this.#owners.delete(path)
    return [...this.#owners].map(([path, uid]) => ({ path, uid }))
  }
}

function ownerOf (path: string): number | undefined {
  try {
    return lstatSync(path).uid
  } catch {
    return undefined
  }
}
