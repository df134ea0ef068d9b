/** Remotes that attack whoever mirrors to them: programs of a folder, packs without end, trees that list millions of paths, redirects. */
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { appendFileSync, chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { utf8 } from '@elder-node/protocol'
import { describe, expect, it } from 'vitest'
import { needs } from '../../../node/test/support/when.ts'
import { watchFetch } from '../../src/git/fetch-watch.ts'
import { checkRemote, openIsomorphicGit, openNativeGit, type Commit, type GitMirror } from '../../src/git/index.ts'
import { endless, endlessList } from './endless.ts'
import { Listing } from '../../src/git/tree-listing.ts'
import { folder, listening, server } from './remote.ts'

const options = { signal: new AbortController().signal }
const git = (dir: string, input: string | Buffer, ...args: string[]): string => execFileSync('git', ['-C', dir, ...args], { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'] }).trim()
const commit = (mirror: GitMirror, text: string): Promise<Commit> => mirror.commitTree({ parent: undefined, changes: [{ path: 'file', content: utf8(text) }], message: 'test', atMs: 0 }, options)

describe('a folder as remote', () => {
  it('runs no hook and no command of its settings, at a look, a fetch and a push', async () => {
    const canary = join(folder(), 'canary')
    const dir = join(folder(), 'work')
    execFileSync('git', ['init', '--quiet', '-b', 'elder/memory', dir])
    const run = `touch ${canary}`
    appendFileSync(join(dir, '.git/config'), `[core]\n\tfsmonitor = ${run}\n\talternateRefsCommand = ${run}\n[uploadpack]\n\tpackObjectsHook = ${run}\n[receive]\n\tdenyCurrentBranch = updateInstead\n\tautogc = true\n\tprocReceiveRefs = refs\n[gc]\n\tauto = 1\n[filter "evil"]\n\tsmudge = ${run}\n\tclean = ${run}\n`)
    const other = join(folder(), 'other.git')
    execFileSync('git', ['init', '--quiet', '--bare', other])
    writeFileSync(join(dir, '.git/objects/info/alternates'), `${other}/objects\n`)
    writeFileSync(join(dir, '.git/info/attributes'), '* filter=evil\n')
    for (const hook of ['pre-receive', 'update', 'post-receive', 'post-update', 'reference-transaction', 'proc-receive', 'push-to-checkout', 'pre-auto-gc', 'post-checkout']) {
      writeFileSync(join(dir, '.git/hooks', hook), `#!/bin/sh\n${run}\n`)
      chmodSync(join(dir, '.git/hooks', hook), 0o755)
    }
    for (const url of [dir, `file://${dir}`]) {
      await checkRemote(url, options)
      const mirror = await openNativeGit({ dir: join(folder(), 'cache'), url }, options)
      // The branch that is checked out there is not written: its files would be.
      await mirror.push(await commit(mirror, 'text'), options).catch(() => 'declined')
      await mirror.fetchTip(options)
      expect(existsSync(canary), 'a command of the remote ran').toBe(false)
    }
    git(dir, '', 'config', '--unset', 'receive.procReceiveRefs')
    const mirror = await openNativeGit({ dir: join(folder(), 'cache'), url: dir }, options)
    // Its settings say that files are written for what is checked out, through its filters.
    await expect(mirror.push(await commit(mirror, 'text'), options)).rejects.toMatchObject({ code: 'GIT_REJECTED' })
    expect([existsSync(canary), existsSync(join(dir, 'file'))]).toEqual([false, false])
    git(dir, '', 'symbolic-ref', 'HEAD', 'refs/heads/main')
    const made = await commit(mirror, 'text')
    expect(await mirror.push(made, options)).toBe('ok')
    expect(await mirror.fetchTip(options)).toBe(made)
    expect(existsSync(canary), 'a command of the remote ran').toBe(false)
  })

  it('is not tidied up: collecting what is loose runs more of its settings, and is for its owner to begin', async () => {
    const dir = join(folder(), 'tidy.git')
    execFileSync('git', ['init', '--quiet', '--bare', dir])
    for (const text of ['a', 'b']) {
      const mirror = await openNativeGit({ dir: join(folder(), 'cache'), url: dir }, options)
      const tip = await mirror.fetchTip(options)
      await mirror.push(await mirror.commitTree({ parent: tip, changes: [{ path: text, content: utf8(text) }], message: 'test', atMs: 0 }, options), options)
      git(dir, '', 'repack', '-q')
    }
    appendFileSync(join(dir, 'config'), '[gc]\n\tauto = 1\n\tautoPackLimit = 1\n\tautoDetach = false\n[receive]\n\tautogc = true\n')
    const packs = (): string[] => readdirSync(join(dir, 'objects/pack')).filter(name => name.endsWith('.pack')).sort()
    const before = packs()
    expect(before).toHaveLength(2)
    const mirror = await openNativeGit({ dir: join(folder(), 'cache'), url: dir }, options)
    const parent = await mirror.fetchTip(options)
    const made = await mirror.commitTree({ parent, changes: [{ path: 'c', content: utf8('c') }], message: 'test', atMs: 0 }, options)
    expect(await mirror.push(made, options)).toBe('ok')
    expect(packs()).toEqual(before)
  })
})

describe('a pack without end', () => {
  it.for([false, true])('ends at the bound, and leaves nothing of it: MIRROR_TOO_LARGE (plain files: %s)', async dumb => {
    const { http, sent } = endless({ dumb })
    const url = `${await listening(http)}/memory.git`
    const dir = join(folder(), 'cache')
    const mirror = await openNativeGit({ dir, url, bytesMax: 3_000_000 }, options)
    for (let pass = 0; pass < 2; pass++) await expect(mirror.fetchTip(options)).rejects.toMatchObject({ code: 'MIRROR_TOO_LARGE', message: expect.stringContaining('3000000 bytes') as string })
    expect(sent()).toBeGreaterThan(3_000_000)
    expect(readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter(name => /tmp_|\.(lock|temp)$/.test(name))).toEqual([])
  })

  it('that breaks off leaves nothing of it', async () => {
    const url = `${await listening(endless({ bytesMax: 2_000_000 }).http)}/memory.git`
    const dir = join(folder(), 'cache')
    const mirror = await openNativeGit({ dir, url }, options)
    for (let pass = 0; pass < 2; pass++) await expect(mirror.fetchTip(options)).rejects.toMatchObject({ code: 'GIT_UNREACHABLE' })
    expect(readdirSync(join(dir, 'objects'), { recursive: true, encoding: 'utf8' }).filter(name => name.includes('tmp_'))).toEqual([])
  })

  it('is noticed when it came in a moment, too: MIRROR_TOO_LARGE', async () => {
    const { url, repository } = await server()
    const writer = await openNativeGit({ dir: join(folder(), 'cache'), url }, options)
    await writer.push(await commit(writer, randomBytes(100_000).toString('base64')), options)
    const mirror = await openNativeGit({ dir: join(folder(), 'cache'), url, bytesMax: 10_000 }, options)
    await expect(mirror.fetchTip(options)).rejects.toMatchObject({ code: 'MIRROR_TOO_LARGE' })
    // It is fetched again once it is small: what was too much does not stay.
    const small = git(repository, '', '-c', 'user.name=x', '-c', 'user.email=x@y', 'commit-tree', '-m', 'x', git(repository, '', 'mktree'))
    git(repository, '', 'update-ref', 'refs/heads/elder/memory', small)
    expect(await mirror.fetchTip(options)).toBe(small)
  })

  it('ends before the disk is full: DISK_FULL', async () => {
    const dir = folder()
    mkdirSync(join(dir, 'objects/pack'), { recursive: true })
    const watch = await watchFetch({ dir, url: 'https://git.example.org/m.git', signal: options.signal, reserveBytes: Number.MAX_SAFE_INTEGER })
    await new Promise<void>(resolve => { watch.signal.addEventListener('abort', () => { resolve() }) })
    expect(watch.signal.reason).toMatchObject({ code: 'DISK_FULL' })
    watch.stop()
  })

  it('does not fit into the memory of a device without git', async () => {
    const url = `${await listening(endless().http)}/memory.git`
    const mirror = await openIsomorphicGit({ dir: join(folder(), 'cache'), url, answerBytesMax: 3_000_000 }, options)
    await expect(mirror.fetchTip(options)).rejects.toMatchObject({ code: 'GIT_UNREACHABLE', message: expect.stringContaining('3000000 bytes') as string })
  })
})

describe('a list of branches without end', () => {
  it.runIf(needs(process.platform === 'linux', 'Linux: memory is bounded by prlimit'))('is not held: MIRROR_TOO_LARGE, which is tried less and less often', async () => {
    const { http, sent } = endlessList()
    const url = `${await listening(http)}/memory.git`
    const mirror = await openNativeGit({ dir: join(folder(), 'cache'), url }, options)
    await expect(mirror.fetchTip(options)).rejects.toMatchObject({ code: 'MIRROR_TOO_LARGE' })
    expect(sent()).toBeLessThan(500_000_000)
  })
})

it('an object that git itself would not make is not taken', async () => {
  const { url, repository } = await server()
  const blob = git(repository, 'x', 'hash-object', '-w', '--stdin')
  const entry = Buffer.concat([Buffer.from('100644 .git\0'), Buffer.from(blob, 'hex')])
  const tree = git(repository, entry, 'hash-object', '-w', '-t', 'tree', '--stdin', '--literally')
  const made = git(repository, '', '-c', 'user.name=x', '-c', 'user.email=x@y', 'commit-tree', '-m', 'x', tree)
  git(repository, '', 'update-ref', 'refs/heads/elder/memory', made)
  const mirror = await openNativeGit({ dir: join(folder(), 'cache'), url }, options)
  await expect(mirror.fetchTip(options)).rejects.toMatchObject({ message: expect.stringMatching(/hasDotgit|fsck|index-pack/) as string })
})

/** A commit whose few trees name each other: 8 levels of 8 names are 16 million paths. */
function bomb (repository: string, top: string): string {
  const blob = git(repository, 'x', 'hash-object', '-w', '--stdin')
  const name = (i: number): string => createHash('sha1').update(String(i)).digest('hex').slice(0, 8)
  let tree = git(repository, Array.from({ length: 8 }, (_, i) => `100644 blob ${blob}\t${name(i)}\n`).join(''), 'mktree')
  for (let level = 0; level < 7; level++) tree = git(repository, Array.from({ length: 8 }, (_, i) => `040000 tree ${tree}\t${name(i)}\n`).join(''), 'mktree')
  const root = git(repository, `040000 tree ${tree}\t${top}\n`, 'mktree')
  const made = git(repository, '', '-c', 'user.name=x', '-c', 'user.email=x@y', 'commit-tree', '-m', 'x', root)
  git(repository, '', 'update-ref', 'refs/heads/elder/memory', made)
  return made
}

describe.for([['native git', openNativeGit], ['isomorphic-git', openIsomorphicGit]] as const)('trees without end, with %s', ([, open]) => {
  it('are cut off while they are read: MIRROR_TOO_LARGE', async () => {
    const { url, repository } = await server()
    bomb(repository, 'stacks')
    const mirror = await open({ dir: join(folder(), 'cache'), url }, options)
    const tip = await mirror.fetchTip(options) as Commit
    const before = process.memoryUsage().rss
    await expect(mirror.readTree(tip, { ...options, filesMax: 2000 })).rejects.toMatchObject({ code: 'MIRROR_TOO_LARGE' })
    await expect(mirror.readTree(tip, { ...options, filesMax: 2000, wants: () => false })).rejects.toMatchObject({ code: 'MIRROR_TOO_LARGE' })
    expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000)
  })

  it('lists what is asked for, beside what is not', async () => {
    const { url, repository } = await server()
    const blob = git(repository, 'x', 'hash-object', '-w', '--stdin')
    const junk = git(repository, Array.from({ length: 500 }, (_, i) => `100644 blob ${blob}\tjunk${i}\n`).join(''), 'mktree')
    const root = git(repository, `040000 tree ${junk}\tdocs\n100644 blob ${blob}\telder.json\n`, 'mktree')
    git(repository, '', 'update-ref', 'refs/heads/elder/memory', git(repository, '', '-c', 'user.name=x', '-c', 'user.email=x@y', 'commit-tree', '-m', 'x', root))
    const mirror = await open({ dir: join(folder(), 'cache'), url }, options)
    const tip = await mirror.fetchTip(options) as Commit
    expect(await mirror.readTree(tip, { ...options, filesMax: 200, wants: path => path === 'elder.json' })).toMatchObject([{ path: 'elder.json', bytes: 1 }])
  })

  it('a redirect is not followed, and named', async () => {
    const asked: string[] = []
    const elsewhere = await listening(createServer((request, response) => {
      asked.push(request.url ?? '')
      response.writeHead(404).end()
    }))
    const url = `${await listening(createServer((request, response) => { response.writeHead(302, { location: `${elsewhere}${request.url}` }).end() }))}/memory.git`
    const mirror = await open({ dir: join(folder(), 'cache'), url }, options)
    await expect(mirror.fetchTip(options)).rejects.toMatchObject({ code: 'GIT_UNREACHABLE', message: expect.stringMatching(/is now at|another address/) as string })
    expect(asked).toEqual([])
  })
})

it('more files than a mirror has, and four times as many names, are the end of a listing: MIRROR_TOO_LARGE', () => {
  const line = (i: number): string => `100644 blob ${'12'.repeat(20)} 1\tf${i}\0`
  const read = (count: number, wants: (path: string) => boolean): number => {
    const listing = new Listing('https://git.example.org/m.git', { filesMax: 3, wants })
    listing.read(Buffer.from(Array.from({ length: count }, (_, i) => line(i)).join('')))
    return listing.files.length
  }
  const tooLarge = expect.objectContaining({ code: 'MIRROR_TOO_LARGE' }) as Error
  expect([read(3, () => true), read(12, path => path === 'f1')]).toEqual([3, 1])
  expect(() => read(4, () => true)).toThrow(tooLarge)
  expect(() => read(13, () => false)).toThrow(tooLarge)
})

it('a path without end is not gathered: MIRROR_TOO_LARGE', () => {
  const listing = new Listing('https://git.example.org/m.git', {})
  listing.read(Buffer.alloc(10_000, 'x'))
  expect(() => { listing.read(Buffer.alloc(10_000, 'x')) }).toThrow(expect.objectContaining({ code: 'MIRROR_TOO_LARGE' }) as Error)
})

it('folders below each other without end are left where no path of ours lies, with isomorphic-git', async () => {
  const { url, repository } = await server()
  const blob = git(repository, 'x', 'hash-object', '-w', '--stdin')
  let tree = git(repository, `100644 blob ${blob}\tf\n`, 'mktree')
  for (let level = 0; level < 40; level++) tree = git(repository, `040000 tree ${tree}\td\n100644 blob ${blob}\tf\n`, 'mktree')
  git(repository, '', 'update-ref', 'refs/heads/elder/memory', git(repository, '', '-c', 'user.name=x', '-c', 'user.email=x@y', 'commit-tree', '-m', 'x', tree))
  const mirror = await openIsomorphicGit({ dir: join(folder(), 'cache'), url }, options)
  const files = await mirror.readTree(await mirror.fetchTip(options) as Commit, options)
  expect(Math.max(...files.map(({ path }) => path.split('/').length))).toBe(17)
})
