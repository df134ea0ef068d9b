/** Outputs that come back into a source tree: what changed there since it was sent stays. */
import { mkdtempSync, rmSync } from 'node:fs'
import { lstat, mkdir, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { GitSource } from '../src/adapters/git-source.ts'
import { FileOutputReader } from '../src/adapters/output-reader.ts'
import { FileOutputWriter } from '../src/adapters/output-writer.ts'
import type { SentTree, WrittenFile } from '../src/ports/source.ts'

const base = await realpath(mkdtempSync(join(tmpdir(), 'elder-beside-')))
afterAll(() => { rmSync(base, { recursive: true, force: true }) })
const signal = new AbortController().signal
const source = new GitSource({ dir: join(base, 'snapshots') })
const [reader, writer] = [new FileOutputReader(), new FileOutputWriter()]
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

/** A tree that is sent; what it is now for the writer. */
async function send (files: Record<string, string>, globs: string[], to = ''): Promise<{ root: string, bring: (outputs: Record<string, string>) => Promise<WrittenFile[]> }> {
  const root = await fresh(files)
  const snapshot = await source.snapshot(root, { signal })
  const present = await writer.present(join(root, to), globs, { signal })
  const sent: SentTree = { root: snapshot.root, builder: 'mini', ids: paths => source.ids(snapshot, paths, { signal }), present: Promise.resolve(present) }
  const bring = async (outputs: Record<string, string>): Promise<WrittenFile[]> => {
    const built = await fresh(outputs)
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
    const sent: SentTree = { root, builder: 'mini', ids: paths => source.ids(snapshot, paths, { signal }), present: Promise.resolve(new Set()) }
    const built = await fresh({ a: 'built' })
    await writer.write(elsewhere, reader.read(built, ['a'], { signal }), { outputs: ['a'], signal, sent })
    expect(await text(elsewhere, 'a')).toBe('built')
  })

  test('a symlink that took a file\'s place stays, one that was sent is replaced, and what was deleted comes anew', async () => {
    const root = await fresh({ a: 'sent', gone: 'sent', named: 'sent', target: 't' })
    await symlink('target', join(root, 'link'))
    const snapshot = await source.snapshot(root, { signal })
    const sent: SentTree = { root, builder: 'mini', ids: paths => source.ids(snapshot, paths, { signal }), present: Promise.resolve(new Set()) }
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
