/** Outputs that come back into a source tree: what changed there since it was sent stays. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { chmod, lstat, mkdir, readdir, readFile, realpath, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { platform, tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { GitSource } from '../src/adapters/git-source.ts'
import { FileOutputReader } from '../src/adapters/output-reader.ts'
import { OutputRecord } from '../src/adapters/output-record.ts'
import { FileOutputWriter } from '../src/adapters/output-writer.ts'
import type { SentTree, WrittenFile } from '../src/ports/source.ts'
import { needs } from './support/when.ts'

const base = await realpath(mkdtempSync(join(tmpdir(), 'elder-beside-')))
afterAll(() => { rmSync(base, { recursive: true, force: true }) })
const signal = new AbortController().signal
const source = new GitSource({ dir: join(base, 'snapshots') })
const [reader, writer] = [new FileOutputReader(), new FileOutputWriter()]
const remembering = new FileOutputWriter({ dir: join(base, 'remembered') })
let count = 0

async function put (dir: string, files: Record<string, string>): Promise<string> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(dir, path, '..'), { recursive: true })
    await writeFile(join(dir, path), text)
  }
  return dir
}
const fresh = async (files: Record<string, string>): Promise<string> => await put(join(base, `t${++count}`), files)
const text = async (...path: string[]): Promise<string> => await readFile(join(...path), 'utf8')

interface Sent { root: string, bring: (outputs: Record<string, string>, programs?: string[]) => Promise<WrittenFile[]> }

/** A tree that is sent; what it is now for the writer. */
async function send (files: Record<string, string>, globs: string[], to = ''): Promise<Sent> {
  return await sendAgain(await fresh(files), globs, { to })
}

interface How { to?: string, by?: FileOutputWriter, globsBy?: SentTree['globsBy'] }

async function sendAgain (root: string, globs: string[], how: How = {}): Promise<Sent> {
  const { to = '', by: writer = remembering, globsBy = 'person' } = how
  const snapshot = await source.snapshot(root, { signal })
  const present = await writer.present(join(root, to), globs, { signal })
  const sent: SentTree = { root: snapshot.root, builder: 'mini', ids: paths => source.ids(snapshot, paths, { signal }), present: Promise.resolve(present), globsBy }
  const bring = async (outputs: Record<string, string>, programs: string[] = []): Promise<WrittenFile[]> => {
    const built = await fresh(outputs)
    for (const name of programs) await chmod(join(built, name), 0o755)
    const { paths } = await reader.match(built, globs, { signal })
    return await writer.write(join(root, to), reader.read(built, paths, { signal }), { outputs: globs, signal, sent })
  }
  return { root, bring }
}

describe('an output in the source tree', () => {
  test('replaces what was sent, and stands beside what was edited meanwhile', async () => {
    const { root, bring } = await send({ 's.js': 'let a\n', 'same.js': 'let b\n', in: 'x\n' }, ['*.js'])
    await put(root, { 's.js': 'let a\nlet mine\n' })
    const written = await bring({ 's.js': 'let a\nformatted\n', 'same.js': 'let b\nformatted\n' })
    expect(written).toMatchObject([{ path: 's.js', beside: 's.js.from-mini' }, { path: 'same.js' }])
    expect(written[1]?.beside).toBeUndefined()
    expect([await text(root, 's.js'), await text(root, 's.js.from-mini'), await text(root, 'same.js')]).toEqual(['let a\nlet mine\n', 'let a\nformatted\n', 'let b\nformatted\n'])
    // A second one gets a number: nothing is overwritten, and nothing else is left.
    expect(await bring({ 's.js': 'again\n' })).toMatchObject([{ beside: 's.js.from-mini.2' }])
    expect([await text(root, 's.js.from-mini'), await text(root, 's.js.from-mini.2')]).toEqual(['let a\nformatted\n', 'again\n'])
    expect((await readdir(root)).toSorted()).toEqual(['in', 's.js', 's.js.from-mini', 's.js.from-mini.2', 'same.js'])
    expect((await readdir(base)).filter(name => name.startsWith('.elder'))).toEqual([])
  })

  test('replaces the product of an earlier build, which was never sent; what came since stays', async () => {
    const { root, bring } = await send({ '.gitignore': 'dist\n', 'dist/old.js': 'old' }, ['dist/**'])
    await put(root, { 'dist/old.js': 'older', 'dist/new.js': 'mine', 'dist/equal.js': 'equal' })
    const written = await bring({ 'dist/old.js': 'built', 'dist/new.js': 'built', 'dist/equal.js': 'equal', 'dist/only.js': 'built' })
    expect(written.map(({ path, beside }) => [path, beside])).toEqual([
      ['dist/equal.js', undefined], ['dist/new.js', 'dist/new.js.from-mini'], ['dist/old.js', undefined], ['dist/only.js', undefined],
    ])
    expect([await text(root, 'dist/new.js'), await text(root, 'dist/new.js.from-mini'), await text(root, 'dist/old.js')]).toEqual(['mine', 'built', 'built'])
  })

  test('of a name as long as one may be stands beside under a shorter one', async () => {
    const long = `${'\u00fc'.repeat(126)}.js`
    const { root, bring } = await send({ [`d/${long}`]: 'sent', 'd/run': 'sent' }, ['d/*'])
    await put(root, { [`d/${long}`]: 'mine', 'd/run': 'mine' })
    const built = await bring({ [`d/${long}`]: 'built', 'd/run': 'built' })
    const [run, cut] = built.toSorted((a, b) => a.path.length - b.path.length).map(({ beside }) => beside ?? '')
    expect([run, cut]).toEqual(['d/run.from-mini', expect.stringMatching(/^d\/\u00fc+\.from-mini$/) as string])
    expect([await text(root, `d/${long}`), await text(root, cut as string)]).toEqual(['mine', 'built'])
    expect((await lstat(join(root, run as string))).mode & 0o777).toBe(0o644)
    expect(await bring({ [`d/${long}`]: 'again' })).toMatchObject([{ beside: `${cut as string}.2` }])
  })

  test('is compared in a folder of the tree too, and nowhere else', async () => {
    const { root, bring } = await send({ 'out/a': 'sent' }, ['a'], 'out')
    await put(root, { 'out/a': 'edited' })
    expect(await bring({ a: 'built' })).toMatchObject([{ beside: 'a.from-mini' }])
    const elsewhere = await fresh({ a: 'edited' })
    const snapshot = await source.snapshot(root, { signal })
    const sent: SentTree = { root, builder: 'mini', ids: paths => source.ids(snapshot, paths, { signal }), present: Promise.resolve(new Set()), globsBy: 'person' }
    const built = await fresh({ a: 'built' })
    await writer.write(elsewhere, reader.read(built, ['a'], { signal }), { outputs: ['a'], signal, sent })
    expect(await text(elsewhere, 'a')).toBe('built')
  })

  test('a symlink that took a file\'s place stays, one that was sent is replaced, and what was deleted comes anew', async () => {
    const root = await fresh({ a: 'sent', gone: 'sent', named: 'sent', target: 't' })
    await symlink('target', join(root, 'link'))
    const snapshot = await source.snapshot(root, { signal })
    const sent: SentTree = { root, builder: 'mini', ids: paths => source.ids(snapshot, paths, { signal }), present: Promise.resolve(new Set()), globsBy: 'person' }
    await Promise.all(['a', 'gone', 'named'].map(name => rm(join(root, name))))
    await symlink('target', join(root, 'a'))
    // Its target reads as the output does.
    await symlink('built', join(root, 'named'))
    const built = await fresh({ a: 'built', gone: 'built', link: 'built', named: 'built' })
    const written = await writer.write(root, reader.read(built, ['a', 'gone', 'link', 'named'], { signal }), { outputs: ['**'], signal, sent })
    expect(written.map(({ beside }) => beside)).toEqual(['a.from-mini', undefined, undefined, 'named.from-mini'])
    expect([(await lstat(join(root, 'a'))).isSymbolicLink(), (await lstat(join(root, 'link'))).isFile(), await text(root, 'target')]).toEqual([true, true, 't'])
  })
})

const besides = (written: WrittenFile[]): Array<[path: string, beside: string | undefined, kept: string | undefined]> =>
  written.map(({ path, beside, kept }) => [path, beside, kept])

const isPosix = needs(platform() !== 'win32', 'pipes and modes of files')

test.runIf(isPosix)('a pipe or a socket in an output\'s place is not read, and stays', { timeout: 10_000 }, async () => {
  const { root, bring } = await send({ was: 'sent', in: 'x' }, ['out/**', 'was'])
  await mkdir(join(root, 'out'))
  for (const name of ['a', 'b', 'c', 'd', 'e']) execFileSync('mkfifo', [join(root, 'out', name)])
  const server = createServer().listen(join(root, 'out/socket'))
  await new Promise(resolve => server.once('listening', resolve))
  await rm(join(root, 'was'))
  execFileSync('mkfifo', [join(root, 'was')])
  const names = ['out/a', 'out/b', 'out/c', 'out/d', 'out/e', 'out/socket', 'was']
  try {
    const written = await bring(Object.fromEntries(names.map(name => [name, 'built'])))
    expect(besides(written)).toEqual(names.map(name => [name, `${name}.from-mini`, 'special']))
    expect((await lstat(join(root, 'out/a'))).isFIFO()).toBe(true)
  } finally {
    await new Promise(resolve => server.close(resolve))
  }
})

describe('globs of the project itself', () => {
  const IGNORED = { '.gitignore': 'dist\n.env\nnode_modules\n', in: 'x' }
  const GLOBS = ['dist/**', '.env', 'node_modules/**']
  const again = (root: string, by = remembering): Promise<Sent> => sendAgain(root, GLOBS, { globsBy: 'project', by })

  test('replace no file that was never sent; a person\'s own globs do', async () => {
    const root = await fresh({ ...IGNORED, '.env': 'mine', 'node_modules/t/bin': 'mine' })
    const built = { '.env': 'theirs', 'node_modules/t/bin': 'theirs', 'node_modules/t/new': 'theirs' }
    const written = await (await again(root)).bring(built)
    expect(besides(written)).toEqual([
      ['.env', '.env.from-mini', 'not-ours'],
      ['node_modules/t/bin', 'node_modules/t/bin.from-mini', 'not-ours'],
      ['node_modules/t/new', undefined, undefined],
    ])
    expect([await text(root, '.env'), await text(root, 'node_modules/t/bin')]).toEqual(['mine', 'mine'])
    const asked = await (await sendAgain(root, GLOBS)).bring(built)
    expect(asked.map(({ beside }) => beside)).toEqual([undefined, undefined, undefined])
    expect(await text(root, '.env')).toBe('theirs')
  })

  test('replace what an earlier build wrote, over and over, until somebody edits it', async () => {
    const root = await fresh(IGNORED)
    for (const round of ['1', '2', '3']) {
      const written = await (await again(root)).bring({ 'dist/a': round, 'dist/b': `b${round}` })
      expect(written.map(({ path, beside }) => [path, beside])).toEqual([['dist/a', undefined], ['dist/b', undefined]])
    }
    await put(root, { 'dist/a': 'edited' })
    // Another life of the node remembers what this one wrote.
    const nextLife = await again(root, new FileOutputWriter({ dir: join(base, 'remembered') }))
    expect(besides(await nextLife.bring({ 'dist/a': '4', 'dist/b': 'b4' }))).toEqual([['dist/a', 'dist/a.from-mini', 'not-ours'], ['dist/b', undefined, undefined]])
    expect([await text(root, 'dist/a'), await text(root, 'dist/b')]).toEqual(['edited', 'b4'])
  })

  test('what a person\'s own globs brought is replaced later', async () => {
    const root = await fresh({ ...IGNORED, 'dist/a': 'local' })
    await (await sendAgain(root, GLOBS)).bring({ 'dist/a': '1' })
    expect(besides(await (await again(root)).bring({ 'dist/a': '2' }))).toEqual([['dist/a', undefined, undefined]])
  })

  test('a build that brings the very bytes of somebody\'s file does not make it its own', async () => {
    const root = await fresh({ ...IGNORED, 'node_modules/t/bin': 'well known' })
    const path = 'node_modules/t/bin'
    expect(besides(await (await again(root)).bring({ [path]: 'well known' }))).toEqual([[path, undefined, undefined]])
    expect(besides(await (await again(root)).bring({ [path]: 'evil' }))).toEqual([[path, `${path}.from-mini`, 'not-ours']])
  })

  test('outside of the tree too, a file that no build wrote stays', async () => {
    const root = await fresh(IGNORED)
    const to = await fresh({ '.env': 'mine' })
    const bring = async (content: string): Promise<unknown> => {
      const sent = await sendAgain(root, GLOBS, { to: relative(root, to), globsBy: 'project' })
      return besides(await sent.bring({ '.env': content, 'dist/a': content }))
    }
    expect(await bring('1')).toEqual([['.env', '.env.from-mini', 'not-ours'], ['dist/a', undefined, undefined]])
    expect(await bring('2')).toEqual([['.env', '.env.from-mini.2', 'not-ours'], ['dist/a', undefined, undefined]])
  })

  test('with a record that is missing or damaged, replace nothing', async () => {
    const dir = join(base, 'damaged')
    const root = await fresh(IGNORED)
    const bring = async (by: FileOutputWriter): Promise<unknown> => besides(await (await again(root, by)).bring({ 'dist/a': '2' }))
    await (await again(root, new FileOutputWriter({ dir }))).bring({ 'dist/a': '1' })
    const [name] = await readdir(join(dir, 'written'))
    const path = join(dir, 'written', name as string)
    const bytes = await readFile(path)
    bytes[bytes.length - 4] = (bytes.at(-4) as number) ^ 1
    await writeFile(path, bytes)
    expect(await bring(new FileOutputWriter({ dir }))).toEqual([['dist/a', 'dist/a.from-mini', 'not-ours']])
    await rm(path)
    expect(await bring(new FileOutputWriter({ dir }))).toEqual([['dist/a', 'dist/a.from-mini.2', 'not-ours']])
    expect(await bring(new FileOutputWriter())).toEqual([['dist/a', 'dist/a.from-mini.3', 'not-ours']])
  })
})

test('a record of outputs is bounded: the oldest folders and files are forgotten', async () => {
  const dir = join(base, 'record')
  const record = new OutputRecord(dir, { foldersMax: 2, filesMax: 2 })
  record.add('/a', new Map([['x', '1'], ['y', '2']]))
  record.add('/a', new Map([['x', '3'], ['z', '4']]))
  expect([...record.of('/a')]).toEqual([['x', '3'], ['z', '4']])
  for (const name of await readdir(dir)) await utimes(join(dir, name), 1, 1)
  record.add('/b', new Map([['x', '5']]))
  record.add('/c', new Map([['x', '6']]))
  expect([record.of('/a').size, record.of('/b').size, record.of('/c').size]).toEqual([0, 1, 1])
})

describe.runIf(needs(platform() === 'linux', '/proc'))('an edit that is saved while the file is compared', () => {
  const LARGE = 'x'.repeat(16 << 20)
  /** Calls `save` as soon as this process has the file open. */
  async function whileOpen (path: string, save: () => void, work: () => Promise<WrittenFile[]>): Promise<WrittenFile[]> {
    let saved = false
    const isOpen = (fd: string): boolean => { try { return readlinkSync(`/proc/self/fd/${fd}`) === path } catch { return false } }
    const look = (): void => {
      if (readdirSync('/proc/self/fd').some(isOpen)) {
        save()
        saved = true
      } else timer = setImmediate(look)
    }
    let timer = setImmediate(look)
    const written = await work().finally(() => { clearImmediate(timer) })
    expect(saved).toBe(true)
    return written
  }

  test.each<[how: string, save: (path: string) => void]>([
    ['under another name, then renamed', path => { writeFileSync(`${path}.edit`, 'mine'); renameSync(`${path}.edit`, path) }],
    ['in place', path => { writeFileSync(path, 'mine') }],
  ])('stays: %s', async (_how, save) => {
    const { root, bring } = await send({ s: LARGE }, ['s'])
    const path = join(root, 's')
    expect(besides(await whileOpen(path, () => { save(path) }, () => bring({ s: 'built' })))).toEqual([['s', 's.from-mini', 'changed']])
    expect(await text(path)).toBe('mine')
  })
})

test.runIf(isPosix)('a file that is replaced hands on who may read it, to the one beside too', async () => {
  const root = await fresh({ a: 'sent', b: 'sent', c: 'sent', d: 'sent', e: 'sent' })
  for (const [name, mode] of Object.entries({ a: 0o600, b: 0o600, c: 0o4775, d: 0o640, e: 0o755 })) await chmod(join(root, name), mode)
  const { bring } = await sendAgain(root, ['?'])
  await put(root, { b: 'mine' })
  const before = process.umask(0o027)
  try {
    await bring({ a: 'built', b: 'built', c: 'built', d: 'built', e: 'built', f: 'built', g: 'built' }, ['d', 'g'])
  } finally {
    process.umask(before)
  }
  const found = new Map<string, number>()
  for (const name of await readdir(root)) found.set(name, (await lstat(join(root, name))).mode & 0o7777)
  expect(Object.fromEntries(found)).toEqual({
    'a': 0o600, 'b': 0o600, 'b.from-mini': 0o600, 'c': 0o664, 'd': 0o750, 'e': 0o644, 'f': 0o640, 'g': 0o750,
  })
})
