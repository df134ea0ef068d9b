/** What builds leave, and how other builds get a hand in it while root clears it away: nothing outside is touched, nothing stays, no start fails. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { chmod, lstat, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { ProcessEngine } from '../src/adapters/engine-process/engine.ts'
import { PrepareCache } from '../src/adapters/prepare-cache.ts'
import { removeAll } from '../src/adapters/remove-all.ts'
import { runTool } from '../src/adapters/run-tool.ts'
import { collect, newId, specOf, until, type Outcome } from './engine/acceptance.ts'
import { SECRET } from './engine/hostile.ts'
import { needs } from './support/when.ts'

const base = mkdtempSync(join(tmpdir(), 'elder-leftovers-'))
await chmod(base, 0o711)
const signal = new AbortController().signal
/** 200 folders below each other: more than a path may be long. */
const DEEP = ['perl', '-e', 'for (1..200) { mkdir "d" x 50; chdir "d" x 50 } open my $f, ">", "x"']
const FOLDERS = 200
/** Folders that others may rename, and what is in them too. */
const OPEN = ['perl', '-e', `umask 0; mkdir $ARGV[0]; chmod 0777, $ARGV[0]; for (1..${FOLDERS}) { my $d = "$ARGV[0]/d$_"; mkdir $d; for my $n ("precious", "a", "b") { open my $f, ">", "$d/$n" } }`]
/** Swaps each folder for a symlink and back until it is ended, in the folder where it starts. */
const SWAP = `my ($to, $away, $go, $n) = @ARGV; open my $f, ">", $go; close $f;
for (;;) { for (1..$n) { rename "d$_", "$away/$_" and symlink $to, "d$_" } for (1..$n) { unlink "d$_"; rename "$away/$_", "d$_" } }`

const started: ChildProcess[] = []
async function ended (child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise(resolve => { child.once('close', resolve) })
  child.kill('SIGKILL')
  await gone
}
afterEach(async () => { for (const child of started.splice(0)) await ended(child) })
afterAll(async () => {
  await removeAll(base)
  rmSync(base, { recursive: true, force: true })
})

let count = 0
interface Outside { dir: string, file: string }

/** What no build may read, change or remove. */
async function outside (): Promise<Outside> {
  const dir = join(base, `outside${++count}`)
  await mkdir(dir, { mode: 0o711 })
  await chmod(dir, 0o711)
  const file = join(dir, 'precious')
  await writeFile(file, SECRET, { mode: 0o600 })
  return { dir, file }
}

/** Another user's process that has the folder open, as a build can be given it by the one that owns it. */
async function swapper (folder: string, { dir }: Outside, uid: number, folders = FOLDERS): Promise<ChildProcess> {
  const away = join(base, `away${++count}`)
  await mkdir(away)
  await chmod(away, 0o777)
  const child = spawn('/usr/bin/perl', ['-e', SWAP, dir, away, join(away, 'go'), `${folders}`], { cwd: folder, uid, gid: uid, stdio: 'ignore' })
  started.push(child)
  expect(await until(async () => await lstat(join(away, 'go')).then(() => true, () => false), 10_000)).toBe(true)
  return child
}

async function untouched ({ file }: Outside): Promise<void> {
  const { uid, mode } = await stat(file)
  expect({ uid, mode: mode & 0o777, text: await readFile(file, 'utf8') }).toEqual({ uid: 0, mode: 0o600, text: SECRET })
}

test('a folder deeper than a path may be long is removed with the own rights', async () => {
  const dir = join(base, 'deep')
  await mkdir(dir)
  await runTool('perl', DEEP.slice(1), { cwd: dir })
  await chmod(join(dir, 'd'.repeat(50)), 0o500)
  await removeAll(dir)
  await expect(lstat(dir)).rejects.toMatchObject({ code: 'ENOENT' })
})

test('a prepared tree of an earlier life that is too deep does not fail the builds of others', async () => {
  const dir = join(base, 'prepared')
  await mkdir(join(dir, 'staging-old'), { recursive: true })
  await runTool('perl', DEEP.slice(1), { cwd: join(dir, 'staging-old') })
  const tree = join(base, 'plain')
  await mkdir(tree)
  const cache = new PrepareCache({ dir })
  const deep = join(base, 'other')
  await mkdir(deep)
  // Nor does its own build fail: it is prepared, only not kept.
  expect(await cache.prepare('deep', deep, async () => { await runTool('perl', DEEP.slice(1), { cwd: deep }) }, { signal })).toBe('prepared')
  expect(await cache.prepare('k', tree, () => writeFile(join(tree, 'dep'), ''), { signal })).toBe('prepared')
  expect(await readdir(dir)).toEqual(['k'])
})

describe.runIf(needs(process.platform === 'linux' && process.getuid?.() === 0, 'root on Linux'))('as root', () => {
  const newEngine = (root = `root${++count}`): ProcessEngine => new ProcessEngine({ dataDir: join(base, 'data'), root: join(base, root) })
  const run = async (engine: ProcessEngine, tree: string, command: string[], slot = 0): Promise<Outcome> => await collect(engine.run(specOf(tree, command, { slot }), { signal }))

  test('a tree too deep for a path is gone after its build, and one that stayed goes at the next start', async () => {
    const engine = newEngine('deep-root')
    const [first, second] = [await engine.createTree(newId(), 0), await engine.createTree(newId(), 0)]
    for (const tree of [first, second]) expect((await run(engine, tree, DEEP)).exit.exitCode).toBe(0)
    await engine.removeTree(first)
    await expect(lstat(dirname(first))).rejects.toMatchObject({ code: 'ENOENT' })
    await engine.close()
    const next = newEngine('deep-root')
    await next.sweep()
    expect(await readdir(join(base, 'deep-root'))).toEqual([])
    await next.close()
  })

  test('what is too deep in the folders that everybody shares goes too', async () => {
    const engine = newEngine()
    const tree = await engine.createTree(newId(), 0)
    const places: string[] = []
    for (const shared of ['/tmp', '/dev/shm', '/run/lock']) if (((await stat(shared).catch(() => undefined))?.mode ?? 0) & 0o002) places.push(join(shared, newId()))
    for (const place of places) await run(engine, tree, ['sh', '-c', 'mkdir "$0" && cd "$0" && shift 0 && exec "$@"', place, ...DEEP])
    for (const place of places) expect((await lstat(place)).isDirectory()).toBe(true)
    await engine.removeTree(tree)
    for (const place of places) await expect(lstat(place)).rejects.toMatchObject({ code: 'ENOENT' })
    await engine.close()
  })

  test('no other build can enter a tree, whatever modes its owner gives it', async () => {
    const engine = newEngine()
    const [mine, other] = [await engine.createTree(newId(), 0), await engine.createTree(newId(), 1)]
    expect((await run(engine, mine, ['sh', '-c', 'chmod 0777 . "$HOME" "$TMPDIR"; echo x > f; chmod 666 f; pwd'])).text).toBe(`${mine}\n`)
    expect((await stat(mine)).mode & 0o777).toBe(0o777)
    const { text } = await run(engine, other, ['sh', '-c', 'cat "$1/f"; ls "$1"; touch "$1/new" "$1/../home/new"; cd "$1" && echo entered', 'sh', mine], 1)
    expect(text).not.toContain('entered')
    expect(text.match(/ermission denied/g)?.length).toBeGreaterThanOrEqual(4)
    expect(await readdir(mine)).toEqual(['f'])
    for (const tree of [mine, other]) await engine.removeTree(tree)
    await engine.close()
  })

  /** A build's tree with folders that are open to all, and another build's user in them. */
  async function shared (engine: ProcessEngine, place?: string): Promise<{ tree: string, uid: number, folder: string }> {
    const tree = await engine.createTree(newId(), 0)
    const folder = place ?? join(tree, 'open')
    expect((await run(engine, tree, [...OPEN, folder])).exit.exitCode).toBe(0)
    return { tree, folder, uid: (await stat(tree)).uid + 1 }
  }

  test('another user swaps folders for symlinks while a tree is handed over: nothing outside changes its owner', async () => {
    const engine = newEngine()
    const secret = await outside()
    for (let turn = 0; turn < 3; turn++) {
      const { tree, folder, uid } = await shared(engine)
      // What is not the build's own yet: root would give it to the build.
      await runTool('/bin/sh', ['-c', 'for d in d*; do rm -f $d/precious; : > $d/precious; done'], { cwd: folder, uid })
      const child = await swapper(folder, secret, uid)
      await run(engine, tree, ['true']).catch(() => undefined)
      await ended(child)
      await untouched(secret)
      await engine.removeTree(tree)
    }
    await engine.close()
  })

  test.each(['its tree', 'a folder that everybody shares'])('another user swaps folders for symlinks while %s is removed: nothing outside goes', async where => {
    const engine = newEngine()
    const secret = await outside()
    for (let turn = 0; turn < 2; turn++) {
      const { tree, folder, uid } = await shared(engine, where === 'its tree' ? undefined : join('/tmp', newId()))
      const child = await swapper(folder, secret, uid)
      await engine.removeTree(tree).catch(() => undefined)
      await ended(child)
      await untouched(secret)
    }
    await engine.close()
  })

  test('another user swaps folders for symlinks while a prepared tree is kept: nothing from outside comes into it', async () => {
    const engine = newEngine()
    const secret = await outside()
    const { tree, folder, uid } = await shared(engine)
    // Many turns: the folder must be one when it is listed, and a symlink when it is copied.
    for (let turn = 0; turn < 12; turn++) {
      const dir = join(base, `kept${++count}`)
      let child: ChildProcess | undefined
      await run(engine, tree, ['rm', '-f', 'open/d1/precious'])
      await new PrepareCache({ dir }).prepare('k', tree, async () => {
        await run(engine, tree, ['touch', 'open/d1/precious'])
        child = await swapper(folder, secret, uid, 1)
      }, { signal }).catch(() => undefined)
      await ended(child)
      await run(engine, tree, ['sh', '-c', 'cd open && [ -L d1 ] && rm d1; mkdir -p d1 && chmod 777 d1'])
      expect(await runTool('/bin/sh', ['-c', 'grep -rlF "$1" "$2" || true', 'sh', SECRET, dir])).toBe('')
    }
    await engine.removeTree(tree)
    await engine.close()
  })

  test('folders of two builds in each other are removed, with the rights of both', async () => {
    const engine = newEngine()
    const { tree, folder, uid } = await shared(engine)
    let inner = folder
    for (const owner of [uid, uid - 1, uid]) {
      await runTool('/bin/sh', ['-c', 'umask 0; mkdir in; touch in/f'], { cwd: inner, uid: owner })
      inner = join(inner, 'in')
    }
    await engine.removeTree(tree)
    await expect(lstat(dirname(tree))).rejects.toMatchObject({ code: 'ENOENT' })
    await engine.close()
  })
})
