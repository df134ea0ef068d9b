/**
 * Whose records leave a set that holds more than every reader takes.
 *
 * Issuers form a tree: who let whom in. Each gets what it wrote, removals first, and what is left is shared among those
 * that it let in, each with all below it; nobody who needs less than an equal share loses anything. So whoever floods,
 * by itself or through a thousand devices that it makes admins, takes from its own branch. A larger set never gives
 * anybody more, so the order of arrival does not matter.
 */
import type { DeviceId } from '../ids.ts'
import { isRemoval } from './effect.ts'
import { removed } from './entitled.ts'
import type { Graph } from './graph.ts'
import type { MemberRecord } from './record.ts'

type Order = (a: MemberRecord, b: MemberRecord) => number

interface Branch {
  issuer: DeviceId | undefined
  /** In the order in which they are kept: first removals, then what it gave. */
  own: MemberRecord[]
  /** Removals that add to an earlier one of the same subject. */
  more: MemberRecord[]
  below: Branch[]
  /** Records of all of it. */
  size: number
  room: number
}

/** At most `max` records of the graph. `order` sorts what one issuer wrote. */
export function fairShare (graph: Graph, max: number, order: Order): Set<MemberRecord> {
  if (graph.records.length <= max) return new Set(graph.records)
  const branches = topDown(graph, order)
  for (const branch of branches.toReversed()) {
    branch.size = branch.own.length + branch.more.length + sum(branch.below.map(({ size }) => size))
  }
  for (const root of branches.slice(0, 1)) root.room = max
  return new Set(branches.flatMap(({ own, more, below, room }) => {
    const wants = [more.length, ...below.map(({ size }) => size)]
    const [adding = 0, ...rooms] = sharesOf(wants, Math.max(0, room - own.length))
    for (const [i, child] of below.entries()) child.room = rooms[i] ?? 0
    return [...own.slice(0, room), ...more.slice(0, adding)]
  }))
}

/** Who wants less than an equal part gets all of it; all of `room` is given, what does not divide to the first. */
function sharesOf (wants: readonly number[], room: number): number[] {
  let left = room
  let level = room
  for (const [i, want] of wants.toSorted((a, b) => a - b).entries()) {
    level = Math.floor(left / (wants.length - i))
    if (want > level) break
    left -= want
    level = room
  }
  let rest = room - sum(wants.map(want => Math.min(want, level)))
  return wants.map(want => want > level && rest-- > 0 ? level + 1 : Math.min(want, level))
}

/**
 * Every branch after the one that it is below; the first is the root, which wrote nothing. Each issuer has one that let
 * it in.
 */
function topDown (graph: Graph, order: Order): Branch[] {
  const records = Map.groupBy(graph.records, ({ issuer }) => issuer)
  const letIn = Map.groupBy(records.keys(), issuer => letInBy(graph, records.get(issuer) ?? []))
  const branches = [branchOf(undefined, [])]
  for (const branch of branches) {
    const below = (letIn.get(branch.issuer) ?? []).sort()
    branch.below = below.map(issuer => branchOf(issuer, (records.get(issuer) ?? []).toSorted(order)))
    branches.push(...branch.below)
  }
  return branches
}

function branchOf (issuer: DeviceId | undefined, records: readonly MemberRecord[]): Branch {
  return { issuer, ...split(records), below: [], size: 0, room: 0 }
}

/**
 * By the grant of another that the issuer named first: nobody else can choose its place. Undefined for who founded the
 * mesh and for the recovery key, which stand on nothing.
 */
function letInBy (graph: Graph, own: readonly MemberRecord[]): DeviceId | undefined {
  const named = own.filter(({ grant, issuer }) => graph.get(grant)?.issuer !== issuer)
  const [first] = named.toSorted((a, b) => a.seq - b.seq || (a.hash < b.hash ? -1 : 1))
  return first === undefined ? undefined : graph.get(first.grant)?.issuer
}

function split (records: readonly MemberRecord[]): Pick<Branch, 'own' | 'more'> {
  const seen = new Set<string>()
  const isFirst = (record: MemberRecord): boolean => {
    const { content } = record
    const key = `${content.type} ${removed(record) ?? (content.type === 'lost' ? content.subject : '')}`
    return seen.size < seen.add(key).size
  }
  const removals = records.filter(isRemoval)
  const first = new Set(removals.filter(isFirst))
  return {
    own: [...first, ...records.filter(record => !isRemoval(record))],
    more: removals.filter(record => !first.has(record)),
  }
}

function sum (numbers: number[]): number { return numbers.reduce((total, number) => total + number, 0) }
