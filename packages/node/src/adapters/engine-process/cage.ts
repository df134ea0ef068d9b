import type { ChildProcess } from 'node:child_process'
import type { RunSpec } from '../../ports/engine.ts'

/** One running build inside its cage. */
export interface Caged {
  child: ChildProcess
  /** Kills every process of the build; resolves when none is left. Idempotent. */
  kill: () => Promise<void>
  /** The limit that was hit. Ask before {@link release}. */
  reason: () => Promise<'memory' | 'pids' | null>
  /** Gives back what the cage took from the system. After {@link kill}. */
  release: () => Promise<void>
}

/** How a build is held together: what makes it possible to end all of its processes, even when this node is dead. */
export interface Cage {
  readonly description: string
  /** The uid of a slot's builds; undefined when builds run as this node's user. */
  uidOf: (slot: number) => number | undefined
  /** Starts `sh script command…` in the cage. */
  start: (spec: RunSpec, script: string, tmp: string) => Promise<Caged>
  /** Ends whatever an earlier life left running. */
  sweep: () => Promise<void>
  close: () => Promise<void>
}
