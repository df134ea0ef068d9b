/** A device on which no git is installed: its node mirrors a note over HTTP, and another brings it back from the remote alone. */
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { folder, remote } from '../../../crdt-stack/test/mirror/support.ts'

const run = promisify(execFile)

/** A node in a process that finds nothing on its PATH. */
async function withoutGit<T> (home: string, ...args: string[]): Promise<T> {
  const empty = join(home, 'bin')
  mkdirSync(empty, { recursive: true })
  const { stdout } = await run(process.execPath, ['--conditions', 'elder-source', join(import.meta.dirname, 'no-git-child.ts'), ...args], { env: { ...process.env, HOME: home, PATH: empty } })
  return JSON.parse(stdout) as T
}

it('mirrors a note and restores it; a remote that needs git is named with the remedy', { timeout: 60_000 }, async () => {
  const { url, dir } = await remote({ auth: { user: 'elder', password: 's3cret' } })
  const [home, local, ssh] = [folder(), join(folder(), 'local.git'), 'ssh://127.0.0.1:9/memory.git']
  writeFileSync(join(home, '.git-credentials'), `${url.replace('://', '://elder:s3cret@')}\n`)
  const written = await withoutGit<{ digest: string, report: Array<{ url: string, ok: boolean, message: string | null }>, logged: string[], refused: string }>(home, join(folder(), 'first'), 'write', url, ssh, local)
  expect(written.report).toMatchObject([{ url, ok: true }, { url: ssh, ok: false, message: expect.stringContaining('needs git, which is not installed') }])
  expect(written.refused).toContain('needs git, which is not installed')
  expect(written.logged.filter(line => line.startsWith('git is not installed'))).toHaveLength(1)
  const paths = execFileSync('git', ['-C', dir, 'ls-tree', '-r', '--name-only', 'elder/memory'], { encoding: 'utf8' })
  expect(paths).toMatch(/^stacks\/notes\/entries\/note\/.+\.md$/m)
  execFileSync('git', ['-C', dir, 'fsck', '--strict', '--no-dangling'], { stdio: 'pipe' })
  const restored = await withoutGit<{ digest: string, titles: string[] }>(home, join(folder(), 'second'), 'restore', url)
  expect(restored).toEqual({ digest: written.digest, titles: ['written without git'] })
})
