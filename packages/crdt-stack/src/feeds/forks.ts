/** Where feeds part, and what lies below given heads: questions about a graph that change nothing. */
import { toHex, wallMsOf, type FeedId, type VectorEntry } from '@elder-node/protocol'
import type { Graph } from './graph.ts'
import type { Node } from './node.ts'

/** A device whose disk went back in time, or that signed two histories: both are kept and shown. */
export interface Fork { feed: FeedId, seq: number,
  /** Histories that are held of the feed. */
  strands: number }

/** A head that somebody named. `untilMs`: when, milliseconds since 1970. @default at no known time */
export interface KnownUntil extends VectorEntry { untilMs?: number }

/** Feeds of which two histories are held: each with the first seq that was written twice. */
export function forksOf (graph: Graph): Fork[] {
  const forks = new Map<FeedId, number>()
  const strands = new Map<FeedId, number>()
  for (const { feed, from, parent, nodes } of graph.runs()) {
    if (nodes.length === 0) continue
    const many = strands.get(feed) ?? 0
    if (parent !== undefined || many > 0) forks.set(feed, Math.min(from, forks.get(feed) ?? Infinity))
    strands.set(feed, many + 1)
  }
  return [...forks].map(([feed, seq]) => ({ feed, seq, strands: strands.get(feed) as number }))
}

/** Is this record the first of a second strand? */
export function beginsFork (graph: Graph, { run, seq, feed, parent }: Node): boolean {
  if (run.from !== seq) return false
  return parent !== undefined || (seq === 1 && graph.runs().some(other => other !== run && other.feed === feed && other.from === 1 && other.nodes.length > 0))
}

/**
 * Does everything that is held lie at or below these heads? Where a head is not held, this device is behind: then what it has of
 * that feed up to there counts as below, unless it is younger than the head's `untilMs`. That must be no later than
 * when this device heard of the head, since whoever names one can date it ahead: then a head that does not exist hides
 * nothing that comes. A record that only names others says nothing by itself.
 */
export function isWithin (graph: Graph, heads: readonly KnownUntil[]): boolean {
  const tops = heads.flatMap(({ hash }) => graph.node(toHex(hash)) ?? [])
  const unknown = heads.filter(({ hash }) => graph.node(toHex(hash)) === undefined)
  const isBehind = ({ feed, seq, record }: Node): boolean => unknown.some(head =>
    feed === head.feed && seq < head.seq && wallMsOf(record.at) <= (head.untilMs ?? Infinity))
  const queue = [...graph.heads.bare()]
  for (const node of queue) {
    if (tops.some(top => top === node || top.sees(node)) || isBehind(node)) continue
    if (node.record.kind !== 'see') return false
    queue.push(...node.deps, ...(node.parent === undefined ? [] : [node.parent]))
  }
  return true
}
