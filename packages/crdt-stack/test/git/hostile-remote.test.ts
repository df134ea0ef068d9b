/** Remotes that attack whoever mirrors to them: programs of a folder, packs without end, trees that list millions of paths, redirects. */
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { appendFileSync, chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { utf8 } from '@elder-node/protocol'
import { describe, expect, it } from 'vitest'
import { watchFetch } from '../../src/git/fetch-watch.ts'
import { checkRemote, openIsomorphicGit, openNativeGit, type Commit, type GitMirror } from '../../src/git/index.ts'
import { endless } from './endless.ts'
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
    git(dir, '', 'symbolic-ref', 'HEAD', 'refs/heads/main')
    const mirror = await openNativeGit({ dir: join(folder(), 'cache'), url: dir }, options)
    const made = await commit(mirror, 'text')
    expect(await mirror.push(made, options)).toBe('ok')
    expect(await mirror.fetchTip(options)).toBe(made)
    expect(existsSync(canary), 'a command of the remote ran').toBe(false)
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

  it('is noticed when it came in a moment, too: MIRROR_TOO_LARGE', async () => {
    const { url } = await server()
    const writer = await openNativeGit({ dir: join(folder(), 'cache'), url }, options)
    await writer.push(await commit(writer, randomBytes(100_000).toString('base64')), options)
    const mirror = await openNativeGit({ dir: join(folder(), 'cache'), url, bytesMax: 10_000 }, options)
    await expect(mirror.fetchTip(options)).rejects.toMatchObject({ code: 'MIRROR_TOO_LARGE' })
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
