/**
 * Builds a folder on the nearest free device of a mesh.
 *
 *     node examples/build-on-nearest.ts [folder]
 *
 * Two nodes in one process stand for two devices: a laptop that lends nothing and a mini PC with two build slots.
 * `engine: 'process'` has no isolation: the owner of the mini PC opts in to it here, and trusts every
 * build with what an admin device may do.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createNode } from 'elder-node'

const work = await mkdtemp(join(tmpdir(), 'elder-example-'))
const listen = ['/ip4/127.0.0.1/tcp/0']

const mini = await createNode({ dir: join(work, 'mini'), name: 'mini', listen, mdns: false, slots: 2, engine: 'process', trustBuilds: true })
const { ticket } = await mini.invite()
const laptop = await createNode({ dir: join(work, 'laptop'), name: 'laptop', listen, mdns: false, slots: 0, ticket })

try {
  const build = await laptop.build({
    source: process.argv[2] ?? import.meta.dirname,
    command: ['sh', '-c', 'ls | wc -l > count.txt && echo "counted on $(uname -m)"'],
    outputs: ['**/count.txt'],
    to: join(work, 'out'),
  })
  for await (const event of build.events) {
    if (event.event === 'elected') console.log(`elected ${event.builder.name}: ${event.why}`)
    if (event.event === 'log') process.stdout.write(event.data)
  }
  const { exitCode, builder, outputs } = await build.result
  console.log(`exit ${exitCode} on ${builder?.name}, outputs: ${outputs.map(file => `${file.path} (${file.bytes} B)`).join(', ')}`)
  process.exitCode = exitCode
} finally {
  await laptop.stop()
  await mini.stop()
  await rm(work, { recursive: true, force: true })
}
