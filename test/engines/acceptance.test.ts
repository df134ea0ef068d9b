/** The suite of every engine, on Docker and on Podman: as root, and as an ordinary user whom the daemon trusts. */
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe } from 'vitest'
import { ContainerEngine } from '../../packages/node/src/adapters/engine-container/engine.ts'
import { INSIDE } from '../../packages/node/src/adapters/engine-container/container-config.ts'
import { engineAcceptance } from '../../packages/node/test/engine/acceptance.ts'
import { RemoteEngine } from '../../packages/node/test/engine/remote.ts'
import { givenEngines, initOf, openFolder, survivors, TEST_IMAGE } from './support/engine.ts'
import { importImage } from './support/images.ts'

const folder = await openFolder('elder-accept-')
afterAll(folder.remove)

/** What Podman adds to every environment. */
const MARKS = { docker: [], podman: ['container', 'TERM', 'HOSTNAME'] }

describe.each(givenEngines())('$name', given => {
  const ended: RemoteEngine[] = []
  const start = (init: object): RemoteEngine => {
    const engine = new RemoteEngine({ ...init, name: given.name }, [], 'container')
    ended.push(engine)
    return engine
  }
  beforeAll(async () => {
    await importImage(given.socket, { name: TEST_IMAGE, programs: ['/usr/bin/perl'] })
    await mkdir(join(folder.path, given.name))
    await chmod(join(folder.path, given.name), 0o711)
  })
  afterAll(async () => { for (const engine of ended) await engine.kill() })
  const base = join(folder.path, given.name)
  engineAcceptance(given.name, {
    make: async () => new ContainerEngine(initOf(given, base)),
    close: async engine => { await engine.close?.() },
    mortal: async () => {
      const init = initOf(given, base)
      const engine = start(init)
      return { engine, kill: () => engine.kill(), next: async () => start(init), close: async () => undefined }
    },
    survivors, limits: { memory: true, pids: true }, separate: true, inside: () => INSIDE.tree, marks: MARKS[given.name],
  })
})
