/** What people and agents ask for, as records: validated, secrets refused, and only what differs. */
import { ElderError, encode, equalBytes, feedDevice, isEntryId, LIMITS, type FeedId, type Value } from '@elder-node/protocol'
import { difference, rebase } from './difference.ts'
import { authorOf, bodyOf, isRemoved, revisionOf, revisionPart, type EntryState } from './entries.ts'
import { hashOf, type Node, type RecordName } from './feeds/node.ts'
import type { Writer } from './feeds/writer.ts'
import { ENTRY_VERSION, isImmutable, REMOVED, SESSION_BYTES, TEXT_FORMAT } from './schema.ts'
import { refuseSecrets } from './secrets.ts'
import { isShownWhole, sourceOf } from './text/shown.ts'
import type { EditOptions, EntryPatch, NewEntry } from './types.ts'
import type { EntriesView } from './view.ts'

export interface EditsComponents {
  view: () => EntriesView
  writer: Writer
  /** Milliseconds since 1970. */
  wallMs: () => number
  random: (n: number) => Uint8Array
  /** The entry as it was at a revision; undefined when a record of it is not here. */
  entryAt: (entry: EntryState, revision: string) => { title: string, body: string } | undefined
}

const KIND = /^[a-z][a-z0-9-]{0,31}$/
/** A text session never outlives a minute without a write, its feed or its process: what a restored backup writes is not its continuation. */
const SESSION_MS = 60_000

interface OpenSession { feed: FeedId, session: Uint8Array, lastMs: number }

export class Edits {
  readonly #parts: EditsComponents
  readonly #sessions = new Map<RecordName, OpenSession>()

  constructor (components: EditsComponents) { this.#parts = components }

  /** @returns the name of the new entry */
  add (entry: NewEntry, agent: string | undefined): RecordName {
    if (!KIND.test(entry.kind)) throw invalid(`"${entry.kind}" is not a kind of entry`, 'Use note, decision, task or skill, or lower-case letters, digits and dashes.')
    const body = checkText(entry.body ?? '')
    const fields = checkFields({ title: entry.title, tags: entry.tags ?? [], ...(entry.supersedes === undefined ? {} : { supersedes: entry.supersedes }) })
    refuseSecrets(`${body}\n${textIn(fields)}`)
    return this.#parts.writer.draft('new', { kind: entry.kind, fields, body, v: ENTRY_VERSION }, agent).name
  }

  edit (id: string, patch: EntryPatch, agent: string | undefined, options: EditOptions): RecordName {
    const entry = this.find(id)
    if (isRemoved(entry)) throw new ElderError('ENTRY_REMOVED', `Nothing was written: the entry ${entry.id} was removed, and an edit of it would be shown nowhere.`, 'Bring it back first, then edit: elder-node stack rm <stack> <id> --undo')
    const base = options.base === undefined ? undefined : this.#base(entry, options.base)
    const fields = Object.entries(checkFields(patch)).filter(([field, value]) => differs(entry, field, value))
    refuseSecrets(textIn(Object.fromEntries(fields)))
    if (patch.body !== undefined) this.#editBody(entry, checkText(patch.body), agent, { ...options, base })
    for (const [field, value] of fields) this.#draft('set', entry, { field, value }, agent)
    return entry.name
  }

  mark (id: string, removed: boolean, agent: string | undefined): RecordName {
    const entry = this.find(id)
    const isTold = (entry.fields.get(REMOVED) ?? []).every(({ value }) => value === removed)
    if (isRemoved(entry) !== removed || !isTold) this.#draft(removed ? 'remove' : 'restore', entry, {}, agent)
    return entry.name
  }

  find (id: string): EntryState {
    const entry = this.#parts.view().byId(id)
    if (entry === undefined) throw new ElderError('NO_SUCH_ENTRY', `there is no entry ${id} in this stack`, 'List the entries with: elder-node stack show')
    return entry
  }

  #draft (kind: string, entry: EntryState, body: Record<string, Value>, agent: string | undefined): Node {
    return this.#parts.writer.draft(kind, { entry: hashOf(entry.name), ...body }, agent, [entry.birth, ...entry.touched.slice(-1)])
  }

  #base (entry: EntryState, revision: string): { title: string, body: string } {
    const base = this.#parts.entryAt(entry, revision)
    if (base === undefined) throw new ElderError('NO_SUCH_REVISION', `"${revision}" is no revision of this entry that this device holds`, 'Read the entry again and use the revision it shows.')
    return base
  }

  #editBody (entry: EntryState, wanted: string, agent: string | undefined, { base, overwrite }: { base?: { body: string } | undefined, overwrite?: boolean }): void {
    const view = this.#parts.view()
    const now = bodyOf(entry, view.bodies)
    const edits = base === undefined ? difference(now, wanted) : rebase(difference(base.body, wanted), difference(base.body, now))
    if (edits.length === 0) return
    if (isImmutable(entry.kind)) throw new ElderError('IMMUTABLE', `the body of a ${entry.kind} cannot be changed`, 'Add a new entry that supersedes it.')
    if (base === undefined && overwrite !== true) this.#refuseStale(entry, agent)
    refuseSecrets(wanted, now)
    const text = view.textOf(entry)
    const session = this.#session(entry.name, open => isShownWhole(text, view.clientOf(open, entry.name, open.session)))
    const client = view.clientOf(session, entry.name, session.session)
    const update = view.bodies.write(sourceOf(text), client, edits)
    try {
      this.#parts.writer.draft('text', { entry: hashOf(entry.name), session: session.session, format: TEXT_FORMAT, update }, agent, [entry.birth, ...text.texts.keys()])
    } catch (error) {
      // The document holds what the feed will never hold.
      view.bodies.drop(entry.name)
      throw error
    }
  }

  /** `isWhole`: can the session of before go on? */
  #session (entry: RecordName, isWhole: (open: OpenSession) => boolean): OpenSession {
    const { writer, random, wallMs } = this.#parts
    const [feed, now] = [writer.feed as FeedId, wallMs()]
    const open = this.#sessions.get(entry)
    const isOpen = open !== undefined && open.feed === feed && now - open.lastMs < SESSION_MS && now >= open.lastMs && isWhole(open)
    const session: OpenSession = { feed, session: isOpen ? open.session : random(SESSION_BYTES), lastMs: now }
    this.#sessions.set(entry, session)
    if (this.#sessions.size > SESSIONS_MAX) this.#sessions.delete(this.#sessions.keys().next().value as RecordName)
    return session
  }

  /** Somebody else wrote this text last, and the caller did not say which text the new one was made from. */
  #refuseStale (entry: EntryState, agent: string | undefined): void {
    const texts = [...entry.text?.texts.keys() ?? []]
    const last = texts.filter(node => !texts.some(other => other.sees(node)))
    const others = (last.length === 0 ? [entry.birth] : last).filter(node => feedDevice(node.feed) !== this.#parts.writer.device || node.record.agent !== (agent ?? null))
    if (others.length === 0) return
    const revision = revisionOf(entry)
    throw new ElderError('STALE_EDIT', `another device or agent wrote the text of ${entry.id} last`, `Read it and merge: elder-node stack edit ${entry.id} --base ${revision} …; or replace it with --overwrite.`, {
      entry: entry.id, revision, by: others.map(node => ({ ...authorOf(node), revision: revisionPart(node.name) })),
    })
  }
}

const SESSIONS_MAX = 1024

function checkFields ({ title, tags, supersedes }: Omit<EntryPatch, 'body'>): Record<string, Value> {
  if (title !== undefined && (typeof title !== 'string' || title.length > LIMITS.titleCharsMax || !title.isWellFormed())) throw invalid(`a title has at most ${LIMITS.titleCharsMax} characters`, 'Put the rest into the body.')
  if (tags !== undefined && (tags.length > LIMITS.tagsMax || tags.some(tag => typeof tag !== 'string' || tag.length === 0 || tag.length > LIMITS.tagCharsMax || !tag.isWellFormed()))) {
    throw invalid(`an entry has at most ${LIMITS.tagsMax} tags of 1 to ${LIMITS.tagCharsMax} characters`, 'Use fewer or shorter tags.')
  }
  if (supersedes !== undefined && supersedes !== null && !isEntryId(supersedes)) throw invalid(`"${String(supersedes)}" is not the id of an entry`, 'Give the full id of the entry it replaces.')
  return { ...(title === undefined ? {} : { title }), ...(tags === undefined ? {} : { tags: [...tags] }), ...(supersedes === undefined ? {} : { supersedes }) }
}

/** A lone surrogate has no UTF-8: other devices would read another text. */
function checkText (body: string): string {
  if (typeof body !== 'string' || !body.isWellFormed()) throw invalid('a body is well-formed Unicode text', 'Add binary content as an artifact.')
  return body
}

function textIn (fields: Record<string, Value>): string { return Object.values(fields).flat().filter(value => typeof value === 'string').join('\n') }

/** Concurrent values are settled by writing, even when the value shown is already the one wanted. */
function differs (entry: EntryState, field: string, value: Value): boolean {
  const values = entry.fields.get(field)
  return values === undefined ? value !== null : values.length > 1 || !equalBytes(encode(values[0]?.value), encode(value))
}

function invalid (message: string, fix: string): ElderError { return new ElderError('ENTRY_INVALID', message, fix) }
