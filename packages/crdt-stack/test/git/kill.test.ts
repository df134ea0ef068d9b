/** SIGKILL in the middle of fetches, commits and pushes: the next start works without a human, and nothing that arrived is lost. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { utf8 } from '@elder-node/protocol'
import { describe, expect, it } from 'vitest'
import { openIsomorphicGit, openNativeGit, serveGit, type Commit } from '../../src/git/index.ts'

const KILLS = 10
const options = { signal: new AbortController().signal }

/** Runs the child until it has pushed once and writes again, then kills it a moment later; returns what it said had arrived. */
async function runAndKill (dir: string, url: string, kind: string, afterMs: number): Promise<string[]> {
  const child = spawn(process.execPath, ['--conditions', 'elder-source', join(import.meta.dirname, 'kill-child.ts'), dir, url, kind], { stdio: ['ignore', 'pipe', 'ignore'] })
  const exited = once(child, 'exit')
  let said = ''
  const again = new Promise<void>(resolve => {
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (/[0-9a-f]{40}\nwriting\n/.test(said)) resolve()
    })
  })
  await Promise.race([again, exited.then(() => { throw new Error(`the child ended before it had pushed: ${said}`) })])
  await sleep(afterMs)
  child.kill('SIGKILL')
  await exited
  return said.split('\n').filter(line => /^[0-9a-f]{40}$/.test(line))
}

describe.concurrent.each([
  { kind: 'native', open: openNativeGit, remote: async (root: string) => ({ url: `file://${bare(root)}`, close: async () => {} }) },
  { kind: 'isomorphic', open: openIsomorphicGit, remote: async (root: string) => {
    const server = await serveGit({ root })
    return { url: await server.create('remote.git'), close: () => server.close() }
  } },
])('$kind git', ({ kind, open, remote }) => {
  it(`works again after each of ${KILLS} kills, and every repository is sound`, { timeout: 60_000 }, async () => {
    const root = mkdtempSync(join(tmpdir(), 'elder-kill-'))
    const dir = join(root, 'cache')
    const { url, close } = await remote(root)
    const arrived: string[] = []
    // Half of the kills fall into the writing of a commit, half anywhere in the round of commit, push and fetch.
    for (let i = 0; i < KILLS; i++) {
      arrived.push(...await runAndKill(dir, url, kind, i % 2 === 0 ? i : (i * 37) % 100))
      // As the kill left it, before any start could mend it: native git may leave it torn, it checks at the next start.
      if (kind === 'isomorphic') execFileSync('git', ['-C', dir, 'fsck', '--strict', '--no-dangling'], { stdio: 'pipe' })
    }
    expect(arrived.length).toBeGreaterThanOrEqual(KILLS)
    const git = await open({ dir, url }, options)
    // The git of the last killed child may still be pushing: a rejection means, as ever, to look again.
    for (let pushed = 'rejected'; pushed === 'rejected';) {
      const tip = await git.fetchTip(options)
      for (const commit of arrived) expect(await git.isAncestor(commit as Commit, tip as Commit, options)).toBe(true)
      const last = await git.commitTree({ parent: tip, changes: [{ path: 'last', content: utf8('word') }], message: 'after the kills', atMs: 0 }, options)
      pushed = await git.push(last, options)
    }
    await git.close()
    // Native git is a process of its own: the last one may have outlived its node into this start, and then left a pack that the next start sweeps.
    const litter = kind === 'native' ? /\.new$|\.lock$/ : /\.new$|\.lock$|tmp_/
    expect((readdirSync(dir, { recursive: true }) as string[]).filter(name => litter.test(name))).toEqual([])
    for (const repository of [dir, join(root, 'remote.git')]) execFileSync('git', ['-C', repository, 'fsck', '--strict', '--no-dangling'], { stdio: 'pipe' })
    await close()
    rmSync(root, { recursive: true, force: true })
  })
})

function bare (root: string): string {
  execFileSync('git', ['init', '--bare', '--quiet', join(root, 'remote.git')])
  return join(root, 'remote.git')
}
