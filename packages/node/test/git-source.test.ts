import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { chmod, lstat, mkdir, readdir, readFile, readlink, rename, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { array, assert, constantFrom, property } from 'fast-check'
import { afterAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { DiskWatch, needRoom } from '../src/adapters/disk-watch.ts'
import { GitCache, type GitCacheInit } from '../src/adapters/git-cache.ts'
import { GitSource } from '../src/adapters/git-source.ts'
import { checkSymlinks, checkTree, parseTree } from '../src/adapters/git-tree.ts'
import type { Snapshot } from '../src/ports/source.ts'
import { needs } from './support/when.ts'

const isLinux = needs(process.platform === 'linux', 'Linux, where a name is bytes')

const base = mkdtempSync(join(tmpdir(), 'elder-git-'))
afterAll(() => { rmSync(base, { recursive: true, force: true }) })
let count = 0
const fresh = async (): Promise<string> => {
  const dir = join(base, `d${++count}`)
  await mkdir(dir)
  return dir
}
const signal = new AbortController().signal
const env = { PATH: process.env['PATH'] ?? '', HOME: base, GIT_CONFIG_NOSYSTEM: '1', GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@b', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@b' }
const git = (cwd: string, ...args: string[]): string => execFileSync('git', args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] }).toString().trim()
const source = async (): Promise<GitSource> => new GitSource({ dir: await fresh() })
const cache = async (init: Partial<GitCacheInit> = {}): Promise<GitCache> => new GitCache({ dir: await fresh(), ...init })

async function repository (files: Record<string, string>): Promise<string> {
  const dir = await fresh()
  git(dir, 'init', '-q', '-b', 'main')
  await put(dir, files)
  git(dir, 'add', '-A')
  git(dir, 'commit', '-q', '-m', 'first')
  return dir
}

async function put (dir: string, files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(dir, path, '..'), { recursive: true })
    await writeFile(join(dir, path), text)
  }
}

/** Sends a snapshot as a mesh would; returns the bytes sent and the checked-out tree. */
async function send (from: GitSource, snapshot: Snapshot, to: GitCache, owner = 'me'): Promise<{ bytes: number, tree: string }> {
  const have = await to.have(owner, snapshot.project, [snapshot.commit, ...snapshot.ancestors], { signal })
  let bytes = 0
  async function * counted (): AsyncGenerator<Uint8Array> {
    for await (const chunk of from.pack(snapshot, have, { signal })) {
      bytes += chunk.length
      yield chunk
    }
  }
  if (!have.includes(snapshot.commit)) await to.receive(owner, snapshot.project, snapshot.commit, counted(), { signal })
  const tree = await fresh()
  await to.checkout(owner, snapshot.project, snapshot.commit, tree, { signal })
  return { bytes, tree }
}

/** Path -> type, mode and content of everything below a folder, git's own folder aside. */
async function listing (dir: string): Promise<Record<string, string>> {
  const all: Record<string, string> = {}
  for (const name of await readdir(dir, { recursive: true })) {
    if (name === '.git' || name.startsWith('.git/')) continue
    const found = await lstat(join(dir, name))
    if (found.isSymbolicLink()) all[name] = `-> ${await readlink(join(dir, name))}`
    else if (found.isFile()) all[name] = `${(found.mode & 0o100) === 0 ? '' : 'x '}${await readFile(join(dir, name), 'utf8')}`
  }
  return all
}

/** Everything in the user's repository folder with its times; git refreshes those of objects it finds, which only keeps them longer. */
async function fingerprint (dir: string): Promise<string> {
  const lines: string[] = []
  for (const name of (await readdir(join(dir, '.git'), { recursive: true })).sort()) {
    const found = await lstat(join(dir, '.git', name))
    lines.push(`${name} ${found.mode} ${found.isFile() ? `${found.size} ${name.startsWith('objects/') ? '' : found.mtimeMs}` : ''}`)
  }
  return lines.join('\n')
}

describe('snapshot', () => {
  test('takes tracked, modified, deleted and untracked files, not ignored ones, and leaves the repository as it was', async () => {
    const dir = await repository({ 'a.txt': 'a', 'b/c.txt': 'c', 'gone.txt': 'x', '.gitignore': 'dist/\n*.log\n', 'kept.log': 'ignored' })
    await put(dir, { 'a.txt': 'A', 'new/file': 'n', 'dist/out': 'o', 'x.log': 'l', 'run.sh': '#!/bin/sh\n' })
    await chmod(join(dir, 'run.sh'), 0o755)
    await symlink('b/c.txt', join(dir, 'link'))
    rmSync(join(dir, 'gone.txt'))
    git(dir, 'add', 'new')
    const status = git(dir, 'status', '--porcelain')
    const print = await fingerprint(dir)
    const from = await source()
    const snapshot = await from.snapshot(join(dir, 'b'), { signal })
    expect(snapshot).toMatchObject({ cwd: 'b', ancestors: [] })
    expect(await stat(snapshot.root)).toMatchObject({ ino: (await stat(dir)).ino })
    expect(await fingerprint(dir)).toBe(print)
    expect(git(dir, 'status', '--porcelain')).toBe(status)
    const { tree } = await send(from, snapshot, await cache())
    expect(await listing(tree)).toEqual({ 'a.txt': 'A', 'b/c.txt': 'c', '.gitignore': 'dist/\n*.log\n', 'new/file': 'n', 'run.sh': 'x #!/bin/sh\n', link: '-> b/c.txt' })
    expect(Buffer.from(await from.read(snapshot, 'a.txt', { signal }) ?? []).toString()).toBe('A')
    expect(await from.read(snapshot, 'dist/out', { signal })).toBeUndefined()
    await writeFile(join(dir, '.elder.json'), ' '.repeat(1_048_577))
    await expect(from.read(await from.snapshot(dir, { signal }), '.elder.json', { signal })).rejects.toMatchObject({ code: 'SOURCE_TOO_LARGE', message: expect.stringContaining('.elder.json is longer') as string })
  })

  test('an unchanged tree is the same commit, in any repository and folder; history does not matter', async () => {
    const files = { a: '1', 'b/c': '2' }
    const dir = await repository(files)
    const from = await source()
    const first = await from.snapshot(dir, { signal })
    git(dir, 'commit', '-q', '--allow-empty', '-m', 'more history')
    expect((await from.snapshot(dir, { signal })).commit).toBe(first.commit)
    const plain = await fresh()
    await put(plain, files)
    expect((await from.snapshot(plain, { signal })).commit).toBe(first.commit)
  })

  test('who asks before a snapshot began shares it; who asks later gets what is there later', async () => {
    const dir = await repository({ a: '1' })
    const from = await source()
    const running = from.snapshot(dir, { signal })
    const giveUp = new AbortController()
    const given = from.snapshot(dir, { signal: giveUp.signal })
    const waiting = from.snapshot(dir, { signal })
    giveUp.abort(new Error('enough'))
    await expect(given).rejects.toThrow('enough')
    await put(dir, { a: '2' })
    await running
    await waiting
    expect(new TextDecoder().decode(await from.read(await from.snapshot(dir, { signal }), 'a', { signal }))).toBe('2')
  })

  test('how much a pack will be is known before it is made, roughly: for a builder that has nothing, and for one that has nearly all', async () => {
    const dir = await repository({ a: randomBytes(200_000).toString('hex'), b: 'b\n' })
    const reader = await source()
    const first = await reader.snapshot(dir, { signal })
    const size = async (snapshot: Snapshot, have: string[]): Promise<number> => {
      let bytes = 0
      for await (const chunk of reader.pack(snapshot, have, { signal })) bytes += chunk.length
      return bytes
    }
    const [told, sent] = [await reader.packBytes(first, [], { signal }), await size(first, [])]
    expect(Math.abs((told ?? 0) - sent) / sent).toBeLessThan(0.1)
    await put(dir, { b: 'more\n' })
    const second = await reader.snapshot(dir, { signal })
    expect(await reader.packBytes(second, [first.commit], { signal })).toBeLessThan(2_000)
    expect(await reader.packBytes({ ...second, commit: 'f'.repeat(40) }, [], { signal })).toBeUndefined()
  })

  test('a snapshot that everybody gave up is not what the next one gets', async () => {
    const dir = await repository({ a: '1' })
    const from = await source()
    const giveUp = new AbortController()
    const both = [from.snapshot(dir, { signal: giveUp.signal }), from.snapshot(dir, { signal: giveUp.signal })]
    giveUp.abort(new Error('enough'))
    for (const given of both) await expect(given).rejects.toThrow('enough')
    expect(new TextDecoder().decode(await from.read(await from.snapshot(dir, { signal }), 'a', { signal }))).toBe('1')
  })

  test('outputs that another build is just writing are no source', async () => {
    const dir = await repository({ a: '1' })
    await put(dir, { '.elder-outputs-0123456789abcdef/0': 'half an output', b: '2' })
    const from = await source()
    expect(await listing((await send(from, await from.snapshot(dir, { signal }), await cache())).tree)).toEqual({ a: '1', b: '2' })
  })

  test('additions, changes, deletions and modes since the last snapshot are all seen', async () => {
    for (const dir of [await repository({ a: '1', b: '2' }), await fresh()]) {
      const from = await source()
      const to = await cache()
      await put(dir, { a: '1', b: '2' })
      const seen = async (): Promise<Record<string, string>> => listing((await send(from, await from.snapshot(dir, { signal }), to)).tree)
      const first = await seen()
      expect(await seen()).toEqual(first)
      await chmod(join(dir, 'a'), 0o755)
      await rm(join(dir, 'b'))
      await put(dir, { c: '3' })
      expect(await seen()).toEqual(await listing(dir))
      await chmod(join(dir, 'a'), 0o644)
      await rm(join(dir, 'c'))
      await put(dir, { b: '2' })
      expect(await seen()).toEqual(first)
    }
  })

  test('the project is named by its first commit, so a clone elsewhere has the same name', async () => {
    const dir = await repository({ a: '1' })
    const clone = join(await fresh(), 'clone')
    git(base, 'clone', '-q', dir, clone)
    const from = await source()
    expect((await from.snapshot(clone, { signal })).project).toBe((await from.snapshot(dir, { signal })).project)
  })

  test('a plain folder, a repository without a commit, an ignored folder', async () => {
    const plain = await fresh()
    await put(plain, { 'src/a': 'a', '.gitignore': 'tmp\n', 'tmp/b': 'b' })
    const from = await source()
    const snapshot = await from.snapshot(plain, { signal })
    expect(snapshot.cwd).toBe('.')
    await put(plain, { 'src/a': 'changed' })
    const second = await from.snapshot(plain, { signal })
    expect(second.ancestors).toEqual([snapshot.commit])
    expect(await listing((await send(from, second, await cache())).tree)).toEqual({ 'src/a': 'changed', '.gitignore': 'tmp\n' })
    const unborn = await fresh()
    git(unborn, 'init', '-q')
    await put(unborn, { f: 'f' })
    expect(await listing((await send(from, await from.snapshot(unborn, { signal }), await cache())).tree)).toEqual({ f: 'f' })
    const dir = await repository({ '.gitignore': 'scratch\n' })
    await put(dir, { 'scratch/p/f': 'inside' })
    const inside = await from.snapshot(join(dir, 'scratch/p'), { signal })
    expect(inside).toMatchObject({ cwd: '.' })
    expect(await listing((await send(from, inside, await cache())).tree)).toEqual({ f: 'inside' })
    const huge = await fresh()
    for (const name of ['a', 'b', 'c']) await writeFile(join(huge, name), '').then(() => truncate(join(huge, name), 2 ** 31 - 1))
    await expect(from.snapshot(huge, { signal })).rejects.toMatchObject({ code: 'SOURCE_TOO_LARGE' })
    await expect(from.snapshot(join(dir, 'no-such'), { signal })).rejects.toMatchObject({ code: 'NOT_A_FOLDER' })
    await expect(from.snapshot(join(dir, '.gitignore'), { signal })).rejects.toMatchObject({ code: 'NOT_A_FOLDER' })
  })

  test('an index in any state: a conflict, an intent to add, folders for files and files for folders', async () => {
    const dir = await repository({ both: '0', 'folder/inside': '1', file: '2', link: '3', kept: '4', gone: '5' })
    git(dir, 'checkout', '-q', '-b', 'side')
    await put(dir, { both: 'side' })
    git(dir, 'commit', '-q', '-a', '-m', 'side')
    git(dir, 'checkout', '-q', 'main')
    await put(dir, { both: 'main' })
    git(dir, 'commit', '-q', '-a', '-m', 'main')
    expect(() => git(dir, 'merge', '-q', 'side')).toThrow()
    const text = await readFile(join(dir, 'both'), 'utf8')
    for (const name of ['folder', 'file', 'link', 'gone']) await rm(join(dir, name), { recursive: true })
    await put(dir, { folder: 'a file now', 'file/inside': 'a folder now', meant: 'later' })
    await symlink('kept', join(dir, 'link'))
    git(dir, 'add', '-N', 'meant')
    const from = await source()
    const { tree } = await send(from, await from.snapshot(dir, { signal }), await cache())
    expect(await listing(tree)).toEqual({ both: text, folder: 'a file now', 'file/inside': 'a folder now', link: '-> kept', kept: '4', meant: 'later' })
  })

  test('a repository apart that does not name its work tree is a folder, and says how to change that', async () => {
    const at = await fresh()
    git(at, 'init', '-q', '--separate-git-dir', join(at, 'elsewhere'), join(at, 'apart'))
    await put(join(at, 'apart'), { d: '4' })
    const from = await source()
    const { warnings = [] } = await from.snapshot(join(at, 'apart'), { signal })
    expect(warnings).toEqual([expect.stringMatching(/does not say that .* is its work tree/) as string])
    const fix = /\(if it is: git (.*)\)$/.exec(warnings[0] ?? '')?.[1] ?? ''
    git(base, ...fix.split(' '))
    expect((await from.snapshot(join(at, 'apart'), { signal })).warnings).toBeUndefined()
  })

  test('a linked work tree that was moved is a folder until it is repaired', async () => {
    const at = await fresh()
    git(await repository({ a: '1' }), 'worktree', 'add', '-q', join(at, 'linked'), '-b', 'linked')
    await rename(join(at, 'linked'), join(at, 'moved'))
    const from = await source()
    expect((await from.snapshot(join(at, 'moved'), { signal })).warnings).toEqual([expect.stringMatching(/\(if it is: git worktree repair\)$/) as string])
    git(join(at, 'moved'), 'worktree', 'repair')
    expect((await from.snapshot(join(at, 'moved'), { signal })).warnings).toBeUndefined()
  })

  test('linked work trees, submodules and a folder whose repository lies elsewhere are work trees like any other', async () => {
    const dir = await repository({ a: '1', 'sub/b': '2', '.gitignore': 'out\n' })
    const at = await fresh()
    git(dir, 'worktree', 'add', '-q', join(at, 'linked'), '-b', 'linked')
    const host = await repository({ c: '3' })
    git(host, '-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', dir, 'inner')
    git(at, 'init', '-q', '--separate-git-dir', join(at, 'elsewhere'), join(at, 'apart'))
    git(join(at, 'apart'), 'config', 'core.worktree', '../apart')
    await put(join(at, 'apart'), { d: '4', 'out/e': '5' })
    await writeFile(join(at, 'elsewhere/info/exclude'), 'out\n')
    const from = await source()
    for (const [folder, cwd, files] of [[join(at, 'linked'), 'sub', { a: '1', 'sub/b': '2', '.gitignore': 'out\n' }], [join(host, 'inner'), 'sub', { a: '1', 'sub/b': '2', '.gitignore': 'out\n' }], [join(at, 'apart'), '.', { d: '4' }]] as const) {
      const snapshot = await from.snapshot(join(folder, cwd), { signal })
      expect(snapshot).toMatchObject({ cwd, root: folder })
      expect(snapshot.warnings).toBeUndefined()
      const { tree } = await send(from, snapshot, await cache())
      const found = await listing(tree)
      expect(Object.fromEntries(Object.entries(found).filter(([name]) => name !== '.git'))).toEqual(files)
    }
  })

  test('a shallow clone has the name of where its history was cut, on every device', async () => {
    const dir = await repository({ a: '1' })
    for (const n of [2, 3]) {
      await put(dir, { a: String(n) })
      git(dir, 'commit', '-q', '-a', '-m', String(n))
    }
    const clones = [await fresh(), await fresh()].map(at => join(at, 'clone'))
    for (const clone of clones) git(base, 'clone', '-q', '--depth', '1', `file://${dir}`, clone)
    const from = await source()
    const names = await Promise.all([dir, ...clones].map(async at => (await from.snapshot(at, { signal })).project))
    expect(names[1]).toBe(names[2])
    expect(names[1]).not.toBe(names[0])
  })

  test('filters and hooks of the repository never run; a filtered file is sent with its content', async () => {
    const dir = await repository({ 'plain.txt': 'p' })
    const canary = join(await fresh(), 'canary')
    git(dir, 'config', 'filter.lfs.clean', 'echo pointer')
    git(dir, 'config', 'filter.lfs.smudge', `touch ${canary}`)
    await put(dir, { '.gitattributes': '*.bin filter=lfs\n', 'big.bin': 'content' })
    git(dir, 'add', '-A')
    expect(git(dir, 'show', ':big.bin')).toBe('pointer')
    git(dir, 'config', 'filter.lfs.clean', `touch ${canary}`)
    git(dir, 'config', 'core.fsmonitor', `touch ${canary}`)
    const from = await source()
    const snapshot = await from.snapshot(dir, { signal })
    const { tree } = await send(from, snapshot, await cache())
    expect((await listing(tree))['big.bin']).toBe('content')
    await expect(stat(canary)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('nor does a filter that the person has set up: a build is of what is on the disk', async () => {
    const dir = await repository({ a: '1' })
    await put(dir, { '.gitattributes': '*.bin filter=lfs text eol=crlf\n', 'new.bin': 'content\n' })
    const config = join(await fresh(), 'config')
    await writeFile(config, '[filter "lfs"]\n\tclean = echo pointer\n\tsmudge = echo other\n\trequired = true\n')
    const before = process.env['GIT_CONFIG_GLOBAL']
    process.env['GIT_CONFIG_GLOBAL'] = config
    onTestFinished(() => {
      if (before === undefined) delete process.env['GIT_CONFIG_GLOBAL']
      else process.env['GIT_CONFIG_GLOBAL'] = before
    })
    const from = await source()
    const { tree } = await send(from, await from.snapshot(dir, { signal }), await cache())
    expect(await readFile(join(tree, 'new.bin'), 'utf8')).toBe('content\n')
  })

  test('what counts is what is on the disk, whatever the index says of it', async () => {
    const dir = await repository({ assumed: 'old', skipped: 'old', both: 'old', gone: 'old', plain: 'same' })
    git(dir, 'update-index', '--assume-unchanged', 'assumed', 'both', 'gone')
    git(dir, 'update-index', '--skip-worktree', 'skipped', 'both')
    await put(dir, { assumed: 'new', skipped: 'new', both: 'new' })
    await rm(join(dir, 'gone'))
    const print = await fingerprint(dir)
    const from = await source()
    expect(await listing((await send(from, await from.snapshot(dir, { signal }), await cache())).tree)).toEqual({ assumed: 'new', skipped: 'new', both: 'new', plain: 'same' })
    expect(await fingerprint(dir)).toBe(print)
  })

  test('nor what the person has set for slow disks: a file of the same size and time is looked at', async () => {
    const dir = await repository({ f: 'evil' })
    const old = new Date(1e12)
    await utimes(join(dir, 'f'), old, old)
    git(dir, 'update-index', '--refresh')
    await put(dir, { new: 'nice' })
    await utimes(join(dir, 'new'), old, old)
    await rename(join(dir, 'new'), join(dir, 'f'))
    const config = join(base, 'slow-disk')
    await writeFile(config, '[core]\n\tcheckStat = minimal\n\ttrustctime = false\n\tignoreStat = true\n')
    vi.stubEnv('GIT_CONFIG_GLOBAL', config)
    onTestFinished(() => { vi.unstubAllEnvs() })
    const from = await source()
    expect(await listing((await send(from, await from.snapshot(dir, { signal }), await cache())).tree)).toEqual({ f: 'nice' })
  })

  test('what a sparse checkout has not on the disk stays as committed', async () => {
    const dir = await repository({ 'in/a': '1', 'out/b': '2', 'out/c': '3' })
    git(dir, 'sparse-checkout', 'set', 'in')
    expect(await listing(dir)).toEqual({ 'in/a': '1' })
    await put(dir, { 'in/a': 'edited', 'out/c': 'there again' })
    const from = await source()
    expect(await listing((await send(from, await from.snapshot(dir, { signal }), await cache())).tree)).toEqual({ 'in/a': 'edited', 'out/b': '2', 'out/c': 'there again' })
  })

  test('an index that names the tree of other content is not believed', async () => {
    const dir = await repository({ 'build.sh': 'hostile' })
    const hostile = git(dir, 'rev-parse', 'HEAD^{tree}')
    await put(dir, { 'build.sh': 'nice' })
    git(dir, 'commit', '-q', '-a', '-m', 'second')
    const index = await readFile(join(dir, '.git/index'))
    const at = index.indexOf(Buffer.from(git(dir, 'rev-parse', 'HEAD^{tree}'), 'hex'))
    expect(at).toBeGreaterThan(0)
    index.write(hostile, at, 'hex')
    createHash('sha1').update(index.subarray(0, -20)).digest().copy(index, index.length - 20)
    await writeFile(join(dir, '.git/index'), index)
    expect(git(dir, 'write-tree')).toBe(hostile)
    const from = await source()
    expect(await listing((await send(from, await from.snapshot(dir, { signal }), await cache())).tree)).toEqual({ 'build.sh': 'nice' })
  })

  test.runIf(isLinux)('a name that is not UTF-8 is left out whole, and told: committed, edited or new', async () => {
    const dir = await repository({ keep: 'k' })
    const named = (name: string): Buffer => Buffer.concat([Buffer.from(`${dir}/`), Buffer.from(name, 'latin1')])
    await writeFile(named('na\xefve'), 'old')
    await writeFile(named('same\xef'), 'old')
    git(dir, 'add', '-A')
    git(dir, 'commit', '-q', '-m', 'second')
    await writeFile(named('na\xefve'), 'new')
    await writeFile(named('new\xef'), 'new')
    await put(dir, { keep: 'K', 'gr\u00fcn': 'utf-8' })
    const from = await source()
    const snapshot = await from.snapshot(dir, { signal })
    expect(snapshot.warnings?.toSorted()).toEqual(['na\\xefve', 'new\\xef', 'same\\xef'].map(name => `left out: ${name}: its name is not UTF-8; rename it, or list it in .gitignore`))
    expect(await listing((await send(from, snapshot, await cache())).tree)).toEqual({ keep: 'K', 'gr\u00fcn': 'utf-8' })
  })

  test.runIf(isLinux)('a tracked file that cannot be read is left out whole, not built as it was committed', async () => {
    const dir = await repository({ keep: 'k', odd: 'old' })
    await rm(join(dir, 'odd'))
    execFileSync('mkfifo', [join(dir, 'odd')])
    const from = await source()
    const snapshot = await from.snapshot(dir, { signal })
    expect(await listing((await send(from, snapshot, await cache())).tree)).toEqual({ keep: 'k' })
  })

  test('a symlink that leaves the tree is refused here, by name and with what to do; an ignored one is not sent', async () => {
    const dir = await repository({ a: '1' })
    await mkdir(join(dir, '.venv/bin'), { recursive: true })
    await symlink('/usr/bin/python3', join(dir, '.venv/bin/python'))
    const from = await source()
    const refused = { code: 'SOURCE_INVALID', message: expect.stringContaining('.venv/bin/python -> /usr/bin/python3') as string, fix: expect.stringContaining('.gitignore') as string }
    await expect(from.snapshot(dir, { signal })).rejects.toMatchObject(refused)
    await expect(from.snapshot(dir, { signal })).rejects.toMatchObject(refused)
    await put(dir, { '.gitignore': '.venv\n' })
    expect(await listing((await send(from, await from.snapshot(dir, { signal }), await cache())).tree)).toEqual({ a: '1', '.gitignore': '.venv\n' })
  })

  test('submodules become empty folders, and say so', async () => {
    const dir = await repository({ a: '1' })
    const inner = join(dir, 'inner')
    await mkdir(inner)
    git(inner, 'init', '-q')
    await put(inner, { x: 'x' })
    git(inner, 'add', '-A')
    git(inner, 'commit', '-q', '-m', 'inner')
    await mkdir(join(dir, 'unborn'))
    git(join(dir, 'unborn'), 'init', '-q')
    const from = await source()
    const snapshot = await from.snapshot(dir, { signal })
    expect(snapshot.warnings).toEqual([expect.stringContaining('unborn is a repository of its own without a commit'), expect.stringContaining('inner is a repository of its own')])
    const { tree } = await send(from, snapshot, await cache())
    expect(await readdir(tree)).toEqual(['a', 'inner'])
    expect(await readdir(join(tree, 'inner'))).toEqual([])
  })
})

describe('transfer', () => {
  test('two edited files against a warm cache cost less than 2 kB', async () => {
    const text = (n: number): string => Array.from({ length: 200 }, (_, i) => `line ${i} of file ${n}: ${(i * 7919 * n) % 104729}\n`).join('')
    const dir = await repository(Object.fromEntries(Array.from({ length: 120 }, (_, n) => [`src/part${n % 10}/file${n}.txt`, text(n)])))
    const from = await source()
    const to = await cache()
    const cold = await send(from, await from.snapshot(dir, { signal }), to)
    await put(dir, { 'src/part1/file1.txt': text(1).replace('line 100', 'LINE 100'), 'src/part7/file47.txt': `${text(47)}one more\n` })
    const startMs = performance.now()
    const warm = await send(from, await from.snapshot(dir, { signal }), to)
    console.log(`pack: cold ${cold.bytes} B, two edited files ${warm.bytes} B; snapshot, pack, receive and checkout of 120 files ${Math.round(performance.now() - startMs)} ms`)
    expect(warm.bytes).toBeLessThan(2048)
    expect(await listing(warm.tree)).toEqual(await listing(dir))
    expect((await send(from, await from.snapshot(dir, { signal }), to)).bytes).toBe(0)
  })

  test('objects that the user\'s repository has lost since cost bytes, not the build', async () => {
    const dir = await repository({ a: 'first\n'.repeat(100), b: 'b' })
    const from = await source()
    const to = await cache()
    await send(from, await from.snapshot(dir, { signal }), to)
    await put(dir, { a: 'second\n'.repeat(100) })
    git(dir, 'commit', '-q', '-a', '--amend', '-m', 'other')
    git(dir, '-c', 'gc.reflogExpire=now', '-c', 'gc.reflogExpireUnreachable=now', 'gc', '-q', '--prune=now')
    const snapshot = await from.snapshot(dir, { signal })
    expect(await listing((await send(from, snapshot, to)).tree)).toEqual({ a: 'second\n'.repeat(100), b: 'b' })
  })

  test('one requester never reaches another\'s source', async () => {
    const dir = await repository({ a: '1' })
    const from = await source()
    const to = await cache()
    const snapshot = await from.snapshot(dir, { signal })
    await send(from, snapshot, to, 'alice')
    expect(await to.have('alice', snapshot.project, [snapshot.commit], { signal })).toEqual([snapshot.commit])
    expect(await to.have('bob', snapshot.project, [snapshot.commit], { signal })).toEqual([])
    await expect(to.checkout('bob', snapshot.project, snapshot.commit, await fresh(), { signal })).rejects.toMatchObject({ code: 'SOURCE_BROKEN' })
  })

  test('many snapshots are kept within bounds and still serve as bases', { timeout: 120_000 }, async () => {
    const dir = await repository({ a: 'text\n'.repeat(50) })
    const from = await source()
    const to = await cache()
    let last: Snapshot | undefined
    for (let i = 0; i < 45; i++) {
      await put(dir, { a: `${'text\n'.repeat(50)}${i}` })
      last = await from.snapshot(dir, { signal })
      const have = await to.have('me', last.project, last.ancestors, { signal })
      await to.receive('me', last.project, last.commit, from.pack(last, have, { signal }), { signal })
    }
    expect(last?.ancestors.length).toBe(31)
    expect((await to.have('me', last?.project ?? '', last?.ancestors ?? [], { signal })).length).toBe(31)
  })
})

describe('a hostile sender', () => {
  test('packs that come leave before the disk is full, and take what they held along, those too that say nothing more', async () => {
    const dir = await fresh()
    async function * stalled (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('PACK')
      await new Promise(() => undefined)
    }
    const receiving = new GitCache({ dir }).receive('me', 'p', '0'.repeat(40), stalled(), { signal }).then(() => 'accepted', (error: unknown) => error)
    await vi.waitFor(async () => { expect((await readdir(dir, { recursive: true })).some(name => name.includes('incoming-'))).toBe(true) }, 30_000)
    const full = new DiskWatch({ folders: () => [dir], bytesMax: Infinity, reserveBytes: Infinity, onFull: () => undefined })
    onTestFinished(() => { full.stop() })
    expect(await receiving).toMatchObject({ code: 'SOURCE_TOO_LARGE', message: expect.stringContaining('run full') as string })
    expect((await readdir(dir, { recursive: true })).filter(name => name.includes('incoming-'))).toEqual([])
    expect(full.full).toBe(false)
  })

  const blob = (dir: string, text: string): string => execFileSync('git', ['hash-object', '-w', '--stdin'], { cwd: dir, env, input: text }).toString().trim()
  const object = (dir: string, type: string, body: Buffer | string): string => execFileSync('git', ['hash-object', '-w', '-t', type, '--stdin', '--literally'], { cwd: dir, env, input: body }).toString().trim()
  const tree = (dir: string, entries: Array<[mode: string, name: string, id: string]>): string =>
    object(dir, 'tree', Buffer.concat(entries.map(([mode, name, id]) => Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(id, 'hex')]))))
  const commit = (dir: string, treeId: string): string => object(dir, 'commit', `tree ${treeId}\nauthor a <a@b> 0 +0000\ncommitter a <a@b> 0 +0000\n\nx\n`)
  const pack = (dir: string, ids: string[]): Buffer => execFileSync('git', ['pack-objects', '--stdout', '-q'], { cwd: dir, env, input: `${ids.join('\n')}\n` })
  /** A file below so many folders within each other. */
  const chain = (dir: string, folders: number): string => {
    let level = tree(dir, [['100644', 'f', blob(dir, 'x')]])
    for (let i = 0; i < folders; i++) level = tree(dir, [['40000', 'd', level]])
    return level
  }
  async function * chunks (...parts: Uint8Array[]): AsyncGenerator<Uint8Array> { yield * parts }
  const emptyRepository = async (): Promise<string> => {
    const dir = await fresh()
    git(dir, 'init', '-q')
    return dir
  }

  async function refused (entries: (dir: string) => Array<[string, string, string]>, init: Partial<GitCacheInit> = {}): Promise<unknown> {
    const dir = await emptyRepository()
    const root = tree(dir, entries(dir))
    const id = commit(dir, root)
    const all = git(dir, 'cat-file', '--batch-all-objects', '--batch-check=%(objectname)').split('\n')
    const to = await cache(init)
    const verdict = await to.receive('me', 'p', id, chunks(pack(dir, all)), { signal }).then(() => 'accepted', (error: unknown) => (error as { code: string }).code)
    if (verdict !== 'accepted') expect(await to.have('me', 'p', [id], { signal })).toEqual([])
    return verdict
  }

  test.each<[string, string, (dir: string) => Array<[string, string, string]>, Partial<GitCacheInit>?]>([
    ['an honest tree is accepted', 'accepted', dir => [['100644', 'a', blob(dir, 'a')], ['120000', 'l', blob(dir, 'a')]]],
    ['..', 'SOURCE_INVALID', dir => [['100644', '..', blob(dir, 'a')]]],
    ['.git', 'SOURCE_INVALID', dir => [['40000', '.git', tree(dir, [['100644', 'config', blob(dir, 'x')]])]]],
    ['.GIT', 'SOURCE_INVALID', dir => [['40000', '.GIT', tree(dir, [['100644', 'config', blob(dir, 'x')]])]]],
    ...['.git.', '.git ', '.git::$INDEX_ALLOCATION', 'git~1'].map((name): [string, string, (dir: string) => Array<[string, string, string]>] =>
      [JSON.stringify(name), 'SOURCE_INVALID', dir => [['40000', name, tree(dir, [['100644', 'config', blob(dir, 'x')]])]]]),
    ['a slash in a name', 'SOURCE_INVALID', dir => [['100644', 'a/../../b', blob(dir, 'a')]]],
    ['an absolute symlink', 'SOURCE_INVALID', dir => [['120000', 'l', blob(dir, '/etc/passwd')]]],
    ['a symlink up and out', 'SOURCE_INVALID', dir => [['120000', 'l', blob(dir, '../../x')]]],
    ['two entries of one name', 'SOURCE_INVALID', dir => [['120000', 'd', blob(dir, 'e')], ['40000', 'd', tree(dir, [['100644', 'x', blob(dir, 'x')]])]]],
    ['names that fold together', 'SOURCE_UNSUPPORTED', dir => [['100644', 'README', blob(dir, 'a')], ['100644', 'readme', blob(dir, 'b')]], { foldsCase: true }],
    ['the same on a file system that keeps them apart', 'accepted', dir => [['100644', 'README', blob(dir, 'a')], ['100644', 'readme', blob(dir, 'b')]], { foldsCase: false }],
    ['too many bytes unpacked', 'SOURCE_TOO_LARGE', dir => [['100644', 'zero', blob(dir, '0'.repeat(100_000))]], { treeBytesMax: 50_000 }],
    ['too many files', 'SOURCE_TOO_LARGE', dir => [['100644', 'a', blob(dir, 'a')], ['100644', 'b', blob(dir, 'a')]], { entriesMax: 1 }],
    ['a tree that lists a billion paths', 'SOURCE_TOO_LARGE', dir => {
      let level = tree(dir, [['100644', 'f', blob(dir, 'x')]])
      for (let depth = 0; depth < 9; depth++) level = tree(dir, Array.from({ length: 10 }, (_, i): [string, string, string] => ['40000', `d${i}`, level]))
      return [['40000', 'd', level]]
    }, { entriesMax: 10_000 }],
    ['folders within folders', 'SOURCE_TOO_LARGE', dir => [['40000', 'd', chain(dir, 128)]]],
    ['as many as there may be', 'accepted', dir => [['40000', 'd', chain(dir, 127)]]],
    ['a few long paths of very many folders', 'SOURCE_TOO_LARGE', dir => {
      const deep = chain(dir, 119)
      return Array.from({ length: 1700 }, (_, i): [string, string, string] => ['40000', `d${i + 1000}`, deep])
    }],
    ['a pack above the cap', 'SOURCE_TOO_LARGE', dir => [['100644', 'a', blob(dir, 'a'.repeat(10))]], { packBytesMax: 60 }],
  ])('%s: %s', async (_, verdict, entries, init) => { expect(await refused(entries, init)).toBe(verdict) })

  test('the requester refuses such trees, too, before anything is sent', async () => {
    const listed = (paths: string[]): (() => void) => () => { checkTree(paths.map(path => ({ mode: '100644', object: '', bytes: 1, path })), { entriesMax: 1e6, bytesMax: 1e6, foldsCase: false }) }
    expect(listed([`${'d/'.repeat(128)}f`])).not.toThrow()
    expect(listed(Array.from({ length: 1700 }, (_, i) => `${i + 1000}/${'d/'.repeat(110)}f`))).not.toThrow()
    expect(listed(Array.from({ length: 1700 }, (_, i) => `${i + 1000}/${'d/'.repeat(119)}f`))).toThrow('more than 200000 folders')
    const dir = await fresh()
    await put(dir, { [`${'d/'.repeat(129)}f`]: 'x' })
    await expect((await source()).snapshot(dir, { signal })).rejects.toMatchObject({ code: 'SOURCE_TOO_LARGE', message: expect.stringContaining('goes through 129 folders') as string })
  })

  test('a small pack that unpacks to a large tree is refused before a file is written', async () => {
    const dir = await emptyRepository()
    const file = blob(dir, 'a'.repeat(8000))
    const names = Array.from({ length: 256 }, (_, i) => `n${i + 100}`)
    const wide = tree(dir, names.map(name => ['100644', name, file]))
    const id = commit(dir, tree(dir, names.map(name => ['40000', name, wide])))
    const to = await cache()
    await to.receive('me', 'p', id, chunks(pack(dir, git(dir, 'cat-file', '--batch-all-objects', '--batch-check=%(objectname)').split('\n'))), { signal })
    const at = await fresh()
    const bytesMax = 8192 * 256 * 256
    await expect(to.checkout('me', 'p', id, at, { signal, bytesMax })).rejects.toMatchObject({
      code: 'SOURCE_TOO_LARGE', message: `the source unpacks to ${bytesMax + 4096 * 256} bytes on the disk, a build here has ${bytesMax}`,
    })
    expect(await readdir(at)).toEqual([])
  })

  test('what the disk has no room for is refused, and a checkout ends when it runs full meanwhile', { timeout: 30_000 }, async () => {
    const huge = 2 ** 50
    await expect(needRoom(base, { bytes: huge, files: 1 })).rejects.toMatchObject({ code: 'SOURCE_TOO_LARGE', message: expect.stringContaining('run full') as string })
    await needRoom(base, { bytes: 1, files: 1 })
    const from = await source()
    const to = await cache()
    const snapshot = await from.snapshot(await repository({ a: '1' }), { signal })
    await send(from, snapshot, to)
    // A git that never gets done with a checkout.
    const bin = await fresh()
    const path = process.env['PATH'] ?? ''
    await writeFile(join(bin, 'git'), `#!/bin/sh\ncase " $* " in *" read-tree "*) : > begun; exec sleep 600;; esac\nPATH='${path}' exec git "$@"\n`, { mode: 0o755 })
    vi.stubEnv('PATH', `${bin}:${path}`)
    onTestFinished(() => { vi.unstubAllEnvs() })
    const at = await fresh()
    const writing = to.checkout('me', snapshot.project, snapshot.commit, at, { signal }).then(() => 'written', (error: unknown) => error)
    await vi.waitFor(async () => { expect(await readdir(at)).toEqual(['begun']) }, 10_000)
    const full = new DiskWatch({ folders: () => [base], bytesMax: Infinity, reserveBytes: Infinity, walk: () => Promise.resolve(0), onFull: () => undefined })
    onTestFinished(() => { full.stop() })
    expect(await writing).toMatchObject({ code: 'SOURCE_TOO_LARGE', message: expect.stringContaining('run full') as string })
    expect(full.full).toBe(false)
  })

  test('names that are not UTF-8 are refused: two of them would be judged as one', () => {
    const listing = ['l\xfe', 'l\xff'].map(name => `120000 blob ${'a'.repeat(40)}       3\t${name}\0`).join('')
    expect(() => parseTree(Buffer.from(listing, 'latin1'))).toThrow('the name l\\xfe is not UTF-8')
    expect(parseTree(Buffer.from(listing)).map(({ path }) => path)).toEqual(['l\xfe', 'l\xff'])
  })

  test('an incomplete, truncated, foreign or interrupted pack leaves nothing and blocks nothing', async () => {
    const dir = await emptyRepository()
    const file = blob(dir, 'content')
    const root = tree(dir, [['100644', 'a', file]])
    const id = commit(dir, root)
    const init = { dir: await fresh() }
    const to = new GitCache(init)
    const whole = pack(dir, [id, root, file])
    const stop = new AbortController()
    async function * interrupted (): AsyncGenerator<Uint8Array> {
      yield whole.subarray(0, 20)
      stop.abort()
      throw new Error('stream reset')
    }
    await expect(to.receive('me', 'p', id, chunks(pack(dir, [id, root])), { signal })).rejects.toMatchObject({ code: 'SOURCE_BROKEN' })
    await expect(to.receive('me', 'p', id, chunks(whole.subarray(0, whole.length - 5)), { signal })).rejects.toMatchObject({ code: 'SOURCE_BROKEN' })
    await expect(to.receive('me', 'p', id, chunks(Buffer.from('nonsense')), { signal })).rejects.toMatchObject({ code: 'SOURCE_BROKEN' })
    await expect(to.receive('me', 'p', id, chunks(), { signal })).rejects.toMatchObject({ code: 'SOURCE_BROKEN' })
    await expect(to.receive('me', 'p', root, chunks(whole), { signal })).rejects.toMatchObject({ code: 'SOURCE_BROKEN' })
    await expect(to.receive('me', 'p', '--upload-pack=x', chunks(whole), { signal })).rejects.toMatchObject({ code: 'SOURCE_INVALID' })
    await expect(to.receive('me', 'p', id, interrupted(), { signal: stop.signal })).rejects.toThrow()
    const repo = join(init.dir, (await readdir(init.dir))[0] ?? '')
    expect(await readdir(join(repo, 'objects/pack'))).toEqual([])
    expect((await readdir(repo)).filter(name => name.startsWith('incoming'))).toEqual([])
    await to.receive('me', 'p', id, chunks(whole.subarray(0, 7), whole.subarray(7)), { signal })
    expect(await to.have('me', 'p', [id], { signal })).toEqual([id])
  })

  test('symlinks are followed as the kernel does', () => {
    const check = (links: Record<string, string>) => (): void => { checkSymlinks(new Map(Object.entries(links))) }
    expect(check({ 'a/b': '../c', l: 'a', loop: 'loop', dangling: 'no/where', deep: 'a/b/../x' })).not.toThrow()
    expect(check({ 's/t/u': '../..', v: 's/t/u/..' })).toThrow(/leaves the tree/)
    expect(check({ d: 'x/y', e: 'd/../secret' })).not.toThrow()
    expect(check({ in: 'out', out: '/etc' })).toThrow(/leaves the tree/)
  })

  test('property: a path that passes has only plain components', () => {
    const component = constantFrom('..', '.', '', '.git', '.Git', '.git.', '.git ', '.git:x', '.git::$INDEX_ALLOCATION', 'git~1', '.g\u200cit', 'a', 'b.c', 'a:b', '...')
    assert(property(array(component, { minLength: 1, maxLength: 4 }), parts => {
      const path = parts.join('/')
      const plain = parts.every(part => ['a', 'b.c', 'a:b', '...'].includes(part))
      const check = (): void => { checkTree([{ mode: '100644', object: '', bytes: 1, path }], { entriesMax: 1, bytesMax: 1, foldsCase: true }) }
      if (plain) check()
      else expect(check).toThrow(/no path/)
    }))
  })
})
