/**
 * Which records count, after removals.
 *
 * A revoke of X *cuts* every record of X that it does not have in its past. A record counts when it is entitled, everything
 * it stands on counts, and no revoke that counts cuts it. Two more cuts: of the members admitted by one ticket the one with
 * the smallest hash cuts the others; nothing cuts genesis or the recovery key, and only a recovered admin cuts another.
 *
 * A leave is a revoke of its own issuer that stands on nothing: whoever signed it is out, also when its grant does not count.
 *
 * Admins who revoke each other without knowing form a circle. A circle is decided towards safety: its grants do not count,
 * and what is left of it, removals only, all counts, so both are out until another admin or the recovery key decides.
 */
import { Entitlement, removed, supportsOf } from './entitled.ts'
import type { Graph } from './graph.ts'
import type { MemberRecord } from './record.ts'
import { components } from './components.ts'

interface Node { record: MemberRecord, supports: string[], cutters: string[] }

/** Hashes of the records that count. */
export function inEffect (graph: Graph): Set<string> {
  const entitlement = new Entitlement(graph)
  const records = graph.records.filter(record => entitlement.entitled(record))
  const nodes = new Map(records.map(record => [record.hash, { record, supports: record.content.type === 'leave' ? [] : supportsOf(record), cutters: [] as string[] }]))
  addRevocations(graph, records, nodes)
  addRaces(records, nodes)
  const verdicts = new Map<string, boolean>()
  settle([...nodes.values()], verdicts)
  return new Set([...verdicts].filter(([, counts]) => counts).map(([hash]) => hash))
}

function addRevocations (graph: Graph, records: MemberRecord[], nodes: Map<string, Node>): void {
  const byIssuer = Map.groupBy(records, record => record.issuer)
  const recovered = (record: MemberRecord): boolean => graph.get(record.grant)?.content.type === 'recover'
  for (const revoke of records) {
    const subject = removed(revoke)
    if (subject === undefined) continue
    for (const record of byIssuer.get(subject) ?? []) {
      if (record.content.type === 'genesis' || record.content.type === 'recover' || graph.past(revoke).has(record.hash)) continue
      if (recovered(record) && !recovered(revoke)) continue
      nodes.get(record.hash)?.cutters.push(revoke.hash)
    }
  }
}

function addRaces (records: MemberRecord[], nodes: Map<string, Node>): void {
  const redeemed = records.filter(({ content }) => content.type === 'member' && content.via !== null)
  for (const racers of Map.groupBy(redeemed, ticketOf).values()) {
    // Ascending by hash, as the graph's records are.
    racers.forEach((racer, i) => {
      const earlier = racers.slice(0, i).filter(other => subjectOf(other) !== subjectOf(racer))
      nodes.get(racer.hash)?.cutters.push(...earlier.map(other => other.hash))
    })
  }
}

function ticketOf ({ content }: MemberRecord): string { return content.type === 'member' && content.via !== null ? content.via.ticket : '' }
function subjectOf ({ content }: MemberRecord): string { return content.type === 'member' ? content.subject : '' }

function settle (nodes: Node[], verdicts: Map<string, boolean>): void {
  const byHash = new Map(nodes.map(node => [node.record.hash, node]))
  const next = (node: Node): Node[] => [...node.supports, ...node.cutters].map(hash => byHash.get(hash)).filter(found => found !== undefined)
  for (const circle of components(nodes, next)) settleCircle(circle, verdicts)
}

/** `circle` comes after everything it depends on; most hold one record. */
function settleCircle (circle: Node[], verdicts: Map<string, boolean>): void {
  const out = circle.filter(node => node.supports.some(hash => verdicts.get(hash) === false) || node.cutters.some(hash => verdicts.get(hash) === true))
  const lost = out.length > 0 || circle.length === 1 ? out : circle.filter(node => removed(node.record) === undefined)
  for (const node of lost) verdicts.set(node.record.hash, false)
  const rest = circle.filter(node => !lost.includes(node))
  if (lost.length > 0) settle(rest, verdicts)
  else for (const node of rest) verdicts.set(node.record.hash, true)
}
