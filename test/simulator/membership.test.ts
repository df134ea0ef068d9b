/** Membership as it ships, in a mesh of people who join, evict, promote and leave, through crashes, restores, partitions and stalls. */
import { describe, expect, it } from 'vitest'
import { planOf, type MeshStep } from './membership/plan.ts'
import { Town, type Mutant, type TownOutcome } from './membership/town.ts'
import { shrink, soundOrTold } from './virtual/schedule.ts'

const MINUTES = 4
const run = (seed: number, mutant?: Mutant, steps: readonly MeshStep[] = planOf(seed, MINUTES)): Promise<TownOutcome> =>
  new Town({ seed, steps, minutes: MINUTES, ...(mutant === undefined ? {} : { mutant }) }).run()

/** Each with the seed that catches it and what it finds. */
const MUTANTS: Array<[Mutant, number, string]> = [
  ['door', 1, 'devices that can talk hold different records at rest'],
  ['close', 1, 'a device that is out stayed connected'],
  ['exchange', 1, 'devices that can talk hold different records at rest'],
  ['durable', 1, 'a restarted device forgot records that it had'],
  ['proof', 1, 'a device thinks it is a member, and others know better'],
]

describe('membership in a hostile world', () => {
  it.each([1, 2, 4, 6])('seed %i: nobody comes in uninvited or back, and all that can talk agree at rest', async seed => {
    await soundOrTold(seed, planOf(seed, MINUTES), steps => run(seed, undefined, steps))
  })

  it('had something to survive', async () => {
    const { crashes, restores, evictions, members } = await run(1)
    expect([crashes, restores, evictions, members].every(count => count > 0)).toBe(true)
  })

  it('replays from its seed', async () => {
    expect((await run(4)).hash).toBe((await run(4)).hash)
  })

  it.each(MUTANTS)('without the rule %s, seed %i finds: %s', async (mutant, seed, what) => {
    expect((await run(seed, mutant)).violations).toContain(what)
  })

  it('tells a failing seed with fewer steps', async () => {
    const steps = planOf(1, MINUTES)
    const fails = async (fewer: readonly MeshStep[]): Promise<boolean> => (await run(1, 'close', fewer)).violations.includes('a device that is out stayed connected')
    const shortest = await shrink(steps, fails, 12)
    expect(shortest.length).toBeLessThan(steps.length * 0.75)
    expect(await fails(shortest)).toBe(true)
  })
})
