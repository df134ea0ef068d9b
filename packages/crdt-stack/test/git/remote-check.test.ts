import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { remoteFailure, checkRemote } from '../../src/git/remote-check.ts'
import { serveGit } from '../../src/git/index.ts'

const URL = 'https://ada:hunter2@git.lan/memory.git'

/** As git 2.39 and OpenSSH 9.2 say it. */
test.each([
  ['GIT_HOST_UNKNOWN', "fatal: unable to access 'https://git.lan/m.git/': Could not resolve host: git.lan"],
  ['GIT_HOST_UNKNOWN', 'ssh: Could not resolve hostname git.lan: Name or service not known\nfatal: Could not read from remote repository.'],
  ['GIT_HOST_KEY', 'Host key verification failed.\nfatal: Could not read from remote repository.'],
  ['GIT_SSH_KEY', 'git@git.lan: Permission denied (publickey).\nfatal: Could not read from remote repository.'],
  ['GIT_AUTH', "fatal: could not read Username for 'https://git.lan': terminal prompts disabled"],
  ['GIT_AUTH', "remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'https://git.lan/m.git/'".replace('Access denied', 'wrong password')],
  ['GIT_FORBIDDEN', "fatal: unable to access 'https://git.lan/m.git/': The requested URL returned error: 403"],
  ['GIT_NOT_FOUND', "remote: Not Found\nfatal: repository 'https://git.lan/m.git/' not found"],
  ['GIT_NOT_FOUND', "fatal: '/srv/none.git' does not appear to be a git repository"],
  ['GIT_TLS', "fatal: unable to access 'https://git.lan/m.git/': server certificate verification failed. CAfile: none CRLfile: none"],
  ['GIT_UNREACHABLE', "fatal: unable to access 'http://127.0.0.1:1/m.git/': Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server"],
  ['GIT_UNREACHABLE', 'fatal: something new'],
])('%s: %s', (code, stderr) => {
  const error = remoteFailure(URL, stderr)
  expect(error).toMatchObject({ code })
  expect(error.fix).not.toBe('')
  expect(error.message + error.fix).not.toContain('hunter2')
})

test('a remote that can be read, one that is not there, one that nobody serves, one that never answers', async () => {
  const root = mkdtempSync(join(tmpdir(), 'elder-remote-'))
  const server = await serveGit({ root })
  const signal = AbortSignal.timeout(60_000)
  try {
    const url = await server.create('memory.git')
    await checkRemote(url, { signal })
    await expect(checkRemote(join(root, 'none.git'), { signal })).rejects.toMatchObject({ code: 'GIT_NOT_FOUND' })
    await expect(checkRemote('http://127.0.0.1:1/m.git', { signal })).rejects.toMatchObject({ code: 'GIT_UNREACHABLE' })
    await expect(checkRemote('http://nowhere.invalid/m.git', { signal })).rejects.toMatchObject({ code: expect.stringMatching(/GIT_HOST_UNKNOWN|GIT_UNREACHABLE/) as string })
    expect(remoteFailure(url, '', 10_000)).toMatchObject({ code: 'GIT_TIMEOUT' })
  } finally {
    await server.close()
    rmSync(root, { recursive: true, force: true })
  }
})

test('a host that wants a credential, refuses the one there is, or says nothing: nobody is asked, and it ends in time', async () => {
  const host = createServer((request, response) => {
    const status = Number(/^\/(\d+)\//.exec(request.url ?? '')?.[1])
    if (status > 0) response.writeHead(status, status === 401 ? { 'www-authenticate': 'Basic realm="git"' } : {}).end()
  })
  await new Promise<void>(resolve => { host.listen(0, '127.0.0.1', resolve) })
  const at = (path: string): string => `http://127.0.0.1:${(host.address() as AddressInfo).port}/${path}/m.git`
  const signal = AbortSignal.timeout(60_000)
  try {
    await expect(checkRemote(at('401'), { signal })).rejects.toMatchObject({ code: 'GIT_AUTH' })
    await expect(checkRemote(at('403'), { signal })).rejects.toMatchObject({ code: 'GIT_FORBIDDEN' })
    await expect(checkRemote(at('404'), { signal })).rejects.toMatchObject({ code: 'GIT_NOT_FOUND' })
    await expect(checkRemote(at('silent'), { signal, deadlineMs: 500 })).rejects.toMatchObject({ code: 'GIT_TIMEOUT' })
  } finally {
    host.closeAllConnections()
    await new Promise<void>(resolve => { host.close(() => { resolve() }) })
  }
})
