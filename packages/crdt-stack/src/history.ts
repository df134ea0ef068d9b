/** Who wrote what, and when: the records of every feed, newest first. */
import { decodeRecord, type EntryId } from '@elder-node/protocol'
import { authorOf, outlineOf, revisionPart, type EntryState } from './entries.ts'
import type { Graph } from './feeds/graph.ts'
import type { Node } from './feeds/node.ts'
import { namedEntry } from './schema.ts'
import { isoOf } from './time.ts'
import type { HistoryItem } from './types.ts'
import type { EntriesView } from './view.ts'

export interface HistoryOptions {
  /** Of one entry. */
  entry?: EntryId
  /** @default 50 */
  limit?: number
}

const ITEMS = 50

/** By the writers' clocks; what a record had seen stands below it. Void records and those of evicted devices are left out. */
export function history (graph: Graph, view: EntriesView, { entry, limit = ITEMS }: HistoryOptions = {}): HistoryItem[] {
  const state = entry === undefined ? undefined : view.byId(entry)
  if (entry !== undefined && state === undefined) return []
  const nodes = state?.touched ?? [...graph.nodes()].filter(node => node.why === undefined && node.record.kind !== 'see' && !graph.isMasked(node))
  return [...nodes].sort((a, b) => b.record.at - a.record.at || b.height - a.height || (a.name < b.name ? -1 : 1)).slice(0, limit).map(node => itemOf(view, node, state))
}

function itemOf (view: EntriesView, node: Node, state: EntryState | undefined): HistoryItem {
  const { body } = decodeRecord(node.record.bytes, { isOurs: true })
  const { kind, at } = node.record
  const entry = state ?? view.entries.get(kind === 'new' ? node.name : namedEntry(body) ?? '')
  const known = entry === undefined || entry.hidden !== undefined ? undefined : outlineOf(entry)
  const { field } = (typeof body === 'object' && body !== null && !Array.isArray(body) && !(body instanceof Uint8Array) ? body : {}) as { field?: unknown }
  return {
    at: isoOf(at), author: authorOf(node), change: kind, field: kind === 'text' ? 'body' : typeof field === 'string' ? field : null,
    entry: known === undefined ? null : { id: known.id, kind: known.kind, title: known.title }, revision: revisionPart(node.name), ...(state === undefined ? {} : { before: before(state, node) }), feed: node.feed, seq: node.seq,
  }
}

/** The newest records of the entry that this one had seen. */
function before (state: EntryState, node: Node): string | null {
  const seen = state.touched.filter(other => node.sees(other))
  const newest = seen.filter(other => !seen.some(later => later.sees(other)))
  return newest.length === 0 ? null : newest.map(({ name }) => revisionPart(name)).sort().join('+')
}
