/** Requesters and builders as they ship, through crashes, partitions, stalls, cancels and evictions. */
import { describe, expect, it } from 'vitest'
import { planOf } from './builds/plan.ts'
import { Yard, type Mutant, type YardOutcome } from './builds/yard.ts'
import { queryOf, type Edit } from './mutant.ts'
import { soundOrTold } from './virtual/schedule.ts'

const MINUTES = 5
interface How { calm?: boolean, mutant?: Mutant, edits?: readonly Edit[] }
const stepsOf = (seed: number, { calm = false }: How = {}): ReturnType<typeof planOf> => planOf(seed, { minutes: MINUTES, calm })
const run = (seed: number, how: How = {}, steps: readonly ReturnType<typeof planOf>[number][] = stepsOf(seed, how)): Promise<YardOutcome> =>
  new Yard({ seed, steps, minutes: MINUTES, ...how }).run()

/** Each with the seed that catches it and what it finds. */
const MUTANTS: Array<[Mutant, number, string]> = [
  ['sweep', 6, 'more builds than slots on a machine'],
  ['kill', 1, 'a build that had ended went on'],
  ['early', 1, 'more builds than slots on a machine'],
  ['close', 5, 'a build of a device that is out went on'],
]

const BELIEVED = 'a device believed in slots of a peer that were not so any more'
const UNKNOWN = 'a device did not know what a peer offers'
const AGELESS: Edit[] = [['const now = clock.monotonicMs()\n    this.table.expire(now)', 'const now = 0']]

/** Each rule of telling what a device offers, with its edit. */
const ADVERT_MUTANTS: Array<[rule: string, seed: number, what: string, edits: Edit[], how?: How]> = [
  ['a change is told', 1, BELIEVED, [['this.#capacity = capacity\n    this.#changed()', 'this.#capacity = capacity']]],
  ['a later word counts more', 1, BELIEVED, [['this.#seq++\n    await this.#components.mesh.broadcast', 'await this.#components.mesh.broadcast']]],
  ['it is told again while nothing changes', 1, UNKNOWN, [['this.#loops.every(heartbeatMs, () => this.#publish())', '']]],
  ['a newcomer is told', 1, UNKNOWN, [["mesh.on('admitted', device => { void this.#tell(device) })", "mesh.on('admitted', () => {})"]]],
  ['changes are put together', 9, 'adverts were sent without a pause', [['const waitMs = Math.max(0,', 'const waitMs = Math.min(0,'], ['if (this.#pending) return\n', '']]],
  ['what is old is not believed', 5, 'a device believed in slots of a device that is long gone', [["'./resources/known-devices.ts'", `'./resources/known-devices.ts${queryOf(AGELESS)}'`]], { calm: true }],
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

  it.each(ADVERT_MUTANTS)('without the rule that %s, seed %i finds: %s', async (_rule, seed, what, edits, how = {}) => {
    expect((await run(seed, { ...how, edits })).violations).toContain(what)
  })
})
