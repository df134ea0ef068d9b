/**
 * The few small files that must survive a crash at any instant. Synchronous on purpose: what must not be undone (a ticket is
 * used, a device is revoked) is decided, written and acted upon in one turn.
 */
export interface PrivateFiles {
  /** Undefined when there is no such file. */
  read (name: string): Uint8Array | undefined
  /** All or nothing, durable on return, readable by the owner only. @throws ElderError `DISK_FULL` | `STORAGE` */
  replace (name: string, bytes: Uint8Array): void
  /** Durable on return; after a failure the file is as it was. @throws ElderError `DISK_FULL` | `STORAGE` */
  append (name: string, bytes: Uint8Array): void
}
