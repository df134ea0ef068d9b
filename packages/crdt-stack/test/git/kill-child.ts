/** Commits and pushes without end until it is killed: `kill-child.ts <cache dir> <url> <native or isomorphic>`. Prints each commit that arrived. */
import { openIsomorphicGit, openNativeGit } from '../../src/git/index.ts'

const [dir = '', url = '', kind] = process.argv.slice(2)
const options = { signal: new AbortController().signal }
const git = await (kind === 'isomorphic' ? openIsomorphicGit : openNativeGit)({ dir, url }, options)
for (let i = 0; ; i++) {
  const parent = await git.fetchTip(options)
  const changes = Array.from({ length: 20 }, (_, n) => ({ path: `folder/${process.pid}-${i}-${n}`, content: new Uint8Array(3000).fill(n) }))
  const commit = await git.commitTree({ parent, changes, message: `commit ${i}`, atMs: Date.now() }, options)
  if (await git.push(commit, options) === 'ok') process.stdout.write(`${commit}\n`)
}
