/**
 * What a device keeps of the membership records that it is given: bounds, per issuer and independent of the order of arrival, so that nobody
 * fills everybody's roster, least of all a device that was shut out.
 *
 * - Entitled records only.
 * - Of one issuer: removals of at most LIMITS.recordsPerIssuerMax subjects, and of each those that add something to the earlier ones, at most
 *   LIMITS.removalsPerSubjectMax.
 * - Of an issuer that is cut: removals that no revoke of it and no live device has seen, for at most LIMITS.unseenRemovalsMax subjects. They
 *   count, so whoever stole an admin's key could make more of them at leisure.
 * - Of one issuer at most LIMITS.recordsPerIssuerMax records that are no removals. Of one that is cut those come first that its cut has seen:
 *   what it makes up afterwards does not push out whom it admitted before. Beyond them LIMITS.adminsReserved of each kind that makes an admin:
 *   a sole admin that wrote its last record hands over.
 * - Of all together at most LIMITS.rosterKeptMax, which every reader takes: see `fairShare`.
 */
import { LIMITS } from '../limits.ts'
import type { DeviceId } from '../ids.ts'
import { inEffect, isRemoval } from './effect.ts'
import { Entitlement, removed } from './entitled.ts'
import { fairShare } from './fair-share.ts'
import { Graph } from './graph.ts'
import type { MemberRecord } from './record.ts'

/** The part of the set that is kept. Keeping it again changes nothing. */
export function keptOf (graph: Graph): Graph {
  let kept = entitledOf(graph)
  kept = only(kept, new Set([...perSubject(kept), ...kept.records.filter(record => !isRemoval(record))]))
  for (let fewer = unseenDropped(kept); fewer.records.length < kept.records.length; fewer = unseenDropped(kept)) kept = fewer
  kept = entitledOf(withinBounds(kept))
  return kept.records.length <= LIMITS.rosterKeptMax ? kept : entitledOf(only(kept, fairShare(kept, LIMITS.rosterKeptMax, orderOf(kept))))
}

/** Issuers whose later records count for nothing: they were revoked or left. */
function cutIssuers (graph: Graph): Set<DeviceId> {
  const counts = inEffect(graph)
  return new Set(graph.records.filter(({ hash }) => counts.has(hash)).map(removed).filter(device => device !== undefined))
}

/**
 * Hashes, also of records that are not here, that are in the past of what a live device wrote, or of a revoke of their issuer that counts.
 *
 * @param sources the records that may vouch for others; all of the graph unless given
 */
export function seenOf (graph: Graph, sources: Graph = graph): { has: (record: MemberRecord) => boolean } {
  const counts = inEffect(sources)
  const cut = cutIssuers(sources)
  const byLive = pastOf(graph, sources.records.filter(({ issuer }) => !cut.has(issuer)))
  const revokes = sources.records.filter(record => counts.has(record.hash) && removed(record) !== undefined && removed(record) !== record.issuer)
  const byRevoke = new Map([...Map.groupBy(revokes, removed)].map(([subject, of]) => [subject, pastOf(graph, of)]))
  return { has: ({ hash, issuer }) => byLive.has(hash) || byRevoke.get(issuer)?.has(hash) === true }
}

function pastOf (graph: Graph, records: readonly MemberRecord[]): Set<string> {
  const past = new Set(records.map(({ hash }) => hash))
  for (const hash of past) for (const before of graph.before(hash)) past.add(before)
  return past
}

function entitledOf (graph: Graph): Graph {
  const entitlement = new Entitlement(graph)
  return only(graph, new Set(graph.records.filter(record => entitlement.entitled(record))))
}

function only (graph: Graph, records: ReadonlySet<MemberRecord>): Graph { return records.size === graph.records.length ? graph : new Graph(records, graph.mesh) }

function earlier (a: MemberRecord, b: MemberRecord): number { return a.seq - b.seq || (a.hash < b.hash ? -1 : 1) }

function subjectOf (record: MemberRecord): DeviceId | undefined { return record.content.type === 'lost' ? record.content.subject : removed(record) }

function perSubject (graph: Graph): MemberRecord[] {
  const pairs = Map.groupBy(graph.records.filter(isRemoval), record => `${record.issuer} ${subjectOf(record)} ${record.content.type}`)
  const kept = [...pairs.values()].map(records => adding(records.sort(earlier)))
  const byIssuer = Map.groupBy(kept, ([first]) => first?.issuer)
  return [...byIssuer.values()].flatMap(all => all.sort(([a], [b]) => earlier(a as MemberRecord, b as MemberRecord)).slice(0, LIMITS.recordsPerIssuerMax).flat())
}

/** A lost device may come back and be lost again, and a leave may be written anew after a restore: these add, up to their bound. */
function adding (records: MemberRecord[]): MemberRecord[] {
  const [first] = records
  if (first?.content.type !== 'revoke') return records.slice(0, first?.content.type === 'leave' ? LIMITS.leavesPerDeviceMax : LIMITS.removalsPerSubjectMax)
  const said = new Set<string>()
  const adds = records.filter(({ content }) => {
    if (content.type !== 'revoke') return false
    const says = ['out', ...content.undo ? ['undo'] : [], ...content.cuts.flatMap(({ stack, heads }) => heads.map(head => `${stack} ${head}`))]
    const isNew = says.some(one => !said.has(one))
    for (const one of says) said.add(one)
    return isNew
  })
  return adds.slice(0, LIMITS.removalsPerSubjectMax)
}

/** Without the unseen removals too many of some issuers: first of those whom a live device shut out, because what they say may shut out others. */
function unseenDropped (graph: Graph): Graph {
  const cut = cutIssuers(graph)
  if (!graph.records.some(record => cut.has(record.issuer) && isRemoval(record) && removed(record) !== record.issuer)) return graph
  const seen = seenOf(graph)
  const unseen = graph.records.filter(record => cut.has(record.issuer) && isRemoval(record) && removed(record) !== record.issuer && !seen.has(record))
  const excess = [...Map.groupBy(unseen, ({ issuer }) => issuer)].map(([issuer, records]) => ({ issuer, records: beyond(records) })).filter(({ records }) => records.length > 0)
  const byLive = excess.filter(({ issuer }) => graph.records.some(record => removed(record) === issuer && !cut.has(record.issuer)))
  const dropped = new Set((byLive.length > 0 ? byLive : excess).flatMap(({ records }) => records))
  return only(graph, new Set(graph.records.filter(record => !dropped.has(record))))
}

/** All but those of the first subjects, by the smallest hash of each. */
function beyond (records: MemberRecord[]): MemberRecord[] {
  const subjects = [...new Set(records.toSorted((a, b) => a.hash < b.hash ? -1 : 1).map(subjectOf))]
  const first = new Set(subjects.slice(0, LIMITS.unseenRemovalsMax))
  return records.filter(record => !first.has(subjectOf(record)))
}

function withinBounds (graph: Graph): Graph {
  const gifts = [...Map.groupBy(graph.records.filter(record => !isRemoval(record)), ({ issuer }) => issuer).values()]
  if (gifts.every(records => records.length <= LIMITS.recordsPerIssuerMax)) return graph
  const order = orderOf(graph)
  const dropped = new Set(gifts.flatMap(records => excessOf(records.toSorted(order))))
  return only(graph, new Set(graph.records.filter(record => !dropped.has(record))))
}

/** Of one issuer: what it made up after it was cut comes last. */
function orderOf (graph: Graph): (a: MemberRecord, b: MemberRecord) => number {
  const cut = cutIssuers(graph)
  const seen = seenOf(graph)
  const last = (record: MemberRecord): number => cut.has(record.issuer) && !seen.has(record) ? 1 : 0
  return (a, b) => last(a) - last(b) || earlier(a, b)
}

/** What is beyond the bound of one issuer, and beyond what is kept for making admins. */
function excessOf (sorted: readonly MemberRecord[]): MemberRecord[] {
  const beyond = sorted.slice(LIMITS.recordsPerIssuerMax)
  const reserved = Map.groupBy(beyond.filter(makesAdmin), ({ content }) => content.type)
  const kept = new Set([...reserved.values()].flatMap(records => records.slice(0, LIMITS.adminsReserved)))
  return beyond.filter(record => !kept.has(record))
}

function makesAdmin ({ content }: MemberRecord): boolean {
  return content.type === 'addAdmin' || ((content.type === 'ticket' || content.type === 'member') && content.role === 'admin')
}
