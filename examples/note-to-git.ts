/**
 * Writes a decision, mirrors it to a git remote as Markdown, destroys the device, and brings the memory back from the remote alone.
 *
 *     node examples/note-to-git.ts [git url]
 */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createNode } from 'elder-node'

const work = await mkdtemp(join(tmpdir(), 'elder-example-'))
const url = process.argv[2] ?? join(work, 'remote.git')
if (process.argv[2] === undefined) execFileSync('git', ['init', '--quiet', '--bare', url])

const options = { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, slots: 0 }
let node = await createNode({ dir: join(work, 'first'), name: 'laptop', ...options })
try {
  const stack = await node.stacks.open('my-repo')
  await stack.add({ kind: 'decision', title: 'auth tokens are PASETO', body: 'because nobody can pick a weak algorithm\n' })
  await node.stacks.addRemote('my-repo', url)
  await node.stacks.sync('my-repo')
  const before = await stack.digest()
  console.log(`written and mirrored, digest ${before.digest}`)

  await node.stop()
  await rm(join(work, 'first'), { recursive: true })
  console.log('the device and its data are gone')

  node = await createNode({ dir: join(work, 'second'), name: 'new-laptop', ...options })
  const [restored] = await node.stacks.restore(url)
  console.log(`restored from the remote alone, digest ${restored?.digest}`)
  const [entry] = await (await node.stacks.open('my-repo')).list()
  console.log(`${entry?.kind}: ${entry?.title}`)
  if (restored?.digest !== before.digest) process.exitCode = 1
} finally {
  await node.stop()
  await rm(work, { recursive: true, force: true })
}
