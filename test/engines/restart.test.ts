/** A Docker daemon that dies under a running build, and one that is restarted in order. */
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ContainerEngine } from '../../packages/node/src/adapters/engine-container/engine.ts'
import { collect, newId, specOf, until } from '../../packages/node/test/engine/acceptance.ts'
import type { RunEvent } from '../../packages/node/src/ports/engine.ts'
import { startDocker, type Daemon } from './support/daemons.ts'
import { givenEngines, initOf, openFolder, survivors, TEST_IMAGE } from './support/engine.ts'
import { importImage } from './support/images.ts'

const folder = await openFolder('elder-restart-')
const home = join(folder.path, 'docker')
let daemon: Daemon | undefined
afterAll(async () => {
  await daemon?.stop()
  folder.remove()
})

/** A daemon of its own: the others' goes on. */
describe.runIf(givenEngines().some(({ name }) => name === 'docker'))('docker', { timeout: 120_000 }, () => {
  test.each([['killed', 'kill'], ['stopped in order', 'end']] as const)('%s: the build ends as the builder\'s failure, its processes are gone, and the next life builds again', async (_what, way) => {
    daemon ??= await startDocker(home)
    const given = { name: 'docker' as const, socket: daemon.socket }
    await importImage(daemon.socket, { name: TEST_IMAGE })
    const engine = new ContainerEngine(initOf(given, folder.path))
    const marker = newId()
    const command = ['sh', '-c', 'trap "" TERM; setsid sh -c \'trap "" TERM; while :; do sleep 1; done\' & echo up; while :; do sleep 1; done']
    const events = engine.run(specOf(await engine.createTree(newId(), 0), command, { env: { PATH: '/bin', MARKER: marker } }), { signal: new AbortController().signal })[Symbol.asyncIterator]()
    const next = async (): Promise<RunEvent | undefined> => (await events.next()).value as RunEvent | undefined
    while ((await next())?.type !== 'log') { /* until it says up */ }
    const last = next().catch((error: unknown) => error)
    await daemon[way]()
    expect(await last).toMatchObject({ code: 'ENGINE_FAILED' })
    expect(await until(async () => (await survivors(marker)).length === 0, 10_000)).toBe(true)
    daemon = await startDocker(home)
    await engine.sweep()
    const tree = await engine.createTree(newId(), 0)
    expect((await collect(engine.run(specOf(tree, ['true']), { signal: new AbortController().signal }))).exit.exitCode).toBe(0)
    await engine.removeTree(tree)
    await engine.close()
  })
})
