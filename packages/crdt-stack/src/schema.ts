/**
 * Shapes of record bodies, and how fields become an entry.
 *
 * new     := {kind, fields: {name: value, ...}, body: text, v: 1}
 * set     := {entry, field, value}
 * text    := {entry, session, format: 1, update: bytes}
 * remove  := {entry}
 * restore := {entry}
 * entry   := hash of the `new` record, 32 bytes
 * session := 8 random bytes, the same in all records of one session
 *
 * Shapes decide whether a record is void; values never do: a title that is a number is the reader's business (upcast below). Other record
 * kinds, kinds of entry and fields are kept and relayed. Additive only: another text format is another record kind.
 */
import { isCount, isEntryId, isHash, LIMITS, toHex, type EntryId, type Value } from '@elder-node/protocol'
import type { RecordName } from './feeds/node.ts'
import { refuse } from './refusal.ts'

export type Fields = Record<string, Value>
export interface NewBody { kind: string, fields: Fields, body: string, v: number }
export interface SetBody { entry: RecordName, field: string, value: Value }
export interface TextBody { entry: RecordName, session: Uint8Array, update: Uint8Array }

/** The version of entries that this code writes. */
export const ENTRY_VERSION = 1
export const TEXT_FORMAT = 1
/** The register that `remove` and `restore` write; not a field, so `set` cannot name it. */
export const REMOVED = 'removed'
/** Not registers: part of an entry's birth, or its text. */
const RESERVED: ReadonlySet<string> = new Set(['id', 'kind', 'body', 'v', REMOVED])
const FIELDS_MAX = 64
const FIELD_CHARS_MAX = 64
export const SESSION_BYTES = 8

/** Entries of these kinds are written once: their body takes no `text`. */
export function isImmutable (kind: string): boolean { return kind === 'message' || kind === 'artifact' }

export function newBody (body: Value): NewBody {
  const [kind, fields, text, v] = shape(body, ['kind', 'fields', 'body', 'v'])
  if (typeof kind !== 'string' || kind.length === 0 || kind.length > 64) refuse('an entry has a kind of 1 to 64 characters')
  if (!isMap(fields) || Object.keys(fields).length > FIELDS_MAX) refuse('the fields of an entry are a bounded map')
  Object.keys(fields).forEach(fieldName)
  if (typeof text !== 'string') refuse('the body of an entry is text')
  if (!isCount(v)) refuse('an entry has a version')
  return { kind, fields, body: text, v }
}

export function setBody (body: Value): SetBody {
  const [entry, field, value] = shape(body, ['entry', 'field', 'value'])
  return { entry: entryName(entry), field: fieldName(field), value: value as Value }
}

export function textBody (body: Value): TextBody {
  const [entry, session, format, update] = shape(body, ['entry', 'session', 'format', 'update'])
  if (!(session instanceof Uint8Array) || session.length !== SESSION_BYTES) refuse(`a text session is ${SESSION_BYTES} bytes`)
  if (format !== TEXT_FORMAT) refuse('a text record has format 1')
  if (!(update instanceof Uint8Array)) refuse('a text update is bytes')
  return { entry: entryName(entry), session, update }
}

/** The entry that a `remove` or a `restore` names. */
export function markBody (body: Value): RecordName { return entryName(shape(body, ['entry'])[0]) }

/** The entry that a body names, when it can be told: for lists of what is not shown. */
export function namedEntry (body: Value): RecordName | undefined {
  return isMap(body) && isHash(body['entry']) ? toHex(body['entry']) : undefined
}

function shape (body: Value, keys: string[]): Array<Value | undefined> {
  if (!isMap(body) || Object.keys(body).length !== keys.length) refuse(`the body of this record is a map of ${keys.join(', ')}`)
  return keys.map(key => Object.hasOwn(body, key) ? body[key] : refuse(`the body of this record lacks ${key}`))
}

function isMap (value: Value | undefined): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

function entryName (value: Value | undefined): RecordName { return isHash(value) ? toHex(value) : refuse('an entry is named by the hash of its record') }

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
