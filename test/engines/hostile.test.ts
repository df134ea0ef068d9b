/** Builds that mean harm, on every engine of this machine. */
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe } from 'vitest'
import { INSIDE as CONTAINER } from '../../packages/node/src/adapters/engine-container/container-config.ts'
import { ContainerEngine } from '../../packages/node/src/adapters/engine-container/engine.ts'
import { INSIDE } from '../../packages/node/src/adapters/engine-sandbox/plan.ts'
import { processAsRoot, survivors } from '../../packages/node/test/engine/hostile-process.ts'
import { hostileBuilds, SECRET } from '../../packages/node/test/engine/hostile.ts'
import { RemoteEngine } from '../../packages/node/test/engine/remote.ts'
import { needs } from '../../packages/node/test/support/when.ts'
import { delegated } from './support/delegated.ts'
import { givenEngines, initOf, openFolder, TEST_IMAGE } from './support/engine.ts'
import { importImage } from './support/images.ts'

const isRoot = process.getuid?.() === 0
const folder = await openFolder('elder-hostile-')
afterAll(folder.remove)
const key = async (dir: string, uid?: number): Promise<string> => {
  const path = join(dir, 'key')
  await mkdir(dir, { recursive: true })
  await chmod(dir, uid === undefined ? 0o711 : 0o777)
  await writeFile(path, SECRET, { mode: 0o600 })
  if (uid !== undefined) await chown(path, uid, uid)
  return path
}

if (needs(process.platform === 'linux' && isRoot, 'root on Linux')) {
  const base = join(folder.path, 'process')
  await key(base)
  await processAsRoot(base, 'all')
} else {
  describe.skip('process, root', () => undefined)
}

if (needs(process.platform === 'linux' && existsSync('/usr/bin/bwrap'), 'bubblewrap on Linux')) {
  const uid = isRoot ? 69_003 : undefined
  const base = join(folder.path, 'sandbox')
  const keyFile = await key(base, uid)
  const groups = delegated(uid)
  afterAll(groups.remove)
  const has = (name: string): true | string => groups.names.includes(name) || `no ${name} cgroup could be given to the user here`
  const ended: RemoteEngine[] = []
  afterAll(async () => { for (const engine of ended) await engine.kill() })
  const init: object = { dataDir: join(base, 'data'), root: join(base, 'root'), join: groups.join, ...(uid === undefined ? {} : { uid }) }
  hostileBuilds('sandbox', {
    make: async () => {
      const engine = new RemoteEngine(init, [], 'sandbox')
      ended.push(engine)
      return engine
    },
    survivors, limits: { memory: has('memory'), pids: has('pids'), disk: true }, keyFile, extent: 'all', inside: () => INSIDE.tree, ...(uid === undefined ? {} : { nodeUid: uid }),
    remote: 'the log of the engine passes through a pipe of the test\'s own',
  })
}

describe.each(givenEngines())('$name', given => {
  const base = join(folder.path, given.name)
  beforeAll(async () => {
    await importImage(given.socket, { name: TEST_IMAGE, programs: ['/usr/bin/perl'] })
    await key(base)
  })
  hostileBuilds(given.name, {
    make: async () => new ContainerEngine(initOf(given, base)), close: async engine => { await engine.close?.() },
    survivors, limits: { memory: true, pids: true, disk: true }, keyFile: join(base, 'key'), extent: 'all', inside: () => CONTAINER.tree,
  })
})
