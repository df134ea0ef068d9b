/** What a person sees of a build: progress that makes room, guesses that say so, tables that fit. */
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { BuildEvent } from '../../src/api.ts'
import { BuildPrinter } from '../../src/gateway/cli/build-printer.ts'
import type { Io } from '../../src/gateway/cli/io.ts'
import { Output } from '../../src/gateway/cli/output.ts'
import { renderCandidates } from '../../src/gateway/render/build.ts'
import { CANDIDATES, MINI } from '../support/fake-node.ts'

const build = 'buildid123456'
const elected: BuildEvent = { event: 'elected', build, builder: MINI, attempt: 1, why: 'only candidate', candidates: CANDIDATES }
const sending = (message: string): BuildEvent => ({ event: 'progress', build, phase: 'sending', message })
const running: BuildEvent = { event: 'progress', build, phase: 'running', message: '' }
const log = (data: string): BuildEvent => ({ event: 'log', build, stream: 'stdout', data })

function screen ({ tty = false, json = false, quiet = false }: { tty?: boolean, json?: boolean, quiet?: boolean }): { printer: BuildPrinter, text: () => string } {
  const chunks: string[] = []
  const stream = Object.assign(new PassThrough(), { isTTY: tty })
  stream.on('data', (chunk: Buffer) => chunks.push(chunk.toString()))
  const io = { stdout: stream, stderr: stream, env: { NO_COLOR: '1' } } as unknown as Io
  const text = (): string => {
    stream.read()
    return chunks.join('').replaceAll('\r\u001b[K', '<clear>')
  }
  return { printer: new BuildPrinter(new Output(io, { json, quiet, verbose: false, color: true }), { explain: false, io }), text }
}

beforeEach(() => { vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout', 'Date'] }) })
afterEach(() => { vi.useRealTimers() })

describe('what the command printed', () => {
  const hostile = '\u001b]52;c;Y3VybA==\u0007\u001b[2J\u001b[?1049h\u009b6n\u001bP+q\u001b\\'

  test('a terminal gets colours and lines, in pieces too, and nothing that moves, answers or writes elsewhere', () => {
    const { printer, text } = screen({ tty: true })
    for (const data of ['\u001b[31mred', '\u001b', '[0', 'm\r\u001b[Kdone\t1\n', hostile, '\u001b[8mhidden']) printer.print(log(data))
    printer.close()
    expect(text()).toBe('\u001b[31mred\u001b[0m<clear>done\t1\n·]52;c;Y3VybA==··[2J·[?1049h·6n·P+q·\\\u001b[8mhidden\u001b[0m')
  })

  test('a pipe gets every byte', () => {
    const { printer, text } = screen({ tty: false })
    printer.print(log(hostile))
    printer.close()
    expect(text()).toBe(hostile)
  })
})

describe('progress', () => {
  test('on a terminal one line that is painted over, and makes room for what is printed', async () => {
    const { printer, text } = screen({ tty: true })
    printer.print(elected)
    await vi.advanceTimersByTimeAsync(1_000)
    printer.print(sending('3.2 MiB sent'))
    await vi.advanceTimersByTimeAsync(1_000)
    printer.print(running)
    printer.print(log('compiled\n'))
    await vi.advanceTimersByTimeAsync(60_000)
    expect(text().split('\n').slice(1).join('\n')).toBe('<clear>send     to mini, 1 s<clear><clear>send     3.2 MiB sent, 2 s<clear>compiled\n')
    printer.close()
  })

  test('elsewhere a line after a second, then every ten', async () => {
    const { printer, text } = screen({})
    printer.print({ event: 'queued', build, why: 'every slot is taken' })
    await vi.advanceTimersByTimeAsync(25_000)
    printer.close()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(text().split('\n').slice(1)).toEqual(['wait     for a builder, 1 s', 'wait     for a builder, 11 s', 'wait     for a builder, 21 s', ''])
  })

  test('never with --json or -q, and nothing about what takes less than a second', async () => {
    for (const how of [{ json: true, tty: true }, { quiet: true, tty: true }]) {
      const { printer, text } = screen(how)
      printer.print(elected)
      await vi.advanceTimersByTimeAsync(30_000)
      printer.close()
      expect(text()).not.toMatch(/send|<clear>/)
    }
    const { printer, text } = screen({ tty: true })
    printer.print(elected)
    await vi.advanceTimersByTimeAsync(900)
    printer.print(running)
    await vi.advanceTimersByTimeAsync(30_000)
    expect(text()).not.toMatch(/send|<clear>/)
  })
})

test('a guess is marked where it stands, and explained once', () => {
  const guessed = CANDIDATES.map((candidate) => candidate.score === null ? candidate : { ...candidate, guessed: true })
  const plain = (_format: string, text: string): string => text
  const rows = renderCandidates(guessed, MINI.id, plain)
  expect(rows.find((row) => row.startsWith('mini'))).toContain('30.00?')
  expect(rows.at(-1)).toContain('30 s is a guess')
  expect(renderCandidates(CANDIDATES, MINI.id, plain).join('\n')).not.toContain('guess')
  const { printer, text } = screen({})
  printer.print({ event: 'elected', build, builder: MINI, attempt: 1, why: 'only candidate', candidates: guessed })
  printer.close()
  expect(text()).toContain('predicted 30.4 s, a guess')
})

test('the start says what network there is, the end that it was sealed', () => {
  const { printer, text } = screen({})
  printer.print({ event: 'started', build, builder: MINI, attempt: 1, engine: 'docker', network: 'full', sealed: false, image: null, message: 'network: full, as the owner of mi\x1bni allows' })
  printer.print({ event: 'result', build, state: 'done', exitCode: 0, builder: MINI, attempt: 1, sealed: true, timings: {}, outputs: [], error: null })
  expect(text()).toContain('started  network: full, as the owner of mi·ni allows\n')
  expect(text()).toContain('exit 0 on mini, sealed')
})
