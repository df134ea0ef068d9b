/**
 * When is a silent peer dead? Pure.
 *
 * SWIM (Das et al. 2002) with one idea of Lifeguard (Dadgar et al. 2018): a node whose own event loop is late waits longer,
 * and after a stall that explains the silence it starts to count anew. libp2p's own monitor does not: at load 25 it dropped
 * 257 healthy connections in 150 s.
 */

export const PROBE_INTERVAL_MS = 1_000
export const MISSES_MAX = 3
/** Silence below this never kills, whatever number of probes was missed. */
export const SILENCE_MS = 3_000
/** A tick later than this explains everybody's silence: our own fault. */
export const STALL_MS = 1_000
/** Even a peer that probes us gets a probe this often, for the round trip. */
export const RTT_INTERVAL_MS = 10_000
const FIRST_ANSWERS = 4

export interface Silence {
  /** Anything of the peer's probes last arrived: its answer to ours, or its own. */
  heardAtMs: number
  /** It asked us, so it is alive and we need not ask. */
  askedUsAtMs: number
  /** Our last probe. */
  sentAtMs: number
  /** Our last measured answer, and how many there were. */
  answeredAtMs: number
  answers: number
  /** Probes sent since anything was heard. */
  misses: number
}

export function newSilence (nowMs: number): Silence {
  return { heardAtMs: nowMs, askedUsAtMs: -Infinity, sentAtMs: -Infinity, answeredAtMs: -Infinity, answers: 0, misses: 0 }
}

export function heard (silence: Silence, nowMs: number): void {
  silence.heardAtMs = nowMs
  silence.misses = 0
}

/**
 * One probe a second between two devices is enough: who is probed keeps quiet, but for a round trip of its own every 10 s,
 * and once a second while it has only a few: the first ones are taken by processes that are still warming up.
 */
export function probeIsDue (silence: Silence, nowMs: number): boolean {
  if (nowMs - silence.sentAtMs < PROBE_INTERVAL_MS * 0.9) return false
  if (silence.answers < FIRST_ANSWERS) return true
  return nowMs - silence.askedUsAtMs > PROBE_INTERVAL_MS * 1.5 || nowMs - silence.answeredAtMs > RTT_INTERVAL_MS
}

/** `latenessMs`: how late our own ticks were at worst in the recent past. */
export function isSuspect (silence: Silence, nowMs: number, latenessMs: number): boolean {
  return silence.misses >= MISSES_MAX && nowMs - silence.heardAtMs >= SILENCE_MS + MISSES_MAX * latenessMs
}
