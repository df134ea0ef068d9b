/** Paths of a graph as signed batches: what peers and mirrors are given. */
import { LIMITS, type Batch, type Want } from '@elder-node/protocol'
import type { Graph } from './graph.ts'
import { hashOf, type HeldRecord, type Node, type Run } from './node.ts'

/**
 * Signed batches along the path that ends at the record of `want`, from its record `from` on. Each stays within
 * LIMITS.batchRecordsMax and batchBytesMax, crosses no multiple of 256 and ends at a signed head; so the last may go beyond the
 * record itself. Nothing when that record is not taken.
 *
 * The hash counts: an address that is another than the record's came from somebody's lie, and the record goes by itself.
 *
 * Where a strand leaves a batch that one signature covers, and both together are too large, that batch comes first as a whole.
 */
export function * pathBatches (graph: Graph, { feed, from, hash }: { feed: Want['feed'], from: number, hash: string }): Generator<Batch> {
  const tip = graph.node(hash) ?? graph.signedBy(hash)
  if (tip === undefined) return
  for (let at = tip.feed === feed ? Math.min(from, tip.seq) : tip.seq; at <= tip.seq;) {
    const end = Math.min(windowEnd(at), tip.seq)
    const records = recordsOf(tip, at, end)
    if (end === tip.seq) records.push(...coverOf(graph, tip))
    for (const batch of signed(graph, records)) yield batch
    at = end + 1
  }
}

/** The windows of 256 of every path of the graph, each named by its last record: what a mirror holds as one segment. */
export function windows (graph: Graph): Want[] {
  const out = new Map<string, Want>()
  for (const head of graph.heads.all()) {
    const cover = coverOf(graph, head).at(-1) ?? head.record
    out.set(cover.name, want(cover))
    for (let end = windowStart(cover.seq) - 1; end >= 1; end -= LIMITS.batchRecordsMax) {
      const last = ancestorAt(head, Math.min(end, head.seq))
      // Where strands share a window, what is before it is shared too.
      if (out.has(last.name)) break
      out.set(last.name, want(last.record))
    }
  }
  return [...out.values()]
}

function want ({ feed, seq, name }: HeldRecord): Want {
  return { feed, from: windowStart(seq), to: seq, hash: hashOf(name) }
}

/** Where the window of a sequence number starts: batches and segments are cut there on every device. */
export function windowStart (seq: number): number { return Math.floor((seq - 1) / LIMITS.batchRecordsMax) * LIMITS.batchRecordsMax + 1 }
function windowEnd (seq: number): number { return windowStart(seq) + LIMITS.batchRecordsMax - 1 }

/** Records `from` to `to` of the path that ends at `tip`. */
function recordsOf (tip: Node, from: number, to: number): HeldRecord[] {
  const parts: HeldRecord[][] = []
  let last = to
  for (let run: Run | undefined = tip.run, end = tip.seq; run !== undefined && end >= from; end = run.parent?.seq ?? 0, run = run.parent?.run) {
    const upTo = Math.min(last, end)
    if (upTo >= run.from) {
      parts.push(run.nodes.slice(Math.max(from, run.from) - run.from, upTo - run.from + 1).map(node => node.record))
      last = run.from - 1
    }
  }
  return parts.reverse().flat()
}

/** The record with this seq on the path that ends at `tip`. */
function ancestorAt (tip: Node, seq: number): Node {
  let run = tip.run
  while (run.from > seq) run = (run.parent as Node).run
  return run.nodes[seq - run.from] as Node
}

/** What follows a record that has no signature of its own, up to the signed one that covers it: the rest of the batch it came in. */
function coverOf (graph: Graph, { record }: Pick<Node, 'record'>): HeldRecord[] {
  const rest: HeldRecord[] = []
  if (record.signature !== undefined) return rest
  for (let next = graph.record(record.cover); next !== undefined && next.name !== record.name; next = graph.record(next.prev)) rest.push(next)
  return rest.reverse()
}

/** One window's records cut into batches that end at signed heads. */
function signed (graph: Graph, records: readonly HeldRecord[]): Batch[] {
  const batches: Batch[] = []
  const bytes = [0]
  for (const record of records) bytes.push((bytes.at(-1) as number) + record.bytes.length)
  const isWithin = (from: number, to: number): boolean => to - from === 1 || (bytes[to] as number) - (bytes[from] as number) <= LIMITS.batchBytesMax
  let [start, end] = [0, 0]
  records.forEach(({ signature }, i) => {
    if (signature === undefined) return
    // Everything up to here fits no more: what came before the last signature goes by itself.
    if (end > start && !isWithin(start, i + 1)) {
      batches.push(batchOf(records.slice(start, end)))
      start = end
    }
    for (; !isWithin(start, i + 1); end = start) {
      const batch = covered(graph, records.slice(start, i))
      batches.push(batchOf(batch))
      start += batch.findLastIndex((record, n) => record === records[start + n]) + 1
    }
    end = i + 1
  })
  if (end > start) batches.push(batchOf(records.slice(start, end)))
  return batches
}

/** As many of these as fit with what signs the last of them on another strand. One fits: it came so. */
function covered (graph: Graph, records: readonly HeldRecord[]): HeldRecord[] {
  for (let count = records.length; count > 1; count--) {
    const part = records.slice(0, count)
    const batch = [...part, ...coverOf(graph, { record: part.at(-1) as HeldRecord })]
    if (batch.reduce((sum, { bytes }) => sum + bytes.length, 0) <= LIMITS.batchBytesMax) return batch
  }
  const first = records[0] as HeldRecord
  return [first, ...coverOf(graph, { record: first })]
}

function batchOf (records: readonly HeldRecord[]): Batch {
  const [first, last] = [records[0], records.at(-1)] as [HeldRecord, HeldRecord]
  return { feed: last.feed, from: first.seq, records: records.map(({ bytes }) => bytes), head: { seq: last.seq, hash: hashOf(last.name), signature: last.signature as Uint8Array } }
}
