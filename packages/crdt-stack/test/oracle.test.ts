/** The core against an executable model of its rules, over random histories. A longer run: ORACLE_SEED=1000 ORACLE_SEEDS=2000 */
import { afterAll, describe, expect, it } from 'vitest'
import { Peephole, World } from './oracle/world.ts'

const FIRST = Number(process.env['ORACLE_SEED'] ?? 1)
const SEEDS = Number(process.env['ORACLE_SEEDS'] ?? 100)

describe('stacks and the model', () => {
  const peephole = new Peephole()
  afterAll(() => { peephole.close() })

  it('hold, void, skip and show the same at every step', async () => {
    const failures: string[] = []
    const sum = { seeds: 0, records: 0, exchanges: 0, rounds: 0, skipped: 0 }
    for (let seed = FIRST; seed < FIRST + SEEDS && failures.length < 5; seed++) {
      const world = new World(seed, peephole)
      await world.play().catch((error: unknown) => { failures.push(`seed ${seed}: ${error instanceof Error ? error.stack?.slice(0, 900) : String(error)}`) })
      sum.seeds++
      sum.records += world.records
      sum.exchanges += world.exchanges
      sum.rounds = Math.max(sum.rounds, world.rounds)
      sum.skipped += world.skipped
    }
    if (SEEDS > 100) console.log(sum)
    expect(failures.join('\n')).toBe('')
  }, 60_000 + 400 * SEEDS)
})
