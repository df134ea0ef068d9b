/**
 * Records to entries. A field is a multi-value register ordered by causality: a write replaces every value in its causal past;
 * concurrent values all stay, one is shown (latest `at`, then greatest hash), the others are listed as rivals.
 * After Almeida, Shoker, Baquero: delta state replicated data types (2018), with the record's causal past as the context.
 */
import { encode, feedDevice, LIMITS, toBase32, type EntryId, type Value } from '@elder-node/protocol'
import type { Bodies } from './body.ts'
import { hashOf, type Node, type RecordName } from './feeds/node.ts'
import { REMOVED, supersedesOf, tagsOf, titleOf } from './schema.ts'
import { sourceOf } from './text/shown.ts'
import type { TextState } from './text/state.ts'
import { isoOf } from './time.ts'
import type { Author, Entry, Outline, Rival } from './types.ts'

export interface FieldValue { value: Value, by: Node }

export interface EntryState {
  /** Hash (hex) of its `new` record: how records name it. */
  readonly name: RecordName
  /** What people call it. */
  id: EntryId
  readonly kind: string
  readonly v: number
  readonly birth: Node
  /** Why it is not shown: its `new` record is void, or of an evicted device. */
  hidden: string | undefined
  /** Latest `at` of any record that touched it. */
  updated: number
  readonly fields: Map<string, FieldValue[]>
  /** Undefined while only its document knows it. */
  body: string | undefined
  text: TextState | undefined
  /** Records that changed it, in causal order; and those of them that no other one had seen. */
  touched: Node[]
  newest: Node[]
  /** Cache of the canonical digest; undefined when it has to be computed again. */
  digest: Uint8Array | undefined
}

export function writeField (entry: EntryState, field: string, value: Value, by: Node): void {
  const rivals = (entry.fields.get(field) ?? []).filter(other => !by.sees(other.by))
  entry.fields.set(field, [...rivals, { value, by }].sort(latestFirst))
}

/** A total order, so every device lists the same values in the same order. */
function latestFirst (a: FieldValue, b: FieldValue): number { return b.by.record.at - a.by.record.at || (a.by.name < b.by.name ? 1 : -1) }

/** A record changed the entry. */
export function touch (entry: EntryState, by: Node): void {
  entry.updated = Math.max(entry.updated, by.record.at)
  entry.newest = [...entry.newest.filter(other => !by.sees(other)), by]
  // Most entries are touched once: one list serves as both until there is a second record.
  if (entry.touched.length === 0) entry.touched = entry.newest
  else if (entry.touched.length === 1) entry.touched = [entry.touched[0] as Node, by]
  else entry.touched.push(by)
  entry.digest = undefined
}

export function bodyOf (entry: EntryState, bodies: Bodies): string {
  entry.body ??= entry.text === undefined ? '' : bodies.text(sourceOf(entry.text))
  return entry.body
}

/** The body for a pass over many: a document that was closed is closed again, and nothing is kept. */
export function glanceAt (entry: EntryState, bodies: Bodies): string {
  return entry.body ?? (entry.text === undefined ? '' : bodies.glance(sourceOf(entry.text)))
}

/** Every newest record is a removal: what somebody wrote without knowing of it shows the entry again, for words never vanish in silence. */
export function isRemoved ({ newest }: EntryState): boolean { return newest.every(({ record }) => record.kind === 'remove') }

const KNOWN: ReadonlySet<string> = new Set(['title', 'tags', 'supersedes', REMOVED])
const REVISION_CHARS = 16
const VALUES_SHOWN_MAX = 64

/** Names a state of the entry: its newest records, each by the beginning of its hash. Whoever holds them can read that state. */
export function revisionOf (entry: EntryState): string { return entry.newest.map(node => revisionPart(node.name)).sort().join('+') }

export function revisionPart (name: RecordName): string { return toBase32(hashOf(name)).slice(0, REVISION_CHARS) }

/** The entry as people and agents see it. */
export function toEntry (entry: EntryState, bodies: Bodies): Entry { return { ...outlineOf(entry), body: bodyOf(entry, bodies) } }

/** All but the body, which may have to be computed. */
export function outlineOf (entry: EntryState): Outline {
  const shown = (field: string): Value | undefined => entry.fields.get(field)?.[0]?.value
  // By name, so that every device prints the same text.
  const fields = [...entry.fields].sort(([a], [b]) => a < b ? -1 : 1)
  const room = new Room()
  const extra = fields.filter(([field, [first]]) => !KNOWN.has(field) && first !== undefined && room.takes(first.value)).map(([field, values]) => [field, values[0]?.value] as const)
  const removed = isRemoved(entry)
  const others = (field: string, values: FieldValue[]): FieldValue[] => field === REMOVED ? values.filter(({ value }) => value !== removed) : values.slice(1)
  const rivalRoom = new Room()
  // Those of the fields that people read are not for others to crowd out.
  const rivals = [...fields.filter(([field]) => KNOWN.has(field)), ...fields.filter(([field]) => !KNOWN.has(field))]
    .map(([field, values]) => [field, others(field, values).filter(({ value }) => rivalRoom.takes(value)).map(rivalOf)] as const).filter(([, values]) => values.length > 0)
  const omitted = room.omitted + rivalRoom.omitted
  return {
    id: entry.id,
    kind: entry.kind,
    title: titleOf(shown('title')),
    tags: tagsOf(shown('tags')),
    author: authorOf(entry.birth),
    createdAt: isoOf(entry.birth.record.at),
    updatedAt: isoOf(entry.updated),
    revision: revisionOf(entry),
    supersedes: supersedesOf(shown('supersedes')),
    removed,
    rivals: Object.fromEntries(rivals),
    extra: Object.fromEntries(extra),
    ...(omitted === 0 ? {} : { omitted }),
  }
}

/** What one entry shows beside its fields. Any member can write fields without end, and whoever lists the stack reads them all. */
class Room {
  #values = VALUES_SHOWN_MAX
  #bytes = LIMITS.recordBytesMax
  omitted = 0

  takes (value: Value): boolean {
    const bytes = this.#values > 0 ? encode(value).length : Infinity
    if (bytes > this.#bytes) {
      this.omitted++
      return false
    }
    this.#values--
    this.#bytes -= bytes
    return true
  }
}

function rivalOf (value: FieldValue): Rival { return { value: value.value, author: authorOf(value.by), at: value.by.record.at } }

export function authorOf ({ record: { feed, agent } }: Node): Author {
  return { device: feedDevice(feed), ...(agent === null ? {} : { agent }) }
}
