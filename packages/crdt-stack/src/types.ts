/** The words of a stack: entries as people and agents see them, and the ports a stack stands on. */
import type { Batch, DeviceId, EntryId, FeedId, Head, Range, Vector } from '@elder-node/protocol'

export type EntryKind = 'note' | 'decision' | 'task' | 'skill' | (string & {})

export interface Author { device: DeviceId, agent?: string }

/** A concurrent value that is not the one shown. */
export interface Rival { value: unknown, author: Author, at: number }

export interface Entry {
  id: EntryId
  kind: EntryKind
  title: string
  /** Byte-exact text, a trailing newline included. */
  body: string
  tags: string[]
  author: Author
  /** ISO 8601, UTC, milliseconds. */
  createdAt: string
  updatedAt: string
  supersedes: EntryId | null
  /** Set when the entry was removed; it is then left out of lists but can be restored. */
  removed: boolean
  /** Fields with concurrent values: what else was written at the same time. */
  rivals: Record<string, Rival[]>
  /** Fields this version does not know: kept, relayed, rendered. */
  extra: Record<string, unknown>
}

/** An entry without its body. */
export type Outline = Omit<Entry, 'body'>

/** One record, as people ask for it. `change`: `new`, `set`, `text`, `remove`, `restore`, or a kind this version does not know. */
export interface HistoryItem {
  /** ISO 8601, by the writer's clock. */
  at: string
  author: Author
  change: string
  /** Of a `set` or a `text`. */
  field: string | null
  /** As it is now; null for a kind of record without one. */
  entry: { id: EntryId, kind: EntryKind, title: string } | null
  feed: FeedId
  seq: number
}

export interface AuditProblem {
  /** Bytes that do not read; a chain or signature that does not hold; records that are gone; another result. */
  code: 'FEED_DAMAGED' | 'FEED_BROKEN' | 'FEED_SHORT' | 'VIEW_DIFFERS'
  message: string
  feed?: FeedId
  /** The first record that is concerned. */
  seq?: number
}

/** What the store alone leads to. Without problems, `digest` and `feeds` are those that the running stack shows. */
export interface Audit { digest: string, feeds: string, records: number, signatures: number, perFeed: Array<{ feed: FeedId, records: number }>, problems: AuditProblem[] }

export interface NewEntry { kind: EntryKind, title: string, body?: string, tags?: string[], supersedes?: EntryId }
export interface EntryPatch { title?: string, body?: string, tags?: string[], supersedes?: EntryId | null }

/** `digest` of the content, `feeds` of the vector; both base32 of sha256, equal on every converged device. */
export interface StackDigest { stack: string, digest: string, feeds: string }

export type StackChange =
  | { type: 'entry', entry: Entry, feed: FeedId, seq: number }
  | { type: 'closed', feed: FeedId, seq: number, why: string }
  | { type: 'fork', feed: FeedId, seq: number }

/** What became of a received batch. `missing`: deps this stack has not seen; the records wait, bounded. */
export interface Received { accepted: number, duplicate: number, waiting: number, missing: Range[], closed?: { feed: FeedId, seq: number, why: string },
  /** Records not even looked at, because their device may not write here. */
  refused?: number }

/** A head and the raw bytes of the records up to it, as the store keeps them. */
export interface StoredFeed { feed: FeedId, records: Uint8Array[], heads: Head[] }

/**
 * Where the feeds of one stack live. Append-only; what `append` resolved for survives SIGKILL and power loss.
 * Implementations: memory, framed logs on disk (`@elder-node/crdt-stack/fs`). One acceptance suite.
 */
export interface FeedStore {
  /** Every feed with its records in order: reads the disk once, cuts a torn tail, reports what it cut. */
  load (): Promise<{
    feeds: StoredFeed[]
    repaired: Array<{ feed: FeedId, bytesCut: number }>
    /** Every piece of evidence ever noted, in order. @default none */
    notes?: Array<{ feed: FeedId, evidence: Uint8Array }>
    /** The directory is not where it was made: copied or restored, so own feeds must not be continued. @default false */
    moved?: boolean
  }>
  /**
   * Reads again what was acknowledged, as {@link load} did, but changes nothing; `damaged` names the feeds of which only
   * the first `records` could be read. Not while a batch is appended.
   */
  reread (): Promise<{ feeds: StoredFeed[], damaged: Array<{ feed: FeedId, records: number }>, notes: Array<{ feed: FeedId, evidence: Uint8Array }> }>
  /** Resolves when the batch is durable. Rejects without a trace on a full disk. `batch.from` must be the feed's next seq. */
  append (batch: Batch): Promise<void>
  /** Evidence: a fork proof or an invalid record, kept beside the feed. */
  note (feed: FeedId, evidence: Uint8Array): Promise<void>
  /** A cache of the materialised view with its vector; may be missing or refused at any time. */
  saveSnapshot (bytes: Uint8Array): Promise<void>
  loadSnapshot (): Promise<Uint8Array | undefined>
  close (): Promise<void>
}

export type { Batch, Head, Range, Vector }
