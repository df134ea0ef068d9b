/**
 * The one way to run git, profile by profile. Callers ask little of a foreign repository; here each rule is held alone, by commands
 * that would break it.
 */
import { execFileSync } from 'node:child_process'
import { appendFileSync, chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { needs } from '../../../node/test/support/when.ts'
import { gitEnvironment, type GitProfile } from '../../src/git/profiles.ts'
import { runGit, type GitOutput } from '../../src/git/run.ts'
import { folder } from './remote.ts'

const { signal } = new AbortController()
const WHO = { GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@b', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@b' }
const plain = { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', GIT_CONFIG_NOSYSTEM: '1', ...WHO }
const git = (cwd: string, ...args: string[]): string =>
  execFileSync('git', args, { cwd, env: plain, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()

/** A work tree with one commit; `canary` is what its programs make. */
function repository (): { dir: string, canary: string, set: (settings: string) => void } {
  const [dir, canary] = [join(folder(), 'work'), join(folder(), 'canary')]
  execFileSync('git', ['init', '--quiet', '-b', 'main', dir], { env: plain })
  writeFileSync(join(dir, 'a'), 'a\n')
  git(dir, 'add', '-A')
  git(dir, 'commit', '-q', '-m', 'first')
  return { dir, canary, set: settings => { appendFileSync(join(dir, '.git/config'), settings) } }
}

const ask = async (profile: GitProfile, cwd: string, args: string[], env: Record<string, string> = {}): Promise<GitOutput> =>
  await runGit({ profile, cwd, args, signal, env: { ...WHO, ...env } })

describe('a foreign repository', () => {
  it('has its watcher run by no command that looks at the tree', async () => {
    const { dir, canary, set } = repository()
    set(`[core]\n\tfsmonitor = touch ${canary} #\n`)
    git(dir, 'status')
    expect(existsSync(canary), 'this git runs a watcher').toBe(true)
    execFileSync('rm', [canary])
    expect((await ask('foreign', dir, ['status', '--porcelain'])).code).toBe(0)
    expect(existsSync(canary)).toBe(false)
  })

  it('has none of its hooks run', async () => {
    const { dir, canary } = repository()
    mkdirSync(join(dir, '.git/hooks'), { recursive: true })
    for (const hook of ['reference-transaction', 'post-checkout', 'post-index-change', 'pre-commit', 'post-commit']) {
      writeFileSync(join(dir, '.git/hooks', hook), `#!/bin/sh\ntouch ${canary}\n`)
      chmodSync(join(dir, '.git/hooks', hook), 0o755)
    }
    expect((await ask('foreign', dir, ['commit', '--quiet', '--allow-empty', '-m', 'x'])).code).toBe(0)
    expect((await ask('foreign', dir, ['checkout', '--quiet', '-b', 'other'])).code).toBe(0)
    expect(existsSync(canary)).toBe(false)
  })

  it('is not found by chance where a bare one lies', async () => {
    const dir = join(folder(), 'bare.git')
    execFileSync('git', ['init', '--quiet', '--bare', dir])
    const { code, stderr } = await ask('foreign', dir, ['rev-parse', '--git-dir'])
    expect([code, stderr]).toEqual([128, expect.stringContaining('cannot use bare repository') as string])
  })

  it('answers with its own commits, not with those that stand in for them', async () => {
    const { dir } = repository()
    const other = git(dir, 'commit-tree', '-m', 'another', 'HEAD^{tree}')
    git(dir, 'replace', 'HEAD', other)
    expect(git(dir, 'log', '-1', '--format=%s')).toBe('another')
    expect((await ask('foreign', dir, ['log', '-1', '--format=%s'])).stdout.toString()).toBe('first\n')
  })
})

const PRLIMIT = ['/usr/bin/prlimit', '/bin/prlimit'].some(path => existsSync(path))

describe.runIf(needs(PRLIMIT, 'prlimit'))('memory', () => {
  const kibOf = async (profile: GitProfile, memoryBytesMax?: number): Promise<number> => {
    const args = ['-c', 'alias.limit=!ulimit -d', 'limit']
    const { stdout } = await runGit({ profile, args, signal, ...memoryBytesMax === undefined ? {} : { memoryBytesMax } })
    return Number(stdout.toString())
  }

  it('is bounded in every profile, in a foreign repository to what few questions need', async () => {
    expect(await kibOf('foreign')).toBe(262_144)
    for (const profile of ['own', 'network', 'path'] as const) {
      const kib = await kibOf(profile)
      expect(kib * 1024).toBe(Math.min(2 * 2 ** 30, 1024 * Math.floor(totalmem() / 2048)))
    }
    expect(await kibOf('network', 67_108_864)).toBe(65_536)
  })

  it('ends the reading of a file without end', async () => {
    const { dir } = repository()
    symlinkSync('/dev/zero', join(dir, '.git/commondir'))
    const { code, stderr, timedOut } = await ask('foreign', dir, ['rev-parse', 'HEAD'])
    expect([code, timedOut, stderr]).toEqual([128, false, expect.stringContaining('Out of memory') as string])
  })
})

/** What a repository may name as its remote, and what would run there. */
function led (): { dir: string, canary: string } {
  const { dir, canary, set } = repository()
  set(`[core]\n\trepositoryFormatVersion = 1\n[extensions]\n\tpartialClone = origin\n[protocol]\n\tallow = always\n[remote "origin"]\n\turl = ${dir}\n\tpromisor = true\n\tuploadpack = touch ${canary} #\n`)
  return { dir, canary }
}

describe('a way out', () => {
  it.each<GitProfile>(['foreign', 'own'])('is not there for a repository of the kind %s: no remote, no missing object', async profile => {
    const { dir, canary } = led()
    // Older versions know nothing of GIT_NO_LAZY_FETCH: without a protocol there is no way either.
    const env = { GIT_NO_LAZY_FETCH: '0' }
    const missing = await ask(profile, dir, ['rev-list', '--objects', '12'.repeat(20)], env)
    const fetched = await ask(profile, dir, ['fetch', 'origin'], env)
    expect([missing.code, fetched.code]).not.toContain(0)
    expect(fetched.stderr).toMatch(/transport '\w+' not allowed/)
    expect(existsSync(canary), 'a command of the repository ran').toBe(false)
  })

  it('to a host does not lead to a folder or a program, and one to a folder not to a host', async () => {
    const { dir, canary } = led()
    const cases: Array<[GitProfile, string]> = [['network', dir], ['network', `file://${dir}`], ['network', `ext::touch ${canary}`], ['path', `ext::touch ${canary}`], ['path', 'https://127.0.0.1:9/m.git'], ['path', 'ssh://127.0.0.1/m.git']]
    for (const [profile, url] of cases) {
      const { code, stderr } = await ask(profile, folder(), ['-c', 'protocol.allow=always', 'ls-remote', url])
      expect([code, stderr], `${profile} ${url}`).toEqual([128, expect.stringMatching(/transport '\w+' not allowed/) as string])
    }
    expect(existsSync(canary)).toBe(false)
  })
})

describe('the environment', () => {
  const steering = { GIT_DIR: '/x', GIT_SSH_COMMAND: 'id', GIT_CONFIG_GLOBAL: '/x', GIT_CONFIG_PARAMETERS: "'a.b=c'", GIT_ALLOW_PROTOCOL: 'ext', GIT_NO_LAZY_FETCH: '0', SSH_AUTH_SOCK: '/s', HTTPS_PROXY: 'http://p', LD_X: '1', PATH: '/bin', HOME: '/h' }
  const of = (profile: GitProfile): NodeJS.ProcessEnv => gitEnvironment(profile, undefined, steering)

  it('keeps of the caller what a person set for transport where there is transport, and their settings where these count', () => {
    const kept = (profile: GitProfile): string[] => Object.keys(steering).filter(name => of(profile)[name] === steering[name as keyof typeof steering])
    expect(kept('foreign')).toEqual(['GIT_CONFIG_GLOBAL', 'PATH', 'HOME'])
    expect(kept('own')).toEqual(['PATH'])
    expect(kept('network')).toEqual(['GIT_SSH_COMMAND', 'GIT_CONFIG_GLOBAL', 'SSH_AUTH_SOCK', 'HTTPS_PROXY', 'LD_X', 'PATH', 'HOME'])
    expect(kept('path')).toEqual(kept('network'))
  })

  it('forbids what only a newer git asks of it: to fetch what is missing, and to ask a person', () => {
    for (const profile of ['foreign', 'own', 'network', 'path', 'serve'] as const) {
      expect(of(profile)).toMatchObject({ GIT_NO_LAZY_FETCH: '1', GIT_TERMINAL_PROMPT: '0', GIT_OPTIONAL_LOCKS: '0', SSH_ASKPASS_REQUIRE: 'never', LC_ALL: 'C' })
    }
    expect(of('own')).toMatchObject({ HOME: '/nonexistent', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' })
  })
})
