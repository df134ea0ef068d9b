/** Every command of the README's `sh` blocks, typed as it stands there, with real nodes; only where it listens and the git remote are the test's. */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { rootName } from '../packages/node/src/adapters/engine-process/trees.ts'
import { BIN } from './support/bin.ts'

const README = readFileSync(fileURLToPath(new URL('../README.md', import.meta.url)), 'utf8')
/** `npx elder-node` is this checkout's. */
const PRELUDE = `npx () { shift; exec "${process.execPath}" "${BIN}" "$@"; }\n`
/** Ten times what a command takes on two busy cores. */
const ANSWER_MS = 45_000

const temp = mkdtempSync(join(tmpdir(), 'elder-readme-'))
const project = join(temp, 'my-project')
const ends: Array<() => Promise<void>> = []
afterAll(async () => {
  for (const end of ends) await end()
  rmSync(temp, { recursive: true, force: true })
})

/** The lines of the n-th `sh` block that names the command. */
function block (index: number): string[] {
  const all = [...README.matchAll(/```sh\n(.*?)```/gs)].map(([, text]) => text ?? '').filter((text) => text.includes('npx elder-node'))
  return (all[index] ?? '').split('\n').filter((line) => line.trim() !== '')
}

class Typed {
  readonly process: ChildProcess
  readonly ended: Promise<number | null>
  stdout = ''
  stderr = ''

  constructor (line: string, dir: string) {
    const { ELDER_AGENT: _agent, FORCE_COLOR: _color, NODE_OPTIONS: _options, ...env } = process.env
    this.process = spawn('bash', ['-c', PRELUDE + line], { cwd: project, stdio: ['ignore', 'pipe', 'pipe'], env: { ...env, HOME: temp, ELDER_NODE_DIR: dir, NO_COLOR: '1' } })
    this.process.stdout?.on('data', (text: Buffer) => { this.stdout += String(text) })
    this.process.stderr?.on('data', (text: Buffer) => { this.stderr += String(text) })
    this.ended = new Promise((resolve) => { this.process.once('close', (code) => resolve(code)) })
  }
}

/** Types a line; a `join` is left running, anything else must end with 0. */
async function type (line: string, dir: string): Promise<Typed> {
  if (!line.startsWith('npx elder-node join')) {
    const typed = new Typed(line, dir)
    expect(await typed.ended, `${line}\n${typed.stdout}${typed.stderr}`).toBe(0)
    return typed
  }
  const node = new Typed(`${line.replace(/\s+#.*/, '')} --listen /ip4/127.0.0.1/tcp/0 --no-mdns`, dir)
  ends.push(async () => {
    node.process.kill('SIGTERM')
    await node.ended
    // Build trees live outside of the data directory, under a name made of it.
    for (const parent of ['/var/lib/elder-node', join(tmpdir(), `elder-node-${process.getuid?.() ?? 0}`)]) rmSync(join(parent, rootName(dir)), { recursive: true, force: true })
  })
  await expect.poll(() => node.stdout, { timeout: ANSWER_MS, message: `${line}: ${node.stderr}` }).toContain('Stop: Ctrl-C')
  return node
}

test('the first screen: found, invite, build; and the status it shows is the status there is', async () => {
  mkdirSync(project, { recursive: true })
  writeFileSync(join(project, '.gitignore'), 'node_modules\ndist\nticket.txt\n')
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'my-project', version: '1.0.0', scripts: { test: 'echo tested', build: 'mkdir -p dist && echo built > dist/out.txt' } }))
  writeFileSync(join(project, 'package-lock.json'), JSON.stringify({ name: 'my-project', version: '1.0.0', lockfileVersion: 3, requires: true, packages: { '': { name: 'my-project', version: '1.0.0' } } }))
  execFileSync('git', ['init', '-q', project])

  const dir = join(temp, 'first')
  const typed: Typed[] = []
  for (const line of block(0)) typed.push(await type(line, dir))
  expect(typed[1]?.stdout).toMatch(/^elder1[a-z2-7]+\n$/)
  expect(typed[1]?.stderr).toContain('npx elder-node join --ticket-file -')
  expect(typed[2]?.stdout).toContain('tested')

  const shown = /\$ elder-node status\n(.*?)```/s.exec(README)?.[1]?.split('\n') ?? []
  const real = (await type('npx elder-node status', dir)).stdout.split('\n')
  expect(shown[0]?.replace(/\S+/, '')).toMatch(/ \S+ {3}\d+ of \d+ devices online {3}here: \S+ {3}v\d/)
  expect(real[0]).toMatch(/^mesh \S+ {3}1 of 1 devices online {3}here: \S+ {3}v\d/)
  expect(shown[1]?.split(/\s+/)).toEqual(real[1]?.split(/\s+/))
  expect(shown.every((line) => line.length <= 80)).toBe(true)
}, 120_000)

test('two devices in five minutes', async () => {
  const remote = join(temp, 'memory.git')
  execFileSync('git', ['init', '-q', '--bare', remote])
  const typed = new Map<string, Typed>()
  let dir = ''
  for (const line of block(1).map((text) => text.replace(/https:\/\/git\.example\.org\S+/, remote))) {
    const device = /^# on the (first|second) device/.exec(line)?.[1]
    if (device !== undefined) dir = join(temp, `${device}-of-two`)
    if (!line.startsWith('#')) typed.set(line.split(' ').slice(2, 4).join(' '), await type(line, dir))
  }
  expect(typed.get('status')?.stdout).toContain('2 of 2 devices online')
  expect(readFileSync(join(project, 'dist', 'out.txt'), 'utf8')).toBe('built\n')
  expect(typed.get('builds')?.stdout).toMatch(/done\s+mini/)
  expect(typed.get('stack sync')?.stdout).toMatch(/^ok {2}my-project/)
  expect(typed.get('stack show')?.stdout).toContain('auth tokens are PASETO')
  expect(execFileSync('git', ['-C', remote, 'ls-tree', '-r', '--name-only', 'elder/memory'], { encoding: 'utf8' })).toMatch(/stacks\/my-project\/entries\/decision\/\w+\.md/)
}, 180_000)

test('files that the README points at are there', () => {
  const links = [...README.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, path]) => path ?? '')
  expect(links.length).toBeGreaterThan(4)
  expect(links.filter((path) => !existsSync(fileURLToPath(new URL(`../${path}`, import.meta.url))))).toEqual([])
})
