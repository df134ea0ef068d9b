/**
 * Commits and pushes without end until it is killed: `kill-child.ts <cache dir> <url> <native or isomorphic>`. Prints each commit that
 * arrived, `writing` before each that it begins to write, and what failed.
 */
import { randomBytes } from 'node:crypto'
import { flushCompileCache } from 'node:module'
import { openIsomorphicGit, openNativeGit } from '../../src/git/index.ts'

// Node writes its compile cache at an exit, and this process has none.
flushCompileCache()
const [dir = '', url = '', kind] = process.argv.slice(2)
const options = { signal: new AbortController().signal }
const git = await (kind === 'isomorphic' ? openIsomorphicGit : openNativeGit)({ dir, url }, options)
for (let i = 0; ; i++) await round(i).catch((error: unknown) => { process.stdout.write(`failed: ${(error as Error).message.slice(0, 300)}\n`) })

/** As the mirror does: what fails is tried again. The push of a child that was killed may still hold a lock of the remote. */
async function round (i: number): Promise<void> {
  const parent = await git.fetchTip(options)
  const changes = Array.from({ length: 40 }, (_, n) => ({ path: `folder/${n}`, content: new Uint8Array(randomBytes(3000)) }))
  process.stdout.write('writing\n')
  const commit = await git.commitTree({ parent, changes, message: `commit ${i}`, atMs: Date.now() }, options)
  if (await git.push(commit, options) === 'ok') process.stdout.write(`${commit}\n`)
}
