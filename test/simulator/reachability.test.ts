/** A device that learns from others whether it can be dialled, as it ships, while its port, its network and its peers change. */
import { describe, expect, it } from 'vitest'
import type { Edit } from './mutant.ts'
import { planOf, type StreetStep } from './reachability/plan.ts'
import { Street, type StreetOutcome } from './reachability/street.ts'
import { soundOrTold } from './virtual/schedule.ts'

const HOURS = 48
const run = (seed: number, edits?: readonly Edit[], steps: readonly StreetStep[] = planOf(seed, HOURS)): Promise<StreetOutcome> =>
  new Street({ seed, steps, hours: HOURS, ...(edits === undefined ? {} : { edits }) }).run()

const UNKNOWN = 'a device did not know whether it is reached, and a peer could tell'
const LATE = 'a device that nobody can dial did not come to know it'

/** Each rule, the seed that catches its absence, what goes wrong then, and the edit that takes it away. */
const MUTANTS: Array<[rule: string, seed: number, what: string, edits: Edit[]]> = [
  ['a device that is met is asked', 1, UNKNOWN, [['this.#untold = 0\n    if (this.#state', 'if (this.#state === undefined']]],
  ['it looks again after a quarter of an hour', 3, LATE, [['(this.#untold - 1)) : AGAIN_MS', '(this.#untold - 1)) : 2 ** 31']]],
  ['nobody could tell is not the end', 1, UNKNOWN, [["else this.#later(this.#waitMs(told?.answers === 0)", "else if (told?.answers !== 0) this.#later(this.#waitMs(false)"]]],
  ['it waits longer each time', 1, 'peers were asked again and again', [['RETRY_MS * 2 ** (this.#untold - 1)', 'RETRY_MS']]],
  ['who was silent is asked last', 1, UNKNOWN, [['this.#silent.add(device)', '']]],
  ['one alone does not decide', 6, 'a device that others can dial did not come to know it', [['ASKED_MAX = 3', 'ASKED_MAX = 1']]],
  ['no more than three are asked', 3, 'peers were asked again and again', [['.slice(0, ASKED_MAX)', '']]],
  ['a question ends', 1, UNKNOWN, [['AbortSignal.timeout(ASK_MS)', 'new AbortController().signal']]],
  ['one look at a time', 1, 'two looks ran at once', [['if (this.#checking || this.#stopped)', 'if (this.#stopped)']]],
  ['another network makes it unknown', 1, 'an address of a network that the device has left was told', [["this.#settle('unknown', undefined)", '']]],
  ['an answer from before a move does not count', 7, 'an address of a network that the device has left was told', [['generation !== this.#generation || told', 'told']]],
  ['only an own port is told', 2, 'a port that the device does not listen on was told', [[' && own.some(known => portOf(known) === portOf(address))', '']]],
  ['others are told', 1, 'nobody was told that the device is reached otherwise', [['this.#components.changed()', '']]],
  ['a stop is the end', 1, 'a device that had stopped asked on', [['if (this.#stopped) break', '']]],
]

describe('reachability in a hostile world', () => {
  it.each([12, 13, 46])('seed %i: a device comes to know whether others can dial it, and asks few of them', async seed => {
    await soundOrTold(seed, planOf(seed, HOURS), steps => run(seed, undefined, steps))
  })

  it('replays from its seed, with something to find out', async () => {
    const { hash, changes, asked } = await run(2)
    expect((await run(2)).hash).toBe(hash)
    expect(Math.min(changes, asked)).toBeGreaterThan(100)
  })

  it.each(MUTANTS)('without the rule that %s, seed %i finds: %s', async (_rule, seed, what, edits) => {
    expect((await run(seed, edits)).violations).toContain(what)
  })
})
