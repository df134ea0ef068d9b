/**
 * The accept rule: decides over one record by the record and its causal past alone, never by time or arrival order.
 * Chain and signature (rule 1) were checked before; a record whose causal past is not here yet waits. Numbers as in docs/PROTOCOL.md.
 */
import { entryId, equalBytes, type ChainedRecord, type FeedId, type Range } from '@elder-node/protocol'
import { baseClientId, clientIdOf, entryTail } from './client-id.ts'
import { bodyOf, clockAfter, touch, writeField, type EntryState, type InPast, type Session, type TextState, type Written } from './entries.ts'
import { Refusal, refuse } from './refusal.ts'
import { scanText, type Place, type ScannedText } from './scanner.ts'
import { isImmutable, newBody, REMOVED, removeBody, setBody, textBody, type TextBody } from './schema.ts'
import { endOf, type FeedState, type StackState } from './state.ts'

export type Verdict =
  | { type: 'accepted', entry: EntryState | undefined }
  /** `missing` is undefined when the dep is here but waits itself. */
  | { type: 'waits', missing: Range | undefined }
  | { type: 'invalid', why: string }

/** `own`: this device made the record, so its text is in the open document already. */
export function accept (state: StackState, record: ChainedRecord, own = false): Verdict {
  const feed = state.feed(record.feed)
  try {
    const wait = checkDeps(state, feed, record)
    if (wait !== undefined) return { type: 'waits', ...wait }
    const entry = applyKind(state, feed, record, own)
    for (const dep of record.deps) feed.past.set(state.feed(dep.feed).log.feed, dep.seq)
    feed.accepted = record.seq
    feed.lastAt = record.at
    if (entry !== undefined) touch(entry, record.at)
    return { type: 'accepted', entry }
  } catch (error) {
    if (error instanceof Refusal) return { type: 'invalid', why: error.message }
    throw error
  }
}

/** Rule 2. A dep whose hash is not the one stored is a dep not seen yet: whoever named it must be able to serve it. */
function checkDeps (state: StackState, feed: FeedState, record: ChainedRecord): { missing: Range | undefined } | undefined {
  let wait: { missing: Range | undefined } | undefined
  for (const dep of record.deps) {
    if (dep.feed === record.feed) refuse('a record names its own feed as a dep')
    if ((feed.past.get(dep.feed) ?? 0) >= dep.seq) refuse('a dep does not rise')
    const other = state.feeds.get(dep.feed)
    if (other !== undefined && dep.seq >= (endOf(other) ?? Infinity)) refuse('a dep names a record that was refused')
    const length = other?.log.length ?? 0
    if (other === undefined || length < dep.seq) wait ??= { missing: { feed: dep.feed, from: length + 1, to: dep.seq } }
    else if (!equalBytes(other.log.hashAt(dep.seq), dep.hash)) wait ??= { missing: { feed: dep.feed, from: dep.seq, to: dep.seq } }
    else if (other.accepted < dep.seq) wait ??= { missing: undefined }
  }
  return wait
}

function applyKind (state: StackState, feed: FeedState, record: ChainedRecord, own: boolean): EntryState | undefined {
  const by: Written = { feed: feed.log.feed, seq: record.seq, at: record.at, agent: record.agent, hash: record.hash }
  const inPast = pastOf(feed, record)
  switch (record.kind) {
    case 'new': return acceptNew(state, record, by)
    case 'set': {
      const { id, field, value } = setBody(record.body)
      return acceptField(state, id, field, value, by, inPast)
    }
    case 'remove': return acceptField(state, removeBody(record.body).id, REMOVED, true, by, inPast)
    case 'restore': return acceptField(state, removeBody(record.body).id, REMOVED, false, by, inPast)
    case 'text': return acceptText(state, record, by, inPast, own)
    // Kinds this version does not know count for causality, are kept and relayed, and change nothing.
    default: return undefined
  }
}

/** What the author had seen when it wrote: its own records before, and everything its deps named so far. */
function pastOf (feed: FeedState, record: ChainedRecord): InPast {
  const named = new Map(record.deps.map(dep => [dep.feed as string, dep.seq]))
  return (other, seq) => other === record.feed ? seq < record.seq : seq <= (named.get(other) ?? feed.past.get(other) ?? 0)
}

function acceptNew (state: StackState, record: ChainedRecord, birth: Written): EntryState {
  const { id, kind, fields, body, v } = newBody(record.body)
  if (!isBorn(state, id, record)) refuse('the id of an entry is not derived from its record')
  const entry: EntryState = { id, kind, v, birth, updated: 0, fields: new Map(), body, text: undefined, digest: undefined }
  for (const [field, value] of Object.entries(fields)) entry.fields.set(field, [{ value, by: birth }])
  state.entries.set(id, entry)
  return entry
}

/** The last 16 characters of the id are derived: nobody else can give birth to this id, and this record to no other. */
function isBorn (state: StackState, id: string, record: ChainedRecord): boolean {
  return id.slice(10) === entryId(0, entryTail(state.id, record.feed, record.seq, state.crypto)).slice(10)
}

function acceptField (state: StackState, id: string, field: string, value: Parameters<typeof writeField>[2], by: Written, inPast: InPast): EntryState {
  const entry = seenEntry(state, id, inPast)
  writeField(entry, field, value, by, inPast)
  return entry
}

function seenEntry (state: StackState, id: string, inPast: InPast): EntryState {
  const entry = state.entries.get(id as EntryState['id'])
  return entry !== undefined && inPast(entry.birth.feed, entry.birth.seq) ? entry : refuse('a record names an entry that its author had not seen')
}

/** Rules 3 to 8 and 10 for text. Nothing is touched before the document itself has agreed. */
function acceptText (state: StackState, record: ChainedRecord, by: Written, inPast: InPast, own: boolean): EntryState {
  const body = textBody(record.body)
  const entry = seenEntry(state, body.id, inPast)
  if (isImmutable(entry.kind)) refuse(`the text of a ${entry.kind} cannot be changed`)
  const scanned = scanText(body.update)
  const text = entry.text ?? openText(state, entry)
  const session = sessionOf(state, text, body, by.feed)
  const covered = coveredBy(text, record.feed, session, inPast, by.seq)
  checkClocks(scanned, session)
  checkCoverage(scanned, session, covered)
  if (own) state.bodies.keep(text.source, body.update, scanned, covered)
  else state.bodies.apply(text.source, body.update, scanned, covered)
  commitText(entry, text, session, scanned, by.seq)
  return entry
}

export function openText (state: StackState, entry: EntryState): TextState {
  const base = baseClientId(state.id, entry.id, state.crypto)
  const initial = bodyOf(entry, state.bodies)
  const birth: Session = { feed: entry.birth.feed, session: -1, client: base, seqs: [entry.birth.seq], clocks: [initial.length] }
  return { source: { id: entry.id, base, initial, state: undefined, updates: [] }, sessions: new Map([[base, birth]]), current: new Map() }
}

/** The session a record writes in: the feed's current one, or the next, which closes it. */
export function sessionOf (state: StackState, text: TextState, body: Pick<TextBody, 'id' | 'session'>, feed: FeedId): Session {
  const current = text.current.get(feed)
  if (current?.session === body.session) return current
  if (body.session !== (current === undefined ? 0 : current.session + 1)) refuse('a text session does not follow the one before')
  return { feed, session: body.session, client: clientIdOf(state.id, feed, body.id, body.session, state.crypto), seqs: [], clocks: [] }
}

/** Units of each client in the author's causal past; of its own client, everything before this record. */
function coveredBy (text: TextState, feed: FeedId, session: Session, inPast: InPast, seq: number): (client: number) => number {
  return client => {
    const other = client === session.client ? session : text.sessions.get(client)
    if (other === undefined) return 0
    if (other.feed === feed) return clockAfter(other, seq)
    return clockAfter(other, lastInPast(other, inPast))
  }
}

/** The last record of a session that lies in the past; 0 when none does. */
function lastInPast (session: Session, inPast: InPast): number {
  let [low, high] = [0, session.seqs.length]
  while (low < high) {
    const mid = (low + high) >> 1
    if (inPast(session.feed, session.seqs[mid] as number)) low = mid + 1
    else high = mid
  }
  return low === 0 ? 0 : session.seqs[low - 1] as number
}

/** Rule 6: the session's client, and exactly from its end. */
function checkClocks (scanned: ScannedText, session: Session): void {
  if (scanned.block === undefined) return
  if (scanned.block.client !== session.client) refuse('text is written under the client of another session')
  if (scanned.block.clock !== (session.clocks.at(-1) ?? 0)) refuse('text does not continue where its session ended')
}

/** Rule 7: every reference and every delete lies in the causal past. */
function checkCoverage (scanned: ScannedText, session: Session, covered: (client: number) => number): void {
  const end = scanned.block?.end ?? covered(session.client)
  for (const struct of scanned.block?.structs ?? []) {
    const below = (place: Place | undefined): boolean => place === undefined || place.clock < (place.client === session.client ? struct.clock : covered(place.client))
    if (!below(struct.origin) || !below(struct.right)) refuse('text refers to something its author had not seen')
  }
  for (const { client, clock, length } of scanned.deletes) {
    if (clock + length > (client === session.client ? end : covered(client))) refuse('text deletes something its author had not seen')
  }
}

function commitText (entry: EntryState, text: TextState, session: Session, scanned: ScannedText, seq: number): void {
  session.seqs.push(seq)
  session.clocks.push(scanned.block?.end ?? session.clocks.at(-1) ?? 0)
  text.sessions.set(session.client, session)
  text.current.set(session.feed, session)
  entry.text = text
  entry.body = undefined
}
