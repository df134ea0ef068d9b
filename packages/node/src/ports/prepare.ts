/** What `--prepare` added to a tree, kept by its builder for the next build of the same requester. */

export interface PrepareRequest {
  /** Device id of the requester: a cache never serves another one. */
  owner: string
  /** What the content depends on besides the lock files of the tree, which the cache reads itself: command, image, platform, engine. */
  key: string[]
  /** Absolute path of the checked-out tree. */
  tree: string
}

export interface PrepareCache {
  /**
   * Fills the tree with what an earlier prepare of the same key added (a copy of its own); when there is none, calls `run`, which
   * runs the prepare command in the tree and throws when it fails, and keeps what it added. A failing `run` keeps nothing.
   *
   * @returns true when it was warm and `run` was not called.
   */
  prepare (request: PrepareRequest, run: () => Promise<void>, options: { signal: AbortSignal }): Promise<boolean>
}
