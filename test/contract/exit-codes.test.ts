/** Exit codes and streams: 0 ok, 1 error, 2 usage, 3 no mesh, 4 not running, 5 degraded, 6 time-out; a build's own, 124, 125, 130. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Lab, project, until } from '../scenarios/support.ts'
import type { Node, Ran } from '../scenarios/support.ts'

const lab = new Lab()
let desk: Node
let mini: Node
let source: string
afterAll(() => lab[Symbol.asyncDispose]())
beforeAll(async () => {
  desk = await lab.join('desk')
  mini = await lab.admit('mini', desk, { slots: 2 })
  await desk.sees('desk', 'mini')
  source = project(lab, 'source', { 'file.txt': 'text\n' })
})

const build = async (...words: string[]): Promise<Ran> => {
  const at = words.indexOf('--')
  return await desk.run('build', source, ...words.slice(0, at), ...words.slice(at))
}
/** Commands that ask the running node, with enough words to be understood. */
const ASKING = [
  ['status'], ['devices'], ['invite'], ['builds'], ['stack', 'list'], ['stack', 'show', 'notes'], ['stack', 'digest', 'notes'], ['stack', 'search', 'word'], ['stack', 'log', 'notes'],
  ['stack', 'verify', 'notes'], ['stack', 'sync'], ['stack', 'remote', 'list'], ['ping', 'mini'], ['evict', 'mini'],
]

describe.concurrent.each(ASKING.map(words => [words.join(' '), words] as const))('%s', (_name, words) => {
  test('3 where there is no mesh, and the fix is join', async () => {
    const { code, last } = await lab.run(lab.folder('empty'), words)
    expect(code).toBe(3)
    expect(last?.error).toMatchObject({ code: 'NO_MESH', fix: expect.stringContaining('join') as string })
  })
})

test('4 when the node is not running, and the fix starts it', async () => {
  const node = await lab.join('sleeper')
  await node.stop()
  for (const words of [['status'], ['stack', 'list'], ['ping', 'mini']]) {
    const { code, last } = await node.run(...words)
    expect(code, words.join(' ')).toBe(4)
    expect(last?.error).toMatchObject({ code: 'NOT_RUNNING', fix: expect.stringContaining('join') as string })
  }
})

test('5 only with --check, and only when something is wrong', async () => {
  const alone = await lab.join('alone')
  await alone.note('only-here', 'one copy')
  const { problems } = await until('the only copy is a problem', async () => { const status = await alone.status(); return status.problems.length > 0 && status })
  expect(problems.map(({ code }) => code)).toContain('ONLY_COPY')
  expect((await alone.run('status')).code).toBe(0)
  expect((await alone.run('status', '--check')).code).toBe(5)
})

test('2 with NEEDS_YES for what cannot be taken back, naming the device; --yes is the way', async () => {
  const gone = await lab.admit('gone', desk)
  for (const [node, words] of [[desk, ['evict', 'gone']], [gone, ['leave']]] as const) {
    const { code, last } = await node.run(...words)
    expect(code, words.join(' ')).toBe(2)
    expect(last?.error).toMatchObject({ code: 'NEEDS_YES', message: expect.stringMatching(/gone \(.*id [a-z2-7]{12}, builder/) as string, fix: expect.stringMatching(/^elder-node (evict [a-z2-7]{12}|leave) --yes$/) as string })
  }
  expect((await desk.status()).devices.map(({ name }) => name)).toContain('gone')
  expect((await desk.run('evict', 'gone', '--yes')).code).toBe(0)
})

test('6 at --timeout', async () => {
  const { code, last } = await desk.run('ping', 'mini', '--count', '1000', '--timeout', '1s')
  expect({ code, error: last?.error?.code }).toEqual({ code: 6, error: 'TIMEOUT' })
})

test('1 for what the node refuses', async () => {
  for (const words of [['stack', 'show', 'no-such-stack'], ['evict', 'nobody'], ['builds', 'why', 'zzzz'], ['ping', 'nobody']]) {
    const { code, last } = await desk.run(...words)
    expect(code, words.join(' ')).toBe(1)
    expect(last?.error).toEqual({ code: expect.stringMatching(/^[A-Z_]+$/) as string, message: expect.stringMatching(/.{10}/) as string, fix: expect.stringMatching(/.{5}/) as string })
  }
})

describe('build', () => {
  test.each([0, 1, 7, 77])('passes the command\'s own exit code: %i', async exit => {
    expect((await build('--', 'sh', '-c', `exit ${exit}`)).code).toBe(exit)
  })
  test('124 at the deadline', async () => {
    const { code, last } = await build('--deadline', '500ms', '--', 'sleep', '60')
    expect(code).toBe(124)
    expect(last).toMatchObject({ event: 'result', state: 'failed', exitCode: 124 })
  })
  test('125 when the mesh could not run it', async () => {
    const { code, last } = await build('--memory', '4000g', '--', 'true')
    expect(code).toBe(125)
    expect(last?.error).toMatchObject({ code: 'NO_CANDIDATE' })
  })
  test('130 when it is cancelled, and the process is gone', async () => {
    const command = desk.begin(['build', source, '--', 'sleep', '600'])
    await until('the command runs', () => command.documents.some(({ event, phase }) => event === 'progress' && phase === 'running'))
    command.process.kill('SIGINT')
    expect(await command.exited).toBe(130)
    expect(mini.process.running).toBe(true)
  })
  test('2 without a command, and for a size or duration that is none', async () => {
    for (const words of [['--'], ['--memory', 'much', '--', 'true'], ['--deadline', 'soon', '--', 'true'], ['--local', 'maybe', '--', 'true'], ['--cpus', '-1', '--', 'true']]) {
      const { code, last } = await build(...words)
      expect({ words, code, error: last?.error?.code }).toEqual({ words, code: 2, error: 'USAGE' })
    }
  })
})

test('stdout is for results: progress and warnings never reach it', async () => {
  const command = lab.spawn(['build', source, '--dir', desk.dir, '--out', 'no-such-*', '--', 'echo', 'result'])
  expect(await command.exited).toBe(0)
  expect(command.stdout).toBe('result\n')
  expect(command.stderr).toContain('no-such-*')
})
