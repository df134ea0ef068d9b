/** Folders that somebody hostile made, as the source of a build and where a stack is named: nothing of them runs, leads out or swallows memory. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { codeOf } from '@elder-node/protocol'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { GitSource } from '../src/adapters/git-source.ts'
import { worktreeStack } from '../src/gateway/cli/stack-name.ts'
import { git, HOSTILE, place } from './support/hostile-repositories.ts'

// A dozen git processes for each, on machines that may be busy.
vi.setConfig({ testTimeout: 60_000 })

const root = mkdtempSync(join(tmpdir(), 'elder-hostile-'))
afterAll(() => { rmSync(root, { recursive: true, force: true }) })
const signal = new AbortController().signal
const isRoot = process.getuid?.() === 0
let count = 0

describe.for(HOSTILE)('$name', ({ make, files, warns, asRoot }) => {
  test.skipIf(asRoot === true && !isRoot)(`is harmless as the source of a build${asRoot === true && !isRoot ? ' (not run: only root can make files of another user)' : ''}`, async () => {
    const { dir, canary } = place(root, ++count)
    const asked = make(dir, canary) ?? dir
    const store = join(root, `store-${count}`)
    const source = new GitSource({ dir: join(store, 'source'), deadlineMs: 3_000 })
    const before = process.memoryUsage().rss
    const taken = await source.snapshot(asked, { signal }).catch((error: unknown) => error as Error)
    expect(existsSync(canary), 'a command of the repository ran').toBe(false)
    expect(process.memoryUsage().rss - before).toBeLessThan(200_000_000)
    if (taken instanceof Error) {
      expect(files, taken.message).toBeUndefined()
      expect(codeOf(taken), taken.message).toMatch(/^(GIT_FAILED|SOURCE_TOO_LARGE)$/)
      return
    }
    const repo = join(store, 'source', readdirSync(join(store, 'source')).at(-1) as string)
    for await (const chunk of source.pack(taken, [], { signal })) expect(chunk.length).toBeGreaterThan(0)
    if (files !== undefined) expect(git(repo, 'ls-tree', '-r', '--name-only', taken.commit).split('\n').filter(path => !/^(objects|refs)\//.test(path)).sort()).toEqual(files)
    if (warns !== undefined) expect(taken.warnings?.join('\n')).toMatch(warns)
    expect(existsSync(canary), 'a command of the repository ran').toBe(false)
  })

  test.skipIf(asRoot === true && !isRoot)(`is harmless where a stack is named${asRoot === true && !isRoot ? ' (not run: only root can make files of another user)' : ''}`, async () => {
    const { dir, canary } = place(root, ++count)
    const asked = make(dir, canary) ?? dir
    const named = await worktreeStack(asked, { deadlineMs: 3_000 }).catch((error: unknown) => error as Error)
    if (named instanceof Error) expect(codeOf(named), named.message).toMatch(/^STACK_/)
    expect(existsSync(canary), 'a command of the repository ran').toBe(false)
  })
})
