/** Requesters and builders as they ship, through crashes, partitions, stalls, cancels and evictions. */
import { describe, expect, it } from 'vitest'
import { planOf } from './builds/plan.ts'
import { Yard, type Mutant, type YardOutcome } from './builds/yard.ts'
import { soundOrTold } from './virtual/schedule.ts'

const MINUTES = 5
interface How { calm?: boolean, mutant?: Mutant }
const stepsOf = (seed: number, { calm = false }: How = {}): ReturnType<typeof planOf> => planOf(seed, { minutes: MINUTES, calm })
const run = (seed: number, how: How = {}, steps: readonly ReturnType<typeof planOf>[number][] = stepsOf(seed, how)): Promise<YardOutcome> =>
  new Yard({ seed, steps, minutes: MINUTES, ...how }).run()

/** Each with the seed that catches it and what it finds. */
const MUTANTS: Array<[Mutant, number, string]> = [
  ['sweep', 1, 'more builds than slots on a machine'],
  ['kill', 1, 'a build that had ended went on'],
  ['early', 1, 'more builds than slots on a machine'],
  ['close', 5, 'a build of a device that is out went on'],
]

describe('builds in a hostile world', () => {
  it.each([1, 2, 5])('seed %i: no slot is overbooked or leaked, each build ends once, with a result of a builder that ran it', async seed => {
    await soundOrTold(seed, stepsOf(seed), steps => run(seed, {}, steps))
  })

  it.each([5, 6])('seed %i, in calm weather: no build moves or fails while nothing does', async seed => {
    await soundOrTold(seed, stepsOf(seed, { calm: true }), steps => run(seed, { calm: true }, steps))
  })

  it('had something to survive, and built', async () => {
    const { crashes, moved, done, builds } = await run(2)
    expect([crashes, moved].every(count => count > 0)).toBe(true)
    expect(done).toBeGreaterThan(builds / 2)
  })

  it('replays from its seed', async () => {
    expect((await run(3)).hash).toBe((await run(3)).hash)
  })

  it.each(MUTANTS)('without the rule %s, seed %i finds: %s', async (mutant, seed, what) => {
    expect((await run(seed, { mutant })).violations).toContain(what)
  })
})
