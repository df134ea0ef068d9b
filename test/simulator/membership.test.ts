/** Membership as it ships, in a mesh of people who join, evict, promote and leave, through crashes, restores, partitions and stalls. */
import { describe, expect, it } from 'vitest'
import { planOf, type MeshStep } from './membership/plan.ts'
import { Town, type Mutant, type TownOutcome } from './membership/town.ts'
import { queryOf, type Edit } from './mutant.ts'
import { shrink, soundOrTold } from './virtual/schedule.ts'

const MINUTES = 4
const run = (seed: number, mutant?: Mutant, steps: readonly MeshStep[] = planOf(seed, MINUTES), edits?: readonly Edit[]): Promise<TownOutcome> =>
  new Town({ seed, steps, minutes: MINUTES, ...(mutant === undefined ? {} : { mutant }), ...(edits === undefined ? {} : { edits }) }).run()

/** Each with the seed that catches it and what it finds. */
const MUTANTS: Array<[Mutant, number, string]> = [
  ['door', 1, 'devices that can talk hold different records at rest'],
  ['close', 1, 'a device that is out stayed connected'],
  ['exchange', 1, 'devices that can talk hold different records at rest'],
  ['durable', 1, 'a restarted device forgot records that it had'],
  ['proof', 1, 'a device thinks it is a member, and others know better'],
]

const inPlan = (...edits: Edit[]): Edit[] => [["'./dial-plan.ts'\nimport type", `'./dial-plan.ts${queryOf(edits)}'\nimport type`]]
const APART = 'members that can talk stayed apart'

/** Each rule of the supervisor, which dials, with its edit. */
const DIAL_MUTANTS: Array<[rule: string, seed: number, what: string, edits: Edit[]]> = [
  ['two are dialled at once', 1, 'a device dialled more than two at once', inPlan(['DIALS_AT_ONCE = 2', 'DIALS_AT_ONCE = 3'])],
  ['a dial ends', 1, 'a dial did not end', [[', AbortSignal.timeout(ms)]', ']']]],
  ['a wait follows a failure', 1, 'a device that does not answer was dialled again and again', [['this.#backoffs.set(device, backoff)', '']]],
  ['the waits grow', 1, 'a device that does not answer was dialled again and again', inPlan(['BACKOFF_FIRST_MS * 2 ** failures', 'BACKOFF_FIRST_MS'])],
  ['who is out waits an hour', 7, 'a device that was told that it is out knocked again', inPlan(['isRevoked ? BACKOFF_REVOKED_MS : ', ''])],
  ['who is here is not dialled', 1, 'a device dialled one that it was connected to', inPlan(['.filter(({ device }) => !state.connected.has(device) && !state.dialing.has(device))\n', ''])],
  ['it dials for ever', 1, APART, [['this.#schedule((due.length > 0 ? TICK_MS : this.#waitMs(candidates, connected)) * (0.5 + this.#components.random()))', '']]],
]

describe('membership in a hostile world', () => {
  // In the last one an admin leaves at its first meeting with a device that was down while others came.
  it.each([1, 2, 4, 6, 28])('seed %i: nobody comes in uninvited or back, and all that can talk agree at rest', async seed => {
    await soundOrTold(seed, planOf(seed, MINUTES), steps => run(seed, undefined, steps))
  })

  it('had something to survive', async () => {
    const { crashes, restores, evictions, members } = await run(4)
    expect([crashes, restores, evictions, members].every(count => count > 0)).toBe(true)
  })

  it('replays from its seed', async () => {
    expect((await run(4)).hash).toBe((await run(4)).hash)
  })

  it.each(MUTANTS)('without the rule %s, seed %i finds: %s', async (mutant, seed, what) => {
    expect((await run(seed, mutant)).violations).toContain(what)
  })

  it.each(DIAL_MUTANTS)('without the rule that %s, seed %i finds: %s', async (_rule, seed, what, edits) => {
    expect((await run(seed, undefined, planOf(seed, MINUTES), edits)).violations).toContain(what)
  })

  it('tells a failing seed with fewer steps', async () => {
    const steps = planOf(1, MINUTES)
    const fails = async (fewer: readonly MeshStep[]): Promise<boolean> => (await run(1, 'close', fewer)).violations.includes('a device that is out stayed connected')
    const shortest = await shrink(steps, fails, 12)
    expect(shortest.length).toBeLessThan(steps.length * 0.75)
    expect(await fails(shortest)).toBe(true)
  })
})
