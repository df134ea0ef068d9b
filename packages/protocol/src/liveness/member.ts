/** What a device knows of the life of one other: the clockwork of its probes. Times are attended milliseconds. */
import type { Suspicion } from './suspicion.ts'

const PROBE_MS = 1_000
/** A suspect is asked more often: it shall have every chance to refute. */
const SUSPECT_PROBE_MS = 500
/** Even a device that probes us gets a probe this often, for the round trip. */
const ROUND_TRIP_MS = 10_000
/** The first answers are taken by processes that still warm up. */
const FIRST_ANSWERS = 4
const DIRECT_MS = 500
const DIRECT_MAX_MS = 2_000

export interface Member {
  /** The latest that is known. */
  incarnation: number
  /** The latest that the device itself told us. */
  ownIncarnation: number
  /** Any word of its own last arrived. */
  heardMs: number
  /** It probed us, so it lives and we need not ask. */
  probedUsMs: number
  probedMs: number
  answeredMs: number
  answers: number
  /** Smoothed round trip; 0 before the first answer. */
  rttMs: number
  /** The oldest probe since we heard anything. */
  unansweredSinceMs: number | undefined
  probe: Probe | undefined
  suspicion: Suspicion | undefined
}

/** A probe on its way: first straight, then over helpers. */
export interface Probe {
  untilMs: number
  isStraight: boolean
  /** A helper answered, whatever it said. */
  isHelped: boolean
}

export function newMember (nowMs: number): Member {
  return {
    incarnation: 0, ownIncarnation: 0, heardMs: nowMs, probedUsMs: -Infinity, probedMs: -Infinity, answeredMs: -Infinity, answers: 0, rttMs: 0,
    unansweredSinceMs: undefined, probe: undefined, suspicion: undefined,
  }
}

/** One probe a second between two devices is enough: who is probed keeps quiet, as long as the other goes on. */
export function probeIsDue (member: Member, nowMs: number): boolean {
  const sinceMs = nowMs - member.probedMs
  if (member.suspicion !== undefined) return sinceMs >= SUSPECT_PROBE_MS
  if (member.probe !== undefined || sinceMs < PROBE_MS) return false
  if (member.answers < FIRST_ANSWERS) return true
  return nowMs - member.probedUsMs > PROBE_MS * 1.25 || nowMs - member.answeredMs > ROUND_TRIP_MS
}

/** How long a straight answer may take. */
export function directMs (member: Member): number { return Math.min(DIRECT_MAX_MS, Math.max(DIRECT_MS, 3 * member.rttMs)) }

/** A word of its own: whatever we waited for has come. */
export function heardFrom (member: Member, nowMs: number): void {
  member.heardMs = nowMs
  member.unansweredSinceMs = undefined
  member.probe = undefined
}
