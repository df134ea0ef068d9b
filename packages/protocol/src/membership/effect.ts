/**
 * Which records count, after removals.
 *
 * A record counts when it is entitled, everything it stands on counts, and nothing that counts cuts it. What cuts:
 *
 * - A revoke of X cuts what X *gave* (members, admins, tickets) unless it has that in its past. A removal by X it cuts only when X wrote that
 *   knowing of its own revoke: a device that was shut out stays out when its evictor is shut out at the same moment.
 * - Such a removal, unseen by a revoke of its issuer, is *disputed*: it counts until a counting record that has it in its past makes its
 *   subject a member again.
 * - A leave is a revoke of its own issuer that stands on nothing: whoever signed it is out, also when its grant does not count. It cuts
 *   removals too: who hides a record from its own leave knew of both.
 * - Of the members admitted by one ticket the one with the smallest hash cuts the others.
 * - Nothing cuts genesis or the recovery key. Only a recovered admin cuts another, and it cuts the removals of others that it has not seen:
 *   with the recovery key the owner overrules who stole an admin's key.
 *
 * Records that decide on each other form a circle. A circle is decided towards safety: what it gives does not count, and the removals that
 * are left count.
 */
import { conferred, Entitlement, removed } from './entitled.ts'
import { supportsOf, type Graph } from './graph.ts'
import type { MemberRecord } from './record.ts'
import { components } from './components.ts'

interface Node {
  record: MemberRecord
  /** All must count. */
  supports: string[]
  /** None may count. */
  cutters: string[]
  /** One of each may not count together: revokes of the issuer that have not seen it, and records that take it back. */
  disputers: string[]
  overrulers: string[]
}

type Verdicts = Map<string, boolean>

/** A graph does not change: what was worked out for it once holds. */
const known = new WeakMap<Graph, ReadonlySet<string>>()

/** Hashes of the records that count. */
export function inEffect (graph: Graph): ReadonlySet<string> {
  const counts = known.get(graph) ?? workedOut(graph)
  known.set(graph, counts)
  return counts
}

function workedOut (graph: Graph): Set<string> {
  const entitlement = new Entitlement(graph)
  const records = graph.records.filter(record => entitlement.entitled(record))
  const nodes = new Map(records.map(record => [record.hash, nodeOf(record)]))
  addRevocations(graph, records, nodes)
  addRaces(records, nodes)
  addOverrulers(graph, records, nodes)
  const verdicts: Verdicts = new Map()
  settle([...nodes.values()], verdicts)
  return new Set([...verdicts].filter(([, counts]) => counts).map(([hash]) => hash))
}

/** Takes something away from a device: it counts where giving would not. */
export function isRemoval ({ content: { type } }: MemberRecord): boolean { return type === 'revoke' || type === 'lost' || type === 'leave' }

function nodeOf (record: MemberRecord): Node {
  return { record, supports: record.content.type === 'leave' ? [] : supportsOf(record), cutters: [], disputers: [], overrulers: [] }
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
      const isUnaware = revoke.content.type === 'revoke' && !recovered(revoke) && !graph.past(record).has(revoke.hash)
      const { type } = record.content
      // A lost device comes back as it always does: an admin who knows admits it again.
      if (isUnaware && type === 'lost') continue
      nodes.get(record.hash)?.[isUnaware && type === 'revoke' ? 'disputers' : 'cutters'].push(revoke.hash)
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

function addOverrulers (graph: Graph, records: MemberRecord[], nodes: Map<string, Node>): void {
  const disputed = [...nodes.values()].filter(({ disputers }) => disputers.length > 0)
  if (disputed.length === 0) return
  // As with a lost device: a promotion is for who is a member, and makes nobody one.
  const gifts = Map.groupBy(records.filter(record => conferred(record) !== undefined && record.content.type !== 'addAdmin'), record => conferred(record)?.subject)
  for (const { record, overrulers } of disputed) {
    overrulers.push(...(gifts.get(removed(record)) ?? []).filter(gift => graph.past(gift).has(record.hash)).map(({ hash }) => hash))
  }
}

function ticketOf ({ content }: MemberRecord): string { return content.type === 'member' && content.via !== null ? content.via.ticket : '' }
function subjectOf ({ content }: MemberRecord): string { return content.type === 'member' ? content.subject : '' }

function settle (nodes: Node[], verdicts: Verdicts): void {
  const waiting = [nodes]
  for (let group = waiting.pop(); group !== undefined; group = waiting.pop()) {
    const byHash = new Map(group.map(node => [node.record.hash, node]))
    const needs = ({ supports, cutters, disputers, overrulers }: Node): string[] => [...supports, ...cutters, ...disputers, ...overrulers]
    const circles = components(group, node => needs(node).map(hash => byHash.get(hash)).filter(found => found !== undefined))
    for (const [at, circle] of circles.entries()) {
      const rest = settleCircle(circle, verdicts)
      if (rest.length === 0) continue
      // Smaller by one at least. What comes after the circle waits for it.
      waiting.push(circles.slice(at + 1).flat(), rest)
      break
    }
  }
}

/** `circle` comes after everything it depends on; most hold one record. @returns what is still undecided, once some of it is decided */
function settleCircle (circle: Node[], verdicts: Verdicts): Node[] {
  const found = circle.map(node => verdictOf(node, verdicts))
  const decided = found.some(verdict => verdict !== undefined)
  const gives = circle.some(({ record }) => !isRemoval(record))
  circle.forEach((node, i) => {
    const verdict = decided ? found[i] : gives && isRemoval(node.record) ? undefined : !gives
    if (verdict !== undefined) verdicts.set(node.record.hash, verdict)
  })
  return circle.filter(({ record }) => !verdicts.has(record.hash))
}

/** Undefined while it depends on what is not decided. A record that is not here, or is not entitled, does not count. */
function verdictOf ({ supports, cutters, disputers, overrulers }: Node, verdicts: Verdicts): boolean | undefined {
  const any = (hashes: string[]): boolean | undefined => hashes.some(hash => verdicts.get(hash) === true) || (hashes.every(hash => verdicts.get(hash) === false) ? false : undefined)
  const overruled = both(any(disputers), any(overrulers))
  const cut = any(cutters)
  if (supports.some(hash => verdicts.get(hash) === false) || cut === true || overruled === true) return false
  return supports.every(hash => verdicts.get(hash) === true) && cut === false && overruled === false ? true : undefined
}

function both (a: boolean | undefined, b: boolean | undefined): boolean | undefined {
  return a === false || b === false ? false : a === true && b === true ? true : undefined
}
