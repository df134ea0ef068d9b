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
  const newest = [...nodes].sort((a, b) => b.record.at - a.record.at || b.height - a.height || (a.name < b.name ? -1 : 1)).slice(0, limit)
  const before = state === undefined ? undefined : findings(state.touched, new Set(newest))
  return newest.map(node => itemOf(view, node, state, before?.get(node)))
}

function itemOf (view: EntriesView, node: Node, state: EntryState | undefined, before: string | null | undefined): HistoryItem {
  const { body } = decodeRecord(node.record.bytes, { isOurs: true })
  const { kind, at } = node.record
  const entry = state ?? view.entries.get(kind === 'new' ? node.name : namedEntry(body) ?? '')
  const known = entry === undefined || entry.hidden !== undefined ? undefined : outlineOf(entry)
  const { field } = (typeof body === 'object' && body !== null && !Array.isArray(body) && !(body instanceof Uint8Array) ? body : {}) as { field?: unknown }
  return {
    at: isoOf(at), author: authorOf(node), change: kind, field: kind === 'text' ? 'body' : typeof field === 'string' ? field : null,
    entry: known === undefined ? null : { id: known.id, kind: known.kind, title: known.title }, revision: revisionPart(node.name), ...(before === undefined ? {} : { before }), feed: node.feed, seq: node.seq,
  }
}

/** As what each of these records found the entry: the newest of those that it had seen. `records` in causal order, which is read once. */
function findings (records: readonly Node[], wanted: ReadonlySet<Node>): Map<Node, string | null> {
  const found = new Map<Node, string | null>()
  let newest: Node[] = []
  for (const [at, node] of records.entries()) {
    if (wanted.has(node)) found.set(node, revisionOf(newest.every(other => node.sees(other)) ? newest : newestOf(records.slice(0, at).filter(other => node.sees(other)))))
    newest = [...newest.filter(other => !node.sees(other)), node]
  }
  return found
}

function newestOf (records: readonly Node[]): Node[] {
  return records.reduceRight<Node[]>((newest, node) => newest.some(later => later.sees(node)) ? newest : [...newest, node], [])
}

function revisionOf (newest: readonly Node[]): string | null {
  return newest.length === 0 ? null : newest.map(({ name }) => revisionPart(name)).sort().join('+')
}
