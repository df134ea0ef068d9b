/**
 * Which findings have held long enough to be told: pure, `evaluate(findings, now)`.
 *
 * state    | sees                            | becomes
 * ---------|---------------------------------|---------------------------------------
 * -        | the finding                     | pending, since now
 * pending  | the finding, held for `holdMs`  | firing
 * pending  | the finding after nobody looked for `blindMs` | pending, since now: what a sleeping machine missed does not count
 * any      | no such finding                 | -
 *
 * The model is the `for` of a Prometheus alert rule.
 */
import type { Problem } from '../../api.ts'
import { ALERTS, type AlertFacts } from './catalogue.ts'

/** A condition that is true right now. */
export interface Finding extends Problem {
  /** With the code: what it is about. The same key in a row is the same finding, however its message changes. */
  about: string
  /** Milliseconds for which it is known to hold already. @default 0 */
  heldMs?: number
}

interface Watched { sinceMs: number, firing: boolean }

export interface AlertBookInit {
  /** No look for so long: pending findings begin anew. @default 180_000 */
  blindMs?: number
}

export class AlertBook {
  readonly #blindMs: number
  #watched = new Map<string, Watched>()
  #lastMs = -Infinity

  constructor (init: AlertBookInit = {}) { this.#blindMs = init.blindMs ?? 180_000 }

  /** Those that fire, in the order of the catalogue, others behind its first entries. `nowMs`: monotonic. */
  evaluate (findings: readonly Finding[], nowMs: number): Problem[] {
    const wasBlind = nowMs - this.#lastMs > this.#blindMs
    this.#lastMs = nowMs
    const next = new Map<string, Watched>()
    for (const finding of findings) next.set(keyOf(finding), this.#watch(finding, nowMs, wasBlind))
    this.#watched = next
    return findings.filter(finding => next.get(keyOf(finding))?.firing === true).toSorted((a, b) => rankOf(a) - rankOf(b)).map(({ about: _about, heldMs: _heldMs, ...problem }) => problem)
  }

  #watch (finding: Finding, nowMs: number, wasBlind: boolean): Watched {
    const known = this.#watched.get(keyOf(finding))
    if (known?.firing === true) return known
    const sinceMs = known === undefined || wasBlind ? nowMs : known.sinceMs
    const { holdMs, settleMs = holdMs } = factsOf(finding.code)
    const watchedMs = nowMs - sinceMs
    return { sinceMs, firing: watchedMs >= Math.min(holdMs, settleMs) && Math.max(watchedMs, finding.heldMs ?? 0) >= holdMs }
  }
}

/** What a service found itself holds at once. */
function factsOf (code: string): AlertFacts { return (ALERTS as Readonly<Record<string, AlertFacts>>)[code] ?? { when: '', holdMs: 0 } }

function rankOf ({ code }: Finding): number {
  const at = Object.keys(ALERTS).indexOf(code)
  return at < 0 ? 1.5 : at
}

function keyOf ({ code, about }: Finding): string { return `${code} ${about}` }
