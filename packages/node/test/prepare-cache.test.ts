import { mkdtempSync, rmSync } from 'node:fs'
import { chmod, link, lstat, mkdir, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, onTestFinished, test, vi } from 'vitest'
import { DiskWatch } from '../src/adapters/disk-watch.ts'
import { PrepareCache } from '../src/adapters/prepare-cache.ts'
import { prepareKey } from '../src/adapters/prepare-key.ts'
import { runTool } from '../src/adapters/run-tool.ts'
import type { Logger } from '../src/ports/log.ts'
import type { PrepareParts } from '../src/ports/prepare.ts'

const base = mkdtempSync(join(tmpdir(), 'elder-prepare-'))
afterAll(() => { rmSync(base, { recursive: true, force: true }) })
const signal = new AbortController().signal
const PARTS: PrepareParts = { requester: 'me', project: 'p', command: 'npm ci', cwd: '.', engine: 'process', image: null, platform: 'linux/x64' }
let count = 0

async function folder (files: Record<string, string> = {}): Promise<string> {
  const dir = join(base, `t${++count}`)
  await put(dir, files)
  return dir
}
async function put (dir: string, files: Record<string, string>): Promise<void> {
  await mkdir(dir, { recursive: true })
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true })
    await writeFile(join(dir, path), text)
  }
}
const SOURCE = { 'packages/y/package.json': '{"scripts":{"postinstall":"node ./post.js","build":"node src/a.ts"}}', 'package.json': '{}', 'package-lock.json': 'v1', 'src/a.ts': '', 'packages/x/package.json': '{}' }
const never = async (): Promise<void> => { throw new Error('prepared again') }

test('what prepare added is there in the next tree, a build\'s leftovers and changed files are not, and no inode is shared', async () => {
  const cache = new PrepareCache({ dir: await folder() })
  const first = await folder(SOURCE)
  const key = await prepareKey(PARTS, first, signal)
  expect(await cache.prepare(key, first, async () => {
    await put(first, { 'node_modules/dep/index.js': 'dep', 'node_modules/.bin/tool': '#!', 'packages/x/node_modules/y.js': 'y', 'src/a.ts': 'changed' })
    await chmod(join(first, 'node_modules/.bin/tool'), 0o4755)
    await symlink('../dep/index.js', join(first, 'node_modules/.bin/link'))
    await link(join(first, 'node_modules/dep/index.js'), join(first, 'node_modules/dep/twin.js'))
  }, { signal })).toBe('prepared')
  await put(first, { 'dist/out': 'leftover', 'node_modules/dep/index.js': 'broken by the build', 'node_modules/.cache/x': 'leftover' })

  const second = await folder(SOURCE)
  expect(await cache.prepare(await prepareKey(PARTS, second, signal), second, never, { signal })).toBe('reused')
  const added = (await readdir(second, { recursive: true })).filter(path => path.includes('node_modules/') || path.startsWith('dist')).sort()
  expect(added).toEqual(['node_modules/.bin', 'node_modules/.bin/link', 'node_modules/.bin/tool', 'node_modules/dep', 'node_modules/dep/index.js', 'node_modules/dep/twin.js', 'packages/x/node_modules/y.js'])
  expect(await readFile(join(second, 'node_modules/dep/index.js'), 'utf8')).toBe('dep')
  expect(await readFile(join(second, 'src/a.ts'), 'utf8')).toBe('')
  expect((await stat(join(second, 'node_modules/.bin/tool'))).mode & 0o7777).toBe(0o755)
  expect(await readlink(join(second, 'node_modules/.bin/link'))).toBe('../dep/index.js')
  expect((await stat(join(second, 'node_modules/dep/twin.js'))).nlink).toBe(1)

  await writeFile(join(second, 'node_modules/dep/index.js'), 'changed by the second')
  const third = await folder(SOURCE)
  expect(await cache.prepare(key, third, never, { signal })).toBe('reused')
  expect(await readFile(join(third, 'node_modules/dep/index.js'), 'utf8')).toBe('dep')
})

test('the key changes with requester, project, command, image, platform, and what tools read before they install', async () => {
  const key = async (files: Record<string, string>, parts: Partial<PrepareParts> = {}): Promise<string> => prepareKey({ ...PARTS, ...parts }, await folder(files), signal)
  const same = await key(SOURCE)
  expect(await key({ ...SOURCE, 'src/a.ts': 'edited', 'docs/npm.md': 'x' })).toBe(same)
  const added = ['.npmrc', '.yarnrc.yml', '.yarn/plugins/p.cjs', 'patches/dep.patch', 'tools/Cargo.lock', 'tools/.cargo/config.toml', 'requirements-dev.txt', 'requirements/base.in', 'x/pom.xml', 'Makefile', '.nvmrc']
  const others = await Promise.all([
    ...added.map(name => key({ ...SOURCE, [name]: 'x' })), key({ ...SOURCE, 'package.json': '{"version":"2"}' }), key({ ...SOURCE, 'package-lock.json': 'v2' }),
    key(SOURCE, { requester: 'you' }), key(SOURCE, { project: 'q' }), key(SOURCE, { command: 'npm i' }), key(SOURCE, { image: 'node:24' }), key(SOURCE, { platform: 'linux/arm64' }), key(SOURCE, { cwd: 'src' }), key(SOURCE, { engine: 'docker' }),
  ])
  expect(new Set([same, ...others]).size).toBe(others.length + 1)
})

test.each([
  ['sh setup.sh', '.', 'setup.sh'], ['npm ci && ./setup.sh', '.', 'setup.sh'], ['sh ../setup.sh', 'src', 'setup.sh'], ['cd tools; sh setup.sh', '.', 'tools/setup.sh'],
  ['node "tools/setup.js" --force', 'src', 'tools/setup.js'], ['pip install --requirement=needs/all', '.', 'needs/all'], ['node node_modules/own/setup.js', '.', 'node_modules/own/setup.js'],
  ['sh /elder/tree/tools/setup.sh', '.', 'tools/setup.sh'], ['. $PWD/setup.sh', '.', 'setup.sh'], ['npm ci', '.', 'packages/y/post.js'],
])('what the prepare command names decides, whatever the lock file says: %s in %s', async (command, cwd, path) => {
  const key = async (files: Record<string, string>): Promise<string> => prepareKey({ ...PARTS, command, cwd }, await folder(files), signal)
  expect(await key({ ...SOURCE, [path]: 'evil' })).not.toBe(await key({ ...SOURCE, [path]: 'nice' }))
  expect(await key({ ...SOURCE, [path]: 'nice' })).toBe(await key({ ...SOURCE, [path]: 'nice', 'src/a.ts': 'edited' }))
})

test('a symlink under such a name counts with where it leads and what is there, and never leads out of the tree', async () => {
  const key = async (files: Record<string, string>, target: string): Promise<string> => {
    const tree = await folder(files)
    await symlink(target, join(tree, 'setup.sh'))
    return await prepareKey({ ...PARTS, command: 'sh setup.sh' }, tree, signal)
  }
  const outside = await folder({ f: '1' })
  const keys = [
    await key({ a: '1', b: '1' }, 'a'), await key({ a: '2', b: '1' }, 'a'), await key({ a: '1', b: '1' }, 'b'), await key({}, 'missing'), await key({ 'dir/f': '1' }, 'dir'), await key({}, join(outside, 'f')),
  ]
  expect(new Set(keys).size).toBe(keys.length)
  await put(outside, { f: '2' })
  expect(await key({}, join(outside, 'f'))).toBe(keys.at(-1))
})

test('two branches with one lock file and different scripts share nothing', async () => {
  const cache = new PrepareCache({ dir: await folder() })
  const parts = { ...PARTS, command: 'sh setup.sh' }
  const build = async (script: string): Promise<string> => {
    const tree = await folder({ ...SOURCE, 'setup.sh': script })
    await cache.furnish(parts, tree, () => put(tree, { 'node_modules/tool': script }), { signal })
    return await readFile(join(tree, 'node_modules/tool'), 'utf8')
  }
  expect([await build('evil'), await build('nice'), await build('evil')]).toEqual(['evil', 'nice', 'evil'])
})

test('builds that come together: one prepares, the others wait and reuse; after a failure the next prepares', async () => {
  const cache = new PrepareCache({ dir: await folder() })
  let prepared = 0
  const trees = await Promise.all([1, 2, 3, 4].map(() => folder(SOURCE)))
  const outcomes = await Promise.allSettled(trees.map(tree => cache.prepare('k', tree, async () => {
    if (++prepared === 1) throw new Error('registry away')
    await put(tree, { 'node_modules/a': 'a' })
  }, { signal })))
  expect(outcomes.map(outcome => outcome.status === 'fulfilled' ? outcome.value : 'failed').sort()).toEqual(['failed', 'prepared', 'reused', 'reused'])
  expect(prepared).toBe(2)
  await expect(cache.prepare('k', await folder(SOURCE), never, { signal: AbortSignal.abort() })).rejects.toThrow()
})

test('a build that is cancelled does not wait for the one that prepares, and lets nobody else go before it', async () => {
  const cache = new PrepareCache({ dir: await folder() })
  const held = Promise.withResolvers<undefined>()
  const begun = Promise.withResolvers<undefined>()
  const first = cache.prepare('k', await folder(SOURCE), async () => {
    begun.resolve(undefined)
    await held.promise
  }, { signal })
  await begun.promise
  const cancel = new AbortController()
  const second = cache.prepare('k', await folder(SOURCE), never, { signal: cancel.signal })
  const enough = new Error('enough')
  // Once it stands in the queue.
  await new Promise(resolve => { setImmediate(resolve) })
  cancel.abort(enough)
  await expect(second).rejects.toBe(enough)
  const third = cache.prepare('k', await folder(SOURCE), never, { signal })
  held.resolve(undefined)
  expect([await first, await third]).toEqual(['prepared', 'reused'])
})

test('copies end with the build, and when the disk runs full', { timeout: 120_000 }, async () => {
  const warned: string[] = []
  const dir = await folder()
  const cache = new PrepareCache({ dir, log: { warn: (_: unknown, text: string) => { warned.push(text) } } as unknown as Logger })
  const use = async (key: string, tree: string, until: AbortSignal = signal): Promise<unknown> => await cache.prepare(key, tree, async () => {
    await mkdir(join(tree, 'many'))
    await runTool('/bin/sh', ['-c', 'seq 20000 | xargs touch'], { cwd: join(tree, 'many') })
  }, { signal: until }).catch((error: unknown) => error)
  expect(await use('k', await folder())).toBe('prepared')
  const cancel = new AbortController()
  const cancelled = await folder()
  const reusing = use('k', cancelled, cancel.signal)
  await vi.waitFor(async () => { expect(await readdir(cancelled)).toEqual(['many']) }, { timeout: 30_000, interval: 5 })
  const enough = new Error('enough')
  cancel.abort(enough)
  expect(await reusing).toBe(enough)
  const copied = (await readdir(join(cancelled, 'many'))).length
  expect(copied).toBeLessThan(20_000)

  /** As if other builds had let the disk run full, one after the other. */
  let watch: DiskWatch
  const fill = (): void => { watch = new DiskWatch({ folders: () => [base], bytesMax: Infinity, reserveBytes: Infinity, walk: () => Promise.resolve(0), onFull: fill }) }
  fill()
  onTestFinished(() => { watch.stop() })
  // After one has ended, the next is left alone for a moment.
  const refused = async (key: string): Promise<unknown> => {
    const tree = await folder()
    const outcome = await use(key, tree)
    await rm(tree, { recursive: true })
    return outcome === 'reused' ? await refused(key) : outcome
  }
  expect(await refused('k')).toMatchObject({ code: 'SOURCE_TOO_LARGE', message: expect.stringContaining('run full') as string })
  for (let i = 0; warned.length === 0 && i < 20; i++) expect(await use(`other${i}`, await folder())).toBe('prepared')
  expect(warned).toEqual(['a prepared tree could not be kept'])
  expect((await readdir(dir)).filter(name => name.startsWith('staging-'))).toEqual([])
  expect((await readdir(join(cancelled, 'many'))).length, 'nothing is written any more').toBe(copied)
})

test('what the source brings itself wins: the entry is prepared anew', async () => {
  const cache = new PrepareCache({ dir: await folder() })
  const tree = await folder(SOURCE)
  await cache.prepare('k', tree, () => put(tree, { 'vendor/lib': 'old' }), { signal })
  const changed = await folder({ ...SOURCE, 'vendor/own': 'tracked now' })
  expect(await cache.prepare('k', changed, () => put(changed, { 'vendor/lib': 'new' }), { signal })).toBe('prepared')
  expect(await readdir(join(changed, 'vendor'))).toEqual(['lib', 'own'])
})

test('an entry whose list was damaged is prepared anew, and harms no other', async () => {
  const dir = await folder()
  const use = async (cache: PrepareCache, key: string, expected: string): Promise<void> => {
    const tree = await folder(SOURCE)
    expect(await cache.prepare(key, tree, () => put(tree, { dep: key }), { signal })).toBe(expected)
    expect(await readFile(join(tree, 'dep'), 'utf8')).toBe(key)
  }
  const cache = new PrepareCache({ dir })
  for (const key of ['a', 'b', 'c']) await use(cache, key, 'prepared')
  const path = join(dir, 'a/meta')
  const meta = await readFile(path)
  for (const damaged of [Buffer.alloc(0), meta.subarray(0, 20), meta.map((byte, i) => i === meta.length - 10 ? byte ^ 1 : byte), Buffer.from('{"paths":["../../outside"],"bytes":1}')]) {
    await writeFile(path, damaged)
    await use(cache, 'a', 'prepared')
    await use(cache, 'b', 'reused')
    await writeFile(path, damaged)
    await use(new PrepareCache({ dir }), 'c', 'reused')
    expect((await readdir(dir)).sort()).toEqual(['b', 'c'])
    await use(cache, 'a', 'prepared')
  }
  await rm(dir, { recursive: true })
})

test('entries that nobody used for longest leave first; a torn entry of an earlier life is no entry', async () => {
  const dir = await folder()
  const cache = new PrepareCache({ dir, bytesMax: 700_000 })
  const use = async (key: string, expected: string): Promise<void> => {
    const tree = await folder(SOURCE)
    expect(await cache.prepare(key, tree, () => put(tree, { big: 'x'.repeat(300_000) }), { signal })).toBe(expected)
  }
  await mkdir(join(dir, 'staging-old'))
  await mkdir(join(dir, 'torn/files'), { recursive: true })
  await use('a', 'prepared')
  await use('b', 'prepared')
  await use('a', 'reused')
  await use('c', 'prepared')
  await use('a', 'reused')
  await use('b', 'prepared')
  expect((await readdir(dir)).filter(name => name.startsWith('staging'))).toEqual([])
  await use('torn', 'prepared')
  expect((await lstat(join(dir, 'torn/meta'))).isFile()).toBe(true)
  await rm(dir, { recursive: true })
})
