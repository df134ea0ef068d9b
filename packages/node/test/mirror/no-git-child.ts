/**
 * A life of a node: `no-git-child.ts <data dir> write <url> [a remote that needs git] [a folder]` writes a note and mirrors it, `restore <url>`
 * brings it back. Prints one JSON line.
 */
import { createNode } from '../../src/node.ts'

const [dir = '', what, url = '', other, path] = process.argv.slice(2)
const logged: string[] = []
const keep = (fields: object | string, message?: string): void => { logged.push(message ?? String(fields)) }
const node = await createNode({ dir, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, engine: 'none', log: { debug: keep, info: keep, warn: keep, error: keep } })
try {
  const stack = await node.stacks.open('notes')
  if (what === 'write') {
    await stack.add({ kind: 'note', title: 'written without git', body: 'the body\n' })
    for (const remote of [url, other]) if (remote !== undefined) await node.stacks.addRemote('notes', remote)
    const refused = path === undefined ? undefined : await node.stacks.addRemote('notes', path).then(() => undefined, (error: unknown) => error as Error)
    const report = await node.stacks.sync('notes')
    console.log(JSON.stringify({ ...await stack.digest(), report, logged, refused: refused?.message }))
  } else {
    const [restored] = await node.stacks.restore(url)
    console.log(JSON.stringify({ digest: restored?.digest, titles: (await stack.list()).map(({ title }) => title) }))
  }
} finally {
  await node.stop()
}
