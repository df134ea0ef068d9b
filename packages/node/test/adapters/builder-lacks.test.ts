/** What a builder lacks, asked where its node runs. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { builderLacks, lackProblem } from '../../src/adapters/builder-lacks.ts'
import type { Engine } from '../../src/ports/engine.ts'

const engineThat = (check: () => Promise<void>): Engine => ({ check }) as unknown as Engine
const works = engineThat(async () => {})

test('nothing, where git and the engine work', async () => { expect(await builderLacks(works)).toBeUndefined() })

test('git, where the PATH of the node has none: no slots, and the way out names git', async () => {
  const empty = mkdtempSync(join(tmpdir(), 'elder-path-'))
  vi.stubEnv('PATH', empty)
  onTestFinished(() => {
    vi.unstubAllEnvs()
    rmSync(empty, { recursive: true })
  })
  const lacks = await builderLacks(works)
  expect(lacks).toBe('no working git in the PATH of its node')
  expect(lackProblem(lacks as string)).toMatchObject({ code: 'GIT_MISSING', message: expect.stringContaining('no build slots') as string, fix: expect.stringContaining('Install git') as string })
})

test('an engine that does not work, in its own words', async () => {
  const lacks = await builderLacks(engineThat(async () => { throw new Error('bwrap is gone') }))
  expect(lacks).toBe('bwrap is gone')
  expect(lackProblem(lacks as string)).toMatchObject({ code: 'ENGINE_UNAVAILABLE', message: expect.stringContaining('bwrap is gone') as string })
})
