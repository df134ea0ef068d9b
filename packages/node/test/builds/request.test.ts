/** What a request asks besides its command: image, sealed, exclusive, waiting, and what the project and the builder's owner say to it. */
import { afterEach, describe, expect, it } from 'vitest'
import { LIMITS } from '@elder-node/protocol'
import type { BuildEvent } from '../../src/api.ts'
import type { RunSpec } from '../../src/ports/engine.ts'
import { Farm, realWorld, waitScript, type Script } from './farm.ts'
import { eventually } from '../support/eventually.ts'

let farm: Farm
afterEach(async () => { await farm.stop() })


async function collect (events: AsyncIterable<BuildEvent>): Promise<BuildEvent[]> {
  const all: BuildEvent[] = []
  for await (const event of events) all.push(event)
  return all
}

const of = <E extends BuildEvent['event']>(events: BuildEvent[], name: E): Array<Extract<BuildEvent, { event: E }>> => events.filter((event): event is Extract<BuildEvent, { event: E }> => event.event === name)

/** Keeps what the engine was asked to run. */
function recorder (exitCode = 0): { script: Script, specs: RunSpec[] } {
  const specs: RunSpec[] = []
  return { specs, script: async function * (spec) {
    specs.push(spec)
    yield { type: 'exit', exitCode, signal: null, reason: null }
  } }
}

it('what a build has on its builder is named by the builder: two requesters that choose one id share nothing', async () => {
  farm = new Farm({ world: { ...realWorld(), randomBytes: length => new Uint8Array(length) } })
  const { script, specs } = recorder()
  await farm.add('mini', { slots: 2, script })
  const requesters = [await farm.add('laptop', { slots: 0 }), await farm.add('phone', { slots: 0 })]
  const runs = await Promise.all(requesters.map(async ({ builds }) => await builds.build({ command: ['x'] })))
  const results = await Promise.all(runs.map(async ({ result }) => await result))
  expect(results).toMatchObject([{ exitCode: 0, build: results[1]?.build }, { exitCode: 0 }])
  expect(new Set(specs.map(({ id }) => id)).size).toBe(2)
})

describe('image and network', () => {
  it('what is not the name of an image is said here, before any device is asked', async () => {
    farm = new Farm()
    const laptop = await farm.add('laptop', { slots: 0 })
    for (const [image, fix] of [['Node:24', /small letters/], ['../x', /as Docker does/], ['node 24; rm', /as Docker does/], ['-v', /as Docker does/]] as const) {
      await expect(laptop.builds.build({ command: ['x'], image }), image).rejects.toMatchObject({ code: 'BAD_REQUEST', message: `"${image}" is not the name of an image`, fix: expect.stringMatching(fix) as string })
    }
  })

  it('an image goes where images run, and reaches the engine; sealed is said from the start to the end', async () => {
    farm = new Farm()
    const { script, specs } = recorder()
    await farm.add('plain')
    await farm.add('mini', { engine: 'docker', script })
    const laptop = await farm.add('laptop', { slots: 0 })
    const run = await laptop.builds.build({ command: ['x'], image: 'node:24', sealed: true })
    const result = await run.result
    expect(result).toMatchObject({ exitCode: 0, builder: { name: 'mini' }, sealed: true })
    expect(specs).toMatchObject([{ image: 'node:24', sealed: true }])
    const events = await collect(run.events)
    expect(of(events, 'started')).toMatchObject([{ builder: { name: 'mini' }, engine: 'docker', network: 'none', sealed: true, image: 'node:24', message: 'network: none, sealed' }])
    expect(of(events, 'elected')[0]?.candidates.find(({ device }) => device.name === 'plain')?.refused).toBe('engine process runs no image, this build needs node:24')
  })

  it('sealed alone is refused by the process engine with the reason', async () => {
    farm = new Farm()
    await farm.add('plain')
    const laptop = await farm.add('laptop', { slots: 0 })
    const { error, exitCode } = await (await laptop.builds.build({ command: ['x'], sealed: true })).result
    expect(exitCode).toBe(125)
    expect(error?.message).toContain('plain: engine process cannot seal a build')
  })

  it('an owner who allows no network: every build is cut off, prepare is refused, and the process engine builds nothing', async () => {
    farm = new Farm()
    const { script, specs } = recorder()
    await farm.add('mini', { engine: 'docker', network: 'none', script })
    const laptop = await farm.add('laptop', { slots: 0 })
    const run = await laptop.builds.build({ command: ['x'] })
    expect(await run.result).toMatchObject({ exitCode: 0 })
    expect(specs).toMatchObject([{ sealed: true }])
    expect(of(await collect(run.events), 'started')[0]?.message).toBe('network: none, as the owner of mini wants')
    expect((await (await laptop.builds.build({ command: ['x'], prepare: 'npm ci' })).result).error).toMatchObject({ code: 'PREPARE_NETWORK', message: expect.stringContaining('allows builds no network') as string })
    expect(specs).toHaveLength(1)
    await farm.add('plain', { network: 'none' })
    expect((await (await laptop.builds.build({ command: ['x'], on: 'plain' })).result).error?.message).toContain('plain: its owner allows builds no network')
  })

  it('prepare has a network also when the build is sealed', async () => {
    farm = new Farm()
    const { script, specs } = recorder()
    await farm.add('mini', { engine: 'docker', script })
    const laptop = await farm.add('laptop', { slots: 0 })
    expect(await (await laptop.builds.build({ command: ['x'], prepare: 'npm ci', sealed: true })).result).toMatchObject({ exitCode: 0 })
    expect(specs.map(({ command, sealed }) => [command.at(-1), sealed])).toEqual([['npm ci', false], ['x', true]])
  })

  it('what an earlier build prepared is reused, and never by a sealed one', async () => {
    farm = new Farm()
    const { script, specs } = recorder()
    await farm.add('mini', { engine: 'docker', script, prepare: { furnish: () => Promise.resolve('reused') } })
    const laptop = await farm.add('laptop', { slots: 0 })
    for (const sealed of [false, true]) expect(await (await laptop.builds.build({ command: ['x'], prepare: 'npm ci', sealed })).result).toMatchObject({ exitCode: 0 })
    expect(specs.map(({ command }) => command.at(-1))).toEqual(['x', 'npm ci', 'x'])
  })
})

describe('what the project says', () => {
  it('its command, image, outputs and needs; unknown keys are warned of; an error names its line', async () => {
    farm = new Farm()
    const { script, specs } = recorder()
    await farm.add('mini', { engine: 'docker', script })
    const laptop = await farm.add('laptop', { slots: 0 })
    farm.source.set('.elder.json', '{"build":{"image":"node:24","command":"npm test","outputs":["out.txt"],"speed":9}}')
    const run = await laptop.builds.build({})
    expect(await run.result).toMatchObject({ exitCode: 0, outputs: [{ path: 'out.txt' }] })
    expect(specs).toMatchObject([{ image: 'node:24', command: ['/bin/sh', '-c', 'npm test'] }])
    expect(of(await collect(run.events), 'warning').map(({ message }) => message)).toContainEqual(expect.stringContaining('"build.speed" means nothing here'))
    expect(laptop.builds.list().at(-1)?.command).toEqual(['/bin/sh', '-c', 'npm test'])
    farm.source.set('.elder.json', '{"build":{\n"image":5}}')
    await expect(laptop.builds.build({})).rejects.toMatchObject({ code: 'RECIPE_INVALID', message: expect.stringContaining('line 2') as string })
    farm.source.clear()
    await expect(laptop.builds.build({})).rejects.toMatchObject({ code: 'USAGE', message: 'the command to run is missing' })
    await expect(laptop.builds.build({ command: ['x'], image: '-v/:/host' })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  })

  it('a devcontainer\'s image is used where images run, and left where none does', async () => {
    farm = new Farm()
    const { script, specs } = recorder()
    await farm.add('plain')
    const laptop = await farm.add('laptop', { slots: 0 })
    farm.source.set('.devcontainer/devcontainer.json', '{ // for editors\n"image": "dev:1",\n}')
    const plain = await laptop.builds.build({ command: ['x'] })
    expect(await plain.result).toMatchObject({ exitCode: 0, builder: { name: 'plain' } })
    expect(of(await collect(plain.events), 'warning').map(({ message }) => message)).toContainEqual(expect.stringContaining('the image dev:1 of the devcontainer is not used'))
    await farm.add('mini', { engine: 'docker', script })
    await eventually(async () => { expect(await (await laptop.builds.build({ command: ['x'] })).result).toMatchObject({ exitCode: 0, builder: { name: 'mini' } }) })
    expect(specs[0]).toMatchObject({ image: 'dev:1' })
  })

  it('a missing tool and what was left out are warnings, once each', async () => {
    farm = new Farm()
    await farm.add('mini', { engine: 'docker', script: recorder(127).script })
    const laptop = await farm.add('laptop', { slots: 0 })
    const missing = await laptop.builds.build({ command: ['no-such-tool'] })
    expect(await missing.result).toMatchObject({ state: 'done', exitCode: 127 })
    expect(of(await collect(missing.events), 'warning').filter(({ message }) => message.includes('exit 127'))).toHaveLength(1)
    const linked = await laptop.builds.build({ command: ['x'], outputs: ['link', 'out.txt'] })
    await linked.result
    expect(of(await collect(linked.events), 'warning').map(({ message }) => message)).toContain('the symlink link is left out: outputs are regular files')
  })
})

describe('waiting', () => {
  it('for a device that is offline: runs there once it is back', async () => {
    farm = new Farm()
    const far = await farm.add('far')
    await farm.add('mini')
    const laptop = await farm.add('laptop', { slots: 0 })
    farm.network.disconnect(laptop.id, far.id)
    const run = await laptop.builds.build({ command: ['x'], on: 'far', waitMs: 60_000 })
    await eventually(() => { expect(laptop.builds.list().at(-1)?.state).toBe('queued') })
    await farm.network.connect(laptop.id, far.id)
    expect(await run.result).toMatchObject({ exitCode: 0, builder: { name: 'far' } })
    expect(of(await collect(run.events), 'queued').at(1)?.why).toBe('far is offline; waiting up to 1 m')
  })

  it('for nobody: no longer than it was told, and then says what did not change', async () => {
    farm = new Farm()
    const far = await farm.add('far')
    const laptop = await farm.add('laptop', { slots: 0 })
    const nobody = await (await laptop.builds.build({ command: ['x'], memoryBytes: 2 ** 50, waitMs: 700 })).result
    expect(nobody).toMatchObject({ exitCode: 125, error: { code: 'NO_CANDIDATE', message: expect.stringMatching(/far: memory .*700 ms of --wait/) as string } })
    farm.network.disconnect(laptop.id, far.id)
    expect(await (await laptop.builds.build({ command: ['x'], on: 'far', waitMs: 700 })).result).toMatchObject({ exitCode: 125, error: { code: 'OFFLINE', message: expect.stringContaining('far is offline') as string } })
  })

  it('can be cancelled', async () => {
    farm = new Farm()
    const laptop = await farm.add('laptop', { slots: 0 })
    const run = await laptop.builds.build({ command: ['x'], waitMs: 600_000 })
    await eventually(() => { expect(laptop.builds.list().at(-1)?.state).toBe('queued') })
    await run.cancel()
    expect(await run.result).toMatchObject({ state: 'cancelled', exitCode: 130 })
  })

  it('in a queue it says its place', async () => {
    farm = new Farm()
    let release = (): void => {}
    await farm.add('mini', { script: waitScript(new Promise(resolve => { release = resolve })) })
    const laptop = await farm.add('laptop', { slots: 0 })
    const first = await laptop.builds.build({ command: ['x'] })
    await eventually(() => { expect(laptop.builds.list().at(-1)?.state).toBe('running') })
    const second = await laptop.builds.build({ command: ['y'] })
    const waits = async (): Promise<Array<string | undefined>> => of(await collect(await laptop.builds.events(second.id, { follow: false })), 'queued').map(({ why }) => why)
    await eventually(async () => { expect(await waits()).toContain('every slot is taken; place 1 in the queue of mini') })
    release()
    expect([await first.result, await second.result]).toMatchObject([{ exitCode: 0 }, { exitCode: 0 }])
  })
})

it('a source that takes longer than a second is told as it leaves, and of how much', async () => {
  farm = new Farm()
  farm.source.set('large', 'x'.repeat(5 * LIMITS.chunkBytesMax - 1_000))
  const pauses = [550, 550, 550, 1_050]
  farm.pace = async () => { await new Promise(resolve => { setTimeout(resolve, pauses.shift() ?? 0) }) }
  const mini = await farm.add('mini')
  const laptop = await farm.add('laptop', { slots: 0 })
  const run = await laptop.builds.build({ command: ['x'] })
  expect(await run.result).toMatchObject({ exitCode: 0 })
  const told = of(await collect(run.events), 'progress').flatMap(({ message, bytes, totalBytes }) => bytes === undefined ? [] : [{ message, bytes, totalBytes }])
  expect(told[0]).toMatchObject({ message: expect.stringMatching(/^0\.\d MiB$/) as string, totalBytes: undefined })
  const bytes = mini.cache.received
  expect(told.at(-1)).toEqual({ message: '1.2 MiB of about 1.2 MiB', bytes, totalBytes: bytes })
})

describe('exclusive', () => {
  it('a builder that is lost is waited for: it is asked again, and nobody else, while its lease may live', async () => {
    farm = new Farm()
    let release = (): void => {}
    const first = await farm.add('first', { script: waitScript(new Promise(resolve => { release = resolve })) })
    const laptop = await farm.add('laptop', { slots: 0 })
    const run = await laptop.builds.build({ command: ['x'], exclusive: true })
    await eventually(() => { expect(first.running.now).toBe(1) })
    const second = await farm.add('second')
    let opened = 0
    const inner = laptop.mesh.openStream.bind(laptop.mesh)
    laptop.mesh.openStream = async (...args) => {
      expect(args[0]).toBe(first.id)
      // Two attempts to come back fail; an ordinary build would have moved at the second.
      if (++opened > 2 && !farm.network.linked(laptop.id, first.id)) await farm.network.connect(laptop.id, first.id)
      return await inner(...args)
    }
    farm.network.disconnect(laptop.id, first.id)
    await eventually(() => { expect(opened).toBeGreaterThan(2) })
    release()
    expect(await run.result).toMatchObject({ exitCode: 0, builder: { name: 'first' }, attempt: 1 })
    expect(second.running.max).toBe(0)
  })

  it('never explores', async () => {
    farm = new Farm({ explore: 1 })
    await farm.add('mini')
    await farm.add('other')
    const laptop = await farm.add('laptop', { slots: 0 })
    const why = async (exclusive: boolean): Promise<string> => {
      const run = await laptop.builds.build({ command: ['x'], dryRun: true, exclusive })
      await run.result
      return (await laptop.builds.why(run.id)).why
    }
    await eventually(async () => { expect(await why(false)).toMatch(/explores/) })
    expect(await why(true)).not.toMatch(/explores/)
  })
})
