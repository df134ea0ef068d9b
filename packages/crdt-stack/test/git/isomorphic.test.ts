/** isomorphic-git, for devices without git: the same promises over HTTP, and what it says where it must give up. */
import { execFileSync } from 'node:child_process'
import { chmodSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fromUtf8, utf8 } from '@elder-node/protocol'
import { describe, expect, it, vi } from 'vitest'
import { gitMirrorAcceptance } from '../../src/acceptance/git.ts'
import { findCredential } from '../../src/git/credentials.ts'
import { openIsomorphicGit, openNativeGit, type Commit, type GitMirror, type TreeFile } from '../../src/git/index.ts'
import { cleanUp, folder, server } from './remote.ts'

const options = { signal: new AbortController().signal }

async function open (url: string, dir: string = join(folder(), 'cache')): Promise<GitMirror> {
  return await openIsomorphicGit({ dir, url, networkMs: 10_000 }, options)
}

function commit (git: GitMirror, parent: Commit | undefined, text: string): Promise<Commit> {
  return git.commitTree({ parent, changes: [{ path: 'file', content: utf8(text) }], message: 'test', atMs: 0 }, options)
}

const isSound = (dir: string): void => { execFileSync('git', ['-C', dir, 'fsck', '--strict', '--no-dangling'], { stdio: 'pipe' }) }

gitMirrorAcceptance({ describe, it, expect }, 'isomorphic-git over HTTP', async () => {
  const { url } = await server()
  return { open: () => open(url), close: async () => {} }
})

describe('beside native git', () => {
  it('writes the same commits, whatever is added, replaced and deleted', async () => {
    const { url } = await server()
    const [ours, native] = [await open(url), await openNativeGit({ dir: join(folder(), 'cache'), url }, options)]
    const steps: Array<Record<string, string | null>> = [
      { a: '1', 'a.b': '1', 'a-b': '1', 'deep/er/file': '1', 'deep.txt': '1' }, { 'deep/er/file': null, a: null, 'a/b': '2' }, { a: '3' }, { 'not/there': null }, { deep: null, 'a.b': null, 'a-b': null, a: null, 'deep.txt': null }, {},
    ]
    let parent: Commit | undefined
    for (const [i, step] of steps.entries()) {
      const changes = Object.entries(step).map(([path, text]) => ({ path, content: text === null ? null : utf8(text) }))
      const made = await Promise.all([ours, native].map(git => git.commitTree({ parent, changes, message: `step ${i}\n`, atMs: 1000 * i }, options)))
      expect(made[0], `step ${i}`).toBe(made[1])
      parent = made[0]
    }
  })

  it('hands its cache over to native git and takes it back', async () => {
    const { url } = await server()
    const dir = join(folder(), 'cache')
    let tip: Commit | undefined
    for (const start of [openIsomorphicGit, openNativeGit, openIsomorphicGit, openNativeGit]) {
      const git = await start({ dir, url }, options)
      expect(await git.fetchTip(options)).toBe(tip)
      tip = await commit(git, tip, start.name)
      expect(await git.push(tip, options)).toBe('ok')
      await git.close()
      isSound(dir)
    }
    expect(await (await open(url)).fetchTip(options)).toBe(tip)
  })

  it('takes what a person committed, keeps their symlinks, and reads packs with deltas', async () => {
    const { url, repository } = await server()
    const work = join(folder(), 'work')
    const git = (...args: string[]): void => { execFileSync('git', ['-C', work, '-c', 'user.name=p', '-c', 'user.email=p@q', ...args], { stdio: 'pipe' }) }
    execFileSync('git', ['init', '--quiet', '-b', 'elder/memory', work])
    const lines = Array.from({ length: 2000 }, (_, i) => `line ${i}\n`)
    for (let i = 0; i < 5; i++) {
      writeFileSync(join(work, 'big'), lines.with(i * 100, `changed ${i}\n`).join(''))
      execFileSync('ln', ['-sf', 'big', join(work, 'link')])
      git('add', '.')
      git('commit', '-qm', `${i}`)
    }
    git('push', '-q', repository, 'elder/memory')
    execFileSync('git', ['-C', repository, 'repack', '-adfq'])
    const mirror = await open(url)
    const tip = await mirror.fetchTip(options) as Commit
    const files = await mirror.readTree(tip, options)
    expect(files.map(file => file.path)).toEqual(['big'])
    for await (const { content } of mirror.readBlobs(files, options)) expect(fromUtf8(content)).toBe(lines.with(400, 'changed 4\n').join(''))
    expect(await mirror.push(await commit(mirror, tip, 'ours'), options)).toBe('ok')
    expect(execFileSync('git', ['-C', repository, 'ls-tree', 'elder/memory'], { encoding: 'utf8' })).toMatch(/^120000 blob \w+\tlink$/m)
  })
})

describe('what it refuses', () => {
  it.each(['ssh://git@host/x.git', 'git@host:x.git', 'file:///tmp/x.git', '/tmp/x.git', 'git://host/x.git', 'ext::touch /tmp/x'])('%s, with the remedy', async url => {
    await expect(open(url)).rejects.toMatchObject({ code: 'GIT_MISSING', fix: expect.stringContaining('Install git') })
  })

  it('a redirect: it would carry credentials to another host', async () => {
    const elsewhere = createServer((_request, response) => { response.writeHead(301, { location: 'https://user:secret@other.example/x.git' }).end() })
    await new Promise<void>(resolve => { elsewhere.listen(0, '127.0.0.1', resolve) })
    cleanUp(() => { elsewhere.close() })
    const git = await open(`http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/x.git`)
    const error = await git.fetchTip(options).catch((error: unknown) => error as Error)
    expect(error).toMatchObject({ code: 'GIT_UNREACHABLE', message: expect.stringContaining('https://other.example/x.git') })
    expect(JSON.stringify(error)).not.toContain('secret')
  })

  it('an answer that would not fit into memory', async () => {
    const { url } = await server()
    const writer = await open(url)
    await writer.push(await commit(writer, undefined, 'x'.repeat(5000).replaceAll('x', () => Math.random().toString(36))), options)
    const git = await openIsomorphicGit({ dir: join(folder(), 'cache'), url, answerBytesMax: 10_000 }, options)
    await expect(git.fetchTip(options)).rejects.toMatchObject({ code: 'GIT_UNREACHABLE', message: expect.stringContaining('more than 10000 bytes') })
  })
})

describe('a remote that is ill', () => {
  it('names it when nobody answers', async () => {
    const { server: started, url } = await server()
    const git = await open(url)
    await started.close()
    await expect(git.fetchTip(options)).rejects.toMatchObject({ code: 'GIT_UNREACHABLE', message: expect.stringContaining('ECONNREFUSED') })
  })

  it('asks once with the credentials it has, names what is missing, and never prints it', async () => {
    let requests = 0
    const { url } = await server({ auth: { user: 'elder', password: 's3cret' }, intercept: () => { requests++; return undefined } })
    await expect((await open(url)).fetchTip(options)).rejects.toMatchObject({ code: 'GIT_AUTH' })
    const wrong = await open(url.replace('://', '://elder:wr0ng@'))
    requests = 0
    const error = await wrong.fetchTip(options).catch((error: unknown) => error as Error)
    expect(requests).toBe(2)
    expect(error).toMatchObject({ code: 'GIT_AUTH', fix: expect.stringContaining('ELDER_GIT_CREDENTIALS') })
    expect(JSON.stringify(error) + String(error) + wrong.url).not.toContain('wr0ng')
    const dir = join(folder(), 'cache')
    const right = await open(url.replace('://', '://elder:s3cret@'), dir)
    expect(await right.push(await commit(right, undefined, 'a'), options)).toBe('ok')
    expect(readFileSync(join(dir, 'config'), 'utf8')).not.toContain('s3cret')
  })

  it('takes credentials for its host from the environment', async () => {
    const { url } = await server({ auth: { user: 'elder', password: 'p@ss' } })
    vi.stubEnv('ELDER_GIT_CREDENTIALS', `https://a:b@example.org\n${url.replace('://', '://elder:p%40ss@')}`)
    cleanUp(() => { vi.unstubAllEnvs() })
    const git = await open(url)
    expect(await git.push(await commit(git, undefined, 'a'), options)).toBe('ok')
  })

  it('names a server that takes no pushes for now, and pushes when it does again', async () => {
    let down = true
    const { url } = await server({ intercept: ({ query, path }) => down && `${path}${query}`.includes('receive-pack') ? 503 : undefined })
    const git = await open(url)
    expect(await git.fetchTip(options)).toBe(undefined)
    const made = await commit(git, undefined, 'a')
    await expect(git.push(made, options)).rejects.toMatchObject({ code: 'GIT_UNREACHABLE', message: expect.stringContaining('503') })
    down = false
    expect(await git.push(made, options)).toBe('ok')
  })

  it('says the remote\'s own words when a hook declines', async () => {
    const { url, repository } = await server()
    const hook = join(repository, 'hooks', 'pre-receive')
    writeFileSync(hook, '#!/bin/sh\necho "over quota: 0 bytes left" >&2\nexit 1\n')
    chmodSync(hook, 0o755)
    const git = await open(url)
    const made = await commit(git, undefined, 'a')
    await expect(git.push(made, options)).rejects.toMatchObject({ code: 'GIT_REJECTED', message: expect.stringContaining('over quota: 0 bytes left') })
    rmSync(hook)
    expect(await git.push(made, options)).toBe('ok')
  })

  it('is rejected when the branch moves between its question and its push', async () => {
    let race: (() => Promise<unknown>) | undefined
    const { url } = await server({ intercept: async ({ method, path }) => {
      const now = method === 'POST' && path.endsWith('receive-pack') ? race : undefined
      race = now === undefined ? race : undefined
      await now?.()
      return undefined
    } })
    const [a, b] = [await open(url), await open(url)]
    const root = await commit(a, undefined, 'root')
    await a.push(root, options)
    await b.fetchTip(options)
    race = async () => { expect(await a.push(await commit(a, root, 'a'), options)).toBe('ok') }
    expect(await b.push(await commit(b, root, 'b'), options)).toBe('rejected')
    expect(race).toBe(undefined)
  })

  it('gives up at its deadline, and on an abort at once', async () => {
    const { url } = await server({ intercept: () => new Promise<undefined>(() => {}) })
    const git = await openIsomorphicGit({ dir: join(folder(), 'cache'), url, networkMs: 300 }, options)
    await expect(git.fetchTip(options)).rejects.toMatchObject({ code: 'GIT_UNREACHABLE', message: expect.stringContaining('no answer') })
    const patient = await open(url)
    const [abort, reason] = [new AbortController(), new Error('enough')]
    const waiting = patient.fetchTip({ signal: abort.signal })
    abort.abort(reason)
    await expect(waiting).rejects.toBe(reason)
    await patient.close()
  })

  it('survives answers that break off or are not git\'s', async () => {
    const { url, repository } = await server()
    const writer = await open(url)
    const tip = await commit(writer, undefined, 'text')
    await writer.push(tip, options)
    const rejections: unknown[] = []
    const listen = (reason: unknown): void => { rejections.push(reason) }
    process.on('unhandledRejection', listen)
    cleanUp(() => { process.off('unhandledRejection', listen) })
    let cut: (bytes: Buffer, request: number) => Buffer = bytes => bytes
    const relay = createServer((request, response) => { void (async () => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const answer = await fetch(new URL(request.url ?? '', url), { method: request.method ?? 'GET', headers: request.headers as Record<string, string>, ...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks) }) })
      const bytes = cut(Buffer.from(await answer.arrayBuffer()), count++)
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' }).end(bytes)
    })().catch(() => { response.destroy() }) })
    let count = 0
    await new Promise<void>(resolve => { relay.listen(0, '127.0.0.1', resolve) })
    cleanUp(() => { relay.close(); relay.closeAllConnections() })
    const path = new URL(url).pathname
    const git = await open(`http://127.0.0.1:${(relay.address() as AddressInfo).port}${path}`)
    // Four requests of a first fetch: refs (2), refs of the fetch, pack. Each is damaged in turn, by cuts and by noise.
    for (let request = 0; request < 4; request++) {
      for (const damage of [0, 3, 0.3, 0.6, 0.95, 'noise'] as const) {
        count = 0
        cut = (bytes, at) => at !== request ? bytes : damage === 'noise' ? Buffer.from(bytes.map((byte, i) => i % 7 === 3 ? byte ^ 0x55 : byte)) : bytes.subarray(0, damage < 1 ? bytes.length * damage : damage)
        const outcome = await git.fetchTip(options).catch((error: unknown) => error)
        // Noise may hit a line that is not needed, or make our branch another; a cut never makes an answer.
        if (damage === 'noise' && !(outcome instanceof Error)) expect([undefined, tip]).toContain(outcome)
        else expect(outcome, `request ${request}, ${damage}`).toMatchObject({ code: expect.stringMatching(/^GIT_(UNREACHABLE|FAILED)$/) })
      }
    }
    cut = bytes => bytes
    await git.fetchTip(options).catch(() => undefined)
    expect(await git.fetchTip(options)).toBe(tip)
    expect(rejections).toEqual([])
    isSound(repository)
  })
})

describe('the cache', () => {
  it('is fetched anew when its objects are torn', async () => {
    const { url } = await server()
    const dir = join(folder(), 'cache')
    const first = await open(url, dir)
    const tip = await commit(first, undefined, 'text')
    await first.push(tip, options)
    for (const name of readdirSync(join(dir, 'objects'), { recursive: true }) as string[]) if (/[0-9a-f]{38}$/.test(name)) truncateSync(join(dir, 'objects', name), 0)
    const second = await open(url, dir)
    await expect(second.fetchTip(options)).rejects.toMatchObject({ code: 'GIT_FAILED' })
    expect(await second.fetchTip(options)).toBe(tip)
    expect(await second.push(await commit(second, tip, 'more'), options)).toBe('ok')
    isSound(dir)
  })

  it('is fetched anew when a file in it is damaged while open', async () => {
    const { url } = await server()
    const dir = join(folder(), 'cache')
    const git = await open(url, dir)
    await git.push(await commit(git, undefined, 'text'), options)
    const [file] = await git.readTree(await git.fetchTip(options) as Commit, options) as [TreeFile]
    writeFileSync(join(dir, 'objects', file.blob.slice(0, 2), file.blob.slice(2)), 'not zlib')
    const read = async (): Promise<string> => {
      await git.fetchTip(options)
      for await (const { content } of git.readBlobs([file], options)) return fromUtf8(content)
      return ''
    }
    await expect(read()).rejects.toMatchObject({ code: 'GIT_FAILED' })
    expect(await read()).toBe('text')
  })

  it('is fetched anew, as one pack, when it holds too many files; nothing is lost', async () => {
    const { url } = await server()
    const dir = join(folder(), 'cache')
    const git = await open(url, dir)
    let tip = await commit(git, undefined, 'first')
    const root = tip
    tip = await git.commitTree({ parent: tip, changes: Array.from({ length: 40 }, (_, i) => ({ path: `many/${i}`, content: utf8(`${i}`) })), message: 'many', atMs: 0 }, options)
    await git.push(tip, options)
    // Instead of 6,700 objects: git's own sample, filled up.
    for (let i = 0; i < 40; i++) execFileSync('mkdir', ['-p', join(dir, 'objects', '17', `${i}`)])
    expect(await git.fetchTip(options)).toBe(tip)
    expect(readdirSync(join(dir, 'objects')).filter(name => name.length === 2)).toEqual([])
    expect(await git.isAncestor(root, tip, options)).toBe(true)
    expect(await git.readTree(tip, options)).toHaveLength(41)
  })

  it('holds one commit of a long history when asked for no more, and can push on it', async () => {
    const { url } = await server()
    const writer = await open(url)
    let tip: Commit | undefined
    for (let i = 0; i < 5; i++) await writer.push(tip = await commit(writer, tip, `${i}`), options)
    const dir = join(folder(), 'cache')
    const git = await openIsomorphicGit({ dir, url, depth: 1 }, options)
    expect(await git.fetchTip(options)).toBe(tip)
    expect(execFileSync('git', ['-C', dir, 'rev-list', '--count', 'refs/elder/tip'], { encoding: 'utf8' }).trim()).toBe('1')
    expect(await git.push(await commit(git, tip, 'more'), options)).toBe('ok')
  })
})

describe('credentials', () => {
  const find = async (url: string, { env = '', ...files }: { env?: string, store?: string, netrc?: string }): Promise<string | undefined> => {
    const home = folder()
    if (files.store !== undefined) writeFileSync(join(home, '.git-credentials'), files.store)
    if (files.netrc !== undefined) writeFileSync(join(home, '.netrc'), files.netrc)
    const found = await findCredential(new URL(url), { env: { ELDER_GIT_CREDENTIALS: env }, home })
    return found && `${found.username} ${found.password}`
  }

  it('come from the environment, then the store of git, then .netrc', async () => {
    const all = { env: 'https://e:1@h.example', store: 'https://s:2@h.example\n', netrc: 'machine h.example login n password 3' }
    expect(await find('https://h.example/x.git', all)).toBe('e 1')
    expect(await find('https://h.example/x.git', { ...all, env: '' })).toBe('s 2')
    expect(await find('https://h.example/x.git', { netrc: `# c\nmachine other login o password 9\n${all.netrc}\n` })).toBe('n 3')
    expect(await find('https://h.example/x.git', {})).toBe(undefined)
  })

  it('are for the host, port, scheme and path they name, and no other', async () => {
    const store = 'https://u:p@h.example:8443/team/\n'
    expect(await find('https://h.example:8443/team/x.git', { store })).toBe('u p')
    for (const url of ['https://h.example:8443/teams/x.git', 'https://h.example/team/x.git', 'http://h.example:8443/team/x.git', 'https://h.example.org:8443/team/x.git']) expect(await find(url, { store }), url).toBe(undefined)
    expect(await find('http://h.example/x.git', { netrc: 'machine h.example login n password 3' })).toBe(undefined)
  })
})
