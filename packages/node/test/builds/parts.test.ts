import { expect, onTestFinished, test, vi } from 'vitest'
import { LogRing } from '../../src/services/builds/log-ring.ts'
import { LogText } from '../../src/services/builds/log-text.ts'
import { EventLog } from '../../src/services/builds/event-log.ts'
import { EXIT, outcomeOfFailure, outcomeOfResult, type Asked } from '../../src/services/builds/outcome.ts'
import { Loops } from '../../src/services/resources/loops.ts'
import { uniform } from '../../src/services/uniform.ts'

const frame = (offset: number, data: Uint8Array): Parameters<LogText['take']>[0] => ({ type: 'log', offset, stream: 'stdout', data })

test('the text of a log: a character cut in two, bytes that come twice, bytes that are gone', () => {
  const log = new LogText()
  const bytes = Buffer.from('aé!')
  expect(log.take(frame(0, bytes.subarray(0, 2)))).toEqual({ text: 'a', droppedBytes: 0 })
  expect(log.take(frame(0, bytes))).toEqual({ text: 'é!', droppedBytes: 0 })
  expect(log.take(frame(1, bytes.subarray(1)))).toEqual({ text: '', droppedBytes: 0 })
  expect(log.take(frame(10, Buffer.from('z')))).toEqual({ text: 'z', droppedBytes: 6 })
  expect(log.offset).toBe(11)
})

test('a command that flushes every byte does not cost its builder a hundred times its log', () => {
  const ring = new LogRing(100_000)
  for (let i = 0; i < 50_000; i++) ring.push('stdout', Uint8Array.of(i & 0xff))
  let pieces = 0
  for (let piece = ring.next(0); piece !== undefined; piece = ring.next(piece.offset + 1)) pieces++
  expect(ring.end).toBe(50_000)
  expect(pieces).toBeLessThan(1000)
  expect(ring.next(49_999)?.data).toEqual(Uint8Array.of(49_999 & 0xff))
})

test('how a build ends', () => {
  const [lax, strict] = [false, true].map(strictOutputs => ({ strictOutputs, deadlineMs: 600_000, memoryBytes: 2 ** 29, builder: 'mini' })) as [Asked, Asked]
  const result = { exitCode: 0, unmatched: ['dist/**'] } as Parameters<typeof outcomeOfResult>[0]
  expect(outcomeOfResult(result, undefined, lax)).toEqual({ state: 'done', exitCode: 0, failure: null })
  expect(outcomeOfResult(result, undefined, strict)).toMatchObject({ state: 'failed', exitCode: EXIT.strictOutputs, failure: { code: 'OUTPUT_MISSING', message: expect.stringContaining('dist/**') as string } })
  expect(outcomeOfResult({ ...result, exitCode: 7 }, undefined, strict)).toMatchObject({ state: 'done', exitCode: 7 })
  expect(outcomeOfResult(result, new Error('no space'), lax)).toMatchObject({ exitCode: 125, failure: { code: 'OUTPUT_FAILED' } })
  expect(outcomeOfResult({ ...result, exitCode: 124, reason: 'deadline' }, undefined, lax)).toMatchObject({ state: 'failed', exitCode: 124, failure: { code: 'DEADLINE', message: expect.stringContaining('deadline of 10 m that --deadline set') as string } })
  const failure = { code: 'DEADLINE', message: '', fix: '' }
  expect([outcomeOfFailure('failed', failure), outcomeOfFailure('cancelled', failure), outcomeOfFailure('failed', { ...failure, code: 'X' })].map(({ exitCode }) => exitCode)).toEqual([124, 130, 125])
})

test('a small event after the head is full does not take the end of the log away', () => {
  const log = new EventLog<{ name: string, weight: number }>(event => event.weight, 200)
  for (let i = 0; i < 50; i++) log.push({ name: `big${i}`, weight: 30 })
  log.push({ name: 'small', weight: 5 })
  for (let i = 50; i < 60; i++) log.push({ name: `big${i}`, weight: 30 })
  log.push({ name: 'last', weight: 3 })
  log.end({ name: 'result', weight: 0 })
  expect(log.events.map(event => event.name)).toEqual(['big0', 'big1', 'big2', 'big57', 'big58', 'big59', 'last', 'result'])
})

test('what went leaves no place: a log that goes on for days holds no more than one at its bound, and its readers miss only what went', async () => {
  const log = new EventLog<{ i: number, weight: number }>(event => event.weight, 200)
  const reader = log[Symbol.asyncIterator]()
  const seen: number[] = []
  const readTo = async (i: number): Promise<void> => { for (let last = -1; last < i;) seen.push(last = ((await reader.next()).value as { i: number }).i) }
  for (let i = 0; i < 10_000; i++) {
    log.push({ i, weight: i % 1000 === 0 ? 0 : 10 })
    if (i % 7 === 0 && i < 3_000) await readTo(i)
  }
  log.end({ i: 10_000, weight: 0 })
  for await (const { i } of { [Symbol.asyncIterator]: () => reader }) seen.push(i)
  expect(seen.slice(0, 2_997)).toEqual(Array.from({ length: 2_997 }, (_, i) => i))
  expect(seen.slice(2_997)).toEqual([3000, 4000, 5000, 6000, 7000, 8000, 9000, ...Array.from({ length: 11 }, (_, k) => 9_990 + k)])
  const kept = [0, ...Array.from({ length: 10 }, (_, k) => k + 1), 1000, 2000]
  expect(log.events.map(({ i }) => i)).toEqual([...kept, 3000, 4000, 5000, 6000, 7000, 8000, 9000, ...Array.from({ length: 11 }, (_, k) => 9_990 + k)])
  expect([log.weight, log.last]).toEqual([200, { i: 10_000, weight: 0 }])
})

test('a limit that ended a build is said with its size, whose it is, and what to do', () => {
  const end = (reason: 'memory' | 'pids' | 'disk', limit: number | null, memoryBytes: number | null = null): string => {
    const { state, exitCode, failure, reason: why } = outcomeOfResult({ exitCode: 137, unmatched: [], reason, limit } as unknown as Parameters<typeof outcomeOfResult>[0], undefined, { strictOutputs: false, deadlineMs: null, memoryBytes, builder: 'mini' })
    expect({ state, exitCode, why }).toEqual({ state: 'failed', exitCode: 137, why: reason })
    return `${failure?.code}: ${failure?.message}. ${failure?.fix}`
  }
  expect(end('memory', 2 ** 29, 2 ** 29)).toMatch(/^MEMORY_LIMIT: killed: used more than 512 MB of memory on mini, the limit that was asked for\. .*--memory 1g/)
  expect(end('memory', 1.5 * 2 ** 30)).toMatch(/more than 1\.5 GB of memory on mini, the most that its owner gives one build\. .*--on <device>/)
  expect(end('pids', 4096)).toMatch(/^PIDS_LIMIT: failed after it could start no more than 4096 processes/)
  expect(end('disk', 20 * 2 ** 30)).toMatch(/^DISK_LIMIT: killed: its files, temporary ones included, took more than 20 GB on mini/)
  expect(end('disk', null)).toContain('took more than their limit')
})

test('a loop goes on after an act that failed, and not after its stop', async () => {
  vi.useFakeTimers()
  onTestFinished(() => { vi.useRealTimers() })
  const errors: string[] = []
  let times = 0
  const loops = new Loops({ random: () => 0.5, failed: error => { errors.push(error.message) } })
  loops.every(1000, async () => { if (++times === 1) throw new Error('once') })
  await vi.advanceTimersByTimeAsync(3500)
  expect([times, errors]).toEqual([3, ['once']])
  loops.stop()
  loops.later(0, async () => { times++ })
  await vi.advanceTimersByTimeAsync(10_000)
  expect(times).toBe(3)
})

test('uniform: from 0 to just below 1', () => {
  expect([uniform(() => new Uint8Array(4)), uniform(() => new Uint8Array(4).fill(255))]).toEqual([0, 1 - 2 ** -32])
})
