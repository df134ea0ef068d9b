/** The suite of every engine, on Docker and on Podman: as root, and as an ordinary user whom the daemon trusts. */
import { once } from 'node:events'
import { chmod, chown, mkdir } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe } from 'vitest'
import { ContainerEngine } from '../../packages/node/src/adapters/engine-container/engine.ts'
import { INSIDE } from '../../packages/node/src/adapters/engine-container/container-config.ts'
import { engineAcceptance } from '../../packages/node/test/engine/acceptance.ts'
import { RemoteEngine } from '../../packages/node/test/engine/remote.ts'
import { ROOTLESS_UID } from './support/daemons.ts'
import { givenEngines, givenRootless, initOf, openFolder, survivors, TEST_IMAGE } from './support/engine.ts'
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

/** A user whom the system's daemon lets in, as the group `docker` does: builds run as that user, and its files are its own. */
describe.each(process.getuid?.() === 0 ? givenEngines() : [])('$name, ordinary user', given => {
  const USER = 69_004
  const base = join(folder.path, `user-${given.name}`)
  const ended: RemoteEngine[] = []
  const start = (init: object): RemoteEngine => {
    const engine = new RemoteEngine({ ...init, name: given.name }, ['/usr/bin/setpriv', '--reuid', `${USER}`, '--regid', `${USER}`, '--clear-groups', '--'], 'container')
    ended.push(engine)
    return engine
  }
  // The user's own way to the daemon: its socket and folders stay as they are.
  const door = createServer(client => {
    const daemon = connect(given.socket)
    client.pipe(daemon).pipe(client)
    for (const end of [client, daemon]) end.on('error', () => { client.destroy(); daemon.destroy() })
  })
  const socket = join(base, 'door.sock')
  beforeAll(async () => {
    await importImage(given.socket, { name: TEST_IMAGE, programs: ['/usr/bin/perl'] })
    await mkdir(base)
    door.listen(socket)
    await once(door, 'listening')
    for (const path of [base, socket]) await chown(path, USER, USER)
  })
  afterAll(async () => {
    for (const engine of ended) await engine.kill()
    door.close()
  })
  const init = (): object => initOf({ ...given, socket }, base)
  engineAcceptance(`${given.name}, ordinary user`, {
    make: async () => start(init()),
    mortal: async () => {
      const same = init()
      const engine = start(same)
      return { engine, kill: () => engine.kill(), next: async () => start(same), close: async () => undefined }
    },
    survivors, limits: { memory: true, pids: true }, separate: true, inside: () => INSIDE.tree, marks: MARKS[given.name], nodeUid: USER,
    unthrottled: 'the proxy between test and engine takes everything at once',
  })
})

/** Without root anywhere: the build's user is the node's own, through a user namespace, and nobody's on this machine besides. */
describe.each(givenRootless())('$name, rootless', given => {
  const base = join(folder.path, 'rootless')
  const ended: RemoteEngine[] = []
  const start = (init: object): RemoteEngine => {
    const engine = new RemoteEngine({ ...init, name: given.name }, ['/usr/bin/setpriv', '--reuid', `${ROOTLESS_UID}`, '--regid', `${ROOTLESS_UID}`, '--clear-groups', '--'], 'container')
    ended.push(engine)
    return engine
  }
  beforeAll(async () => {
    await importImage(given.socket, { name: TEST_IMAGE, programs: ['/usr/bin/perl'] })
    await mkdir(base)
    await chown(base, ROOTLESS_UID, ROOTLESS_UID)
  })
  afterAll(async () => { for (const engine of ended) await engine.kill() })
  const none = 'a rootless daemon holds no limits on cgroup v1, and says so'
  engineAcceptance(`${given.name}, rootless`, {
    make: async () => start(initOf(given, base)),
    mortal: async () => {
      const same = initOf(given, base)
      const engine = start(same)
      return { engine, kill: () => engine.kill(), next: async () => start(same), close: async () => undefined }
    },
    survivors, limits: { memory: none, pids: none }, separate: true, inside: () => INSIDE.tree, marks: MARKS[given.name], nodeUid: ROOTLESS_UID,
    unthrottled: 'the proxy between test and engine takes everything at once',
  })
})
