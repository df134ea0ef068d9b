/**
 * A git remote as the mirror sees it: a cache of one branch, and plumbing to add a commit to it.
 *
 * There is never a worktree, an index or a merge. The local repository is only a cache: an implementation may throw it away
 * and fetch again whenever it looks damaged.
 */

/** Commit id, 40 hex digits. */
export type Commit = string & { readonly __brand: 'Commit' }
/** Blob id, 40 hex digits: sha1 of git's blob header and the content. */
export type BlobId = string & { readonly __brand: 'BlobId' }

/** A regular file of a tree. Symlinks and submodules are never listed. */
export interface TreeFile { path: string, blob: BlobId, bytes: number }

/** `content` null deletes the path. Paths are `[A-Za-z0-9._@-]` components joined by `/`. */
export interface Change { path: string, content: Uint8Array | null }

export interface NewCommit {
  /** The fetched tip, or undefined for the first commit of a branch. There is only ever one parent. */
  parent: Commit | undefined
  changes: Change[]
  message: string
  /** Milliseconds since 1970. */
  atMs: number
}

export interface GitOptions { signal: AbortSignal }

export interface TreeOptions extends GitOptions {
  /** Which paths are listed. The others are passed over while git names them, and held nowhere. @default all */
  wants? (path: string): boolean
  /** @default LIMITS.mirrorFilesMax */
  filesMax?: number
}

/**
 * Network methods throw ElderError `GIT_UNREACHABLE` (no answer, or an answer that is not git's), `GIT_AUTH` (credentials
 * missing or refused) or `GIT_REJECTED` (the remote's own rule said no: a hook, a protected branch), with the remote's last
 * line in the message. All throw `GIT_FAILED` when the local cache cannot be used, and `MIRROR_TOO_LARGE` when the remote sends more
 * than a mirror has. No message holds credentials. An abort throws the signal's reason.
 */
export interface GitMirror {
  /** The URL without credentials: for people. */
  readonly url: string
  /** The branch's commit on the remote, its history now in the cache; undefined when the remote has no such branch. */
  fetchTip (options: GitOptions): Promise<Commit | undefined>
  /** True when `ancestor` is `commit` or in its history. False when the cache has never seen `ancestor`. */
  isAncestor (ancestor: Commit, commit: Commit, options: GitOptions): Promise<boolean>
  /** The regular files. @throws ElderError `MIRROR_TOO_LARGE` for more than `filesMax` of them, or than four times as many names in all */
  readTree (commit: Commit, options: TreeOptions): Promise<TreeFile[]>
  /** Contents in the order asked. Sizes are known from the tree: the caller bounds them. */
  readBlobs (files: TreeFile[], options: GitOptions): AsyncIterable<{ file: TreeFile, content: Uint8Array }>
  /** The id git gives this content. Pure. */
  blobId (content: Uint8Array): BlobId
  commitTree (commit: NewCommit, options: GitOptions): Promise<Commit>
  /**
   * Moves the remote's branch forward to `commit`, never by force. `rejected` when the branch has moved meanwhile, in any of
   * git's dialects: fetch again and build on the new tip.
   */
  push (commit: Commit, options: GitOptions): Promise<'ok' | 'rejected'>
  close (): Promise<void>
}

/** Where the mirror lives on a remote: never a code branch. */
export const MIRROR_BRANCH = 'refs/heads/elder/memory'
