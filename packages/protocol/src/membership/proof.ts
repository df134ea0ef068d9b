import { supportsOf, type Graph } from './graph.ts'
import type { MemberRecord } from './record.ts'

/**
 * Records with all they stand on, ancestors first: what another device needs to see that they are entitled.
 * With more than `max` records the oldest are left out; a peer of the same mesh has those.
 */
export function proofOf (graph: Graph, hashes: Iterable<string>, max: number): MemberRecord[] {
  const chain = new Map<string, MemberRecord>()
  const queue = [...hashes]
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
