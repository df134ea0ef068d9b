import type { Graph } from './graph.ts'
import { supportsOf } from './entitled.ts'
import type { MemberRecord } from './record.ts'

/**
 * A record with all it stands on, ancestors first: what another device needs to see that it is entitled.
 * With more than `max` records the oldest are left out; a peer of the same mesh has those.
 */
export function proofOf (graph: Graph, hash: string, max: number): MemberRecord[] {
  const chain = new Map<string, MemberRecord>()
  const queue = [hash]
  for (const next of queue) {
    const record = graph.get(next)
    if (record === undefined || chain.has(next)) continue
    chain.set(next, record)
    queue.push(...supportsOf(record))
  }
  const genesis = graph.records.find(({ content }) => content.type === 'genesis')
  if (genesis !== undefined) chain.set(genesis.hash, genesis)
  return [...chain.values()].slice(0, max).reverse()
}
