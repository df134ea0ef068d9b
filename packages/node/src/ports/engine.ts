/** What runs a build on this device. One acceptance suite holds every engine to this text. */

export type EngineName = 'docker' | 'podman' | 'sandbox' | 'process'
/** What an owner may ask for: `--engine`. */
export type EngineChoice = 'auto' | 'none' | EngineName

/** The builder's own ceilings for one build. */
export interface Limits {
  /** Cores; fractions allowed. */
  cpus: number
  memoryBytes: number
  /** Processes and threads. */
  pidsMax: number
  /** What the tree, the home and the temporary files of the build may hold together. */
  diskBytes: number
}

/** In an engine's description: it runs images, and has none for builds that name none. */
export const NO_DEFAULT_IMAGE = 'no default image yet'

export interface RunSpec {
  /** Unique among the builds of this node, whoever asked for them: names the sandbox; what {@link Engine.sweep} finds after a crash. */
  id: string
  /** Which of the builder's slots this is, from 0: separates users and folders of builds that run together. */
  slot: number
  /** Absolute path of the tree; the engine makes it readable and writable for the build's user and nobody else's build. */
  tree: string
  /** Working directory relative to the tree, `.` for its root. */
  cwd: string
  /** Program and arguments; no shell unless the command names one. */
  command: string[]
  /** The whole environment of the build besides HOME and TMPDIR, which the engine sets to private folders. */
  env: Record<string, string>
  limits: Limits
  /** No network. Refused by `process` with `SEALED_UNSUPPORTED`. */
  sealed: boolean
  /** The image to run in; null: the engine's default. Refused with `IMAGE_UNSUPPORTED` by engines that run none. */
  image: string | null
}

export type RunEvent =
  | { type: 'started' }
  | { type: 'log', stream: 'stdout' | 'stderr', data: Uint8Array }
  /** Last event. `signal` when the command was killed by one; `reason` when a limit was the cause. */
  | { type: 'exit', exitCode: number, signal: string | null, reason: 'memory' | 'pids' | 'disk' | null }

/** Nothing of earlier builds runs any more, but files of theirs could not be removed. No reason to give up: the next sweep tries again. */
export class LeftoverError extends Error {
  readonly folders: string[]

  constructor (folders: string[]) {
    super(`${folders.length} folders of earlier builds could not be removed`)
    this.folders = folders
  }
}

/** A file, a folder or, as `/proc/<pid>`, a process of an earlier build that could not be removed, and whose it is. */
export interface Leftover { path: string, uid: number }

export interface Engine {
  readonly name: EngineName
  /** One line for `status` and the log: version, isolation, what is not isolated. */
  readonly description: string
  /** Throws ElderError with the fix when the engine cannot run here. */
  check (): Promise<void>
  /** Images that are here already, newest first: a hint in the advert. Engines without images leave it out. Rejects while the engine does not answer: the node offers no slots then. */
  images? (): Promise<string[]>
  /** True while builds that name no image cannot run, as of the last look at the images. */
  readonly bare?: boolean
  /** A fresh private folder for a build's tree, outside the data directory, empty, on the engine's disk. */
  createTree (id: string, slot: number): Promise<string>
  /** Removes the tree, the build's home and its temporary files. */
  removeTree (tree: string): Promise<void>
  /**
   * Runs the command. When `signal` aborts, every process of the build is gone before the iterator ends (within 2 s), and
   * the last event is `exit` with `signal: 'SIGKILL'`. When this node dies by SIGKILL, every process is gone within 2 s too.
   */
  run (spec: RunSpec, options: { signal: AbortSignal }): AsyncIterable<RunEvent>
  /** Kills and removes whatever an earlier node left behind. Before the first lease. Throws {@link LeftoverError} when all is ended and files stay. */
  sweep (): Promise<void>
  /** What builds left that could not be removed and is still there. Cheap. Engines that leave nothing outside of a container leave it out. */
  leftovers? (): Leftover[]
  /** Gives back what the engine claimed on this machine. After the last build; never rejects. */
  close? (): Promise<void>
}
