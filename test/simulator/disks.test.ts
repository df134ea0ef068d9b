/** The watch over the disks of a builder and the alert for them, as they ship, while builds, uploads and strangers fill and empty them. */
import { describe, expect, it } from 'vitest'
import { Cellar, type CellarOutcome, type CellarPlan } from './disks/cellar.ts'
import { planOf, type CellarStep } from './disks/plan.ts'
import type { Edit } from './mutant.ts'
import { soundOrTold } from './virtual/schedule.ts'

const MINUTES = 20
type How = Pick<CellarPlan, 'edits' | 'alertEdits'>
const run = (seed: number, how: How = {}, steps: readonly CellarStep[] = planOf(seed, MINUTES)): Promise<CellarOutcome> => new Cellar({ seed, steps, minutes: MINUTES, ...how }).run()

const STAYED = 'a disk stayed full while builds went on'
const SMALL = 'a small build was ended, and a bigger one went on'
const OVER = 'a build over its limit went on'

/** Each rule, the seed that catches its absence, what goes wrong then, and the edit that takes it away. */
const MUTANTS: Array<[rule: string, seed: number, what: string, edits: Edit[]]> = [
  ['a build ends when its disk runs full', 1, STAYED, [['if (this.#isLow(disk)) return await this.#makeRoom()', 'if (this.#isLow(disk)) return']]],
  ['a disk without files is full', 6, STAYED, [[' || (files > 0 && ffree < files * FILES_PART)', '']]],
  ['the biggest ends', 1, SMALL, [['b.bytes - a.bytes', 'a.bytes - b.bytes']]],
  ['who cannot be counted ends first', 1, SMALL, [['inTime(watch.measure().catch(() => 0), Infinity)', 'inTime(watch.measure().catch(() => 0), 0)']]],
  ['one is ended at a time', 1, 'a second build was ended before the space of the first had come back', [['isMakingRoom || ', '']]],
  ['the next one is spared for a moment', 1, 'a second build was ended before the space of the first had come back', [['mercyUntilMs = performance.now() + MERCY_MS', 'mercyUntilMs = 0']]],
  ['builds on another disk are spared', 1, 'a build was ended for a disk that was not full', [['watch.#disk === this.#disk && ', '']]],
  ['a disk that has room again ends nobody', 2, 'a build was ended for a disk that was not full', [['if (disk !== undefined && !this.#isLow(disk)) return', '']]],
  ['one whose folders cannot be named holds up nobody', 2, STAYED, [['inTime(watch.#ask().catch(() => undefined), undefined)', 'watch.#ask().catch(() => undefined)']]],
  ['a tree that cannot be counted hides nothing', 9, STAYED, [['void this.measure(freeBytes)', 'await this.measure(freeBytes)']]],
  ['a look that failed is not the last', 1, STAYED, [['this.#look().catch(() => undefined)', 'this.#look().catch(() => { this.#stopped.abort() })']]],
  ['a disk that was low before is not held against a build', 2, 'a build was ended for a disk that was low before it, and did not get worse', [[', bavail * bsize / 2)', ')']]],
  ['a build keeps its limit', 2, OVER, [["if (this.#heldBytes > this.#init.bytesMax) this.#end('limit')", '']]],
  ['what has gone from the disk is looked for', 2, OVER, [['return this.#heldBytes + gone >= this.#init.bytesMax &&', 'return gone < 0 &&']]],
  ['a tree is looked at once in a while', 2, OVER, [['if (rested >= Math.max(IDLE_WALK_MS, IDLE_REST_FACTOR * this.#walkTookMs)) return true', '']]],
  ['a walk is followed by a rest', 1, 'a tree was walked again and again', [['rested >= REST_FACTOR * this.#walkTookMs', 'rested >= 0']]],
  ['a build ends once', 2, 'a build was ended twice', [['if (this.#full || this.#stopped', 'if (this.#stopped'], ['aborted && !this.#full) this.#timer', 'aborted) this.#timer']]],
  ['a build that is over is left alone', 1, 'a build that was over was ended', [['this.#full || this.#stopped.signal.aborted', 'this.#full'], ['    watches.delete(this)\n', '']]],
]

describe('the disks of a builder in a hostile world', () => {
  it.each([3, 19])('seed %i: no disk stays full, the right build ends, and the alert comes in time and goes', async seed => {
    await soundOrTold(seed, planOf(seed, MINUTES), steps => run(seed, {}, steps))
  })

  it('replays from its seed, with builds to end', async () => {
    const { hash, limits, reserves, told } = await run(2)
    expect((await run(2)).hash).toBe(hash)
    expect(Math.min(limits, reserves, told)).toBeGreaterThan(1)
  })

  it.each(MUTANTS)('without the rule that %s, seed %i finds: %s', async (_rule, seed, what, edits) => {
    expect((await run(seed, { edits })).violations).toContain(what)
  })

  it('without the rule that a disk is low until there is room to spare, seed 3 finds an alert that comes and goes', async () => {
    const { violations } = await run(3, { alertEdits: [['.filter(({ code }) => code === \'DISK_LOW\')', '.slice(0, 0)']] })
    expect(violations).toContain('it was told again and again that a disk is low')
  })
})
