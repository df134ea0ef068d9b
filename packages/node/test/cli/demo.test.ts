import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { ElderError } from '@elder-node/protocol'
import { expect, test } from 'vitest'
import { Output } from '../../src/gateway/cli/output.ts'
import type { Io } from '../../src/gateway/cli/io.ts'
import { poll } from '../../src/gateway/demo/poll.ts'
import { markedProcesses, stillRuns } from '../../src/gateway/demo/processes.ts'
import { hashes, manifestHash } from '../../src/gateway/demo/project.ts'
import { Story } from '../../src/gateway/demo/story.ts'
import { needs } from '../support/when.ts'
import { eventually } from '../support/eventually.ts'

const linux = needs(process.platform === 'linux', 'Linux: /proc shows the processes')

test.runIf(linux)('a process is found by its mark and known to be gone after a SIGKILL', async () => {
  const mark = `elder-demo-${process.pid}-${Math.random()}`
  const child = spawn('sh', ['-c', 'echo up; read _ignored', mark], { stdio: ['pipe', 'pipe', 'ignore'] })
  await once(child.stdout, 'data')
  const found = await markedProcesses(mark, new Set())
  expect(found?.map(({ pid }) => pid)).toEqual([child.pid])
  expect(await Promise.all((found ?? []).map(stillRuns))).toEqual([true])
  child.kill('SIGKILL')
  await once(child, 'exit')
  await eventually(async () => { expect(await Promise.all((found ?? []).map(stillRuns))).toEqual([false]) })
  expect(await markedProcesses(mark, new Set())).toEqual([])
})

test('a manifest hash is what sha256sum of the sorted list gives, in any order of files', () => {
  const files = new Map([['b', '2'.repeat(64)], ['a', '1'.repeat(64)]])
  expect(manifestHash(files)).toBe(manifestHash(new Map([...files].reverse())))
  expect(manifestHash(files)).not.toBe(manifestHash(new Map([['b', '2'.repeat(64)], ['c', '1'.repeat(64)]])))
})

test('hashes name files relative to the tree', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'elder-hashes-'))
  const child = spawn('sh', ['-c', 'mkdir -p dist/deep && printf abc > dist/deep/a.txt'], { cwd: dir })
  await once(child, 'exit')
  expect(await hashes(dir, 'dist')).toEqual(new Map([['dist/deep/a.txt', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad']]))
  await rm(dir, { recursive: true })
})

test('polling asks until there is an answer, and names what was awaited at the deadline', async () => {
  let asked = 0
  const signal = AbortSignal.timeout(5000)
  expect(await poll(async () => ++asked === 3 ? asked : undefined, { what: 'three', deadlineMs: 5000, signal })).toBe(3)
  await expect(poll(async () => undefined, { what: 'never', deadlineMs: 1, signal })).rejects.toThrow('never: not within 0 s')
})

test('steps are one document each; a failed one says why and is thrown on', async () => {
  const stdout = new PassThrough()
  const output = new Output({ stdout, stderr: new PassThrough(), env: {} } as unknown as Io, { json: true, color: false, quiet: true, verbose: false })
  const story = new Story(output)
  await story.step('build', 'title', async () => ({ sha256: 'x' }))
  await expect(story.step('move', 'title', async () => { throw new ElderError('X', 'why', 'fix') })).rejects.toThrow('why')
  const [build, move] = String(stdout.read()).trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(build).toEqual({ schema: 'elder/demo.v1', event: 'step', name: 'build', ok: true, ms: expect.any(Number), evidence: { sha256: 'x' } })
  expect(move).toMatchObject({ event: 'step', name: 'move', ok: false, evidence: { error: { code: 'X', message: 'why', fix: 'fix' } } })
})

test('a long log is told by its ends, below the step it belongs to; a terminal sees its last line while it comes', async () => {
  const told = (isTTY: boolean): string => {
    const stdout = Object.assign(new PassThrough(), { isTTY })
    const story = new Story(new Output({ stdout, stderr: new PassThrough(), env: { NO_COLOR: '1' } } as unknown as Io, { json: false, color: false, quiet: false, verbose: false }))
    for (let i = 1; i <= 9; i++) story.log(`line ${i}\n`)
    story.detail('after')
    return String(stdout.read())
  }
  expect(told(false).split('\n')).toEqual(['  | line 1', '  | line 2', '  | … 4 lines …', '  | line 7', '  | line 8', '  | line 9', '  after', ''])
  expect(told(true)).toContain('\r\u001b[K  | line 5\r\u001b[K  | line 6')
})
