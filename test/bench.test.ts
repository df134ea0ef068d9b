/** The benchmark runs end to end: its report has every row, and says what it could not measure. Not one figure is judged here. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import type { BenchReport } from '../bench/report.ts'

const ROWS = [
  'advert', 'claim', 'cli', 'dispatch', 'dispatch-snapshot', 'dispatch-source', 'edit', 'edit-durable', 'edited-bytes', 'edited-source', 'edited-total', 'empty-build', 'empty-rate',
  'first-push',
  'headless-idle-bytes', 'headless-idle-cpu', ...['alone', 'peers', 'entries', 'work', 'rest'].flatMap(station => ['peak', 'private', 'pss', 'rss'].map(kind => `headless-${kind}-${station}`)), 'headless-sync-cpu',
  'idle-bytes', 'idle-cpu', 'join', 'join-ready', 'noop-rate', 'ready', 'ready-cpu', 'request', 'request-rate', 'restore', 'rss', 'rss-ready', 'rtt', 'write-rate',
]

test('bench --smoke prints a whole report as JSON and the table beside it', async () => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, '../bench/run.ts'), '--smoke'], { maxBuffer: 2 ** 24 })
  const report = JSON.parse(stdout) as BenchReport
  expect(report.failed).toEqual([])
  expect(report).toMatchObject({ schema: 'elder/bench.v1', counts: 'smoke', machine: { node: process.version } })
  expect(report.rows.filter(row => row.id !== 'compile-rate').map(row => row.id).toSorted()).toEqual(ROWS.toSorted())
  for (const { id, ours } of report.rows) expect(ours, id).toMatchObject({ n: expect.any(Number), p50: expect.any(Number) })
  for (const peer of ['serf', 'distcc']) {
    const measured = report.rows.some(row => row.peers.some(({ name }) => name.startsWith(peer)))
    expect(measured !== report.missingPeers.includes(peer), `${peer} is measured or named as missing, and not both`).toBe(true)
  }
  expect(stderr).toContain('| devices | what | unit |')
}, 90_000)
