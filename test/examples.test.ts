/** Each example runs as its own header says: a process of its own, the packages as they are built. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = (name: string): Promise<{ stdout: string }> => promisify(execFile)(process.execPath, [`examples/${name}`], { timeout: 50_000 })

test('build-on-nearest', async () => {
  const { stdout } = await run('build-on-nearest.ts')
  expect(stdout).toMatch(/elected mini: .*\n/)
  expect(stdout).toMatch(/counted on \w+/)
  expect(stdout).toMatch(/exit 0 on mini, outputs: \S*count\.txt \(\d+ B\)/)
})

test('note-to-git', async () => {
  const { stdout } = await run('note-to-git.ts')
  const [written, restored] = [...stdout.matchAll(/digest (\w{52})/g)].map(match => match[1])
  expect(written).toBeDefined()
  expect(restored).toBe(written)
  expect(stdout).toContain('decision: auth tokens are PASETO')
})
