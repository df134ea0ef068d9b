/**
 * The order in which builders are asked. Deterministic but for two named cases that take their randomness from outside: a tie
 * right after a BUSY is sampled (else every requester asks the same machine), and a small share of builds explores.
 */
import type { DeviceId } from '../ids.ts'

/** What is known of one builder that passed the hard filter. Times in seconds unless named otherwise. */
export interface Prospect {
  device: DeviceId
  /** Undefined when never measured; 0 for this device itself. */
  rttMs: number | undefined
  /** Bytes of source that the builder lacks. */
  bytesMissing: number
  bandwidthBytesPerS: number
  queueWaitS: number
  /** Image pull, boot and prepare; 0 when warm. */
  bootS: number
  runS: number
  speed: number
  /** 0.2 to 1. */
  success: number
  /** Milliseconds since the last build there; Infinity when never. */
  unusedMs: number
}

export interface Terms { rtt: number, transfer: number, queue: number, boot: number, run: number, history: number }
export interface Ranked { device: DeviceId, rttMs: number | undefined, terms: Terms, score: number }

export interface RankContext {
  /** A builder answered BUSY in the last 10 s. */
  recentBusy: boolean
  /** Share of builds that try a builder unused for 10 min; 0 for an exclusive build. */
  explore: number
  /** 0 to 1, drawn outside. */
  random: () => number
}

export interface Ranking {
  /** Best first. */
  order: Ranked[]
  /** One sentence: what decided. */
  why: string
  /** The deciding term, or `only`, `explore`, `sampled`. */
  deciding: keyof Terms | 'only' | 'explore' | 'sampled' | 'id' | 'none'
}

/** A peer without a measurement is taken for a far one. */
const UNKNOWN_RTT_MS = 200
const EXPLORE_UNUSED_MS = 600_000

/** Predicted seconds to finish, by term. The terms add up to the score; `history` is what past failures add. */
export function score (prospect: Prospect): Ranked {
  const rtt = 3 * (prospect.rttMs ?? UNKNOWN_RTT_MS) / 1000
  const transfer = prospect.bytesMissing / Math.max(1, prospect.bandwidthBytesPerS)
  const { queueWaitS: queue, bootS: boot } = prospect
  const run = prospect.runS / Math.max(0.05, prospect.speed)
  const sum = rtt + transfer + queue + boot + run
  const total = sum / Math.max(0.2, prospect.success)
  return { device: prospect.device, rttMs: prospect.rttMs, terms: { rtt, transfer, queue, boot, run, history: total - sum }, score: total }
}

/** Within this many seconds of the best is a tie. */
export function tieS (bestScore: number): number { return Math.max(0.05 * bestScore, 1) }

export function rank (prospects: Prospect[], context: RankContext): Ranking {
  const byScore = prospects.map(score).sort((a, b) => a.score - b.score || compareIds(a, b))
  const groups = ties(byScore)
  const first = groups[0] ?? []
  if (byScore.length === 0) return { order: [], why: 'no candidate', deciding: 'none' }
  if (context.explore > 0 && context.random() < context.explore) {
    const explored = explore(prospects, groups.flat(), context.random)
    if (explored !== undefined) return explored
  }
  if (context.recentBusy && first.length > 1) {
    const order = [...shuffle(first, context.random), ...groups.slice(1).flat()]
    return { order, why: `one of ${first.length} within a tie, sampled because a builder was busy in the last 10 s`, deciding: 'sampled' }
  }
  return { order: groups.flat(), ...explain(groups) }
}

/** Cuts the list into ties, each led by its best score and sorted by nearness. */
function ties (byScore: Ranked[]): Ranked[][] {
  const groups: Ranked[][] = []
  for (let i = 0; i < byScore.length;) {
    const best = (byScore[i] as Ranked).score
    const end = byScore.findIndex((r, j) => j > i && r.score - best > tieS(best))
    const group = byScore.slice(i, end < 0 ? byScore.length : end)
    groups.push(group.sort((a, b) => (a.rttMs ?? Infinity) - (b.rttMs ?? Infinity) || compareIds(a, b)))
    i += group.length
  }
  return groups
}

function explain (groups: Ranked[][]): Pick<Ranking, 'why' | 'deciding'> {
  const [first, second] = groups as [Ranked[], Ranked[] | undefined]
  const winner = first[0] as Ranked
  if (first.length > 1) {
    const rival = first[1] as Ranked
    const near = `${first.length} within ${tieS(Math.min(...first.map(r => r.score))).toFixed(1)} s`
    if (winner.rttMs === rival.rttMs) return { why: `${near} and equally near: by id`, deciding: 'id' }
    return { why: `nearest of ${near}: ${ms(winner.rttMs)} against ${ms(rival.rttMs)}`, deciding: 'rtt' }
  }
  if (second === undefined) return { why: 'the only candidate', deciding: 'only' }
  const rival = second.reduce((a, b) => b.score < a.score ? b : a)
  const [term, gainS] = (Object.keys(winner.terms) as Array<keyof Terms>).map(name => [name, rival.terms[name] - winner.terms[name]] as const).reduce((a, b) => b[1] > a[1] ? b : a)
  return { why: `finishes first: ${term} is ${gainS.toFixed(1)} s shorter than on the next`, deciding: term }
}

function explore (prospects: Prospect[], order: Ranked[], random: () => number): Ranking | undefined {
  const unused = order.filter(r => r !== order[0] && (prospects.find(p => p.device === r.device)?.unusedMs ?? 0) > EXPLORE_UNUSED_MS)
  const pick = unused[Math.floor(random() * unused.length)]
  if (pick === undefined) return undefined
  return { order: [pick, ...order.filter(r => r !== pick)], why: 'explores a builder unused for 10 min (election.explore)', deciding: 'explore' }
}

function shuffle (items: Ranked[], random: () => number): Ranked[] {
  return items.map(item => [random(), item] as const).sort((a, b) => a[0] - b[0]).map(([, item]) => item)
}

function compareIds (a: Ranked, b: Ranked): number { return a.device < b.device ? -1 : a.device > b.device ? 1 : 0 }
function ms (rttMs: number | undefined): string { return rttMs === undefined ? 'unmeasured' : `${rttMs.toFixed(1)} ms` }
