/** What only containers promise: nothing of the host is reachable, files come back, a daemon that dies takes no build's processes along into freedom. */
import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ContainerEngine, type ContainerEngineInit } from '../../packages/node/src/adapters/engine-container/engine.ts'
import { openEngine } from '../../packages/node/src/adapters/engines.ts'
import { collect, newId, specOf, type Outcome } from '../../packages/node/test/engine/acceptance.ts'
import type { RunSpec } from '../../packages/node/src/ports/engine.ts'
import { givenEngines, initOf, openFolder, TEST_IMAGE } from './support/engine.ts'
import { importImage } from './support/images.ts'

const folder = await openFolder('elder-container-')
const probe = await readFile(new URL('support/probe.pl', import.meta.url), 'utf8')
const NEVER = new AbortController().signal
const MB = 1_048_576
afterAll(folder.remove)

describe.each(givenEngines())('$name', given => {
  const opened: ContainerEngine[] = []
  const engineOf = (more: Partial<ContainerEngineInit> = {}): ContainerEngine => {
    const engine = new ContainerEngine(initOf(given, folder.path, more))
    opened.push(engine)
    return engine
  }
  /** One build in a tree of its own. */
  const run = async (engine: ContainerEngine, command: string[], more: Partial<RunSpec> = {}): Promise<Outcome> => {
    const tree = more.tree ?? await engine.createTree(newId(), 0)
    try {
      return await collect(engine.run(specOf(tree, command, more), { signal: NEVER }))
    } finally {
      if (more.tree === undefined) await engine.removeTree(tree)
    }
  }
  beforeAll(() => importImage(given.socket, { name: TEST_IMAGE, programs: ['/usr/bin/perl'] }))
  afterAll(async () => { for (const engine of opened) await engine.close() })

  test('every way out is shut', async () => {
    const { text, exit } = await run(engineOf(), ['perl', '-e', probe], { sealed: true })
    const attempts = text.trim().split('\n')
    expect(exit.exitCode, text).toBe(0)
    expect(attempts.length).toBeGreaterThan(25)
    expect(attempts.filter(line => !line.endsWith(' denied'))).toEqual([])
  })

  test('privileges, limits and files of a build are what was promised', async () => {
    const script = 'id -u; grep -E "Cap(Prm|Eff|Bnd)|NoNewPrivs|Seccomp:" /proc/self/status; touch /x 2>&1; ulimit -c; ulimit -n; echo run > /tmp/t; chmod +x /tmp/t; id -un; cat /proc/self/mounts'
    const { text } = await run(engineOf(), ['sh', '-c', script])
    expect(Number(text.split('\n')[0])).toBeGreaterThanOrEqual(70_000)
    expect(text).toMatch(/CapPrm:\s+0+\nCapEff:\s+0+\nCapBnd:\s+0+\n/)
    expect(text).toMatch(/NoNewPrivs:\s+1/)
    expect(text).toMatch(/Seccomp:\s+2/)
    expect(text).toContain('Read-only file system')
    expect(text).toMatch(/^0\n4096$/m)
    expect(text).toMatch(/^build$/m)
    expect(text.match(/ \/ \S+ (\S+)/)?.[1]).toMatch(/^ro,/)
  })

  test('a sealed build has no network but its own loopback', async () => {
    const { text } = await run(engineOf(), ['sh', '-c', 'grep -c : /proc/net/dev; cat /proc/net/route | wc -l; nc -w 2 192.0.2.1 80 </dev/null 2>/dev/null && echo reached'], { sealed: true })
    expect(text).toMatch(/^1\n1$/m)
    expect(text).not.toContain('reached')
  })

  test('a volume of the image takes no room on the daemon\'s disk, and its health check and entry point do not run', async () => {
    const name = `elder-test/volume-${given.name}:latest`
    const { buildImage } = await import('../../packages/node/src/adapters/engine-container/images.ts')
    const { ContainerClient } = await import('../../packages/node/src/adapters/engine-container/client.ts')
    const dockerfile = Buffer.from(`FROM ${TEST_IMAGE}\nVOLUME /data\nENV FROM_IMAGE=yes PATH=/image:/usr/bin:/bin\nENTRYPOINT ["/bin/false"]\nCMD ["x"]\nHEALTHCHECK CMD touch /data/health\n`)
    for await (const _ of buildImage(new ContainerClient(given.socket), { dockerfile, tag: name, signal: NEVER })) { /* its text is tested elsewhere */ }
    const { text, exit } = await run(engineOf(), ['sh', '-c', 'echo $FROM_IMAGE $PATH; head -c 500000000 /dev/zero > /data/big; wc -c < /data/big; ls /data'], { image: name, env: {} })
    expect(exit.exitCode).toBe(0)
    expect(text).toContain('yes /image:/usr/bin:/bin')
    expect(Number(/^(\d+)\nbig$/m.exec(text)?.[1])).toBeLessThanOrEqual(256 * MB)
  })

  test('what a build leaves is the node\'s to read and to remove, whatever it did to it', async () => {
    const engine = engineOf()
    const tree = await engine.createTree(newId(), 0)
    const { exit, text } = await run(engine, ['sh', '-c', 'pwd; ls -la; mkdir -p dist/closed && echo built > dist/app.js && echo deep > dist/closed/f && chmod 0 dist/closed/f && chmod 0 dist/closed && ln -s /etc/shadow dist/link'], { tree })
    expect(exit.exitCode, text).toBe(0)
    expect(await readFile(join(tree, 'dist/app.js'), 'utf8')).toBe('built\n')
    await engine.removeTree(tree)
    await expect(stat(tree)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('certificates of the owner are readable inside, PATH is the image\'s, nothing else of the owner\'s is there', async () => {
    const closed = join(folder.path, `closed-${given.name}`)
    await mkdir(closed, { mode: 0o700 })
    await writeFile(join(closed, 'ca.pem'), 'CERTIFICATE')
    process.env['NODE_EXTRA_CA_CERTS'] = join(closed, 'ca.pem')
    process.env['SECRET_OF_THE_NODE'] = 'canary'
    const { engine, environment, close, note } = await openEngine(given.name, initOf(given, folder.path))
    expect(note()).toMatch(new RegExp(`^${given.name} \\d`))
    if (engine === undefined) throw new Error('no engine')
    const tree = await engine.createTree(newId(), 0)
    const { text } = await collect(engine.run(specOf(tree, ['sh', '-c', 'cat "$NODE_EXTRA_CA_CERTS"; env'], { env: await environment({ CI: '1' }) }), { signal: NEVER }))
    expect(text).toContain('CERTIFICATE')
    expect(text).toContain('CI=1')
    expect(text).toMatch(/^PATH=\/usr\/local\/sbin:/m)
    expect(text).not.toContain('canary')
    await engine.removeTree(tree)
    await close()
  })

  test('images: named wrongly and not to be had; each error has its fix', async () => {
    const engine = engineOf()
    await expect(run(engine, ['true'], { image: '../../etc?x=y' })).rejects.toMatchObject({ code: 'IMAGE_INVALID' })
    await expect(run(engine, ['true'], { image: 'localhost:1/elder/none:1' })).rejects.toMatchObject({ code: 'IMAGE_UNAVAILABLE', fix: expect.stringContaining('registry') as string })
    expect(await engine.images()).toContain(TEST_IMAGE)
  })

  test('a sweep takes this node\'s containers and nobody else\'s', async () => {
    const [mine, other] = [engineOf(), engineOf()]
    const stop = new AbortController()
    const running = async (engine: ContainerEngine): Promise<AsyncIterator<unknown>> => {
      const events = engine.run(specOf(await engine.createTree(newId(), 0), ['sleep', '600']), { signal: stop.signal })[Symbol.asyncIterator]()
      await events.next()
      return events
    }
    const [first, second] = [await running(mine), await running(other)]
    await mine.sweep()
    await expect(first.next()).rejects.toMatchObject({ code: 'ENGINE_FAILED', message: expect.stringContaining('removed') as string })
    const still = second.next()
    stop.abort()
    await expect(still).resolves.toMatchObject({ value: { type: 'exit', signal: 'SIGKILL' } })
    expect(await readdir(await mine.root())).toEqual([])
    for (const events of [first, second]) await events.next().catch(() => undefined)
    await other.sweep()
  })
})
