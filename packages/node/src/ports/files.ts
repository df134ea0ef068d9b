/**
 * The few small files that must survive a crash at any instant, and tell damage from content. Synchronous on purpose: what must
 * not be undone (a ticket is used, a device is revoked) is decided, written and acted upon in one turn.
 */
export interface PrivateFiles {
  /** Where a file is, to name it to a person. */
  path (name: string): string
  /** Names in the directory, or in a folder of it; none when it is not there. */
  list (folder?: string): string[]
  /**
   * A file that nothing can replace. Undefined when there is none.
   *
   * @throws ElderError `FILE_DAMAGED` when it is not what was written, `STORE_OLD`, `STORAGE`
   */
  read (name: string): Uint8Array | undefined
  /** A file that can be made anew. Undefined when there is none, or when it does not read: then the log says so. */
  readCache (name: string): Uint8Array | undefined
  /** All or nothing, durable on return, readable by the owner only. @throws ElderError `DISK_FULL` | `STORAGE` */
  replace (name: string, bytes: Uint8Array): void
  /** Durable on return; no file is no error. @throws ElderError `STORAGE` */
  remove (name: string): void
  /** Undefined when there is no such log. @throws ElderError `STORAGE` */
  readLog (name: string): StoredLog | undefined
  /** Durable on return; after a failure the log is as it was. @throws ElderError `DISK_FULL` | `STORAGE` */
  append (name: string, entries: readonly Uint8Array[]): void
  /** The log holds these entries and no others. As {@link replace}. */
  replaceLog (name: string, entries: readonly Uint8Array[]): void
  /** Copies a file that does not read to a name of its own, where nothing overwrites it. @returns its path there */
  keepAside (name: string): string
}

/** What reads of a log. */
export interface StoredLog {
  /** Those that are whole, in order. */
  entries: Uint8Array[]
  /** The last append was cut off by a crash: it was never acknowledged. */
  isTorn: boolean
  /** Something that had been written whole does not read any more. */
  isDamaged: boolean
}
