import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { exposition } from '../../src/gateway/http/exposition.ts'
import { METRICS, type MetricName } from '../../src/services/telemetry/catalogue.ts'
import { readingsOf, remoteLabel, type OwnReadings } from '../../src/services/telemetry/readings.ts'
import { MetricRegistry } from '../../src/services/telemetry/registry.ts'
import { FakeNode } from '../support/fake-node.ts'

const OWN: OwnReadings = {
  node: 'v24.0.0', cpuPressure: 0.5, queues: new Map(), alertCodes: ['DISK_LOW', 'ONLY_COPY'], eventLoopLagS: 0.02, restarts: 3, crashes: 1, residentBytes: 1e8, cpuS: 2.5, startTimeS: 1.7e9,
}

test('the text of counters and histograms: HELP and TYPE once, buckets cumulative, +Inf is the count', () => {
  const registry = new MetricRegistry()
  registry.count('elder_builds_total', { result: 'success' })
  registry.count('elder_builds_total', { result: 'success' }, 2)
  registry.observe('elder_build_wait_seconds', 0.2)
  registry.observe('elder_build_wait_seconds', 5000)
  const text = exposition(registry.samples())
  expect(text).toContain(`# HELP elder_builds_total ${METRICS.elder_builds_total.help}\n# TYPE elder_builds_total counter\nelder_builds_total{result="success"} 3\n`)
  expect(text.match(/# TYPE/g)).toHaveLength(2)
  expect(text.split('\n').filter(line => line.startsWith('elder_build_wait_seconds'))).toEqual([
    ...['0.1"} 0', '0.3"} 1', '1"} 1', '3"} 1', '10"} 1', '30"} 1', '100"} 1', '300"} 1', '1000"} 1', '3600"} 1', '+Inf"} 2'].map(end => `elder_build_wait_seconds_bucket{le="${end}`),
    'elder_build_wait_seconds_sum 5000.2', 'elder_build_wait_seconds_count 2',
  ])
})

test('whatever a device or a stack is called: one line, whose label reads back as it was', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), name => {
    const lines = exposition([{ name: 'elder_device_up', labels: { device: name }, value: 1 }]).split('\n')
    expect(lines).toHaveLength(4)
    const [, label = ''] = /^elder_device_up\{device="((?:[^"\\]|\\[\\n"])*)"\} 1$/s.exec(lines[2] ?? '') ?? []
    expect(label.replaceAll(/\\([\\n"])/g, (_all, char: string) => char === 'n' ? '\n' : char)).toBe(name.toWellFormed())
  }))
})

test('special numbers', () => {
  expect([Infinity, -Infinity, NaN, 1e21].map(value => exposition([{ name: 'elder_stacks', labels: {}, value }]).split('\n')[2])).toEqual(['elder_stacks +Inf', 'elder_stacks -Inf', 'elder_stacks NaN', 'elder_stacks 1e+21'])
})

test('labels that come from nowhere do not grow without a bound', () => {
  const registry = new MetricRegistry()
  for (let i = 0; i < 1000; i++) registry.count('elder_builds_total', { result: `r${i}` })
  expect(registry.samples().length).toBeLessThanOrEqual(64)
})

test('every sample of a node is in the catalogue, with exactly its labels, and named as Prometheus asks', async () => {
  const node = new FakeNode()
  node.problems = [{ code: 'DISK_LOW', message: '', fix: '' }]
  const status = await node.status()
  const stack = { name: 's', entries: 1, copies: 1, archived: false, mirrors: [{ url: 'https://git/x', state: 'ok' as const, lastPush: '2026-11-21T10:00:00.000Z', message: null }] }
  const samples = readingsOf({ ...status, stacks: [stack] }, OWN)
  for (const { name, labels } of samples) expect([name, Object.keys(labels)]).toEqual([name, METRICS[name].labels])
  const read = (Object.keys(METRICS) as MetricName[]).filter(name => samples.some(sample => sample.name === name))
  expect((Object.keys(METRICS) as MetricName[]).filter(name => !read.includes(name)).toSorted()).toEqual(['elder_build_duration_seconds', 'elder_build_election_seconds', 'elder_build_queue_length', 'elder_build_reelections_total', 'elder_build_wait_seconds', 'elder_builds_total', 'elder_gossip_messages_total'])
  expect(samples.filter(({ name }) => name === 'elder_alert').map(({ labels, value }) => [labels['code'], value])).toEqual([['DISK_LOW', 1], ['ONLY_COPY', 0]])
  for (const [name, { type, unit }] of Object.entries(METRICS)) {
    expect(name).toMatch(/^(elder|process)_[a-z_]+$/)
    expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter'])
    if (unit !== 'none') expect(name).toMatch(new RegExp(`_${unit}(_total)?$`))
  }
})

test.each([
  ['https://user:CANARY@git.example.org/me/memory.git?token=CANARY#CANARY', 'https://git.example.org/me/memory.git'],
  ['git@git.example.org:me/memory.git', 'git.example.org:me/memory.git'],
  ['ssh://git:CANARY@host:22/x', 'ssh://host:22/x'],
  ['/srv/git/x.git', '/srv/git/x.git'],
])('a remote is named without what opens it: %s', (url, label) => { expect(remoteLabel(url)).toBe(label) })
