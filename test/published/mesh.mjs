/** The installed packages at work on one Node: found a mesh, join it, build, and embed the library. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { binOf, env, run, say, startNode } from './support.mjs'

/** One process that uses all packages and yjs: their classes must be the same everywhere. */
const EMBED = `
import { createNode } from 'elder-node'
import { Stack } from '@elder-node/crdt-stack'
import { ElderError } from '@elder-node/protocol'
import * as Y from 'yjs'
const node = await createNode({ dir: process.argv[2], listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, slots: 0 })
const stack = await node.stacks.open('my-repo')
const { id } = await stack.add({ kind: 'note', title: 'from JavaScript', body: 'one' })
await stack.edit(id, { body: 'one and two' })
const refused = await (await node.stacks.open('nowhere')).list().catch(error => error)
console.log(JSON.stringify({
  entries: (await node.stacks.list())[0].entries, body: (await stack.get(id)).body,
  sameError: refused instanceof ElderError, code: refused.code, stackClass: typeof Stack, yjs: new Y.Doc().constructor === Y.Doc,
}))
await node.stop()
`
/** Prints every file that the process loads. */
const SPY = 'data:text/javascript,import { registerHooks } from "node:module"; registerHooks({ load (url, context, next) { if (url.startsWith("file:")) process.stderr.write("loaded " + url + "\\n"); return next(url, context) } })'

export async function checkMesh (work, [first, second], { node = process.execPath, label }) {
  const data = `data-${label}`
  const elder = (folder, args) => run(node, [binOf(folder), '--dir', join(folder, data), ...args], { cwd: folder })
  const one = await startNode(first, ['--name', 'first', '--slots', '1', '--engine', 'process', '--trust-builds'], { node: [node], data })
  const { ticket } = JSON.parse(elder(first, ['invite', '--json']))
  const two = await startNode(second, ['--name', 'second', '--slots', '0', '--ticket-file', '-'], { node: [node], stdin: ticket, data })
  assert.equal(one.mesh.id, two.mesh.id)

  const project = join(work, `project-${label}`)
  mkdirSync(project)
  writeFileSync(join(project, 'in.txt'), 'hello\n')
  const printed = elder(second, ['build', project, '--json', '--out', 'out.txt', '--', 'sh', '-c', 'tr a-z A-Z < in.txt > out.txt && echo built'])
  const result = printed.trim().split('\n').map(line => JSON.parse(line)).find(event => event.event === 'result')
  assert.equal(result.exitCode, 0, printed)
  assert.equal(result.builder.name, 'first')
  assert.equal(readFileSync(join(project, 'out.txt'), 'utf8'), 'HELLO\n')
  await Promise.all([one.stop(), two.stop()])

  writeFileSync(join(first, 'use.mjs'), EMBED)
  const embedded = spawnSync(node, ['use.mjs', `./embedded-${label}`], { cwd: first, env, encoding: 'utf8' })
  assert.equal(embedded.status, 0, embedded.stderr)
  assert.deepEqual(JSON.parse(embedded.stdout), { entries: 1, body: 'one and two', sameError: true, code: 'NO_SUCH_STACK', stackClass: 'function', yjs: true })
  assert.doesNotMatch(embedded.stderr, /Yjs was already imported/, 'one yjs in the process')
  say(`${label}: a mesh founded and joined, a build between them, embedded with one yjs and one ElderError, ends by itself`)
}

/** Every command but `join` starts without the network stack. */
export function checkLightCli (folder) {
  const { stderr, status } = spawnSync(process.execPath, ['--import', SPY, binOf(folder), 'status', '--help'], { cwd: folder, env, encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  const loaded = [...stderr.matchAll(/^loaded (.*)$/gm)].map(([, url]) => new URL(url))
  const heavy = loaded.filter(url => /createLibp2p|gossipsub/.test(readFileSync(url, 'utf8')))
  assert.ok(loaded.length > 2, 'the spy saw what was loaded')
  assert.deepEqual(heavy.map(String), [], 'the command line loads no libp2p')
  say(`\`status --help\` loads ${loaded.length} files, none of them the network`)
}
