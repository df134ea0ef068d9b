/** SIGKILL in the middle of fetches, commits and pushes: the next start works without a human, and nothing that arrived is lost. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { utf8 } from '@elder-node/protocol'
import { expect, it } from 'vitest'
import { openNativeGit, type Commit } from '../../src/git/index.ts'

const KILLS = 10
const options = { signal: new AbortController().signal }

/** Runs the child until it has pushed once, then kills it a moment later; returns what it said had arrived. */
async function runAndKill (dir: string, url: string, afterMs: number): Promise<string[]> {
  const child = spawn(process.execPath, ['--conditions', 'elder-source', join(import.meta.dirname, 'kill-child.ts'), dir, url], { stdio: ['ignore', 'pipe', 'ignore'] })
  const exited = once(child, 'exit')
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => { said += chunk.toString() })
  const [first] = await Promise.race([once(child.stdout, 'data'), exited])
  if (!(first instanceof Uint8Array)) throw new Error('the child ended before it had pushed')
  await sleep(afterMs)
  child.kill('SIGKILL')
  await exited
  return said.split('\n').filter(line => line.length === 40)
}

it(`works again after each of ${KILLS} kills, and every repository is sound`, { timeout: 60_000 }, async () => {
  const root = mkdtempSync(join(tmpdir(), 'elder-kill-'))
  const [dir, remote] = [join(root, 'cache'), join(root, 'remote.git')]
  execFileSync('git', ['init', '--bare', '--quiet', remote])
  const arrived: string[] = []
  // A prime step walks the kills over the 100 ms that one round of fetch, commit and push takes.
  for (let i = 0; i < KILLS; i++) arrived.push(...await runAndKill(dir, `file://${remote}`, (i * 37) % 100))
  expect(arrived.length).toBeGreaterThanOrEqual(KILLS)
  const git = await openNativeGit({ dir, url: `file://${remote}` }, options)
  const tip = await git.fetchTip(options)
  for (const commit of arrived) expect(await git.isAncestor(commit as Commit, tip as Commit, options)).toBe(true)
  const last = await git.commitTree({ parent: tip, changes: [{ path: 'last', content: utf8('word') }], message: 'after the kills', atMs: 0 }, options)
  expect(await git.push(last, options)).toBe('ok')
  for (const repository of [dir, remote]) execFileSync('git', ['-C', repository, 'fsck', '--strict', '--no-dangling'], { stdio: 'pipe' })
  rmSync(root, { recursive: true, force: true })
})
