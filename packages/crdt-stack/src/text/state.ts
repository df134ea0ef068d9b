/**
 * The text of one entry as its records wrote it: which units exist, who wrote them, and which of them are shown.
 *
 * A *unit* is one UTF-16 unit by (client, clock). A *session* is what one feed wrote under one client. A forked feed may have
 * written two contents under one (client, clock): the body is then read from its records in one order that every device shares
 * (beyond a cut last, height, hash). A record counts if the records that wrote what it needs count and no counting record wrote
 * under one of its (client, clock); the others are skipped. A body without such a conflict grows record by record.
 */
import type { FeedId } from '@elder-node/protocol'
import type { TextSource } from '../body.ts'
import type { Node } from '../feeds/node.ts'
import type { ScannedText } from '../scanner.ts'

/** What one record wrote under its session's client: clocks `clock` to `end - 1`. */
export interface Units { node: Node, clock: number, end: number }

export interface Session {
  feed: FeedId
  /** Of records that keep the rules; by the order in which they came. */
  units: Units[]
  /** Of void records: others may build on them, and are then skipped. */
  voids: Units[]
  /** Both by place, made when first asked for: with two contents under one place a search has to find both. */
  places: Places | undefined
}

/** Rising by clock; `reach`: the furthest end up to there. */
export interface Places { units: Units[], reach: number[] }

export interface TextState {
  /** The entry's `new` record, which wrote the first content. */
  readonly birth: Node
  /** To be asked for by {@link sourceOf}: records may have come since it was read. */
  source: TextSource
  /** Reads again what is shown and skipped, once for all records that came since; undefined when that is up to date. */
  reread: (() => void) | undefined
  /** What the authors of its latest records had seen. */
  pasts: Past[]
  /** By client. The base client's one record is the entry's `new`. */
  sessions: Map<number, Session>
  base: number
  /** Records with text that keep the rules, with what they claim. */
  texts: Map<Node, Written>
  /** Some (client, clock) was written twice. */
  hasConflict: boolean
}

/** `skipped`: why its text is not shown though it keeps the rules. */
export interface Written { client: number, update: Uint8Array, skipped: Skip | undefined }
/** `at`: the record at fault, where it is known. */
export interface Skip { why: string, at: Node | undefined }

export interface TextRecord { node: Node, client: number, update: Uint8Array, scanned: ScannedText }

/**
 * The text in the past of `at`, with its document: most often the next record saw what this one saw, and this one.
 * Without a conflict in it, what counts follows from the needs alone, and a record that came later changes none of it.
 */
export interface Past {
  at: Node
  /** Two records of it wrote under one (client, clock): so it is in every past that holds this one. */
  hasConflict: boolean
  /** Records of it whose text does not count. */
  skipped: Set<Node>
  source: TextSource
  /** The update of `at`: its document holds it, though it is not in its past. */
  tried: Uint8Array | undefined
}

export function newText (entry: string, base: number, initial: string, birth: Node): TextState {
  const units = { node: birth, clock: 0, end: initial.length }
  return {
    birth, source: { entry, base, initial, state: undefined, updates: [], masks: [] }, base, texts: new Map(), hasConflict: false,
    reread: undefined, pasts: [],
    sessions: new Map([[base, { feed: birth.feed, units: birth.why === undefined ? [units] : [], voids: birth.why === undefined ? [] : [units], places: undefined }]]),
  }
}
