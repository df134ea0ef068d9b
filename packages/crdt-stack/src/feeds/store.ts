/** Where the feeds of one stack live: the port. Implementations: memory, framed logs on disk (`@elder-node/crdt-stack/fs`); one acceptance suite. */
import type { Batch, FeedId } from '@elder-node/protocol'

/** Bytes of a feed's file that do not read, or the whole file. Nothing is overwritten: the file is kept aside as it is. */
export interface Damage {
  feed: FeedId
  /** Where the bytes can be looked at. */
  file: string
  /** First byte and number of bytes. */
  at: number
  bytes: number
  /** There was such a file once, and there is none: nobody can say how much it held. */
  gone?: true
}

export interface LoadedFeeds {
  /** Every stored batch; the order means nothing, since a record attaches by the hash that its `prev` names. */
  batches: Batch[]
  damaged: Damage[]
  /**
   * The own feed that ended cleanly, with its head (hex): the place is just as this device left it. Undefined after a crash, in a
   * copy and in a restored backup.
   */
  cleanEnd: { feed: FeedId, name: string } | undefined
}

/** Append-only; what a call resolved for survives SIGKILL and power loss. */
export interface FeedStore {
  /** Reads the disk once, before anything is written. A torn tail (a write that was never acknowledged) is cut. */
  load (): Promise<LoadedFeeds>
  /** Reads again what was acknowledged, and changes nothing. Not while a batch is appended. */
  reread (): Promise<Pick<LoadedFeeds, 'batches' | 'damaged'>>
  /** Batches of one feed. Resolves when all of them are durable; rejects when none is to be seen again. @throws ElderError `DISK_FULL` | `STORAGE` */
  append (batches: readonly Batch[]): Promise<void>
  /**
   * Evidence, durable before the deed that makes it necessary: the clean end is forgotten, so that a life that begins from here
   * continues no own feed. Before the first own record of a life is appended, and before own records from outside are.
   */
  forgetCleanEnd (): Promise<void>
  /** `cleanEnd`: the own feed and its head, when nothing of it is in doubt; what was written is then as {@link LoadedFeeds.cleanEnd}. */
  close (cleanEnd?: { feed: FeedId, name: string }): Promise<void>
}
