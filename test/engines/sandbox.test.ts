/** The suite of every engine on bubblewrap. These tests may run as root; the engine never does: it lives in a process that gave root away. */
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { SandboxEngine } from '../../packages/node/src/adapters/engine-sandbox/engine.ts'
import { INSIDE } from '../../packages/node/src/adapters/engine-sandbox/plan.ts'
import { collect, engineAcceptance, newId, specOf } from '../../packages/node/test/engine/acceptance.ts'
import { RemoteEngine } from '../../packages/node/test/engine/remote.ts'
import { needs } from '../../packages/node/test/support/when.ts'
import { delegated } from './support/delegated.ts'
import { openFolder, survivors } from './support/engine.ts'

const isRoot = process.getuid?.() === 0
const uid = isRoot ? 69_002 : undefined
const here = needs(process.platform === 'linux' && existsSync('/usr/bin/bwrap'), 'bubblewrap on Linux (as root on Debian: node test/engines/run.ts vitest run --project engines)')
const folder = await openFolder('elder-sandbox-')
if (isRoot) await chmod(folder.path, 0o777)
afterAll(folder.remove)

let n = 0
const initOf = (more: object): object => ({ dataDir: join(folder.path, `data${++n}`), root: join(folder.path, `root${n}`), ...(uid === undefined ? {} : { uid }), ...more })

/** Control groups of that user's own, as a system delegates them; where they can be made. */
const groups = delegated(uid)
afterAll(groups.remove)

function accept (name: string, more: object, limits: { memory: true | string, pids: true | string }): void {
  const ended: RemoteEngine[] = []
  const start = (init: object): RemoteEngine => {
    const engine = new RemoteEngine(init, [], 'sandbox')
    ended.push(engine)
    return engine
  }
  afterAll(async () => { for (const engine of ended) await engine.kill() })
  engineAcceptance(name, {
    make: async () => start(initOf(more)),
    mortal: async () => {
      const init = initOf(more)
      const engine = start(init)
      return { engine, kill: () => engine.kill(), next: async () => start(init), close: async () => undefined }
    },
    survivors, limits, separate: true, inside: () => INSIDE.tree, unthrottled: 'the proxy between test and engine takes everything at once', ...(uid === undefined ? {} : { nodeUid: uid }),
  })
}

describe.runIf(here)('sandbox', () => {
  const none = 'prlimit stops it but cannot say that it did'
  accept('sandbox, no cgroups', { cgroups: false }, { memory: none, pids: none })
  const has = (name: string): true | string => groups.names.includes(name) || `no ${name} cgroup could be given to the user here`
  accept('sandbox, cgroups of the user\'s own', { join: groups.join }, { memory: has('memory'), pids: has('pids') })

  test.runIf(needs(isRoot, 'root: a folder in /opt'))('a data directory inside of what every build sees is covered', async () => {
    const dataDir = await mkdtemp('/opt/elder-data-')
    onTestFinished(() => rm(dataDir, { recursive: true }))
    await chmod(dataDir, 0o755)
    await writeFile(join(dataDir, 'device.key'), 'canary')
    const engine = new RemoteEngine(initOf({ cgroups: false, dataDir }), [], 'sandbox')
    onTestFinished(() => engine.kill())
    const spec = specOf(await engine.createTree(newId(), 0), ['sh', '-c', `cat ${dataDir}/device.key; touch ${dataDir}/x; ls -A ${dataDir} | wc -l; ls -d /opt`])
    const { text } = await collect(engine.run(spec, { signal: new AbortController().signal }))
    expect(text).not.toContain('canary')
    expect(text).toContain('Read-only file system')
    expect(text).toMatch(/^0\n\/opt$/m)
  })

  test('the engine refuses to run as root', async () => {
    if (!isRoot) return
    await expect(new SandboxEngine({ dataDir: folder.path, root: join(folder.path, 'never') }).check()).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE', message: expect.stringContaining('never runs as root') as string })
  })
})
