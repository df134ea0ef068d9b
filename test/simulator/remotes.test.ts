/** The mirror as it ships, with remotes that refuse, hang, flood and lose what they held, and devices that crash, stop, stall and go offline. */
import { describe, expect, it } from 'vitest'
import type { Edit } from './mutant.ts'
import { Fleet, type FleetOutcome } from './remotes/fleet.ts'
import { planOf, type FleetStep } from './remotes/plan.ts'
import { soundOrTold } from './virtual/schedule.ts'

const MINUTES = 60
interface How { calm?: boolean, edits?: readonly Edit[] }
const stepsOf = (seed: number, { calm = false }: How = {}): FleetStep[] => planOf(seed, { minutes: MINUTES, calm })
const run = (seed: number, how: How = {}, steps: readonly FleetStep[] = stepsOf(seed, how)): Promise<FleetOutcome> => new Fleet({ seed, steps, minutes: MINUTES, ...how }).run()

/** Each rule of the loop, the seed that catches its absence, what goes wrong then, and the edit that takes it away. */
const MUTANTS: Array<[rule: string, seed: number, what: string, edits: Edit[], how?: How]> = [
  ['one pass at a time', 3, 'two passes over one remote at once', [['this.#queue.then(() => this.#pass(options))', 'Promise.resolve().then(() => this.#pass(options))']]],
  ['a change in the middle of a pass queues no other', 2, 'a remote was asked again within 30 s', [[' || this.#passes > 0', '']]],
  ['passes keep a distance', 1, 'a remote was asked again within 30 s', [['Math.max(atMs, this.#notBeforeMs)', 'atMs']]],
  ['what failed waits for the next pull', 4, 'a remote that does not answer was asked more often than once a minute', [['this.#lastFailed() ? this.#pullAtMs : dueMs', 'dueMs']]],
  ['a costly failure waits twice as long', 3, 'a remote that floods was read again and again', [['this.#costly + 1', '0']]],
  ['a pass ends', 4, 'a remote that took nothing for long was not called failing', [['AbortSignal.any([signal, this.#ended.signal, AbortSignal.timeout(this.#init.passMs)])\n    const', 'AbortSignal.any([signal, this.#ended.signal])\n    const']]],
  ['a remote is looked at without a change', 6, 'a remote that holds everything is not called so at rest', [['Math.min(this.#pullAtMs, ...[', 'Math.min(...[']]],
  ['one device pushes', 2, 'devices that hear each other pushed over each other', [['this.#isOurs || electPusher(', 'true || electPusher(']], { calm: true }],
  ['another one steps in', 2, 'a note was not on a remote minutes after both were well', [[': dirty.firstMs + 2 * this.#init.pullMs + this.#init.idleMs', ': Infinity']]],
  ['what a remote lost is brought back', 2, 'a note was not on a remote minutes after both were well', [
    ['lacks && this.#isElected(key)', 'false'], ['if (!covered && stop === undefined && !this.#dirty.has(stack.key)) ', 'if (covered && !covered) '],
  ]],
  ['a failure is noted', 1, 'a remote that does not answer was asked more often than once a minute', [['if (!this.#ended.signal.aborted) this.#failed(error, stacks)', '']]],
  ['late is called failing', 4, 'a remote that took nothing for long was not called failing', [['> this.#init.failingAfterMs', '> Infinity']]],
  ['a stop pushes what is left', 4, 'a clean stop left a note behind that the remote would have taken', [["await this.pass({ push: 'all', signal })", '']]],
  ['a stop does not wait for ever', 3, 'a stop waited for a remote for longer than it may', [["else signal.addEventListener('abort', end, { once: true })", '']]],
  ['a stop is the end', 4, 'a mirror that was stopped went on', [["this.#ended.abort(new Error('the mirror stops'))", ''], ['    end()\n    clearTimeout(this.#timer)\n', '']]],
]

describe('mirrors in a hostile world', () => {
  it.each([1, 7])('seed %i: each note comes to each remote and device in time, and no remote is asked without end', async seed => {
    await soundOrTold(seed, stepsOf(seed), steps => run(seed, {}, steps))
  })

  it('in calm weather devices do not push over each other', async () => {
    await soundOrTold(2, stepsOf(2, { calm: true }), steps => run(2, { calm: true }, steps))
  })

  it('replays from its seed, with something to survive', async () => {
    const { hash, crashes, pushes, notes } = await run(22)
    expect((await run(22)).hash).toBe(hash)
    expect(Math.min(crashes, pushes, notes)).toBeGreaterThan(8)
  })

  it.each(MUTANTS)('without the rule that %s, seed %i finds: %s', async (_rule, seed, what, edits, how = {}) => {
    expect((await run(seed, { ...how, edits })).violations).toContain(what)
  })
})
