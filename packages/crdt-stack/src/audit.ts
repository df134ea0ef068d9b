/**
 * Computes a stack again from what its store holds, trusting nothing that was computed before: every chain, every signature, every
 * record judged anew. What comes out must be what the running stack shows.
 */
import { codeOf, toBase32, vectorDigest, verifyBatch, type Crypto, type Cuts, type FeedId, type StackId } from '@elder-node/protocol'
import { contentDigest } from './digest.ts'
import { Graph } from './feeds/graph.ts'
import { heldRecords, higherFirst, lowerFirst, type Node } from './feeds/node.ts'
import type { FeedStore } from './feeds/store.ts'
import type { Audit, AuditProblem, StackDigest } from './types.ts'
import { EntriesView } from './view.ts'

export interface AuditInit {
  id: StackId
  crypto: Crypto
  headsMax: number
  cuts: Cuts
  stored: Awaited<ReturnType<FeedStore['reread']>>
  /** What the running stack shows. */
  live: StackDigest
  /** The records it holds. */
  names: ReadonlyArray<{ name: string, feed: FeedId, seq: number }>
  /** Awaited often: lets a node breathe while thousands of signatures are checked. @default goes on at once */
  pause?: () => Promise<void>
}

const BATCHES_BETWEEN_PAUSES = 16

export async function audit ({ id, crypto, headsMax, cuts, stored, live, names, pause }: AuditInit): Promise<Audit> {
  const problems: AuditProblem[] = stored.damaged.map(({ feed, file, at, bytes, gone }) => gone === true
    ? { code: 'FEED_GONE', feed, file, message: `${file} is gone` }
    : { code: 'FEED_DAMAGED', feed, file, message: `${file} does not read at byte ${at}: ${bytes} bytes` })
  const view: EntriesView = new EntriesView(id, crypto, { isMasked: node => graph.isMasked(node) })
  const graph = new Graph(id, crypto, { judge: node => view.judge(node), headsMax })
  graph.setCuts(cuts)
  let signatures = 0
  for (const batch of stored.batches) {
    if (++signatures % BATCHES_BETWEEN_PAUSES === 0) await pause?.()
    try {
      const records = heldRecords(verifyBatch(id, batch, crypto), batch.head.signature, graph.names)
      for (const record of records) graph.add(record, node => { view.fold(node) })
    } catch (error) {
      if (codeOf(error) !== 'MALFORMED') throw error
      problems.push({ code: 'FEED_BROKEN', feed: batch.feed, message: `the feed ${batch.feed}, record ${batch.from}: ${(error as Error).message}` })
    }
  }
  const dropped = dropUnheld(graph, names)
  const shown = dropped.length === 0 && cuts.size === 0 ? view : refold(id, crypto, graph)
  problems.push(...shortOf(graph, names, problems))
  const [digest, feeds] = [toBase32(contentDigest(shown.shown(), shown.bodies, crypto)), toBase32(vectorDigest(graph.vector(), cuts, crypto))]
  if (problems.length === 0 && (digest !== live.digest || feeds !== live.feeds)) problems.push({ code: 'VIEW_DIFFERS', message: `computed again from the disk the digest is ${digest}, but this node shows ${live.digest}` })
  const perFeed = Map.groupBy(graph.nodes(), ({ feed }) => feed)
  return {
    digest, feeds, signatures, records: graph.size, problems, beyond: beyondCuts(graph, dropped),
    perFeed: [...perFeed].map(([feed, nodes]) => ({ feed, records: nodes.length })),
  }
}

/** What the running stack dropped for its bounds stays on the disk, and there may be room for it again: no difference. */
function dropUnheld (graph: Graph, names: AuditInit['names']): Node[] {
  const held = new Set(names.map(({ name }) => name))
  const dropped = [...graph.nodes()].filter(({ name }) => !held.has(name)).sort(higherFirst)
  for (const node of dropped) graph.drop(node)
  return dropped
}

/** Of devices that were cut: what others name stays in the graph, the rest was dropped. */
function beyondCuts (graph: Graph, dropped: readonly Node[]): Audit['beyond'] {
  if (graph.cuts.size === 0) return []
  const isAside = ({ device }: Node): boolean => graph.cuts.get(device)?.undo === false
  const beyond = [...dropped, ...[...graph.nodes()].filter(node => graph.isBeyondCut(node))].filter(isAside)
  return [...Map.groupBy(beyond, ({ device }) => device)].map(([device, { length }]) => ({ device, records: length }))
}

function refold (id: StackId, crypto: Crypto, graph: Graph): EntriesView {
  const view = new EntriesView(id, crypto, { isMasked: node => graph.isMasked(node) })
  for (const node of [...graph.nodes()].sort(lowerFirst)) view.fold(node)
  return view
}

/** Per feed, records that the running stack holds and the disk does not. What only waits for one of those is there. */
function shortOf (graph: Graph, names: AuditInit['names'], problems: readonly AuditProblem[]): AuditProblem[] {
  const gone = Map.groupBy(names.filter(({ name }) => !graph.holds(name)), ({ feed }) => feed)
  return [...gone].filter(([feed]) => !problems.some(problem => problem.feed === feed)).map(([feed, records]) => ({
    code: 'FEED_SHORT', feed,
    message: `the feed ${feed} lacks ${records.length === 1 ? 'one record' : `${records.length} records`}, the first is ${Math.min(...records.map(({ seq }) => seq))}`,
  }))
}
