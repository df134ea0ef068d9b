/** What examples/monitoring asks for exists: every metric, by the labels it has. promtool's own checks are in test/docs. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ALERT_CODES, ALERTS } from '../../src/services/alerts/catalogue.ts'
import { METRICS, type MetricFacts } from '../../src/services/telemetry/catalogue.ts'

interface Panel { title: string, type: string, gridPos: { x: number, w: number }, targets?: Array<{ expr: string, legendFormat: string }> }

const FOLDER = join(import.meta.dirname, '../../../../examples/monitoring')
const read = (file: string): string => readFileSync(join(FOLDER, file), 'utf8')
/** Given by the scrape, or by a histogram. */
const ALWAYS = new Set(['instance', 'job', 'le'])

const rules = [...read('alerts.yml').matchAll(/alert: (\w+)\n\s+expr: (.+)\n/g)].map(([, alert = '', expr = '']) => ({ alert, expr }))
const { panels } = JSON.parse(read('grafana/dashboards/elder.json')) as { panels: Panel[] }
const queries = [...rules.map(({ alert, expr }) => [alert, expr] as const), ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr, legendFormat }) => [title, `${expr} ${legendFormat}`] as const))]

function namesIn (text: string): string[] { return [...text.matchAll(/\b(?:elder|process)_[a-z_]+/g)].map(([name]) => name) }

function factsOf (name: string): MetricFacts | undefined {
  const all: Record<string, MetricFacts> = METRICS
  const family = name.replace(/_(bucket|sum|count)$/, '')
  return all[name] ?? (all[family]?.type === 'histogram' ? all[family] : undefined)
}

test('there is something to check', () => { expect([rules.length, panels.length, queries.length].every(count => count > 10)).toBe(true) })

test.each(queries)('%s: its metrics and labels exist', (_where, text) => {
  const names = namesIn(text)
  expect(names.filter(name => factsOf(name) === undefined)).toEqual([])
  const labels = new Set([...ALWAYS, ...names.flatMap(name => factsOf(name)?.labels ?? [])])
  const asked = [...[...text.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(',').map(label => label.trim())), ...[...text.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)]
  expect(asked.filter(label => !labels.has(label))).toEqual([])
})

test('counters are asked for as rates, and nothing else is', () => {
  const rated = queries.flatMap(([, text]) => [...text.matchAll(/(?:rate|increase)\((\w+)/g)].map(([, name = '']) => name))
  const counters = new Set(queries.flatMap(([, text]) => namesIn(text)).filter(name => /_(total|bucket)$/.test(name)))
  expect(new Set(rated)).toEqual(counters)
})

test('every metric is on the dashboard, in a rule, or a total of what is', () => {
  const shown = new Set(queries.flatMap(([, text]) => namesIn(text)).map(name => name.replace(/_(bucket|sum|count)$/, '')))
  const raw = ['elder_cpu_cores', 'elder_cpu_pressure_ratio', 'elder_memory_available_bytes', 'elder_memory_total_bytes', 'elder_disk_available_bytes', 'elder_disk_size_bytes', 'elder_build_slots', 'elder_stacks', 'process_start_time_seconds']
  expect(Object.keys(METRICS).filter(name => !shown.has(name)).toSorted()).toEqual(raw.toSorted())
})

test('every metric that a rule test feeds exists', () => {
  expect(namesIn(read('alerts.test.yml')).filter(name => factsOf(name) === undefined)).toEqual([])
})

test('every condition says when, and the panels fit the grid', () => {
  for (const code of ALERT_CODES) expect([code, ALERTS[code].when.length > 20]).toEqual([code, true])
  expect(panels.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([])
})
