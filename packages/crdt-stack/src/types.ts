/** The words of a stack: entries as people and agents see them, and the ports a stack stands on. */
import type { DeviceId, EntryId, FeedId, VectorEntry } from '@elder-node/protocol'

export type { Fork, KnownUntil } from './feeds/forks.ts'

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
  /** Names this state of the entry: the beginnings of its newest records' hashes, joined by `+`. */
  revision: string
  supersedes: EntryId | null
  /** Set when the entry was removed; it is then left out of lists but can be restored. Written to by somebody who had not seen that, it is shown: `rivals.removed`. */
  removed: boolean
  /** Fields with concurrent values: what else was written at the same time. */
  rivals: Record<string, Rival[]>
  /** Fields this version does not know: kept, relayed, rendered. */
  extra: Record<string, unknown>
  /** How many further values `rivals` and `extra` would have: they are bounded. Left out while they have all. */
  omitted?: number
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
  /** Names the entry as its author left it. */
  revision: string
  /** Names the entry as its author found it; null for its first record. Only in the history of one entry. */
  before?: string | null
  feed: FeedId
  seq: number
}

export interface AuditProblem {
  /** Bytes that do not read; a chain or signature that does not hold; records that are gone; another result. */
  code: 'FEED_DAMAGED' | 'FEED_GONE' | 'FEED_BROKEN' | 'FEED_SHORT' | 'VIEW_DIFFERS'
  message: string
  feed?: FeedId
  /** Where the bytes can be looked at. */
  file?: string
}

/** What the store alone leads to. Without problems, `digest` and `feeds` are those that the running stack shows. */
export interface Audit {
  digest: string
  feeds: string
  records: number
  signatures: number
  perFeed: Array<{ feed: FeedId, records: number }>
  problems: AuditProblem[]
  /** Records of evicted devices beyond their cuts, which a further cut can bring back. */
  beyond: Array<{ device: DeviceId, records: number }>
}

/** A record that is held and not shown: `void` when its author broke a rule, `skipped` when what it builds on is not shown. */
export interface UnshownRecord { feed: FeedId, seq: number, kind: string, state: 'void' | 'skipped', why: string,
  /** The device at fault, where it is known. */
  device: DeviceId | undefined }

/**
 * Records of one device that are held and lack something that they lead to.
 * `more`: others were offered, and there was no room for them. `oldestAt`: when the first of them was written, by the clock of that device.
 */
export interface WaitingRecords { device: DeviceId, records: number, more: boolean, oldestAt: string }

export interface NewEntry { kind: EntryKind, title: string, body?: string, tags?: string[], supersedes?: EntryId }
export interface EntryPatch { title?: string, body?: string, tags?: string[], supersedes?: EntryId | null }

/** `digest` of the content, `feeds` of the vector; both base32 of sha256, equal on every converged device. */
export interface StackDigest { stack: string, digest: string, feeds: string }

/** Somebody's fault, met for the first time: a second history of a feed, or a record that breaks a rule. Nobody else's records suffer. */
export type StackFault = { type: 'fork', feed: FeedId, seq: number } | { type: 'void', feed: FeedId, seq: number, why: string }

export type StackChange = { type: 'entry', entry: Entry, feed: FeedId, seq: number } | StackFault

/** What became of received batches: new records, those that were here, those that wait, and what those wait for (a bounded list). */
export interface Received { accepted: number, duplicate: number, waiting: number, missing: VectorEntry[],
  /** Records that were not taken in: their device may not write here, its share of the waiting room is full, or its bound on heads is. */
  refused: number }

/** How a body is changed. */
export interface EditOptions {
  /** The revision that the new body was made from: what was written since then survives. */
  base?: string
  /** Replaces what somebody else wrote last. @default false */
  overwrite?: boolean
}
