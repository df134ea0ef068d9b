/** What a cut leaves out of the feeds of an evicted device, and how it can be named: a further cut brings it back. */
import { feedDevice, type DeviceId } from '@elder-node/protocol'
import { Graph } from './graph.ts'
import { higherFirst, type Node } from './node.ts'
import type { LoadedFeeds } from './store.ts'
import { storedRecords } from './stored.ts'

/**
 * Heads of a device that lie beyond its cut, highest first: those that stayed because others name them, and those that
 * left the state and are on the disk alone. A record that lacks something is not among them: nobody could take it.
 */
export function headsBeyond (graph: Graph, device: DeviceId, stored: Pick<LoadedFeeds, 'batches' | 'damaged'>): Node[] {
  const isTheirs = stored.batches.some(({ feed }) => feedDevice(feed) === device)
  if (!graph.cuts.has(device) || !isTheirs) return []
  // Heads are the same whoever broke a rule: nothing is judged.
  const all = new Graph(graph.id, graph.crypto, { judge: () => undefined })
  for (const record of storedRecords(all, stored)) all.add(record)
  return [...all.heads.of(device)].filter(({ name }) => {
    const held = graph.node(name)
    return held === undefined || graph.isBeyondCut(held)
  }).sort(higherFirst)
}
