/**
 * The bound on what one device can make others keep.
 *
 * Of each device at most `headsMax` bare heads stay: the highest, then those with the smaller name. All devices are walked in one
 * pass, highest first; dropping a head bares what only it named, which is lower, so it comes later in the same walk. What a kept
 * record names is never dropped. What a waiting one names is parked beside it instead: which records wait here no other device
 * knows, so they must not count. The kept heads, highest first, can only rise: over a finite set of records every device
 * stops changing, whatever is offered and in which order. Bare heads of an evicted device beyond its cut are not kept either.
 */
import type { Cuts, DeviceId } from '@elder-node/protocol'
import type { Heads } from './heads.ts'
import { higherFirst, type Node } from './node.ts'

/** What a prune reads of a graph, and its one deed. */
export interface Prunable {
  readonly headsMax: number
  readonly heads: Heads
  readonly cuts: Cuts
  isBeyondCut (node: Node): boolean
  /** `node` is a bare head. */
  drop (node: Node): void
}

/** @returns how many records went */
export function prune (graph: Prunable): number {
  const isFree = (node: Node): boolean => node.children === 0 && node.named === 0
  if (!isDue(graph)) return 0
  const kept = new Map<DeviceId, number>()
  const queue = new Queue([...graph.heads.bare()])
  let dropped = 0
  for (let node = queue.take(); node !== undefined; node = queue.take()) {
    const count = kept.get(node.device) ?? 0
    if (count < graph.headsMax && !graph.isBeyondCut(node)) {
      kept.set(node.device, count + 1)
      continue
    }
    graph.drop(node)
    dropped++
    for (const bared of [node.parent, ...node.deps]) if (bared !== undefined && isFree(bared)) queue.put(bared)
  }
  return dropped
}

function isDue (graph: Prunable): boolean {
  for (const device of graph.heads.devices()) {
    const bare = graph.heads.bareOf(device)
    if (bare.length > graph.headsMax || (graph.cuts.has(device) && bare.some(node => graph.isBeyondCut(node)))) return true
  }
  return false
}

/** Highest first: a binary heap. */
class Queue {
  readonly #nodes: Node[] = []

  constructor (nodes: Node[]) { for (const node of nodes) this.put(node) }

  put (node: Node): void {
    const nodes = this.#nodes
    let at = nodes.push(node) - 1
    while (at > 0) {
      const up = (at - 1) >> 1
      if (higherFirst(nodes[up] as Node, node) <= 0) break
      nodes[at] = nodes[up] as Node
      at = up
    }
    nodes[at] = node
  }

  take (): Node | undefined {
    const nodes = this.#nodes
    const first = nodes[0]
    const last = nodes.pop()
    if (first === undefined || last === undefined || nodes.length === 0) return first
    let at = 0
    for (let down = 1; down < nodes.length; down = 2 * at + 1) {
      if (down + 1 < nodes.length && higherFirst(nodes[down + 1] as Node, nodes[down] as Node) < 0) down++
      if (higherFirst(last, nodes[down] as Node) <= 0) break
      nodes[at] = nodes[down] as Node
      at = down
    }
    nodes[at] = last
    return first
  }
}
