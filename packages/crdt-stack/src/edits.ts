/** What people and agents ask for, as records: validated, secrets refused, and only what differs. */
import { ElderError, encode, entryId, equalBytes, isEntryId, LIMITS, type Crypto, type EntryId, type Value } from '@elder-node/protocol'
import { openText } from './accept.ts'
import { clientIdOf, entryTail } from './client-id.ts'
import { difference } from './difference.ts'
import { bodyOf, isRemoved, type EntryState } from './entries.ts'
import type { Replica } from './replica.ts'
import { ENTRY_VERSION, isImmutable, TEXT_FORMAT } from './schema.ts'
import { refuseSecrets } from './secrets.ts'
import type { EntryPatch, NewEntry } from './types.ts'
import type { Writer } from './writer.ts'

export interface EditsComponents { replica: Replica, writer: Writer, crypto: Crypto, wallMs: () => number }

const KIND = /^[a-z][a-z0-9-]{0,31}$/

export class Edits {
  readonly #replica: Replica
  readonly #writer: Writer
  readonly #crypto: Crypto
  readonly #wallMs: () => number

  constructor ({ replica, writer, crypto, wallMs }: EditsComponents) {
    this.#replica = replica
    this.#writer = writer
    this.#crypto = crypto
    this.#wallMs = wallMs
  }

  add (entry: NewEntry, agent: string | undefined): EntryState {
    if (!KIND.test(entry.kind)) throw invalid(`"${entry.kind}" is not a kind of entry`, 'Use note, decision, task or skill, or lower-case letters, digits and dashes.')
    const body = checkText(entry.body ?? '')
    const fields = checkFields({ title: entry.title, tags: entry.tags ?? [], ...(entry.supersedes === undefined ? {} : { supersedes: entry.supersedes }) })
    refuseSecrets(`${body}\n${textIn(fields)}`)
    const { feed, seq } = this.#writer.next()
    const id = entryId(this.#wallMs(), entryTail(this.#replica.state.id, feed, seq, this.#crypto))
    return this.#writer.draft('new', { id, kind: entry.kind, fields, body, v: ENTRY_VERSION }, agent) as EntryState
  }

  edit (id: string, patch: EntryPatch, agent: string | undefined): EntryState {
    const entry = this.#find(id)
    const fields = Object.entries(checkFields(patch)).filter(([field, value]) => differs(entry, field, value))
    refuseSecrets(textIn(Object.fromEntries(fields)))
    if (patch.body !== undefined) this.#editBody(entry, checkText(patch.body), agent)
    for (const [field, value] of fields) this.#writer.draft('set', { id: entry.id, field, value }, agent)
    return entry
  }

  mark (id: string, removed: boolean, agent: string | undefined): EntryState {
    const entry = this.#find(id)
    if (isRemoved(entry) !== removed) this.#writer.draft(removed ? 'remove' : 'restore', { id: entry.id }, agent)
    return entry
  }

  #find (id: string): EntryState {
    const entry = this.#replica.state.entries.get(id as EntryId)
    if (entry === undefined) throw new ElderError('NO_SUCH_ENTRY', `there is no entry ${id} in this stack`, 'List the entries with: elder-node stack show')
    return entry
  }

  #editBody (entry: EntryState, body: string, agent: string | undefined): void {
    const { state } = this.#replica
    const before = bodyOf(entry, state.bodies)
    if (body === before) return
    if (isImmutable(entry.kind)) throw new ElderError('IMMUTABLE', `the body of a ${entry.kind} cannot be changed`, 'Add a new entry that supersedes it.')
    refuseSecrets(body, before)
    const { feed } = this.#writer.next()
    const text = entry.text ?? openText(state, entry)
    const session = text.current.get(feed)?.session ?? 0
    const client = clientIdOf(state.id, feed, entry.id, session, this.#crypto)
    const update = state.bodies.write(text.source, client, difference(before, body))
    try {
      this.#writer.draft('text', { id: entry.id, session, format: TEXT_FORMAT, update }, agent)
    } catch (error) {
      // The document holds what the feed will never hold.
      state.bodies.drop(entry.id)
      throw error
    }
  }
}

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
