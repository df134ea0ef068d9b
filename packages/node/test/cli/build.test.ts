import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Desk } from '../support/cli.ts'
import { CANDIDATES, MINI, succeed, untilCancelled } from '../support/fake-node.ts'
import { eventually } from '../support/eventually.ts'

let desk: Desk
beforeAll(async () => { desk = await Desk.open() })
afterAll(async () => { await desk[Symbol.asyncDispose]() })
beforeEach(() => { desk.node.script = succeed })

test('the output of the build is on stdout and stderr, everything about it on stderr', async () => {
  const { code, stdout, stderr } = await desk.run(['build', '--', 'npm', 'test'])
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'compiled\n' })
  expect(stderr).toContain('a note\n')
  expect(stderr).toMatch(/elected {2}mini \(0\.62 ms, predicted 30\.4 s\): nearest of a tie/)
  expect(stderr).toMatch(/ok {2}build buildid1 exit 0 on mini {3}1 output, 3 B/)
})

test('JSON events are flat and carry the schema', async () => {
  const { json, stderr } = await desk.run(['build', '--json', '--', 'npm', 'test'])
  expect(stderr).toBe('')
  expect(json().map(({ schema, event }) => [schema, event])).toEqual(['elected', 'log', 'log', 'result'].map((event) => ['elder/build.v1', event]))
  expect(json()[0]).toMatchObject({ builder: MINI, attempt: 1, candidates: CANDIDATES })
  expect(json()[3]).toMatchObject({ exitCode: 0, builder: MINI, timings: { runMs: 1234 }, outputs: [{ path: 'dist/a.js', bytes: 3, sha256: 'ab' }] })
})

test('every flag reaches the node as the contract says', async () => {
  await desk.run(['build', 'sub', '--out', 'dist/**', '--out', '*.log', '--to', 'there', '--on', 'mini', '--prepare', 'npm ci', '--env', 'TOKEN', '--env', 'NOT_SET', '--memory', '512m', '--cpus', '1.5', '--deadline', '10m', '--local', 'never', '--strict-outputs', '--image', 'node:24', '--sealed', '--exclusive', '--wait', '90s', '--as', 'juno', '--', 'make', '--json', '-j4'], { env: { TOKEN: 's' } })
  expect(desk.node.requests.at(-1)).toEqual({
    source: `${desk.dir}/sub`, command: ['make', '--json', '-j4'], outputs: ['dist/**', '*.log'], to: `${desk.dir}/there`, on: 'mini', prepare: 'npm ci', env: { TOKEN: 's' },
    memoryBytes: 536_870_912, cpus: 1.5, deadlineMs: 600_000, local: 'never', strictOutputs: true, image: 'node:24', sealed: true, exclusive: true, waitMs: 90_000, agent: 'juno',
  })
})

test('a deadline that no timer can wait for is a usage error, not a build that is killed at once', async () => {
  const { code, json } = await desk.run(['build', '.', '--deadline', '25d', '--json', '--', 'true'])
  expect(code).toBe(2)
  expect(json()[0]).toMatchObject({ error: { code: 'USAGE', message: expect.stringContaining('24 days') as string } })
})

test('the exit code of the command is passed on', async () => {
  expect((await desk.run(['build', '--', 'fail'])).code).toBe(7)
})

test('125 when the mesh cannot run it', async () => {
  const nobody = await desk.run(['build', '--on', 'nobody', '--json', '--', 'true'])
  expect(nobody.code).toBe(125)
  expect(nobody.json()[0]).toMatchObject({ error: { code: 'NO_CANDIDATE', fix: 'elder-node status' } })
  const off = new Desk()
  const { code, json } = await off.run(['build', '--json', '--', 'true'])
  expect(code).toBe(125)
  expect(json()[0]).toMatchObject({ error: { code: 'NO_MESH' } })
  await off[Symbol.asyncDispose]()
})

test('--explain shows every candidate and the terms, --dry-run only that', async () => {
  const explained = await desk.run(['build', '--explain', '--', 'true'])
  expect(explained.stderr).toMatch(/mini\s+0\.62ms\s+0\.00\s+0\.40\s+30\.00\s+30\.40\s+<- chosen/)
  expect(explained.stderr).toMatch(/laptop.*no slots/)
  const dry = await desk.run(['build', '--dry-run', '--json', '--', 'true'])
  expect(dry.json()).toHaveLength(1)
  expect(dry.json()[0]).toMatchObject({ schema: 'elder/build.v1', event: 'elected', candidates: CANDIDATES })
})

test('a dry run that finds nobody says so', async () => {
  desk.node.script = async function * () {
    yield { event: 'result', build: 'b', state: 'failed', exitCode: 125, builder: null, attempt: 0, timings: {}, outputs: [], error: { code: 'NO_CANDIDATE', message: 'no builder', fix: 'elder-node status' } }
  }
  const { code, stderr } = await desk.run(['build', '--dry-run', '--', 'true'])
  expect(code).toBe(125)
  expect(stderr).toContain('error: no builder\nfix: elder-node status')
})

test('what is always so is not said: free slots, phases shorter than a millisecond, an empty message', async () => {
  const build = 'buildid123456'
  desk.node.script = async function * () {
    yield { event: 'queued', build }
    yield { event: 'elected', build, builder: MINI, attempt: 1, why: 'only candidate', candidates: CANDIDATES }
    yield { event: 'progress', build, phase: 'running', message: 'process: a long note' }
    yield { event: 'progress', build, phase: 'returning', message: '' }
    yield { event: 'result', build, state: 'done', exitCode: 0, builder: MINI, attempt: 1, timings: { prepareMs: 0.08, runMs: 28, totalMs: 60 }, outputs: [], error: null }
  }
  const { stderr } = await desk.run(['build', '--', 'true'])
  expect(stderr.split('\n').map((line) => line.split(' ')[0])).toEqual(['elected', 'ok', '', ''])
  expect(stderr).toContain('    run 28 ms, total 60 ms\n')
  expect((await desk.run(['build', '-v', '--', 'true'])).stderr).toContain('running  process: a long note')
})

test('a build that waits or moves says why in a few words', async () => {
  const build = 'buildid123456'
  desk.node.script = async function * () {
    yield { event: 'queued', build, why: 'every slot is taken' }
    yield { event: 'moved', build, from: MINI, attempt: 1, why: 'the connection broke: device b cannot be reached: connect ECONNREFUSED 127.0.0.1:1' }
    yield * succeed({ command: ['true'] }, new AbortController().signal)
  }
  const { stderr } = await desk.run(['build', '--', 'true'])
  expect(stderr).toContain('queued   build buildid1: every slot is taken\n')
  expect(stderr).toContain('moved    mini is lost (the connection broke); trying elsewhere\n')
})

test('--detach prints the id and leaves the build running; attach follows it to its exit code', async () => {
  desk.node.script = untilCancelled
  const before = desk.node.cancels
  const { code, stdout, stderr } = await desk.run(['build', '--detach', '--', 'sleep'])
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'buildid123456\n' })
  expect(stderr).toContain('elder-node builds attach buildid1')
  expect((await desk.run(['build', '--detach', '--json', '--', 'sleep'])).json()).toEqual([{ schema: 'elder/build.v1', event: 'detached', build: 'buildid123456' }])
  expect(await desk.run(['builds', 'attach', 'buildid'])).toMatchObject({ code: 0, stdout: 'compiled\n' })
  expect(desk.node.cancels).toBe(before)
  expect((await desk.run(['build', '--detach', '--dry-run', '--', 'true'])).code).toBe(2)
})

test('the first Ctrl-C cancels and waits for the end', async () => {
  desk.node.script = untilCancelled
  const { code, json } = await desk.run(['build', '--json', '--', 'sleep'], { onStart: (interrupt, out) => { void eventually(() => { expect(out.stdout()).toContain('tick') }).then(() => { interrupt() }) } })
  expect(code).toBe(130)
  expect(json().at(-1)).toMatchObject({ event: 'result', state: 'cancelled', exitCode: 130 })
})

test('a caller that vanishes cancels its build', async () => {
  desk.node.script = untilCancelled
  const before = desk.node.cancels
  const { code } = await desk.run(['build', '--timeout', '300ms', '--json', '--', 'sleep'])
  expect(code).toBe(6)
  await eventually(() => { expect(desk.node.cancels).toBeGreaterThan(before) })
})

test.each([
  ['no command', ['build', '.']],
  ['a value in --env', ['build', '--env', 'A=b', '--', 'true']],
  ['a bad size', ['build', '--memory', 'lots', '--', 'true']],
  ['a bad --wait', ['build', '--wait', 'long', '--', 'true']],
  ['a dry run that waits', ['build', '--wait', '1m', '--dry-run', '--', 'true']],
  ['a bad --local', ['build', '--local', 'maybe', '--', 'true']],
  ['too many folders', ['build', 'a', 'b', '--', 'true']],
])('%s is a usage error', async (_what, argv) => {
  const { code, stdout, stderr } = await desk.run(argv)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toMatch(/^error: .+\nfix: .+/)
})

test('builds: list, logs, why, cancel', async () => {
  expect((await desk.run(['builds', '--json'])).json()[0]).toMatchObject({ schema: 'elder/builds.v1', builds: [{ id: 'buildid123456', state: 'done', builder: MINI, attempt: 1, startedAt: '2026-11-21T10:00:00.000Z' }] })
  expect((await desk.run(['builds', 'list'])).stdout).toContain('npm test')
  desk.node.built.push({ id: 'otherbuild123', state: 'cancelled', builder: { ...MINI, name: 'a-device-with-a-long-name-indeed' }, attempt: 3, startedAt: '2026-11-21T10:00:00.000Z', command: ['/bin/sh', '-c', 'make everything that there is and then some more of it'], exitCode: 130, requester: MINI })
  const rows = (await desk.run(['builds'])).stdout.trimEnd().split('\n')
  expect(Math.max(...rows.map((row) => row.length))).toBeLessThanOrEqual(80)
  expect(rows.at(-1)).toMatch(/otherbui.*make every/)
  desk.node.built.pop()
  expect((await desk.run(['builds', 'logs', 'buildid'])).stdout).toBe('compiled\n')
  expect((await desk.run(['builds', 'why', 'buildid', '--json'])).json()[0]).toMatchObject({ why: 'nearest of a tie', attempts: [{ builder: MINI, outcome: 'done' }] })
  expect(desk.node.followed).toBe(false)
  await desk.run(['builds', 'logs', 'buildid', '--follow'])
  expect(desk.node.followed).toBe(true)
  expect((await desk.run(['builds', 'cancel', 'buildid', '--json'])).json()[0]).toMatchObject({ build: 'buildid123456', cancelled: false, state: 'done' })
  expect((await desk.run(['builds', 'cancel', 'buildid'])).stdout).toBe('build buildid123456 had ended before: done.\n')
  for (const build of desk.node.built) build.state = 'running'
  expect((await desk.run(['builds', 'cancel', 'buildid', '--json'])).json()[0]).toMatchObject({ build: 'buildid123456', cancelled: true, state: 'cancelled' })
  expect((await desk.run(['builds', 'logs', 'zzz', '--json'])).json()[0]).toMatchObject({ error: { code: 'NO_SUCH_BUILD' } })
})
