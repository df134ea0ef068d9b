import { describe, expect, it } from 'vitest'
import { BUILD_RULES, SLOT_RULES, type BuildRules, type SlotRules } from '@elder-node/protocol/mutants'
import { LeaseFarm, type Outcome, type Plan } from './leases/farm.ts'
import { quantile } from './leases/watch.ts'

const outcomes = new Map<string, Outcome>()

/** A plan has one outcome: many mutants are held against the same run. */
function simulate (plan: Plan): Outcome {
  const name = JSON.stringify(plan)
  const outcome = outcomes.get(name) ?? new LeaseFarm(plan).run()
  outcomes.set(name, outcome)
  return outcome
}

const TWICE = 'an exclusive build runs twice at once'

const SLOTS = 'more processes than slots'
const GIVEN = 'given slots stand idle because their builds do not know'

/** Each rule, the seed that proves it is needed, and what goes wrong without it; the last column: in a world that only loses words. */
const SLOT_MUTANTS: Array<[keyof SlotRules, number, string, true?]> = [
  ['countHeld', 1, SLOTS],
  ['countAsked', 1, 'a newcomer got the slot that the line was asked about'],
  ['countEnding', 1, SLOTS],
  ['yesNeedsSlot', 1, SLOTS],
  ['idempotent', 1, 'a claim that holds a slot is told no when it asks again'],
  ['fence', 1, 'a fence did not rise'],
  ['lapse', 3, 'a slot leaked'],
  ['grace', 1, 'a build was killed within its grace'],
  ['stamp', 6, TWICE],
  ['sweepFirst', 4, SLOTS],
  ['bindTimeout', 1, 'a slot is kept for a requester that does not answer'],
  ['offerAgain', 1, 'freed slots stand idle beside builds that wait', true],
  ['keepReservation', 1, 'a reservation was dropped that nobody gave up'],
]
const BUILD_MUTANTS: Array<[keyof BuildRules, number, string, true?]> = [
  ['currentOnly', 1, 'a result of another lease than the current one was accepted'],
  ['ownBuilder', 6, TWICE],
  ['once', 1, 'two results were accepted for one build'],
  ['exclusiveWait', 1, TWICE],
  ['silence', 1, 'a build never ended'],
  ['firstOnly', 6, TWICE],
  ['timeout', 1, 'a build never ended'],
  ['waitAgain', 1, 'a lease that was gone before its build began cost an attempt'],
  ['comeBack', 1, 'a build gave up on a builder that was only away'],
  ['sayAgain', 1, GIVEN, true],
  ['askFree', 4, 'a slot stood free beside a build that waited'],
  ['patience', 1, 'a build gave up on a builder that only stood still'],
]
const QUIET: Omit<Plan, 'seed'> = { hours: 1, quiet: { delayMs: 10 } }
const HOSTILE: Omit<Plan, 'seed'> = { hours: 0.5 }

describe('leases in a hostile world', () => {
  it('keeps every promise over eight hours of crashes, partitions, loss and drift', () => {
    for (let seed = 1; seed <= 8; seed++) {
      const outcome = simulate({ seed, hours: 1 })
      expect(outcome.violations, `seed ${seed}`).toEqual([])
      expect(outcome.done / outcome.builds, `seed ${seed}: ${JSON.stringify(outcome)}`).toBeGreaterThan(0.8)
      expect(outcome.crashes, `seed ${seed}`).toBeGreaterThan(20)
      expect(outcome.moved, `seed ${seed}`).toBeGreaterThan(20)
    }
  })

  it.each([1, 10, 75])('a slot that is freed goes on after one round trip, two with a word lost: %i ms one way, 3 % loss', delayMs => {
    const { idle, violations } = simulate({ seed: 1, hours: 1, quiet: { delayMs } })
    console.log(`  idle ms with somebody in line: p50 ${quantile(idle.free, 0.5)}, p90 ${quantile(idle.free, 0.9)}, p99 ${quantile(idle.free, 0.99)}`)
    expect(violations).toEqual([])
    expect(quantile(idle.free, 0.5)).toBeLessThan(2 * delayMs + 50)
    expect(quantile(idle.free, 0.9)).toBeLessThan(4 * delayMs + 50)
  })

  it('replays from its seed', () => {
    expect(new LeaseFarm({ seed: 7, hours: 0.3 }).run().hash).toBe(simulate({ seed: 7, hours: 0.3 }).hash)
    expect(simulate({ seed: 7, hours: 0.3 }).hash).not.toBe(simulate({ seed: 8, hours: 0.3 }).hash)
  })

  it.each(SLOT_MUTANTS)('a builder without the rule %s is caught by seed %i: %s', (rule, seed, what, quiet) => {
    const plan = { seed, ...(quiet === true ? QUIET : HOSTILE) }
    expect(simulate({ ...plan, slotRules: { [rule]: false } }).violations).toContain(what)
    expect(simulate(plan).violations).toEqual([])
  })

  it.each(BUILD_MUTANTS)('a requester without the rule %s is caught by seed %i: %s', (rule, seed, what, quiet) => {
    const plan = { seed, ...(quiet === true ? QUIET : HOSTILE) }
    expect(simulate({ ...plan, buildRules: { [rule]: false } }).violations).toContain(what)
  })

  it('has a mutant for every rule', () => {
    expect(SLOT_MUTANTS.map(([rule]) => rule).sort()).toEqual(Object.keys(SLOT_RULES).sort())
    expect(BUILD_MUTANTS.map(([rule]) => rule).sort()).toEqual(Object.keys(BUILD_RULES).sort())
  })
})
