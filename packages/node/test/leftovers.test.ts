/** What builds leave and nothing can remove is told while it is there, and not when it is gone. */
import { spawn } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { CagedEngine } from '../src/adapters/engine-process/caged-engine.ts'
import type { Cage } from '../src/adapters/engine-process/cage.ts'
import { ProcessEngine } from '../src/adapters/engine-process/engine.ts'
import { killAll } from '../src/adapters/engine-process/processes.ts'
import { leftoverProblems } from '../src/services/builds/leftovers.ts'
import { collect, newId, specOf } from './engine/acceptance.ts'
import { needs } from './support/when.ts'

const signal = new AbortController().signal
const linux = process.platform === 'linux'

async function folder (): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'elder-left-'))
  onTestFinished(async () => { await rm(dir, { recursive: true, force: true }) })
  await chmod(dir, 0o711)
  return dir
}

/** Root's own folder with a file in it, inside the build's: the build's user cannot remove it. */
async function stuck (inside: string): Promise<void> {
  await mkdir(join(inside, 'roots'), { mode: 0o755 })
  await writeFile(join(inside, 'roots', 'f'), '')
}

describe.runIf(needs(linux && process.getuid?.() === 0, 'root on Linux'))('as root', () => {
  test('a folder of a build and a file of its user elsewhere are told with their user, at the next start too, until they are gone', async () => {
    const init = { dataDir: await folder(), root: join(await folder(), 'root') }
    const engine = new ProcessEngine(init)
    const tree = await engine.createTree(newId(), 0)
    const stray = `/tmp/elder-stray-${newId()}`
    onTestFinished(async () => { await rm(stray, { recursive: true, force: true }) })
    await collect(engine.run(specOf(tree, ['mkdir', stray]), { signal }))
    await stuck(stray)
    const other = await engine.createTree(newId(), 1)
    await collect(engine.run(specOf(other, ['true'], { slot: 1 }), { signal }))
    await stuck(other)
    await engine.removeTree(tree)
    const [{ uid } = { uid: 0 }] = engine.leftovers()
    expect(engine.leftovers()).toEqual([{ path: stray, uid }])
    expect(uid).toBeGreaterThan(0)
    await expect(engine.removeTree(other)).rejects.toThrow()
    expect(engine.leftovers()).toEqual([{ path: stray, uid }, { path: dirname(other), uid: 0 }])
    await engine.close()
    const next = new ProcessEngine(init)
    await next.sweep().catch(() => undefined)
    expect(next.leftovers()).toContainEqual({ path: stray, uid })
    await rm(stray, { recursive: true })
    await rm(dirname(other), { recursive: true, force: true })
    expect(next.leftovers()).toEqual([])
    await next.close()
  })
})

describe.runIf(needs(linux, 'Linux: processes are found in /proc'))('a process that does not end', () => {
  test('is what is left when the time is up', async () => {
    expect(await killAll(async () => [2 ** 30], 20)).toEqual([2 ** 30])
    expect(await killAll(async () => [], 20)).toEqual([])
  })

  test('is told by its id and its user, after its build and after a sweep, until it is gone', async () => {
    const root = await folder()
    const [afterBuild, ofBefore] = [1, 2].map(() => spawn('sleep', ['60'], { stdio: 'ignore' }))
    onTestFinished(() => { for (const child of [afterBuild, ofBefore]) child?.kill('SIGKILL') })
    const cage: Cage = {
      description: '', seals: false, uidOf: () => undefined, places: at => at, strays: async () => [], clear: async () => {}, close: async () => {},
      start: async () => ({ child: spawn('true', { stdio: ['ignore', 'pipe', 'pipe'] }), kill: async () => [afterBuild?.pid as number], reason: async () => null, release: async () => {} }),
      sweep: async () => [`/proc/${ofBefore?.pid}`],
    }
    const engine = new CagedEngine({ name: 'process', title: '', open: async () => ({ root, cage }), ownsRoot: false })
    const uid = process.getuid?.()
    await engine.sweep()
    expect(engine.leftovers()).toEqual([{ path: `/proc/${ofBefore?.pid}`, uid }])
    await collect(engine.run(specOf(await engine.createTree(newId(), 0), ['true']), { signal }))
    expect(engine.leftovers()).toEqual([{ path: `/proc/${ofBefore?.pid}`, uid }, { path: `/proc/${afterBuild?.pid}`, uid }])
    const gone = [afterBuild, ofBefore].map(async child => { await new Promise(resolve => { child?.once('exit', resolve) }) })
    for (const child of [afterBuild, ofBefore]) child?.kill('SIGKILL')
    await Promise.all(gone)
    expect(engine.leftovers()).toEqual([])
  })
})

describe('the problem', () => {
  test('names paths, processes and users, and has the command', () => {
    expect(leftoverProblems([])).toEqual([])
    const [problem] = leftoverProblems([{ path: '/proc/42', uid: 70_000 }, { path: '/tmp/elder-x', uid: 70_001 }])
    expect(problem).toMatchObject({ code: 'BUILD_LEFTOVERS', message: expect.stringContaining('process 42 (uid 70000), /tmp/elder-x (uid 70001)') as string })
    expect(problem?.fix).toMatch(/^sudo kill -9 42 .*; sudo rm -rf \/tmp\/elder-x /)
  })

  test('never puts a name that a build made up into the command, and lists only some', () => {
    const [problem] = leftoverProblems([{ path: '/tmp/x; rm -rf ~', uid: 1 }, { path: '/tmp/a\nb', uid: 1 }, { path: '/tmp/..', uid: 1 }])
    expect(problem?.fix).toBe('Look at it and remove it as root.')
    expect(problem?.message).toContain('"/tmp/x; rm -rf ~" (uid 1), "/tmp/a\\nb" (uid 1)')
    const many = Array.from({ length: 7 }, (_, i) => ({ path: `/tmp/f${i}`, uid: 1 }))
    expect(leftoverProblems(many)[0]?.message).toMatch(/\/tmp\/f4 \(uid 1\), and 2 more$/)
  })
})
