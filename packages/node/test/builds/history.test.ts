/** What a node knows of its builds when it comes back: what ended, what did not, and what the attempts taught. */
import { afterEach, expect, it } from 'vitest'
import type { BuildEvent } from '../../src/api.ts'
import { BuildStore } from '../../src/services/builds/store.ts'
import { Farm, memoryFiles, waitScript } from './farm.ts'
import { eventually } from '../support/eventually.ts'

let farm: Farm
afterEach(async () => { await farm.stop() })


async function collect (events: AsyncIterable<BuildEvent>): Promise<BuildEvent[]> {
  const all: BuildEvent[] = []
  for await (const event of events) all.push(event)
  return all
}

it('after a kill: what ended is listed with the end of its log, what ran is said to have been lost', async () => {
  farm = new Farm()
  const files = memoryFiles()
  await farm.add('mini', { slots: 2, script: async function * (spec, signal) {
    if (spec.command[0] === 'wait') return yield * waitScript()(spec, signal)
    yield { type: 'log', stream: 'stdout', data: Buffer.from('x'.repeat(5000)) }
    yield { type: 'log', stream: 'stderr', data: Buffer.from('the end\n') }
    yield { type: 'exit', exitCode: 3, signal: null, reason: null }
  } })
  const before = await farm.add('laptop', { slots: 0, files })
  const ended = await before.builds.build({ command: ['print'] })
  await ended.result
  const running = await before.builds.build({ command: ['wait'] })
  await eventually(() => { expect(before.builds.list().at(-1)?.state).toBe('running') })
  const explained = await before.builds.build({ command: ['print'], dryRun: true })
  await explained.result

  const after = await farm.add('laptop again', { slots: 0, files })
  expect(after.builds.list()).toMatchObject([{ id: ended.id, state: 'done', exitCode: 3, builder: { name: 'mini' } }, { id: running.id, state: 'failed', exitCode: 125, command: ['wait'] }])
  const [warning, ...log] = await collect(await after.builds.events(ended.id.slice(0, 8)))
  expect(warning).toMatchObject({ event: 'warning', message: expect.stringContaining('only the end of its log is kept') as string })
  expect(log.map(event => event.event)).toEqual(['log', 'log', 'result'])
  expect(log.filter(event => event.event === 'log').map(({ stream, data }) => [stream, data.length])).toEqual([['stdout', 4088], ['stderr', 8]])
  expect((await collect(await after.builds.events(running.id))).at(-1)).toMatchObject({ event: 'result', state: 'failed', exitCode: 125, error: { code: 'NODE_RESTARTED', message: expect.stringContaining('went down while the build ran') as string } })
  expect((await after.builds.why(running.id)).why).toContain('went down')
  await after.builds.cancel(running.id)
})

it('after an orderly stop: what ran is cancelled, and why', async () => {
  farm = new Farm()
  const files = memoryFiles()
  const mini = await farm.add('mini', { script: waitScript() })
  const laptop = await farm.add('laptop', { slots: 0, files })
  const run = await laptop.builds.build({ command: ['wait'] })
  await eventually(() => { expect(mini.running.now).toBe(1) })
  await laptop.builds.stop()
  expect(await run.result).toMatchObject({ state: 'cancelled', exitCode: 130, error: { message: expect.stringContaining('this node was stopped') as string } })
  expect(new BuildStore(files).builds).toMatchObject([{ status: { id: run.id, state: 'cancelled' } }])
})

it('failed attempts are kept: the next life of this node asks that builder later', async () => {
  farm = new Farm()
  const files = memoryFiles()
  const first = await farm.add('first', { script: waitScript() })
  const laptop = await farm.add('laptop', { slots: 0, files })
  const run = await laptop.builds.build({ command: ['x'] })
  await eventually(() => { expect(first.running.now).toBe(1) })
  const second = await farm.add('second')
  await first.mesh.stop()
  await run.result
  expect(new BuildStore(files).builds.flatMap(({ past }) => past)).toMatchObject([{ device: first.id, ok: false, runS: null }, { device: second.id, ok: true }])
})

it('the file stays bounded, and what runs is in it still', () => {
  farm = new Farm()
  const files = memoryFiles()
  const store = new BuildStore(files)
  const status = (id: string): Parameters<BuildStore['begin']>[0] => ({ id, state: 'running', builder: null, attempt: 0, startedAt: '2026-11-21T10:00:00.000Z', command: ['x'], exitCode: null, requester: { id: 'a', name: 'a' } })
  store.begin(status('runs'))
  for (let i = 0; i < 900; i++) {
    store.begin(status(`b${i}`))
    store.add({ status: { ...status(`b${i}`), state: 'done', exitCode: 0 }, result: { event: 'result', build: `b${i}`, state: 'done', exitCode: 0, builder: null, attempt: 1, timings: {}, outputs: [], error: null }, past: [], candidates: [], why: '', attempts: [] }, [status('runs')])
  }
  expect(files.readLog('builds.log')?.entries.length).toBeLessThan(1000)
  const { builds } = new BuildStore(files)
  expect(builds).toHaveLength(201)
  expect([builds[0]?.status.id, builds.at(-1)?.status.id]).toEqual(['runs', 'b899'])
})
