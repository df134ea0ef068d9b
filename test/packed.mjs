/**
 * The packages as a user has them: packed, installed into empty folders without install scripts, used from the command line,
 * from JavaScript and from TypeScript (nodenext and bundler). Needs Node >= 22.13 in PATH; prints what it does.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const work = mkdtempSync(join(tmpdir(), 'elder-packed-'))
const env = { ...process.env, PATH: [dirname(process.execPath), process.env.PATH].join(delimiter) }
const say = text => console.log(`packed: ${text}`)
const run = (command, args, options = {}) => execFileSync(command, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], ...options })
const started = []

/** Starts `npx elder-node join` and resolves with its ready line. */
async function join_ (folder, args, stdin) {
  const child = spawn('npx', ['--no-install', 'elder-node', 'join', '--json', '--dir', join(folder, 'data'), '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', ...args], { cwd: folder, env, stdio: ['pipe', 'pipe', 'inherit'], detached: true })
  started.push(child)
  child.stdin.end(stdin ?? '')
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line)
    assert.equal(event.event, 'ready', line)
    return event
  }
  throw new Error('join ended before it was ready')
}

try {
  mkdirSync(join(work, 'tarballs'))
  run('npm', ['pack', '--workspaces', '--silent', '--pack-destination', join(work, 'tarballs')], { cwd: root })
  const tarballs = run('ls', [join(work, 'tarballs')]).trim().split('\n').map(name => join(work, 'tarballs', name))
  assert.equal(tarballs.length, 3, tarballs.join(' '))

  const first = join(work, 'first')
  const second = join(work, 'second')
  mkdirSync(first)
  writeFileSync(join(first, 'package.json'), '{"private":true,"type":"module"}\n')
  run('npm', ['install', '--silent', '--ignore-scripts', ...tarballs], { cwd: first })
  cpSync(first, second, { recursive: true, verbatimSymlinks: true })
  const lock = JSON.parse(readFileSync(join(first, 'package-lock.json'), 'utf8'))
  const installed = Object.entries(lock.packages).filter(([path]) => path !== '')
  const scripted = installed.filter(([, entry]) => entry.hasInstallScript && !entry.optional).map(([path]) => path)
  assert.deepEqual(scripted, [], 'no package needs an install script')
  assert.equal(installed.filter(([path]) => path.endsWith('node_modules/yjs')).length, 1, 'one copy of yjs')
  say(`${installed.length} packages installed, no install script needed, one yjs`)

  const old = ['/usr/local/bin/node', '/usr/bin/node'].find(path => existsSync(path) && Number(run(path, ['-p', 'process.versions.node.split(".")[0]'])) < 22)
  if (old === undefined) say('skipped: no Node older than 22 on this machine to be refused')
  else {
    const refused = spawnSync(old, ['node_modules/elder-node/bin/elder-node.js', 'join'], { cwd: first, encoding: 'utf8' })
    assert.equal(refused.status, 1)
    assert.equal(refused.stdout, '')
    assert.equal(refused.stderr.trim().split('\n').length, 1, refused.stderr)
    assert.match(refused.stderr, /22\.13/)
    say(`Node ${run(old, ['-v']).trim()} is refused: ${refused.stderr.trim()}`)
  }

  writeFileSync(join(first, 'use.ts'), `
import { createNode, type ElderNode, type BuildEvent } from 'elder-node'
import { Stack, type Entry } from '@elder-node/crdt-stack'
import { decodeRecord, ElderError } from '@elder-node/protocol'
export async function use (): Promise<number> {
  const node: ElderNode = await createNode({ dir: './data' })
  const build = await node.build({ source: '.', command: ['npm', 'test'], outputs: ['dist/**'] })
  for await (const event of build.events) { const e: BuildEvent = event; if (e.event === 'log') console.log(e.data) }
  const { exitCode } = await build.result
  const entries: Entry[] = await (await node.stacks.open('my-repo')).list()
  return exitCode + entries.length
}
export const parts = [Stack, decodeRecord, ElderError]
`)
  const base = { strict: true, noEmit: true, target: 'es2024', skipLibCheck: false, types: [], lib: ['es2024', 'dom', 'esnext.disposable'] }
  for (const [name, module] of [['nodenext', { module: 'nodenext' }], ['bundler', { module: 'esnext', moduleResolution: 'bundler' }]]) {
    writeFileSync(join(first, `tsconfig.${name}.json`), JSON.stringify({ compilerOptions: { ...base, ...module, skipLibCheck: true }, files: ['use.ts'] }))
    run(join(root, 'node_modules/.bin/tsc'), ['-p', `tsconfig.${name}.json`], { cwd: first, stdio: 'inherit' })
  }
  say('types resolve under nodenext and bundler')

  const one = await join_(first, ['--name', 'first', '--slots', '1', '--engine', 'process'])
  const elder = (folder, args, options) => run('npx', ['--no-install', 'elder-node', '--dir', join(folder, 'data'), ...args], { cwd: folder, ...options })
  const { ticket } = JSON.parse(elder(first, ['invite', '--json']))
  const two = await join_(second, ['--name', 'second', '--slots', '0', '--ticket-file', '-'], ticket)
  assert.equal(one.mesh.id, two.mesh.id)
  say('a mesh was founded in one folder and joined from the other')

  const project = join(work, 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'in.txt'), 'hello\n')
  const printed = elder(second, ['build', project, '--json', '--out', 'out.txt', '--', 'sh', '-c', 'tr a-z A-Z < in.txt > out.txt && echo built'])
  const result = printed.trim().split('\n').map(line => JSON.parse(line)).find(event => event.event === 'result')
  assert.equal(result.exitCode, 0, printed)
  assert.equal(result.builder.name, 'first')
  assert.equal(readFileSync(join(project, 'out.txt'), 'utf8'), 'HELLO\n')
  say('a build ran between them and its output came back')

  writeFileSync(join(first, 'use.mjs'), `
import { createNode } from 'elder-node'
const node = await createNode({ dir: './embedded', listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, slots: 0 })
await (await node.stacks.open('my-repo')).add({ kind: 'note', title: 'from JavaScript' })
console.log((await node.stacks.list())[0].entries)
await node.stop()
`)
  assert.equal(run(process.execPath, ['use.mjs'], { cwd: first }).trim(), '1')
  say('embedded from JavaScript, and the process ends by itself after stop()')
} finally {
  for (const child of started) {
    if (child.exitCode === null) try { process.kill(-child.pid, 'SIGTERM') } catch { /* it ended in between */ }
  }
  await Promise.all(started.map(child => child.exitCode !== null || new Promise(resolve => child.once('exit', resolve))))
  rmSync(work, { recursive: true, force: true })
}
console.log('packed: ok')
