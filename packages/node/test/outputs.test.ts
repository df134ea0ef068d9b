import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { chmod, chown, link, lstat, mkdir, readdir, readFile, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { outputGlobs } from '@elder-node/protocol'
import { GlobTurns } from '../src/adapters/glob-turns.ts'
import { FileOutputReader } from '../src/adapters/output-reader.ts'
import { FileOutputWriter } from '../src/adapters/output-writer.ts'
import type { OutputFile, OutputPart } from '../src/ports/source.ts'
import { needs } from './support/when.ts'

const base = await realpath(mkdtempSync(join(tmpdir(), 'elder-out-')))
afterAll(() => { rmSync(base, { recursive: true, force: true }) })
const signal = new AbortController().signal
let count = 0

async function tree (files: Record<string, string>): Promise<string> {
  const dir = join(base, `t${++count}`)
  await mkdir(dir)
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(dir, path, '..'), { recursive: true })
    await writeFile(join(dir, path), text)
  }
  return dir
}

async function * stream (parts: OutputPart[]): AsyncGenerator<OutputPart> { yield * parts }
async function collect (parts: AsyncIterable<OutputPart>): Promise<OutputPart[]> {
  const all: OutputPart[] = []
  for await (const part of parts) all.push(part)
  return all
}
const filesBelow = async (dir: string): Promise<string[]> => (await readdir(dir, { recursive: true })).sort()
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
const reader = new FileOutputReader()
const writer = new FileOutputWriter()
const ALL = ['**', '**/.*']

describe('matching', () => {
  test('globs are relative to the tree, folders take all below, dot files come under a named place; unmatched globs are told', async () => {
    const dir = await tree({ 'dist/a.js': '', 'dist/b/c.js': '', 'dist/.hidden/x': '', 'src/a.ts': '', '.cache/y': '', 'coverage.json': '', '.git/config': '' })
    const match = async (...globs: string[]): Promise<string[]> => (await reader.match(dir, globs, { signal })).paths
    expect(await match('dist/**')).toEqual(['dist/.hidden/x', 'dist/a.js', 'dist/b/c.js'])
    expect(await match('dist')).toEqual(['dist/.hidden/x', 'dist/a.js', 'dist/b/c.js'])
    expect(await match('./dist/')).toEqual(['dist/.hidden/x', 'dist/a.js', 'dist/b/c.js'])
    expect(await match('dist/*.js', 'coverage.json')).toEqual(['coverage.json', 'dist/a.js'])
    expect(await match('**/*.js')).toEqual(['dist/a.js', 'dist/b/c.js'])
    expect(await match('.cache/**')).toEqual(['.cache/y'])
    expect(await match('**')).not.toContain('.git/config')
    expect(await reader.match(dir, ['nope/**', 'src/*', '../**', '/etc/*'], { signal })).toEqual({ paths: ['src/a.ts'], unmatched: ['nope/**', '../**', '/etc/*'], leftOut: [] })
  })

  test('globs that cost much do not hold up anything else, and the signal ends them', async () => {
    const long = (n: number): string => 'a'.repeat(n)
    const dir = await tree(Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`${long(250)}${i}`, ''])))
    const globs = Array.from({ length: 60 }, (_, i) => `**/*${long(120)}b${i}`)
    const turns = new GlobTurns(outputGlobs(globs), signal)
    let [mostSteps, steps, turned] = [0, 0, 0]
    const count = (): void => {
      turned++
      mostSteps = Math.max(mostSteps, turns.globs.steps - steps)
      steps = turns.globs.steps
      next = setImmediate(count)
    }
    let next = setImmediate(count)
    for (const name of await readdir(dir)) expect(await turns.match(name)).toBe(false)
    clearImmediate(next)
    expect(turns.globs.steps).toBeGreaterThan(20_000_000)
    expect(turned).toBeGreaterThan(10)
    expect(mostSteps).toBeLessThan(5_000_000)
    const ends = new AbortController()
    setImmediate(() => { ends.abort(new Error('enough')) })
    await expect(reader.match(dir, globs, { signal: ends.signal })).rejects.toThrow('enough')
  })

  test('a million folders that are not entered do not hold up anything else either', async () => {
    const turns = new GlobTurns(outputGlobs(['dist/**']), signal)
    let turned = 0
    const count = (): void => {
      turned++
      next = setImmediate(count)
    }
    let next = setImmediate(count)
    for (let i = 0; i < 10_000; i++) expect((await turns.next(turns.globs.start, `d${i}`)).length).toBe(0)
    clearImmediate(next)
    expect(turned).toBeGreaterThan(20)
  })

  test('symlinks are neither followed nor taken, other special files are passed over, the bound holds', async () => {
    const outside = await tree({ secret: 's' })
    const dir = await tree({ 'dist/a': '', 'dist/b': '' })
    await symlink(outside, join(dir, 'dist/dir'))
    await symlink(join(outside, 'secret'), join(dir, 'dist/file'))
    execFileSync('mkfifo', [join(dir, 'dist/fifo')])
    expect((await reader.match(dir, ['dist/**'], { signal })).paths).toEqual(['dist/a', 'dist/b'])
    await expect(new FileOutputReader({ filesMax: 1 }).match(dir, ['dist/**'], { signal })).rejects.toMatchObject({ code: 'OUTPUT_INVALID' })
  })
})

test('names that not every system can write are left out, and told', async () => {
  const dir = await tree({ 'dist/ok': '', 'dist/nul.txt': '', 'dist/a:b': '', 'dist/end.': '', 'dist/con/x': '' })
  const { paths, leftOut } = await reader.match(dir, ['dist/**'], { signal })
  expect(paths).toEqual(['dist/ok'])
  expect(leftOut.toSorted()).toEqual(['a:b', 'con', 'end.', 'nul.txt'].map(name => `the file or folder dist/${name} is left out: not every system can write that name`))
  await expect(reader.match(dir, ['dist/**'], { signal: AbortSignal.abort() })).rejects.toThrow()
})

test.runIf(needs(process.platform === 'linux', 'Linux: names and modes of files as bytes'))('a name that is not UTF-8 is left out, and told; the others arrive', async () => {
  const dir = await tree({ 'dist/ok': '' })
  await writeFile(Buffer.concat([Buffer.from(`${dir}/dist/na`), Buffer.of(0xef), Buffer.from('ve')]), 'x')
  const { paths, leftOut } = await reader.match(dir, ['dist/**'], { signal })
  expect([paths, leftOut]).toEqual([['dist/ok'], ['the file or folder dist/na\ufffdve is left out: not every system can write that name']])
})

describe('reading', () => {
  test('a hostile swap after matching is refused: symlink, folder behind a symlink, fifo, missing file, path out of the tree', async () => {
    const outside = await tree({ 'd/f': 'secret' })
    const dir = await tree({ ok: 'x' })
    await symlink(join(outside, 'd/f'), join(dir, 'link'))
    await symlink(join(outside, 'd'), join(dir, 'd'))
    execFileSync('mkfifo', [join(dir, 'fifo')])
    for (const path of ['link', 'd/f', 'fifo', 'missing', '../t1/ok', '/etc/passwd', '.git/config']) {
      await expect(collect(reader.read(dir, [path], { signal })), path).rejects.toMatchObject({ code: 'OUTPUT_INVALID' })
    }
    await expect(collect(new FileOutputReader({ bytesMax: 3 }).read(await tree({ a: 'xx', b: 'xx' }), ['a', 'b'], { signal }))).rejects.toMatchObject({ code: 'OUTPUT_INVALID' })
  })

  test.runIf(needs(process.getuid?.() === 0, 'root: a file of another user'))('a hard link to another user\'s file is refused, to an own one it is not', async () => {
    const secret = join(await tree({ secret: 's' }), 'secret')
    const dir = await tree({ own: 'mine' })
    await link(secret, join(dir, 'stolen'))
    await link(join(dir, 'own'), join(dir, 'again'))
    for (const path of ['.', 'own']) await chown(join(dir, path), 12_345, 12_345)
    await expect(collect(reader.read(dir, ['stolen'], { signal }))).rejects.toMatchObject({ code: 'OUTPUT_INVALID' })
    expect((await collect(reader.read(dir, ['again'], { signal }))).at(-1)).toMatchObject({ manifest: [{ path: 'again', sha256: sha256('mine') }] })
  })
})

describe('from one disk to another', () => {
  test('paths, bytes and the executable bit arrive; existing files are replaced, others stay; no litter', async () => {
    const big = 'x'.repeat(700_000)
    const from = await tree({ 'dist/run.sh': '#!/bin/sh\n', 'dist/big': big, 'dist/empty': '' })
    await chmod(join(from, 'dist/run.sh'), 0o4777)
    const to = await tree({ 'dist/big': 'old', keep: 'k' })
    const { paths } = await reader.match(from, ['dist/**'], { signal })
    const written = await writer.write(to, reader.read(from, paths, { signal }), { outputs: ALL, signal })
    expect(written).toEqual([
      { path: 'dist/big', bytes: 700_000, mode: 0o644, sha256: sha256(big) }, { path: 'dist/empty', bytes: 0, mode: 0o644, sha256: sha256('') },
      { path: 'dist/run.sh', bytes: 10, mode: 0o755, sha256: sha256('#!/bin/sh\n') },
    ])
    expect((await stat(join(to, 'dist/run.sh'))).mode & 0o7777).toBe(0o755)
    expect(await readFile(join(to, 'dist/big'), 'utf8')).toBe(big)
    expect(await filesBelow(to)).toEqual(['dist', 'dist/big', 'dist/empty', 'dist/run.sh', 'keep'])
    expect((await readdir(base)).filter(name => name.startsWith('.elder'))).toEqual([])
    const made = join(base, 'made/deep')
    await writer.write(made, reader.read(from, paths, { signal }), { outputs: ALL, signal })
    expect(await filesBelow(made)).toContain('dist/run.sh')
  })
})

describe('a hostile builder', () => {
  const file = (path: string, text: string, mode: 0o644 | 0o755 = 0o644): OutputPart[] => [{ type: 'file', file: { path, mode, bytes: text.length } }, ...(text === '' ? [] : [{ type: 'chunk' as const, data: Buffer.from(text) }])]
  const row = (path: string, text: string): OutputFile => ({ path, mode: 0o644, bytes: text.length, sha256: sha256(text) })
  const end = (...manifest: OutputFile[]): OutputPart => ({ type: 'end', manifest })
  const good = [...file('good', 'g')]
  const several = (files: Record<string, string>): OutputPart[] => [...Object.entries(files).flatMap(([path, text]) => file(path, text)), end(...Object.entries(files).map(([path, text]) => row(path, text)))]
  const repository = (below: string, { HEAD = 'HEAD', objects = 'objects' } = {}): OutputPart[] =>
    several({ [`${below}${HEAD}`]: 'ref: refs/heads/main\n', [`${below}config`]: '', [`${below}hooks/pre-receive`]: '#!/bin/sh\n', [`${below}${objects}/info/packs`]: '', [`${below}refs/heads/x`]: '' })

  test.each<[string, OutputPart[]]>([
    ['..', [...good, ...file('../evil', 'x'), end(row('good', 'g'), row('../evil', 'x'))]],
    ['an absolute path', [...good, ...file('/tmp/evil', 'x'), end(row('good', 'g'), row('/tmp/evil', 'x'))]],
    ['.git', [...good, ...file('.git/hooks/pre-commit', 'x'), end(row('good', 'g'), row('.git/hooks/pre-commit', 'x'))]],
    ...['.git./config', '.git /config', '.GIT/hooks/x', '.git::$INDEX_ALLOCATION/config', 'git~1/config', 'C:x', 'dir/nul', 'a.', 'a '].map((path): [string, OutputPart[]] =>
      [JSON.stringify(path), [...good, ...file(path, 'x'), end(row('good', 'g'), row(path, 'x'))]]),
    ['a bare repository', repository('dist/x.git/')],
    ['a bare repository that is the target', repository('')],
    ['a work tree\'s part of a repository', several({ 'w/HEAD': 'ref: refs/heads/main\n', 'w/commondir': '../..\n', 'w/config': '' })],
    ['a bare repository in other letters', repository('x/', { HEAD: 'head', objects: 'OBJECTS' })],
    ['the hooks of a bare repository that is there', several({ 'bare/hooks/post-receive': '#!/bin/sh\n' })],
    ['a file that is a folder, too', [...good, ...file('a', 'x'), ...file('a/b', 'y'), end(row('good', 'g'), row('a', 'x'), row('a/b', 'y'))]],
    ['a folder that is a file, too', [...good, ...file('a/b', 'y'), ...file('A', 'x'), end(row('good', 'g'), row('a/b', 'y'), row('A', 'x'))]],
    ['a symlinked folder on the way', [...good, ...file('link/evil', 'x'), end(row('good', 'g'), row('link/evil', 'x'))]],
    ['a file on the way', [...good, ...file('plain/evil', 'x'), end(row('good', 'g'), row('plain/evil', 'x'))]],
    ['a folder in the place', [...good, ...file('folder', 'x'), end(row('good', 'g'), row('folder', 'x'))]],
    ['a wrong hash', [...good, end(row('good', 'h'))]],
    ['a file that the manifest lacks', [...good, ...file('b', 'x'), end(row('good', 'g'))]],
    ['two spellings of one name', [...good, ...file('GOOD', 'g'), end(row('good', 'g'), row('GOOD', 'g'))]],
    ['fewer bytes than said', [...good, { type: 'file', file: { path: 'b', mode: 0o644, bytes: 5 } }, end(row('good', 'g'), row('b', 'x'))]],
    ['more bytes than said', [...good, { type: 'chunk', data: Buffer.from('more') }, end(row('good', 'g'))]],
    ['bytes before a file', [{ type: 'chunk', data: Buffer.from('x') }, ...good, end(row('good', 'g'))]],
    ['no end', good],
    ['something after the end', [...good, end(row('good', 'g')), ...file('b', 'x')]],
    ['a mode with more bits', [{ type: 'file', file: { path: 'good', mode: 0o4755 as 0o755, bytes: 0 } }, end({ path: 'good', mode: 0o4755 as 0o755, bytes: 0, sha256: sha256('') })]],
  ])('%s: nothing appears', async (_, parts) => {
    const outside = await tree({})
    const to = await tree({ plain: 'p', 'folder/f': 'f', 'bare/HEAD': 'ref: refs/heads/main\n', 'bare/objects/x': '', 'bare/refs/x': '' })
    await symlink(outside, join(to, 'link'))
    const before = await filesBelow(base)
    await expect(writer.write(to, stream(parts), { outputs: ALL, signal })).rejects.toMatchObject({ code: 'OUTPUT_INVALID' })
    expect(await filesBelow(base)).toEqual(before)
  })

  test('bounds on files and bytes, an interrupted stream and a cancel leave nothing', async () => {
    const to = await tree({})
    const before = await filesBelow(base)
    const two = [...file('a', 'x'), ...file('b', 'y'), end(row('a', 'x'), row('b', 'y'))]
    await expect(new FileOutputWriter({ filesMax: 1 }).write(to, stream(two), { outputs: ALL, signal })).rejects.toMatchObject({ code: 'OUTPUT_INVALID' })
    await expect(new FileOutputWriter({ bytesMax: 1 }).write(to, stream(two), { outputs: ALL, signal })).rejects.toMatchObject({ code: 'OUTPUT_INVALID' })
    await expect(writer.write(to, stream(two), { outputs: ALL, signal: AbortSignal.abort() })).rejects.toThrow()
    async function * reset (): AsyncGenerator<OutputPart> {
      yield * file('a', 'x')
      throw new Error('stream reset')
    }
    await expect(writer.write(to, reset(), { outputs: ALL, signal })).rejects.toThrow('stream reset')
    expect(await filesBelow(base)).toEqual(before)
  })

  test('a file that was not asked for does not appear, nor what was', async () => {
    const to = await tree({ 'package.json': '{}' })
    const parts = [...file('dist/a', 'x'), ...file('package.json', 'y'), end(row('dist/a', 'x'), row('package.json', 'y'))]
    await expect(writer.write(to, stream(parts), { outputs: ['dist/**', '*.log'], signal })).rejects.toThrow('"package.json" was not asked for')
    expect(await filesBelow(to)).toEqual(['package.json'])
    expect(await readFile(join(to, 'package.json'), 'utf8')).toBe('{}')
  })

  test('a symlink in the place of a file is replaced, not written through', async () => {
    const outside = await tree({ secret: 's' })
    const to = await tree({})
    await symlink(join(outside, 'secret'), join(to, 'a'))
    await writer.write(to, stream([...file('a', 'x'), end(row('a', 'x'))]), { outputs: ALL, signal })
    expect(await readFile(join(outside, 'secret'), 'utf8')).toBe('s')
    expect((await lstat(join(to, 'a'))).isFile()).toBe(true)
    await rm(to, { recursive: true })
  })
})
