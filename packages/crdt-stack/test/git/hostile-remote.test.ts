/** Remotes that attack whoever mirrors to them: programs of a folder, packs without end, trees that list millions of paths, redirects. */
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { appendFileSync, chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { utf8 } from '@elder-node/protocol'
import { describe, expect, it } from 'vitest'
import { watchFetch } from '../../src/git/fetch-watch.ts'
import { checkRemote, openIsomorphicGit, openNativeGit, type Commit, type GitMirror } from '../../src/git/index.ts'
import { cleanUp, folder, server } from './remote.ts'

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

/** A host that answers as git does, with one branch, and then sends a pack without end. */
async function endless (): Promise<{ url: string, sent: () => number }> {
  let sent = 0
  const packet = (text: string): string => (text.length + 4).toString(16).padStart(4, '0') + text
  const answering = createServer((request, response) => {
    response.setHeader('content-type', request.method === 'GET' ? 'application/x-git-upload-pack-advertisement' : 'application/x-git-upload-pack-result')
    if (request.method === 'GET') return void response.end(`${packet('# service=git-upload-pack\n')}0000${packet(`${'12'.repeat(20)} refs/heads/elder/memory\0side-band-64k\n`)}0000`)
    response.write(packet('NAK\n'))
    // A pack of a million blobs, each of random bytes that zlib stores as they are: 0x01, length, its complement, bytes.
    const band = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from((bytes.length + 5).toString(16).padStart(4, '0')), Buffer.from([1]), bytes])
    response.write(band(Buffer.concat([Buffer.from('PACK'), Buffer.from([0, 0, 0, 2, 0, 0x0f, 0x42, 0x40])])))
    const bytes = 32_768
    const more = (): void => {
      while (!response.destroyed) {
        const body = randomBytes(bytes)
        const size = Buffer.from([0x80 | (3 << 4) | (bytes & 15), 0x80 | ((bytes >> 4) & 127), (bytes >> 11) & 127])
        const stored = Buffer.concat([Buffer.from([0x78, 0x01, 0x01, bytes & 255, bytes >> 8, ~bytes & 255, (~bytes >> 8) & 255]), body, adler(body)])
        sent += stored.length
        if (!response.write(band(Buffer.concat([size, stored])))) return void response.once('drain', more)
      }
    }
    more()
  })
  return { url: `${await listening(answering)}/memory.git`, sent: () => sent }
}

function adler (bytes: Buffer): Buffer {
  let [a, b] = [1, 0]
  for (const byte of bytes) {
    a = (a + byte) % 65_521
    b = (b + a) % 65_521
  }
  return Buffer.from([b >> 8, b & 255, a >> 8, a & 255])
}

async function listening (http: Server): Promise<string> {
  await new Promise<void>(resolve => { http.listen(0, '127.0.0.1', resolve) })
  cleanUp(() => new Promise(resolve => {
    http.closeAllConnections()
    http.close(resolve)
  }))
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}`
}

describe('a pack without end', () => {
  it('ends at the bound, and leaves nothing of it: MIRROR_TOO_LARGE', async () => {
    const { url, sent } = await endless()
    const dir = join(folder(), 'cache')
    const mirror = await openNativeGit({ dir, url, bytesMax: 3_000_000 }, options)
    for (let pass = 0; pass < 2; pass++) await expect(mirror.fetchTip(options)).rejects.toMatchObject({ code: 'MIRROR_TOO_LARGE', message: expect.stringContaining('3000000 bytes') as string })
    expect(sent()).toBeGreaterThan(3_000_000)
    expect(readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter(name => /tmp_|\.lock$/.test(name))).toEqual([])
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
    const { url } = await endless()
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
