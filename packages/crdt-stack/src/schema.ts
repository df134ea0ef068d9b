/**
 * Shapes of record bodies, and how fields become an entry.
 *
 * new     := {id, kind, fields: {name: value, ...}, body: text, v: 1}
 * set     := {id, field, value}
 * text    := {id, session, format: 1, update: bytes}
 * remove  := {id}
 * restore := {id}
 *
 * Shapes decide acceptance; values never do: a title that is a number is the reader's business (upcast below). Other record
 * kinds, kinds of entry and fields are kept and relayed. Additive only: another text format is another record kind.
 */
import { isCount, isEntryId, LIMITS, type EntryId, type Value } from '@elder-node/protocol'
import { refuse } from './refusal.ts'

export type Fields = Record<string, Value>
export interface NewBody { id: EntryId, kind: string, fields: Fields, body: string, v: number }
export interface SetBody { id: EntryId, field: string, value: Value }
export interface TextBody { id: EntryId, session: number, format: 1, update: Uint8Array }
export interface RemoveBody { id: EntryId }

/** The version of entries that this code writes. */
export const ENTRY_VERSION = 1
export const TEXT_FORMAT = 1
/** The register that `remove` and `restore` write; not a field, so `set` cannot name it. */
export const REMOVED = 'removed'
/** Not registers: part of an entry's birth, or its text. */
const RESERVED: ReadonlySet<string> = new Set(['id', 'kind', 'body', 'v', REMOVED])
const FIELDS_MAX = 64
const FIELD_CHARS_MAX = 64
const SESSIONS_MAX = 1_000_000

/** Entries of these kinds are written once: their body takes no `text`. */
export function isImmutable (kind: string): boolean { return kind === 'message' || kind === 'artifact' }

export function newBody (body: Value): NewBody {
  const [id, kind, fields, text, v] = shape(body, ['id', 'kind', 'fields', 'body', 'v'])
  if (typeof kind !== 'string' || kind.length === 0 || kind.length > 64) refuse('an entry has a kind of 1 to 64 characters')
  if (!isMap(fields) || Object.keys(fields).length > FIELDS_MAX) refuse('the fields of an entry are a bounded map')
  Object.keys(fields).forEach(fieldName)
  if (typeof text !== 'string') refuse('the body of an entry is text')
  if (!isCount(v)) refuse('an entry has a version')
  return { id: entryId(id), kind, fields, body: text, v }
}

export function setBody (body: Value): SetBody {
  const [id, field, value] = shape(body, ['id', 'field', 'value'])
  return { id: entryId(id), field: fieldName(field), value: value as Value }
}

export function textBody (body: Value): TextBody {
  const [id, session, format, update] = shape(body, ['id', 'session', 'format', 'update'])
  if (!isCount(session) || session > SESSIONS_MAX) refuse('a session is a small number')
  if (format !== TEXT_FORMAT) refuse('a text record has format 1')
  if (!(update instanceof Uint8Array)) refuse('a text update is bytes')
  return { id: entryId(id), session, format, update }
}

export function removeBody (body: Value): RemoveBody { return { id: entryId(shape(body, ['id'])[0]) } }

function shape (body: Value, keys: string[]): Array<Value | undefined> {
  if (!isMap(body) || Object.keys(body).length !== keys.length) refuse(`the body of this record is a map of ${keys.join(', ')}`)
  return keys.map(key => Object.hasOwn(body, key) ? body[key] : refuse(`the body of this record lacks ${key}`))
}

function isMap (value: Value | undefined): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

function entryId (value: Value | undefined): EntryId {
  return typeof value === 'string' && isEntryId(value) ? value : refuse('an entry id is a ULID')
}

function fieldName (value: Value | undefined): string {
  if (typeof value !== 'string' || value.length === 0 || value.length > FIELD_CHARS_MAX) refuse('a field has a name of 1 to 64 characters')
  return RESERVED.has(value) ? refuse(`"${value}" is not a field that can be set`) : value
}

/** Upcasts: whatever was written becomes what readers are promised. Pure, and never written back. */
export function titleOf (value: Value | undefined): string {
  return typeof value === 'string' ? value.slice(0, LIMITS.titleCharsMax) : value === undefined || value === null ? '' : JSON.stringify(value).slice(0, LIMITS.titleCharsMax)
}

export function tagsOf (value: Value | undefined): string[] {
  return Array.isArray(value) ? value.filter(tag => typeof tag === 'string').slice(0, LIMITS.tagsMax) : typeof value === 'string' ? [value] : []
}

export function supersedesOf (value: Value | undefined): EntryId | null {
  return typeof value === 'string' && isEntryId(value) ? value : null
}
