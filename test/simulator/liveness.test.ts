import { describe, expect, it } from 'vitest'
import { DETECTOR_RULES, type DetectorRules } from '@elder-node/protocol/mutants'
import { WatchfulMesh, type Outcome, type Plan } from './liveness/mesh.ts'

function simulate (plan: Plan): Outcome { return new WatchfulMesh(plan).run() }

const BURIED = 'a device that was there was declared dead'
const CUT = { cut: 15 }
const ASLEEP = { slow: 15, freeze: 15 }

/** Each rule, the seed that proves it is needed, under which faults, and what goes wrong without it. */
const MUTANTS: Array<[keyof DetectorRules, number, Plan['faults'], string]> = [
  ['indirect', 12, CUT, BURIED],
  ['refute', 1, CUT, BURIED],
  ['compare', 1, CUT, 'a refuted suspicion came back'],
  ['health', 6, ASLEEP, BURIED],
  ['suspicion', 1, CUT, BURIED],
]

describe('the failure detector in a hostile world', () => {
  it.each([5, 6, 8, 12, 20])('%i devices: with lost messages, stalls, starvation and cut links kill nobody', members => {
    const outcome = simulate({ seed: members, members, minutes: 160 / members, faults: { cut: 20, stall: 15, slow: 60 } })
    expect(outcome.violations).toEqual([])
    expect(outcome.dead).toBe(0)
    // Something had to be refuted for it.
    expect(outcome.suspicions).toBeGreaterThan(20)
  })

  it.each([5, 6, 8, 12, 20])('%i devices: a crash is noticed by each of the others, mostly within 5 s', members => {
    const { violations, crashes, noticedMs } = simulate({ seed: members, members, minutes: 160 / members, faults: { crash: 20 } })
    expect(violations).toEqual([])
    expect(crashes).toBeGreaterThan(10)
    expect(noticedMs.length).toBeGreaterThan(crashes)
    expect(noticedMs[0]).toBeGreaterThan(2_500)
    expect(noticedMs[Math.floor(0.5 * noticedMs.length)]).toBeLessThan(5_000)
    expect(noticedMs[Math.floor(0.95 * noticedMs.length)]).toBeLessThan(6_000)
    expect(noticedMs.at(-1)).toBeLessThan(9_000)
  })

  it.each([5, 6, 8, 12])('%i devices: through crashes, restarts, partitions, stalls and sleep they find together again', members => {
    const outcome = simulate({ seed: members, members, minutes: 160 / members, faults: { crash: 30, stall: 20, freeze: 90, partition: 90 } })
    expect(outcome.violations).toEqual([])
    expect(outcome.dead).toBeGreaterThan(20)
  })

  it('asks each neighbour once a second or less, whoever asks', () => {
    const { messages } = simulate({ seed: 1, members: 8, minutes: 10, loss: 0 })
    // 28 pairs, a question and an answer each, a little more at the start.
    expect(messages / 660 / 28 / 2).toBeLessThan(1.05)
  })

  it('replays from its seed', () => {
    const plan = { members: 6, minutes: 10, faults: { crash: 30, cut: 40, slow: 60 } }
    expect(simulate({ seed: 7, ...plan }).hash).toBe(simulate({ seed: 7, ...plan }).hash)
    expect(simulate({ seed: 7, ...plan }).hash).not.toBe(simulate({ seed: 8, ...plan }).hash)
  })

  it.each(MUTANTS)('without the rule %s, seed %i catches it', (rule, seed, faults, what) => {
    const plan = { seed, members: 5 + seed % 4, minutes: 10, faults: faults ?? {} }
    expect(simulate({ ...plan, rules: { [rule]: false } }).violations).toContain(what)
    expect(simulate(plan).violations).toEqual([])
  })

  it('has a mutant for every rule', () => {
    expect(MUTANTS.map(([rule]) => rule).sort()).toEqual(Object.keys(DETECTOR_RULES).sort())
  })
})
