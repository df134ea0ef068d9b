/** Entries as they are told: with what replaced them, as they were, and what each change did. */
import { setImmediate } from 'node:timers/promises'
import { unified, type Entry, type EntryPatch, type HistoryItem, type Stack } from '@elder-node/crdt-stack'
import { codeOf, ElderError, type EntryId } from '@elder-node/protocol'
import type { EntryChange, ShownEntry } from '../../api.ts'

/** Lines of a difference in an error: it is to be read at once. */
const LINES_MAX = 40
/** Everybody else of the node waits meanwhile. */
const BLOCKED_MS_MAX = 10
const FIELDS = ['title', 'tags', 'supersedes'] as const

/** Each entry that another one replaces, with the newest that does. */
export function replacements (stack: Stack): ReadonlyMap<EntryId, EntryId> {
  // Oldest first: the newest comes last and stays.
  const all = stack.documents()
  return new Map(all.flatMap(({ id, supersedes }) => supersedes === null ? [] : [[supersedes, id] as const]))
}

export function shownEntry (stack: Stack, entry: Entry): ShownEntry {
  return { ...entry, supersededBy: replacements(stack).get(entry.id) ?? null }
}

/** @throws ElderError `NO_SUCH_REVISION` */
export function entryAt (stack: Stack, entry: Entry, revision: string): Entry {
  const found = stack.entryAt(entry.id, revision)
  if (found !== undefined) return found
  throw new ElderError(
    'NO_SUCH_REVISION', `"${revision}" is no revision of ${entry.id} that this device holds.`,
    `elder-node stack log ${stack.name} --entry ${entry.id}   (shows its revisions)`,
  )
}

/**
 * A field cannot be merged: what somebody set since the caller read it stays, and the caller is told.
 *
 * @throws ElderError `STALE_EDIT`, `NO_SUCH_REVISION`
 */
export function refuseStaleFields (stack: Stack, now: Entry, patch: EntryPatch, base: string): void {
  const then = entryAt(stack, now, base)
  const asked = FIELDS.filter(field => patch[field] !== undefined && !same(patch[field], now[field]))
  const changed = asked.filter(field => !same(then[field], now[field]))
  if (changed.length === 0) return
  const difference = changed.map(field => replaced(field, now[field], patch[field])).join('\n')
  throw stale(stack, now, `the ${changed.join(' and the ')} of ${now.id} was changed after ${base}`, difference)
}

/** Says of a refused edit what it would have changed, and how to merge. Any other error stays as it is. */
export function explained (error: unknown, stack: Stack, now: Entry, patch: EntryPatch): unknown {
  if (codeOf(error) !== 'STALE_EDIT') return error
  const why = `somebody else wrote the text of ${now.id} last, and the new one is not said to be made from it`
  return stale(stack, now, why, unified(now.body, patch.body ?? now.body, { linesMax: LINES_MAX }))
}

/** Each change of one entry with what it did to what its author saw, newest first. Read in one pass, which keeps nobody waiting. */
export async function changesOf (stack: Stack, { id }: Entry, items: HistoryItem[]): Promise<EntryChange[]> {
  const pause = yieldEvery(BLOCKED_MS_MAX)
  const then = stack.replay(id, { pause })
  // What one change left is what the next one found, mostly.
  let last: { revision: string, entry: Then } | undefined
  const at = async (revision: string | null | undefined): Promise<Then> => {
    if (revision === null || revision === undefined) return undefined
    if (last?.revision !== revision) last = { revision, entry: await then?.at(revision) }
    return last.entry
  }
  const changes: EntryChange[] = []
  for (const item of items.toReversed()) {
    const before = await at(item.before)
    changes.push({ ...item, difference: differenceOf(item, before, await at(item.revision)) })
    await pause()
  }
  return changes.reverse()
}

/** Lets others run when this one has for so long. */
function yieldEvery (ms: number): () => Promise<void> {
  let since = performance.now()
  return async () => {
    if (performance.now() - since < ms) return
    await setImmediate()
    since = performance.now()
  }
}

type Then = Entry | undefined

function differenceOf ({ change, field }: HistoryItem, before: Then, after: Then): string | null {
  if (after === undefined) return null
  if (change === 'new' || change === 'text') return unified(before?.body ?? '', after.body)
  if (change !== 'set' || field === null) return null
  const [was, is] = [valueIn(before, field), valueIn(after, field)]
  return same(was, is) ? null : replaced(field, was, is)
}

function valueIn (entry: Then, field: string): unknown {
  return entry === undefined ? null : (entry as unknown as Record<string, unknown>)[field] ?? entry.extra[field] ?? null
}

function replaced (field: string, was: unknown, is: unknown): string {
  return `-${field}: ${JSON.stringify(was)}\n+${field}: ${JSON.stringify(is)}`
}

function stale ({ name }: Stack, { id, revision }: Entry, why: string, difference: string): ElderError {
  return new ElderError(
    'STALE_EDIT', `Nothing was written: ${why}. It would change this (revision ${revision}):\n${difference}`,
    `elder-node stack edit ${name} ${id} --base ${revision} --body -   (with a text made from what is there now; ` +
    '--base with the revision that you read merges; --overwrite replaces it)',
    { entry: id, revision, difference },
  )
}

function same (a: unknown, b: unknown): boolean { return JSON.stringify(a) === JSON.stringify(b) }
