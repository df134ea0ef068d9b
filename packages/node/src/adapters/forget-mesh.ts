/** What a device that left keeps nothing of: its key, its mesh, its stacks, its builds. What its owner set stays, and the log. */
import { rmSync } from 'node:fs'
import type { DataDir } from './data-dir.ts'

/** The key first: without it the rest says nothing in this device's name. Only while nobody else uses the directory. */
export function forgetMesh (dir: DataDir): void {
  for (const path of [dir.key, dir.mesh, dir.stacks, dir.mirrors, dir.builds]) rmSync(path, { recursive: true, force: true })
}

/**
 * A mesh that was founded by a start that failed: the next start founds one again, and shows its recovery text. Stacks that were made
 * in that start go with it: a mesh is only founded where there are none.
 */
export function undoFounding (dir: DataDir): void {
  for (const path of [dir.mesh, dir.stacks]) rmSync(path, { recursive: true, force: true })
}
