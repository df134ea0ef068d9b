/** The README: every command typed as it stands there, its figures those of the benchmark, its links to files that are there. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT, runPage } from './docs/support/run-page.ts'

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const README = read('README.md')

test('its commands, on devices of their own', async () => { await runPage('README.md') }, 180_000)

test('its figures are those of the results that it names', () => {
  const results = ['bench/results/2026-11-21.md', 'bench/results/2026-11-21-published.md', 'bench/results/2026-11-21-headless.md'].map((path) => {
    expect(README).toContain(`(${path})`)
    return read(path).split('\n').filter((line) => !line.startsWith('| 8 |')).join('\n').replaceAll(',', '')
  }).join('\n')
  const rows = README.slice(README.indexOf('| measured |'), README.indexOf('Medians of')).split('\n').slice(2).filter((row) => row !== '')
  expect(rows.length).toBeGreaterThan(8)
  const known = new Set([...results.matchAll(/\d+(\.\d+)?/g)].flatMap(([figure]) => [figure, ...[1, 2, 3].map((digits) => Number(figure).toPrecision(digits))].map(Number)))
  for (const row of rows) {
    const [, , ours = '', beside = ''] = row.split('|')
    for (const [figure, value, , unit] of `${ours} ${beside}`.matchAll(/(\d+(\.\d+)?) ?(ms|s|kB|MB|%|a second|packages)?/g)) {
      const scale = unit === 's' || unit === 'kB' ? [1, 1000] : [1]
      expect(scale.some((by) => known.has(Number(value) * by)), `${figure.trim()} in ${row}`).toBe(true)
    }
  }
})

test.for(['README.md', ...globSync(['docs/**/*.md', 'examples/**/*.md'], { cwd: ROOT })])('what %s links to is there', (page) => {
  const links = [...read(page).matchAll(/\]\((?!https?:)([^)#\s]+)[^)]*\)/g)].map(([, path]) => path ?? '')
  expect(links.filter((path) => !existsSync(join(ROOT, dirname(page), path)))).toEqual([])
})

test('it is tight', () => { expect(README.split('\n').length).toBeLessThan(200) })
