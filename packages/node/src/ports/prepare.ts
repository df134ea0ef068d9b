/** What `--prepare` added to a tree, kept by its builder for the next build of the same requester. */

/** What decides what a prepare command makes, besides the files of the tree that it reads: the cache looks at those itself. */
export interface PrepareParts {
  /** Device id: a cache never serves another requester. */
  requester: string
  project: string
  command: string
  /** Where the command runs, relative to the tree's root. */
  cwd: string
  engine: string
  image: string | null
  platform: string
}

export interface PreparedTrees {
  /**
   * Furnishes the freshly checked-out tree (absolute path) with what an earlier prepare of the same parts added, a copy of its own. When
   * there is none, calls `run`, which runs the command in the tree and throws when it fails, and keeps what it added; a failing `run`
   * keeps nothing. Builds of one key that come together wait for the first.
   *
   * @returns `reused` when `run` was not called
   */
  furnish (parts: PrepareParts, tree: string, run: () => Promise<void>, options: { signal: AbortSignal }): Promise<'reused' | 'prepared'>
}
