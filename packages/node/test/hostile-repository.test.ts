/** Folders that somebody hostile made, as the source of a build and where a stack is named: nothing of them runs, leads out or swallows memory. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { codeOf } from '@elder-node/protocol'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { GitSource } from '../src/adapters/git-source.ts'
import { worktreeStack } from '../src/gateway/cli/stack-name.ts'
import { git, HOSTILE, place, repository } from './support/hostile-repositories.ts'

// A dozen git processes for each, on machines that may be busy.
vi.setConfig({ testTimeout: 60_000 })

const root = mkdtempSync(join(tmpdir(), 'elder-hostile-'))
afterAll(() => { rmSync(root, { recursive: true, force: true }) })
const signal = new AbortController().signal
const isRoot = process.getuid?.() === 0
let count = 0

describe.for(HOSTILE)('$name', ({ make, files, refused, warns, silent, asRoot }) => {
  const deadlineMs = silent === true ? 1_000 : 30_000
  test.skipIf(asRoot === true && !isRoot)(`is harmless as the source of a build${asRoot === true && !isRoot ? ' (not run: only root can make files of another user)' : ''}`, async () => {
    const { dir, canary } = place(root, ++count)
    const asked = make(dir, canary) ?? dir
    const store = join(root, `store-${count}`)
    const source = new GitSource({ dir: join(store, 'source'), deadlineMs })
    const before = process.memoryUsage().rss
    const started = performance.now()
    const taken = await source.snapshot(asked, { signal }).catch((error: unknown) => error as Error)
    expect(existsSync(canary), 'a command of the repository ran').toBe(false)
    expect(process.memoryUsage().rss - before).toBeLessThan(200_000_000)
    // At once, and not by a deadline.
    if (refused === 'SOURCE_INVALID') expect(performance.now() - started).toBeLessThan(deadlineMs / 2)
    if (taken instanceof Error) {
      expect(files, taken.message).toBeUndefined()
      expect(codeOf(taken), taken.message).toMatch(refused ?? /^(GIT_FAILED|SOURCE_TOO_LARGE)$/)
      return
    }
    expect(refused).toBeUndefined()
    const repo = join(store, 'source', readdirSync(join(store, 'source')).at(-1) as string)
    for await (const chunk of source.pack(taken, [], { signal })) expect(chunk.length).toBeGreaterThan(0)
    if (files !== undefined) expect(git(repo, 'ls-tree', '-r', '--name-only', taken.commit).split('\n').filter(path => !/^(objects|refs)\//.test(path)).sort()).toEqual(files)
    if (warns !== undefined) expect(taken.warnings?.join('\n')).toMatch(warns)
    expect(existsSync(canary), 'a command of the repository ran').toBe(false)
  })

  test.skipIf(asRoot === true && !isRoot)(`is harmless where a stack is named${asRoot === true && !isRoot ? ' (not run: only root can make files of another user)' : ''}`, async () => {
    const { dir, canary } = place(root, ++count)
    const asked = make(dir, canary) ?? dir
    const named = await worktreeStack(asked, { deadlineMs }).catch((error: unknown) => error as Error)
    if (named instanceof Error) expect(codeOf(named), named.message).toMatch(/^STACK_/)
    expect(existsSync(canary), 'a command of the repository ran').toBe(false)
  })
})

test('variables of whoever started the node steer no git', async () => {
  const { dir, canary } = place(root, ++count)
  const other = repository(join(dir, 'other'))
  const asked = repository(join(dir, 'asked'))
  writeFileSync(join(asked, 'b'), 'b')
  const run = `touch ${canary}`
  const steering = {
    GIT_DIR: join(other, '.git'), GIT_WORK_TREE: other, GIT_INDEX_FILE: join(other, '.git/index'), GIT_OBJECT_DIRECTORY: join(other, '.git/objects'), GIT_COMMON_DIR: join(other, '.git'),
    GIT_NAMESPACE: 'x', GIT_CEILING_DIRECTORIES: asked, GIT_CONFIG_PARAMETERS: `'core.fsmonitor'='${run}'`, GIT_EXTERNAL_DIFF: run, GIT_SSH_COMMAND: run, GIT_ASKPASS: run, GIT_PROXY_COMMAND: run,
    GIT_PAGER: run, GIT_EDITOR: run, GIT_ALLOW_PROTOCOL: 'ext', GIT_NO_LAZY_FETCH: '0', GIT_REPLACE_REF_BASE: 'refs/x', GIT_GRAFT_FILE: '/dev/zero', GIT_SHALLOW_FILE: '/dev/zero', GIT_ATTR_SOURCE: 'x',
  }
  Object.assign(process.env, steering)
  try {
    const source = new GitSource({ dir: join(root, `store-${count}`), deadlineMs: 10_000 })
    const { commit } = await source.snapshot(asked, { signal })
    const repo = join(root, `store-${count}`, readdirSync(join(root, `store-${count}`)).at(-1) as string)
    for (const name of Object.keys(steering)) delete process.env[name]
    expect(git(repo, 'ls-tree', '-r', '--name-only', commit).split('\n')).toEqual(['a', 'b'])
    expect(existsSync(canary)).toBe(false)
  } finally {
    for (const name of Object.keys(steering)) delete process.env[name]
  }
})

test.skipIf(!isRoot)(`a repository of another user is used once a person trusts it${isRoot ? '' : ' (not run: only root can make files of another user)'}`, async () => {
  const { dir } = place(root, ++count)
  repository(dir)
  writeFileSync(join(dir, '.gitignore'), 'a\n')
  execFileSync('chown', ['-R', '65534:65534', dir])
  const take = async (): Promise<{ files: string[], warnings: string[] }> => {
    const source = new GitSource({ dir: join(root, `store-${++count}`), deadlineMs: 10_000 })
    const { commit, warnings = [] } = await source.snapshot(dir, { signal })
    const repo = join(root, `store-${count}`, readdirSync(join(root, `store-${count}`)).at(-1) as string)
    return { files: git(repo, 'ls-tree', '-r', '--name-only', commit).split('\n'), warnings }
  }
  // As a folder, what its rules ignore is left out; as a repository, what is tracked is not.
  expect(await take()).toEqual({ files: ['.gitignore'], warnings: [expect.stringMatching(/belongs to another user.*git config --global --add safe\.directory/) as string] })
  const config = join(root, `config-${count}`)
  writeFileSync(config, `[safe]\n\tdirectory = ${dir}\n`)
  process.env['GIT_CONFIG_GLOBAL'] = config
  try {
    expect(await take()).toEqual({ files: ['.gitignore', 'a'], warnings: [] })
  } finally {
    delete process.env['GIT_CONFIG_GLOBAL']
  }
})
