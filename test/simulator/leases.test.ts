import { describe, expect, it } from 'vitest'
import { BUILD_RULES, SLOT_RULES, type BuildRules, type SlotRules } from '@elder-node/protocol/mutants'
import { LeaseFarm, type Outcome, type Plan } from './leases/farm.ts'

function simulate (plan: Plan): Outcome { return new LeaseFarm(plan).run() }

const TWICE = 'an exclusive build runs twice at once'

/** Each rule, the seed that proves it is needed, and what goes wrong without it. */
const SLOT_MUTANTS: Array<[keyof SlotRules, number, string]> = [
  ['countHeld', 1, 'more processes than slots'],
  ['countAsked', 1, 'more processes than slots'],
  ['countEnding', 1, 'more processes than slots'],
  ['idempotent', 1, 'a claim that holds a slot is told no when it asks again'],
  ['fence', 1, 'a fence did not rise'],
  ['lapse', 1, 'a slot leaked'],
  ['grace', 1, 'a build was killed within its grace'],
  ['stamp', 4, TWICE],
  ['sweepFirst', 3, 'more processes than slots'],
  ['bindTimeout', 1, 'a slot leaked'],
]
const BUILD_MUTANTS: Array<[keyof BuildRules, number, string]> = [
  ['currentOnly', 1, 'a result of another lease than the current one was accepted'],
  ['ownBuilder', 3, TWICE],
  ['once', 1, 'two results were accepted for one build'],
  ['exclusiveWait', 1, TWICE],
  ['silence', 1, 'a build never ended'],
  ['firstOnly', 1, TWICE],
  ['timeout', 1, 'a build never ended'],
]

describe('leases in a hostile world', () => {
  it('keeps every promise over twenty hours of crashes, partitions, loss and drift', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const outcome = simulate({ seed, hours: 1 })
      expect(outcome.violations, `seed ${seed}`).toEqual([])
      expect(outcome.done / outcome.builds, `seed ${seed}: ${JSON.stringify(outcome)}`).toBeGreaterThan(0.8)
      expect(outcome.crashes, `seed ${seed}`).toBeGreaterThan(20)
      expect(outcome.moved, `seed ${seed}`).toBeGreaterThan(20)
    }
  })

  it('replays from its seed', () => {
    expect(simulate({ seed: 7, hours: 0.3 }).hash).toBe(simulate({ seed: 7, hours: 0.3 }).hash)
    expect(simulate({ seed: 7, hours: 0.3 }).hash).not.toBe(simulate({ seed: 8, hours: 0.3 }).hash)
  })

  it.each(SLOT_MUTANTS)('a builder without the rule %s is caught by seed %i: %s', (rule, seed, what) => {
    expect(simulate({ seed, hours: 0.5, slotRules: { [rule]: false } }).violations).toContain(what)
    expect(simulate({ seed, hours: 0.5 }).violations).toEqual([])
  })

  it.each(BUILD_MUTANTS)('a requester without the rule %s is caught by seed %i: %s', (rule, seed, what) => {
    expect(simulate({ seed, hours: 0.5, buildRules: { [rule]: false } }).violations).toContain(what)
  })

  it('has a mutant for every rule', () => {
    expect(SLOT_MUTANTS.map(([rule]) => rule).sort()).toEqual(Object.keys(SLOT_RULES).sort())
    expect(BUILD_MUTANTS.map(([rule]) => rule).sort()).toEqual(Object.keys(BUILD_RULES).sort())
  })
})
