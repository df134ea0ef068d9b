/** Real processes whose reader leaves before they end: `elder-node build … | head -1`. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import type { BuildEvent } from '../../src/api.ts'
import { Desk } from '../support/cli.ts'
import { MINI, succeed } from '../support/fake-node.ts'

// A process per test that strips the types of the whole command line first.
vi.setConfig({ testTimeout: 30_000 })

const START = fileURLToPath(new URL('../../src/gateway/cli/start.ts', import.meta.url))
const NODE = [
  '--disable-warning=ExperimentalWarning', '--experimental-strip-types', '--conditions=elder-source',
  '-e', `import("${START}").then(cli => cli.start(process.argv.slice(1)))`, '--',
]
let desk: Desk
beforeAll(async () => { desk = await Desk.open() })
afterAll(async () => { await desk[Symbol.asyncDispose]() })
beforeEach(() => { desk.node.script = succeed })

/** The exit code of a command whose reader takes the first that comes and leaves. */
async function headOf (...argv: string[]): Promise<number | null> {
  const env = { ...process.env, ELDER_NODE_DIR: desk.dir }
  const child = spawn(process.execPath, [...NODE, ...argv], { env, stdio: ['ignore', 'pipe', 'ignore'] })
  const ended = once(child, 'exit') as Promise<[number | null]>
  child.stdout.once('data', () => { child.stdout.destroy() })
  return (await ended)[0]
}

test('a build that is cancelled because nobody reads it any more is no success', async () => {
  let cancelled = false
  desk.node.script = async function * (_request, signal): AsyncGenerator<BuildEvent> {
    const build = 'buildid123456'
    yield { event: 'elected', build, builder: MINI, attempt: 1, why: 'only candidate', candidates: [] }
    for (let i = 0; i < 2000 && !signal.aborted; i++) {
      yield { event: 'log', build, stream: 'stdout', data: `line ${i}\n` }
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    cancelled = signal.aborted
    const end = { exitCode: 130, timings: {}, outputs: [], error: null }
    yield { event: 'result', build, state: 'cancelled', builder: MINI, attempt: 1, ...end }
  }
  expect(await headOf('build', '--', 'make')).toBe(130)
  await vi.waitFor(() => { expect(cancelled).toBe(true) }, 5000)
})

test('a build that has ended keeps its code, whoever reads the end', async () => {
  expect(await headOf('build', '--', 'fail')).toBe(7)
  expect(await headOf('build', '--', 'true')).toBe(0)
})

test('the reader of another command has seen enough', async () => {
  const message = 'x'.repeat(200)
  desk.node.problems = Array.from({ length: 5000 }, () => ({ code: 'LOW_DISK', message, fix: 'Free some.' }))
  expect(await headOf('status')).toBe(0)
  expect(await headOf('status', '--json')).toBe(0)
})
