import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { chmod, link, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import { ProcessEngine, type ProcessEngineInit } from '../src/adapters/engine-process/engine.ts'
import type { Cage } from '../src/adapters/engine-process/cage.ts'
import { CagedEngine } from '../src/adapters/engine-process/caged-engine.ts'
import { GroupCage } from '../src/adapters/engine-process/group-cage.ts'
import { findControllers, LimitGroup } from '../src/adapters/engine-process/cgroup.ts'
import { buildScript } from '../src/adapters/engine-process/script.ts'
import { rootName, rootParents } from '../src/adapters/engine-common/root.ts'
import { claimUids } from '../src/adapters/engine-common/uids.ts'
import { openEngine } from '../src/adapters/engines.ts'
import type { Engine } from '../src/ports/engine.ts'
import { collect, engineAcceptance, newId, specOf, until } from './engine/acceptance.ts'
import { RemoteEngine } from './engine/remote.ts'
import { needs } from './support/when.ts'

const isRoot = process.getuid?.() === 0
const linux = process.platform === 'linux'
const base = mkdtempSync(join(tmpdir(), 'elder-engine-'))
await chmod(base, 0o711)
afterAll(() => { rmSync(base, { recursive: true, force: true }) })

let folders = 0
const initOf = (more: Partial<ProcessEngineInit> = {}): ProcessEngineInit => {
  const n = ++folders
  return { dataDir: join(base, `data${n}`), root: join(base, `root${n}`), ...more }
}

/** Every process whose environment or command line holds the marker. */
async function survivors (marker: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
  const found = await Promise.all(pids.map(async pid => {
    const text = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    return text.includes(marker) ? Number(pid) : 0
  }))
  return found.filter(pid => pid > 0)
}

function acceptProcess (name: string, prefix: string[], remote: boolean, more: Partial<ProcessEngineInit>, limits: { memory: true | string, pids: true | string }, separate: true | string, nodeUid?: number): void {
  const ended: RemoteEngine[] = []
  const start = (init: ProcessEngineInit): RemoteEngine => {
    const engine = new RemoteEngine(init, prefix)
    ended.push(engine)
    return engine
  }
  afterAll(async () => { for (const engine of ended) await engine.kill() })
  engineAcceptance(name, {
    make: async (): Promise<Engine> => remote ? start(initOf(more)) : new ProcessEngine(initOf(more)),
    close: async engine => { if (engine instanceof ProcessEngine) await engine.close() },
    mortal: async () => {
      const init = initOf(more)
      const engine = start(init)
      return { engine, kill: () => engine.kill(), next: async () => start(init), close: async () => undefined }
    },
    survivors, limits, separate, ...(remote ? { unthrottled: 'the proxy between test and engine takes everything at once' } : {}), ...(nodeUid === undefined ? {} : { nodeUid }),
  })
}

const controllers = linux && isRoot ? (await findControllers(`elder-node-test-${process.pid}`)).map(({ name }) => name) : []
const withCgroup = (name: 'memory' | 'pids'): true | string => controllers.includes(name) || `no usable ${name} cgroup here`

if (linux && isRoot) {
  acceptProcess('process, root, cgroups', [], false, {}, { memory: withCgroup('memory'), pids: withCgroup('pids') }, true)
  const none = 'prlimit stops it but cannot say that it did'
  acceptProcess('process, root, no cgroups, no namespaces', [], false, { cgroups: false, namespaces: false }, { memory: none, pids: none }, true)
}
if (linux) {
  const none = 'an ordinary user has no limits per build'
  const uid = isRoot ? 69_001 : undefined
  const user = isRoot ? ['/usr/bin/setpriv', '--reuid', '69001', '--regid', '69001', '--clear-groups', '--'] : []
  const home = join(base, 'user')
  await mkdir(home)
  await chmod(home, 0o777)
  const one = 'without root all builds run as one user'
  let n = 0
  acceptProcess('process, ordinary user', user, true, { get root () { return join(home, `root${++n}`) } } as Partial<ProcessEngineInit>, { memory: none, pids: none }, one, uid)
}

describe.runIf(needs(linux && isRoot, 'root on Linux'))('as root', () => {
  test('builds run without privileges, and what a requester puts into the environment never reaches a root process', async () => {
    const engine = new ProcessEngine(initOf())
    const tree = await engine.createTree(newId(), 3)
    const signal = new AbortController().signal
    const canary = join(tree, 'preload')
    const env = { PATH: '/usr/bin:/bin', LD_PRELOAD: canary, BASH_ENV: canary, ENV: canary }
    const { text } = await collect(engine.run(specOf(tree, ['sh', '-c', 'id -u; grep -E "Cap(Prm|Eff)|NoNewPrivs" /proc/self/status; cat /proc/1/environ 2>&1; cat /etc/shadow 2>&1 | tail -1'], { slot: 3, env }), { signal }))
    const uid = (await stat(tree)).uid
    expect(uid).toBeGreaterThanOrEqual(70_000)
    expect(text).toContain(`${uid}\n`)
    expect(text).toMatch(/CapEff:\s+0+\n/)
    expect(text).toMatch(/NoNewPrivs:\s+1/)
    expect(text).toContain('/etc/shadow: Permission denied')
    expect(text).toContain('/proc/1/environ: Permission denied')
    await engine.removeTree(tree)
    await engine.close()
  })

  test('handing the tree over never follows a symlink or takes a file with a second name', async () => {
    const engine = new ProcessEngine(initOf())
    const tree = await engine.createTree(newId(), 0)
    const outside = join(base, 'outside')
    await writeFile(outside, 'root\'s')
    await symlink(outside, join(tree, 'link'))
    await link(outside, join(tree, 'hard'))
    await collect(engine.run(specOf(tree, ['true']), { signal: new AbortController().signal }))
    expect((await stat(outside)).uid).toBe(0)
    await engine.removeTree(tree)
    await engine.close()
  })

  test('a root that no user can traverse is refused with the fix', async () => {
    const closed = join(base, 'closed')
    await mkdir(closed, { mode: 0o700 })
    await expect(new ProcessEngine(initOf({ root: join(closed, 'root') })).check()).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE', fix: expect.stringContaining(closed) as string })
  })

  test('two builds of one name share nothing: the end of one does not end the other', async () => {
    const engine = new ProcessEngine(initOf())
    const signal = new AbortController().signal
    const id = newId()
    const [first, second] = [await engine.createTree(id, 0), await engine.createTree(id, 1)]
    const go = join(first, 'go')
    const long = collect(engine.run({ ...specOf(first, ['sh', '-c', 'touch up; until [ -e go ]; do sleep 0.05; done'], { slot: 0 }), id }, { signal }))
    expect(await until(async () => await stat(join(first, 'up')).then(() => true, () => false), 10_000)).toBe(true)
    const short = await collect(engine.run({ ...specOf(second, ['true'], { slot: 1 }), id }, { signal }))
    await writeFile(go, '')
    expect([short.exit, (await long).exit]).toMatchObject([{ exitCode: 0 }, { exitCode: 0, signal: null }])
    await engine.removeTree(first)
    await engine.removeTree(second)
    await engine.close()
  })

  test.each([['setuid', '4755'], ['setgid', '2755']])('what runs with the ids of a build through a copy with the %s bit ends with the build, at its removal, and before the next', async (_bit, mode) => {
    const engine = new ProcessEngine(initOf())
    const signal = new AbortController().signal
    const open = join(base, `open${mode}`)
    await mkdir(open)
    await chmod(open, 0o777)
    const copy = join(open, 'env')
    const spies: ChildProcess[] = []
    /** An ordinary user of this machine starts the copy. */
    const spy = async (): Promise<{ ended: Promise<unknown> }> => {
      const child = spawn(copy, ['sleep', '60'], { uid: 69_001, gid: 69_001, stdio: 'ignore', cwd: '/' })
      spies.push(child)
      const ended = once(child, 'exit')
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
      expect(status).toMatch(/^[UG]id:\t69001\t7\d{4}\t/m)
      return { ended: ended.then(([, killed]) => killed as unknown) }
    }
    try {
      const tree = await engine.createTree(newId(), 0)
      const run = collect(engine.run(specOf(tree, ['sh', '-c', `cp "$(command -v env)" ${copy} && chmod ${mode} ${copy} && touch up; until [ -e go ]; do sleep 0.05; done`]), { signal }))
      expect(await until(async () => await stat(join(tree, 'up')).then(() => true, () => false), 10_000)).toBe(true)
      const during = await spy()
      await writeFile(join(tree, 'go'), '')
      expect([(await run).exit.exitCode, await during.ended]).toEqual([0, 'SIGKILL'])
      const after = await spy()
      await engine.removeTree(tree)
      expect(await after.ended).toBe('SIGKILL')
      const before = await spy()
      const next = await engine.createTree(newId(), 0)
      expect(await before.ended).toBe('SIGKILL')
      await engine.removeTree(next)
      const swept = await spy()
      await engine.sweep()
      expect(await swept.ended).toBe('SIGKILL')
    } finally {
      for (const child of spies) child.kill('SIGKILL')
      await engine.close()
    }
  })

  test('strays in shared folders do not outlive the build', async () => {
    const engine = new ProcessEngine(initOf())
    const tree = await engine.createTree(newId(), 0)
    const name = `/tmp/elder-stray-${newId()}`
    await collect(engine.run(specOf(tree, ['sh', '-c', `mkdir ${name} && echo x > ${name}/f`]), { signal: new AbortController().signal }))
    expect((await stat(name)).isDirectory()).toBe(true)
    await engine.removeTree(tree)
    await expect(stat(name)).rejects.toMatchObject({ code: 'ENOENT' })
    await engine.close()
  })
})

describe.runIf(needs(linux, 'Linux: build users are claimed by uid'))('build users', () => {
  test('nodes of one machine never share a block; a dead node\'s block returns, to its owner first', async () => {
    const dir = join(base, 'blocks')
    const live = await Promise.all(Array.from({ length: 8 }, (_, i) => claimUids(`/root${i}`, { dir })))
    expect(new Set(live.map(block => block.first)).size).toBe(8)
    const [first, second] = live
    const dead = JSON.parse(await readFile(join(dir, String(second?.first)), 'utf8')) as { start: string }
    await writeFile(join(dir, String(second?.first)), JSON.stringify({ ...dead, start: '1' }))
    const heirs = await Promise.all([claimUids('/root1', { dir }), claimUids('/root1', { dir }), claimUids('/other', { dir })])
    expect(new Set([...live.filter(block => block !== second), ...heirs].map(block => block.first)).size).toBe(10)
    expect(heirs.map(block => block.first)).toContain(second?.first)
    await first?.release()
    expect((await claimUids('/new', { dir })).first).toBe(first?.first)
  })
})

test.runIf(needs(linux, 'Linux: processes by /proc'))('a build that is cancelled while its cage is made ends', async () => {
  const root = join(base, 'early')
  await mkdir(root)
  const cage = await GroupCage.open(root, [])
  const cancelled = new AbortController()
  const none = async (): Promise<void> => undefined
  const slow: Cage = { description: '', seals: false, uidOf: () => undefined, places: folder => folder, strays: async () => [], clear: none, sweep: async () => [], close: none, start: async (...started) => {
    const caged = await cage.start(...started)
    cancelled.abort()
    return caged
  } }
  const engine = new CagedEngine({ name: 'process', title: '', ownsRoot: false, open: async () => ({ root, cage: slow }) })
  const tree = await engine.createTree(newId(), 0)
  expect((await collect(engine.run(specOf(tree, ['sleep', '60']), { signal: cancelled.signal }))).exit.signal).toBe('SIGKILL')
  await engine.removeTree(tree)
})

describe('where builds lie', () => {
  test('a user whose temporary folder is missing, relative or taken by somebody else has a cache', () => {
    expect(rootParents(1000, { XDG_CACHE_HOME: '/c' }, '/tmp')).toEqual(['/tmp/elder-node-1000', '/c/elder-node'])
    expect(rootParents(1000, { XDG_CACHE_HOME: '/c' }, '.')).toEqual(['/c/elder-node'])
    expect(rootParents(0, {}, '.')).toEqual(['/var/lib/elder-node'])
  })

  test.runIf(needs(linux && isRoot, 'root on Linux'))('an ordinary user gets there', async () => {
    const cache = join(base, 'cache')
    await mkdir(cache)
    await chmod(cache, 0o777)
    const taken = join(base, 'taken')
    await mkdir(join(taken, 'elder-node-69001'), { recursive: true })
    await chmod(taken, 0o755)
    for (const TMPDIR of [taken, '/nonexistent', '.']) {
      const script = `process.setuid(69001); import(${JSON.stringify(new URL('../src/adapters/engine-common/root.ts', import.meta.url).href)}).then(m => m.openRoot('/d')).then(console.log)`
      const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=elder-source', '--eval', script], { cwd: cache, env: { TMPDIR, XDG_CACHE_HOME: cache } })
      expect(stdout, TMPDIR).toBe(`${cache}/elder-node/${rootName('/d')}\n`)
    }
  })
})

describe('limits on cgroup v2', () => {
  test('writes what the kernel documents and reads the reasons back', async () => {
    const root = join(base, 'v2')
    await mkdir(join(root, 'proc/self'), { recursive: true })
    const mount = join(root, 'cgroup')
    for (const name of ['', 'probe']) {
      await mkdir(join(mount, 'elder-x', name), { recursive: true })
      for (const file of ['memory.max', 'pids.max', 'cpu.max']) await writeFile(join(mount, 'elder-x', name, file), '')
    }
    await writeFile(join(root, 'proc/mounts'), `cgroup2 ${mount} cgroup2 rw 0 0\n`)
    await writeFile(join(root, 'proc/self/cgroup'), '0::/user.slice\n')
    const controllers = await findControllers('elder-x', { proc: join(root, 'proc'), asRoot: true })
    expect(controllers.map(({ name, version }) => `${name}${version}`)).toEqual(['memory2', 'pids2', 'cpu2'])
    // A user finds the nearest group above its own that takes processes; here the root of the hierarchy has no such file.
    const service = join(mount, 'user.slice/user@1.service')
    await mkdir(join(service, 'app.slice'), { recursive: true })
    await writeFile(join(service, 'cgroup.procs'), '')
    for (const name of ['', 'probe']) {
      await mkdir(join(service, 'elder-x', name), { recursive: true })
      for (const file of ['memory.max', 'pids.max']) await writeFile(join(service, 'elder-x', name, file), '')
    }
    await writeFile(join(root, 'proc/self/cgroup'), '0::/user.slice/user@1.service/app.slice\n')
    expect((await findControllers('elder-x', { proc: join(root, 'proc'), asRoot: false })).map(({ name, base }) => [name, base])).toEqual(['memory', 'pids'].map(name => [name, join(service, 'elder-x')]))
    const group = new LimitGroup(controllers, 'b1')
    await group.create({ cpus: 1.5, memoryBytes: 1000, pidsMax: 7, diskBytes: 1000 })
    const read = (file: string): Promise<string> => readFile(join(mount, 'elder-x/b1', file), 'utf8')
    expect(await Promise.all(['memory.max', 'memory.swap.max', 'pids.max', 'cpu.max'].map(read))).toEqual(['1000', '0', '7', '150000 100000'])
    expect(group.procsFiles).toHaveLength(1)
    expect(await group.reason()).toBeNull()
    await writeFile(join(mount, 'elder-x/b1/pids.events'), 'max 3\n')
    expect(await group.reason()).toBe('pids')
    await writeFile(join(mount, 'elder-x/b1/memory.events'), 'low 0\noom 1\noom_kill 1\n')
    expect(await group.reason()).toBe('memory')
  })
})

describe('selection', () => {
  test('auto never takes process and says why the others are not here; none is none; what is named and cannot run is an error', async () => {
    const init = { ...initOf(), socket: join(base, 'no.sock') }
    const auto = await openEngine('auto', init)
    expect(auto.engine?.name).not.toBe('process')
    expect(auto.note()).toContain('docker: no socket at')
    expect(auto.note()).toContain('podman: no socket at')
    if (auto.engine === undefined) expect(auto.note()).toContain('--engine process')
    await auto.close()
    expect((await openEngine('none', init)).engine).toBeUndefined()
    for (const name of ['docker', 'podman'] as const) await expect(openEngine(name, init)).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE', fix: expect.stringContaining('Install') as string })
    const { engine, note, environment } = await openEngine('process', initOf())
    expect(await environment({ CI: '1' })).toMatchObject({ CI: '1', PATH: expect.not.stringContaining('node_modules') as string })
    expect(engine?.name).toBe('process')
    expect(note()).toContain('not isolated')
    const tree = await engine?.createTree(newId(), 0) ?? ''
    await expect(collect((engine as Engine).run(specOf(tree, ['true'], { sealed: true }), { signal: new AbortController().signal }))).rejects.toMatchObject({ code: 'SEALED_UNSUPPORTED' })
    await expect(collect((engine as Engine).run(specOf(tree, ['true'], { image: 'node:24' }), { signal: new AbortController().signal }))).rejects.toMatchObject({ code: 'IMAGE_UNSUPPORTED' })
    await expect(engine?.removeTree(dirname(base))).rejects.toThrow('was not made by createTree')
    await engine?.sweep()
    await engine?.close?.()
  })

  test('a name that no shell can set is refused, values are quoted', () => {
    expect(() => buildScript({ 'a b': '' }, '/', 'env')).toThrow(/cannot be passed/)
    expect(() => buildScript({ A: 'x\0' }, '/', 'env')).toThrow(/cannot be passed/)
    expect(buildScript({ A: 'it\'s' }, '/t', 'env')).toContain('export A=\'it\'\\\'\'s\'')
  })
})
