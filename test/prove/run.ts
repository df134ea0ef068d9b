/**
 * `npm run prove`: each promise with what was measured in this run. Exit code 1 when one of them is short.
 * `--long` does much more of the same, and writes its results to bench/results.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LONG, PROMISES, shared, SHORT, type Size } from './promises.ts'
import type { Measured } from './rigs.ts'
import { runTests } from './tests.ts'
import { filesOf, rowOf, type Row } from './verdict.ts'

const isLong = process.argv.includes('--long')
const size: Size = isLong ? LONG : SHORT
const fromMs = performance.now()

// The tests are another process: they run beside the rigs.
const tests = runTests([...new Set(PROMISES.flatMap(promised => filesOf(promised, isLong)))])
const measured = new Map<string, Measured>()
const once = shared()
for (const { id, rig } of PROMISES) if (rig !== undefined) measured.set(id, await rig(size, once))
const cases = await tests
const rows = PROMISES.map(promised => rowOf(promised, cases, measured.get(promised.id), isLong))

for (const { id, promise, state, figure, command } of rows) console.log(`${id.padEnd(4)}${state.padEnd(6)}${promise}\n          ${figure}\n          ${command}`)
const counts = (['ok', 'short', 'open'] as const).map(state => `${rows.filter(row => row.state === state).length} ${state}`)
console.log(`\n${counts.join(', ')}; ${Math.round((performance.now() - fromMs) / 1_000)} s`)
if (isLong) writeResults(rows)
process.exitCode = rows.some(({ state }) => state === 'short') ? 1 : 0

function writeResults (results: readonly Row[]): void {
  const name = join(import.meta.dirname, '../../bench/results', `${new Date().toISOString().slice(0, 10)}-prove`)
  writeFileSync(`${name}.json`, JSON.stringify({ size, rows: results }, null, 2) + '\n')
  const lines = results.map(({ id, promise, state, figure, command }) => `| ${id} | ${promise} | ${state} | ${figure.replaceAll('|', '\\|')} | \`${command}\` |`)
  writeFileSync(`${name}.md`, `# Promises, proved at length\n\n| | promise | | measured | command |\n|---|---|---|---|---|\n${lines.join('\n')}\n`)
}
