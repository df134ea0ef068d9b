/** A build's source and outputs as they leave and enter a disk. */
import type { OutputFile, OutputPart } from '@elder-node/protocol'

/** What is built: a throw-away commit of the whole worktree. The user's index, worktree and refs are untouched. */
export interface Snapshot {
  /** Commit id, 40 hex digits. */
  commit: string
  /** Names the project on any device: hash of the repository's root commit, or of the folder's path. Warm caches go by it. */
  project: string
  /** Working directory of the build relative to the tree root, `.` for the root. */
  cwd: string
  /** Earlier snapshots a builder may already have, newest first, at most 64. */
  ancestors: string[]
  /** Absolute path of the tree's root here: where outputs go by default. */
  root: string
  /** What the snapshot could not take, one sentence each: unreadable files, submodules. */
  warnings?: string[]
}

export interface SourceReader {
  /** Takes the snapshot. Works in a git worktree and in a plain folder. @throws ElderError `NOT_A_FOLDER`, `GIT_FAILED`, `GIT_MISSING`, `SOURCE_INVALID`, `SOURCE_TOO_LARGE` */
  snapshot (dir: string, options: { signal: AbortSignal }): Promise<Snapshot>
  /** A thin pack of the snapshot against the commits the builder has. Chunks of at most LIMITS.chunkBytesMax. */
  pack (snapshot: Snapshot, have: string[], options: { signal: AbortSignal }): AsyncIterable<Uint8Array>
  /** About how many bytes {@link pack} will be, for progress: what the objects take on this disk. Undefined when nobody can say. */
  packBytes (snapshot: Snapshot, have: string[], options: { signal: AbortSignal }): Promise<number | undefined>
  /** Content of a file of the snapshot, undefined when it is not there: `.elder.json`, lock files. */
  read (snapshot: Snapshot, path: string, options: { signal: AbortSignal }): Promise<Uint8Array | undefined>
  /** Git's ids of the contents of these paths in the snapshot; what is not in it is left out. */
  ids (snapshot: Snapshot, paths: string[], options: { signal: AbortSignal }): Promise<Map<string, string>>
}

/** The builder's bare cache, one repository per requester and project. */
export interface SourceCache {
  /** Which of the commits are already here. */
  have (owner: string, project: string, commits: string[], options: { signal: AbortSignal }): Promise<string[]>
  /** Takes a pack; bounded; hooks, alternates and configuration of the sender never apply. @throws ElderError `SOURCE_INVALID`, `SOURCE_TOO_LARGE`, `SOURCE_UNSUPPORTED`, `SOURCE_BROKEN` */
  receive (owner: string, project: string, commit: string, pack: AsyncIterable<Uint8Array>, options: { signal: AbortSignal }): Promise<void>
  /**
   * Writes the commit's files into an empty folder. No hooks, no filters, symlinks only inside the tree.
   *
   * @param options.bytesMax - What they may take on the disk. @default no bound
   * @throws ElderError `SOURCE_TOO_LARGE`, also when the disk would run full; `SOURCE_BROKEN`, `BUILDER_FAILED`
   */
  checkout (owner: string, project: string, commit: string, tree: string, options: { signal: AbortSignal, bytesMax?: number }): Promise<void>
}

export type { OutputFile, OutputPart } from '@elder-node/protocol'

/** The source tree as it was sent, for who writes outputs into it. */
export interface SentTree {
  /** Absolute path of the tree's root. */
  root: string
  /** Name of the builder, as its files beside carry it. */
  builder: string
  /** Git's ids of the contents that were sent, by path relative to the root; what was not sent is left out. */
  ids: (paths: string[]) => Promise<Map<string, string>>
  /**
   * Who named the outputs. `person`: what was not sent is replaced if it was {@link present}. `project`: a file of the
   * source did, which may be a stranger's; what was not sent is replaced only if it is as an earlier build left it here.
   */
  globsBy: 'person' | 'project'
  /** What {@link OutputWriter.present} said when the source was sent; undefined: nobody looked, and all counts as there. */
  present: Promise<ReadonlySet<string> | undefined>
}

/** Why a file was not replaced: it is no longer what was sent; no build wrote it; it is a pipe, a socket or a device. */
export type KeptWhy = 'changed' | 'not-ours' | 'special'

/** An output on this disk. */
export interface WrittenFile extends OutputFile {
  /** It stands under this name, because what is in its place is kept. */
  beside?: string
  kept?: KeptWhy
}

export interface OutputReader {
  /**
   * Files below the tree that match the globs (relative to the tree root), regular files only; never through a symlink. `unmatched`: the
   * globs that matched nothing; `leftOut`: what they match and no output can be, one sentence each, within the bounds LEFT_OUT.
   */
  match (tree: string, globs: string[], options: { signal: AbortSignal }): Promise<{ paths: string[], unmatched: string[], leftOut: string[] }>
  read (tree: string, paths: string[], options: { signal: AbortSignal }): AsyncIterable<OutputPart>
}

export interface OutputWriter {
  /**
   * Writes the files below `to` (created when missing): each file to a temporary name, then renamed; nothing appears unless the
   * whole stream was valid. With `sent`, a file of that tree that is no longer what was sent stays, and the output stands beside it.
   * A file that is replaced hands on who may read and write it.
   * @throws ElderError `OUTPUT_FOLDER` when somebody else may write to `to`, or to a folder in it on the way to an output
   * @throws ElderError `OUTPUT_INVALID` for `..`, absolute paths, `.git` under any name, names that mean something else on some system,
   * a symlink on the way, a wrong hash, too many files or bytes, a path that none of the globs `outputs` means, and for files that
   * make up a git repository.
   */
  write (to: string, parts: AsyncIterable<OutputPart>, options: { outputs: string[], signal: AbortSignal, sent?: SentTree }): Promise<WrittenFile[]>
  /**
   * Where a folder that a person names is: absolute and without symlinks, as the other methods take it.
   *
   * @throws ElderError `OUTPUT_FOLDER` | `OUTPUT_INVALID`: nothing can be written there, whatever the build makes
   */
  resolve (to: string): Promise<string>
  /** Files below `to` that the globs mean, now; undefined when there are too many to remember. Never rejects. */
  present (to: string, globs: string[], options: { signal: AbortSignal }): Promise<ReadonlySet<string> | undefined>
}
