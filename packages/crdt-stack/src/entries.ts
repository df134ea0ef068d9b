/**
 * Records to entries. A field is a multi-value register ordered by causality: a write replaces every value in its causal past;
 * concurrent values all stay, one is shown (latest `at`, then greatest hash), the others are listed as rivals.
 * After Almeida, Shoker, Baquero: delta state replicated data types (2018), with the author's vector as the causal context.
 */
import { compareBytes, feedDevice, type EntryId, type FeedId, type Value } from '@elder-node/protocol'
import type { Bodies, TextSource } from './body.ts'
import { REMOVED, supersedesOf, tagsOf, titleOf } from './schema.ts'
import { isoOf } from './time.ts'
import type { Author, Entry, Outline, Rival } from './types.ts'

/** Which record wrote something. */
export interface Written { feed: FeedId, seq: number, at: number, agent: string | null, hash: Uint8Array }
export interface FieldValue { value: Value, by: Written }

/** The units one feed wrote into one body in one session: how far (`clocks`) after which of its records (`seqs`). */
export interface Session { feed: FeedId, session: number, client: number, seqs: number[], clocks: number[] }
/** An edited body. `sessions` by client; `current` is each feed's open session. */
export interface TextState { source: TextSource, sessions: Map<number, Session>, current: Map<FeedId, Session> }

export interface EntryState {
  id: EntryId
  kind: string
  v: number
  birth: Written
  /** Latest `at` of any record that touched it. */
  updated: number
  fields: Map<string, FieldValue[]>
  /** Undefined while only its document knows it. */
  body: string | undefined
  text: TextState | undefined
  /** Cache of the canonical digest; undefined when it has to be computed again. */
  digest: Uint8Array | undefined
}

/** Does the author's causal past hold this record? */
export type InPast = (feed: FeedId, seq: number) => boolean

export function writeField (entry: EntryState, field: string, value: Value, by: Written, inPast: InPast): void {
  const rivals = (entry.fields.get(field) ?? []).filter(other => !inPast(other.by.feed, other.by.seq))
  entry.fields.set(field, [...rivals, { value, by }].sort(latestFirst))
}

/** A total order, so every device lists the same values in the same order. */
function latestFirst (a: FieldValue, b: FieldValue): number { return b.by.at - a.by.at || compareBytes(b.by.hash, a.by.hash) }

export function touch (entry: EntryState, at: number): void {
  entry.updated = Math.max(entry.updated, at)
  entry.digest = undefined
}

/** Unit clock that `session` had reached after record `seq` of its feed. */
export function clockAfter (session: Session, seq: number): number {
  let [low, high] = [0, session.seqs.length]
  while (low < high) {
    const mid = (low + high) >> 1
    if ((session.seqs[mid] as number) <= seq) low = mid + 1
    else high = mid
  }
  return low === 0 ? 0 : session.clocks[low - 1] as number
}

export function bodyOf (entry: EntryState, bodies: Bodies): string {
  entry.body ??= entry.text === undefined ? '' : bodies.text(entry.text.source)
  return entry.body
}

/** The body for a pass over many: a document that was closed is closed again, and nothing is kept. */
export function glanceAt (entry: EntryState, bodies: Bodies): string {
  return entry.body ?? (entry.text === undefined ? '' : bodies.glance(entry.text.source))
}

export function isRemoved (entry: EntryState): boolean { return entry.fields.get(REMOVED)?.[0]?.value === true }

const KNOWN: ReadonlySet<string> = new Set(['title', 'tags', 'supersedes', REMOVED])

/** The entry as people and agents see it. */
export function toEntry (entry: EntryState, bodies: Bodies): Entry { return { ...outlineOf(entry), body: bodyOf(entry, bodies) } }

/** All but the body, which may have to be computed. */
export function outlineOf (entry: EntryState): Outline {
  const shown = (field: string): Value | undefined => entry.fields.get(field)?.[0]?.value
  const extra = [...entry.fields].filter(([field]) => !KNOWN.has(field)).map(([field, values]) => [field, values[0]?.value] as const)
  const rivals = [...entry.fields].filter(([, values]) => values.length > 1).map(([field, values]) => [field, values.slice(1).map(rivalOf)] as const)
  return {
    id: entry.id,
    kind: entry.kind,
    title: titleOf(shown('title')),
    tags: tagsOf(shown('tags')),
    author: authorOf(entry.birth),
    createdAt: isoOf(entry.birth.at),
    updatedAt: isoOf(entry.updated),
    supersedes: supersedesOf(shown('supersedes')),
    removed: isRemoved(entry),
    rivals: Object.fromEntries(rivals),
    extra: Object.fromEntries(extra),
  }
}

function rivalOf (value: FieldValue): Rival { return { value: value.value, author: authorOf(value.by), at: value.by.at } }

function authorOf (by: Written): Author {
  return { device: feedDevice(by.feed), ...(by.agent === null ? {} : { agent: by.agent }) }
}
