import type { ChildProcess } from 'node:child_process'
import type { RunSpec } from '../../ports/engine.ts'
import type { BuildFolder } from '../engine-common/trees.ts'

/** One running build inside its cage. */
export interface Caged {
  child: ChildProcess
  /** Kills every process of the build; resolves when none is left, or with those that do not end. Idempotent. */
  kill: () => Promise<number[]>
  /** The limit that was hit. Ask before {@link release}. */
  reason: () => Promise<'memory' | 'pids' | null>
  /** Gives back what the cage took from the system. After {@link kill}. */
  release: () => Promise<void>
}

/** How a build is held together: what makes it possible to end all of its processes, even when this node is dead. */
export interface Cage {
  readonly description: string
  /** True when a build can be cut off from the network. */
  readonly seals: boolean
  /** The uid of a slot's builds; undefined when builds run as this node's user. */
  uidOf: (slot: number) => number | undefined
  /** The tree, HOME and TMPDIR as the build sees them. */
  places: (folder: BuildFolder) => Omit<BuildFolder, 'folder'>
  /** Starts `sh script command…` in the cage. */
  start: (spec: RunSpec, script: string, folder: BuildFolder) => Promise<Caged>
  /** Folders outside of the build's own that it can have filled: they count for its disk limit. */
  strays: (slot: number) => Promise<string[]>
  /** Ends whatever has the rights of a slot's builds while it has no build. */
  clear: (slot: number) => Promise<void>
  /** Ends whatever an earlier life left running, and removes what it left in shared folders. @returns what stays, processes as `/proc/<pid>` */
  sweep: () => Promise<string[]>
  close: () => Promise<void>
}
