/**
 * A cache of the state, used only when the feeds still hold what it was made of. Canonical CBOR; never leaves the device.
 *
 * snapshot := [version, stack, notes, feed*, entry*]
 * feed     := [feedKey, accepted, hash, lastAt, [[feed index, seq], ...], closed | null]      closed := [seq, why]
 * entry    := [id, kind, v, by, updated, [[field, [[value, by], ...]], ...], body, text | null]
 * by       := [feed index, seq, at, agent]
 * text     := [base, state, [[feed index, session, client, seqs, clocks], ...]]
 */
import { decode, encode, equalBytes, feedIdOf, feedKey, LIMITS, type FeedId, type Value } from '@elder-node/protocol'
import { bodyOf, type EntryState, type FieldValue, type Session, type TextState, type Written } from './entries.ts'
import type { FeedState, StackState } from './state.ts'

const VERSION = 1
const BYTES_MAX = 1_073_741_824
/** A value stands a few levels deeper here than in its record. */
const NESTING_MAX = LIMITS.nestingMax + 8

/** `notes`: how many pieces of evidence were known; one more makes the snapshot useless. */
export function saveState (state: StackState, notes: number): Uint8Array {
  const index = new Map([...state.feeds.keys()].map((id, i) => [id, i] as const))
  const by = (written: Written): unknown => [index.get(written.feed), written.seq, written.at, written.agent]
  const sessionValue = (session: Session): unknown => [index.get(session.feed), session.session, session.client, session.seqs, session.clocks]
  const feeds = [...state.feeds].map(([id, feed]) => [
    feedKey(id), feed.accepted, feed.log.hashAt(feed.accepted), feed.lastAt, [...feed.past].map(([other, seq]) => [index.get(other), seq]),
    feed.closed === undefined ? null : [feed.closed.seq, feed.closed.why]])
  const entries = [...state.entries.values()].map(entry => [
    entry.id, entry.kind, entry.v, by(entry.birth), entry.updated,
    [...entry.fields].map(([field, values]) => [field, values.map(value => [value.value, by(value.by)])]),
    bodyOf(entry, state.bodies),
    entry.text === undefined ? null : [entry.text.source.base, state.bodies.encode(entry.text.source), [...entry.text.sessions.values()].map(sessionValue)]])
  return encode([VERSION, state.id, notes, feeds, entries])
}

/** Fills a state whose logs are loaded. @returns false, with nothing to rely on in `state`, when the snapshot does not fit them. */
export function loadState (state: StackState, bytes: Uint8Array, notes: number): boolean {
  try {
    const [version, stack, known, feeds, entries] = decode(bytes, BYTES_MAX, NESTING_MAX) as [number, string, number, FeedRow[], EntryRow[]]
    if (version !== VERSION || stack !== state.id || known !== notes) return false
    const ids = feeds.map(([key]) => feedIdOf(key))
    const states = ids.map(id => state.feeds.get(id))
    if (!feeds.every(([, accepted, hash], i) => accepted <= (states[i]?.log.length ?? -1) && equalBytes((states[i] as FeedState).log.hashAt(accepted), hash))) return false
    feeds.forEach((row, i) => restoreFeed(states[i] as FeedState, row, ids))
    for (const row of entries) state.entries.set(row[0] as EntryState['id'], entryOf(state, row, ids))
    return true
  } catch {
    return false
  }
}

type ByRow = [feed: number, seq: number, at: number, agent: string | null]
type FeedRow = [key: Uint8Array, accepted: number, hash: Uint8Array, lastAt: number, past: Array<[number, number]>, closed: [number, string] | null]
type SessionRow = [feed: number, session: number, client: number, seqs: number[], clocks: number[]]
type TextRow = [base: number, state: Uint8Array, sessions: SessionRow[]]
type EntryRow = [id: string, kind: string, v: number, birth: ByRow, updated: number, fields: Array<[string, Array<[Value, ByRow]>]>, body: string, text: TextRow | null]

function restoreFeed (feed: FeedState, [, accepted, , lastAt, past, closed]: FeedRow, ids: FeedId[]): void {
  feed.accepted = accepted
  feed.lastAt = lastAt
  feed.past = new Map(past.map(([other, seq]) => [ids[other] as FeedId, seq]))
  feed.closed = closed === null ? undefined : { seq: closed[0], why: closed[1] }
}

function entryOf (state: StackState, [id, kind, v, birthRow, updated, fieldRows, body, textRow]: EntryRow, ids: FeedId[]): EntryState {
  const birth = written(state, birthRow, ids)
  // Most values were written at birth: they share its record, as they do when they are made from records.
  const by = (row: ByRow): Written => row[0] === birthRow[0] && row[1] === birthRow[1] ? birth : written(state, row, ids)
  const fields = new Map(fieldRows.map(([field, values]) => [field, values.map(([value, row]): FieldValue => ({ value, by: by(row) }))] as const))
  const text = textRow === null ? undefined : textOf(id as EntryState['id'], textRow, ids)
  return { id: id as EntryState['id'], kind, v, birth, updated, fields, body, text, digest: undefined }
}

function written (state: StackState, [index, seq, at, agent]: ByRow, ids: FeedId[]): Written {
  const feed = ids[index] as FeedId
  return { feed, seq, at, agent, hash: state.feed(feed).log.hashAt(seq) }
}

function textOf (id: EntryState['id'], [base, state, rows]: TextRow, ids: FeedId[]): TextState {
  const sessions = new Map(rows.map(([feed, session, client, seqs, clocks]): [number, Session] => [client, { feed: ids[feed] as FeedId, session, client, seqs, clocks }]))
  const current = new Map<FeedId, Session>()
  for (const session of sessions.values()) {
    if (session.session > (current.get(session.feed)?.session ?? -1)) current.set(session.feed, session)
  }
  return { source: { id, base, initial: '', state, updates: [] }, sessions, current }
}
