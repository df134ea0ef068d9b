/** Native git against a bare repository over file:// and over HTTP, and what it says when a remote is ill. */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { utf8 } from '@elder-node/protocol'
import { describe, expect, it, vi } from 'vitest'
import { gitMirrorAcceptance } from '../../src/acceptance/git.ts'
import { openNativeGit, type Commit, type GitMirror, type TreeFile } from '../../src/git/index.ts'
import { folder, server } from './remote.ts'

const options = { signal: new AbortController().signal }

async function open (url: string, dir: string = join(folder(), 'cache')): Promise<GitMirror> {
  return await openNativeGit({ dir, url, networkMs: 10_000 }, options)
}

function commit (git: GitMirror, parent: Commit | undefined, text: string): Promise<Commit> {
  return git.commitTree({ parent, changes: [{ path: 'file', content: utf8(text) }], message: 'test', atMs: 0 }, options)
}

gitMirrorAcceptance({ describe, it, expect }, 'native git over HTTP', async () => {
  const { url } = await server()
  return { open: () => open(url), close: async () => {} }
})

gitMirrorAcceptance({ describe, it, expect }, 'native git over file://', async () => {
  const dir = join(folder(), 'remote.git')
  execFileSync('git', ['init', '--bare', '--quiet', dir])
  return { open: () => open(`file://${dir}`), close: async () => {} }
})

describe('a remote that is ill', () => {
  it('names it when nobody answers', async () => {
    const { server: started, url } = await server()
    const git = await open(url)
    await started.close()
    await expect(git.fetchTip(options)).rejects.toMatchObject({ code: 'GIT_UNREACHABLE' })
  })

  it('names missing credentials, never prints given ones, and works with the right ones', async () => {
    const { url } = await server({ auth: { user: 'elder', password: 's3cret' } })
    await expect((await open(url)).fetchTip(options)).rejects.toMatchObject({ code: 'GIT_AUTH' })
    const wrong = await open(url.replace('://', '://elder:wr0ng@'))
    const error = await wrong.fetchTip(options).catch((error: unknown) => error as Error)
    expect(error).toMatchObject({ code: 'GIT_AUTH' })
    expect(JSON.stringify(error) + wrong.url).not.toContain('wr0ng')
    const right = await open(url.replace('://', '://elder:s3cret@'))
    expect(await right.push(await commit(right, undefined, 'a'), options)).toBe('ok')
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
    const { url, root } = await server()
    const hook = join(root, 'memory.git', 'hooks', 'pre-receive')
    writeFileSync(hook, '#!/bin/sh\necho "over quota: 0 bytes left" >&2\nexit 1\n')
    chmodSync(hook, 0o755)
    const git = await open(url)
    await expect(git.push(await commit(git, undefined, 'a'), options)).rejects.toMatchObject({ code: 'GIT_REJECTED', message: expect.stringContaining('over quota: 0 bytes left') })
    rmSync(hook)
    expect(await git.push(await commit(git, undefined, 'a'), options)).toBe('ok')
  })

  it('gives up at its deadline and leaves no process behind', async () => {
    const { url } = await server({ intercept: () => new Promise<undefined>(() => {}) })
    const git = await openNativeGit({ dir: join(folder(), 'cache'), url, networkMs: 300 }, options)
    await expect(git.fetchTip(options)).rejects.toMatchObject({ code: 'GIT_UNREACHABLE', message: expect.stringContaining('no answer') })
    await vi.waitFor(() => { expect(execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })).not.toContain(url) }, 30_000)
  })

  it('runs no command that a URL names', async () => {
    const canary = join(folder(), 'canary')
    await expect(open(`ext::touch ${canary}`)).rejects.toMatchObject({ code: 'GIT_URL' })
    await expect(open(`--upload-pack=touch\t${canary}`)).rejects.toMatchObject({ code: 'GIT_URL' })
    for (const url of ['ext::id', 'fd::3', '--upload-pack=id', 'https://host/a b', 'https://host/\0']) await expect(open(url), url).rejects.toMatchObject({ code: 'GIT_URL' })
    expect(existsSync(canary)).toBe(false)
  })
})

describe('the cache', () => {
  it('is rebuilt when its objects are torn, and goes on', async () => {
    const { url } = await server()
    const dir = join(folder(), 'cache')
    const first = await open(url, dir)
    const tip = await commit(first, undefined, 'text')
    await first.push(tip, options)
    // Not closed: as after a power cut.
    for (const name of readdirSync(join(dir, 'objects'), { recursive: true }) as string[]) {
      if (/[0-9a-f]{38}$/.test(name)) { chmodSync(join(dir, 'objects', name), 0o644); truncateSync(join(dir, 'objects', name), 0) }
    }
    const second = await open(url, dir)
    expect(await second.fetchTip(options)).toBe(tip)
    expect(await second.push(await commit(second, tip, 'more'), options)).toBe('ok')
  })

  it('is rebuilt when it is damaged while open', async () => {
    const { url } = await server()
    const dir = join(folder(), 'cache')
    const git = await open(url, dir)
    await git.push(await commit(git, undefined, 'text'), options)
    rmSync(join(dir, 'objects'), { recursive: true })
    await expect(git.fetchTip(options)).rejects.toMatchObject({ code: 'GIT_FAILED' })
    const files = await git.readTree(await git.fetchTip(options) as Commit, options)
    expect(files.map(file => file.path)).toEqual(['file'])
  })

  it('is rebuilt when a file in it is damaged but still there', async () => {
    const { url } = await server()
    const dir = join(folder(), 'cache')
    const git = await open(url, dir)
    await git.push(await commit(git, undefined, 'text'), options)
    const [file] = await git.readTree(await git.fetchTip(options) as Commit, options) as [TreeFile]
    const path = join(dir, 'objects', file.blob.slice(0, 2), file.blob.slice(2))
    chmodSync(path, 0o644)
    writeFileSync(path, 'not zlib')
    const read = async (): Promise<string> => {
      await git.fetchTip(options)
      for await (const { content } of git.readBlobs([file], options)) return Buffer.from(content).toString()
      return ''
    }
    await expect(read()).rejects.toMatchObject({ code: 'GIT_FAILED' })
    expect(await read()).toBe('text')
  })

  it('works with a user whose environment and configuration point elsewhere', async () => {
    const { url } = await server()
    const home = folder()
    writeFileSync(join(home, 'config'), '[core]\n\thooksPath = /nowhere\n\tautocrlf = true\n[user]\n\tuseConfigOnly = true\n[push]\n\tgpgSign = if-asked\n')
    // Other files of tests run in this process: it is theirs again in every case.
    const elsewhere = { GIT_DIR: '/nowhere', GIT_INDEX_FILE: '/nowhere', GIT_CONFIG_GLOBAL: join(home, 'config') }
    Object.assign(process.env, elsewhere)
    try {
      const git = await open(url)
      expect(await git.push(await commit(git, undefined, 'a\r\nb\n'), options)).toBe('ok')
    } finally {
      for (const name of Object.keys(elsewhere)) delete process.env[name]
    }
  })
})
