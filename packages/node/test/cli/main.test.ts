import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Desk } from '../support/cli.ts'

const START = fileURLToPath(new URL('../../src/gateway/cli/start.ts', import.meta.url))
const BIN = fileURLToPath(new URL('../../bin/elder-node.js', import.meta.url))

let desk: Desk
beforeAll(async () => { desk = await Desk.open() })
afterAll(async () => { await desk[Symbol.asyncDispose]() })

const COMMANDS = [
  'join', 'invite', 'status', 'devices', 'evict', 'build', 'builds', 'builds logs', 'builds attach', 'builds cancel', 'builds why', 'stack', 'stack list', 'stack add', 'stack show', 'stack edit', 'stack rm',
  'stack digest', 'stack remote', 'stack remote add', 'stack remote list', 'stack remote rm', 'stack sync', 'stack restore', 'stack search', 'stack log', 'stack verify', 'completion', 'demo', 'service', 'service install', 'service status', 'service remove',
]

describe('help', () => {
  test.each(COMMANDS)('%s --help shows examples on stdout', async (command) => {
    const { code, stdout, stderr } = await desk.run([...command.split(' '), '--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain(`Usage: elder-node ${command}`)
    expect(stdout).toContain('Examples:')
  })

  test('the first screen names every command and the exit codes', async () => {
    for (const argv of [['--help'], [], ['help']]) {
      const { code, stdout } = await desk.run(argv)
      expect(code).toBe(0)
      for (const command of COMMANDS) expect(stdout).toContain(command.split(' ')[0])
      expect(stdout).toContain('Exit codes: 0 ok')
    }
  })
})

describe('help <CODE>', () => {
  test('why it comes about and what to do, in 80 columns; with --json as a document', async () => {
    const { code, stdout, stderr } = await desk.run(['help', 'NO_MESH'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^NO_MESH \(error, exit 3\)\n.*belongs to no mesh[^]*\nDo: .*elder-node join/)
    expect(stdout.split('\n').filter(line => line.length > 80)).toEqual([])
    expect((await desk.run(['help', 'POISON', '--json'])).json()).toMatchObject([{ schema: 'elder/help.v1', code: 'POISON', kinds: ['build'], cause: expect.any(String) as string, fix: expect.any(String) as string }])
  })

  test('-v says how to ask for it', async () => {
    const more = 'more: elder-node help NO_SUCH_STACK\n'
    expect((await desk.run(['stack', 'show', 'none', '-v'])).stderr).toContain(more)
    expect((await desk.run(['stack', 'show', 'none'])).stderr).not.toContain(more)
  })

  test('what is no code is an unknown command', async () => {
    const { code, stderr } = await desk.run(['help', 'NO_SUCH_CODE'])
    expect(code).toBe(2)
    expect(stderr).toContain('NO_SUCH_CODE')
  })
})

const LATER = [
  'bench run --peers 3', 'mcp', 'task list', 'lock', 'msg', 'artifact', 'agent', 'pause', 'stop', 'dashboard', 'top',
  'stack recall', 'stack render', 'stack watch', 'stack import', 'stack export',
  'join --from http://x', 'join --recovery-file -', 'stack restore http://x --adopt',
]

test.each(LATER)('%s is refused as not in this version', async (line) => {
  const { code, json } = await desk.run(['--json', ...line.split(' ')])
  expect(code).toBe(2)
  expect(json()[0]).toMatchObject({ schema: 'elder/error.v1', error: { code: 'NOT_IN_THIS_VERSION', fix: expect.stringContaining('--help') } })
})

test.each(['frobnicate', 'status --frob', 'stack frob', 'evict', 'status extra', '--timeout soon status', 'stack add s --kind note', '--frob'])('%s is a usage error with a fix', async (line) => {
  const people = await desk.run(line.split(' '))
  expect({ code: people.code, stdout: people.stdout }).toEqual({ code: 2, stdout: '' })
  expect(people.stderr).toMatch(/^error: .+\nfix: .+\n$/)
  const { code, json } = await desk.run([...line.split(' '), '--json'])
  expect(code).toBe(2)
  expect(json()[0]).toMatchObject({ error: { code: 'USAGE' } })
})

describe('no node', () => {
  test('3 where there is no mesh', async () => {
    const off = new Desk()
    const { code, json } = await off.run(['status', '--json'])
    expect(code).toBe(3)
    expect(json()[0]).toMatchObject({ error: { code: 'NO_MESH', fix: expect.stringContaining('elder-node join') } })
    await off[Symbol.asyncDispose]()
  })

  test('4 where the node does not run', async () => {
    const off = new Desk()
    execFileSync('sh', ['-c', `mkdir -p "${off.dir}/mesh" && touch "${off.dir}/mesh/mesh.cbor"`])
    const { code, stderr, stdout } = await off.run(['status'])
    expect({ code, stdout }).toEqual({ code: 4, stdout: '' })
    expect(stderr).toMatch(/is not running\nfix: elder-node join\n$/)
    expect((await off.run(['status', '--dir', off.dir], { env: { ELDER_NODE_DIR: '' } })).stderr).toContain(`fix: elder-node join --dir ${off.dir}\n`)
    await off[Symbol.asyncDispose]()
  })
})

test('a command loads no libp2p, no yjs and no node', () => {
  const hook = `data:text/javascript,import{registerHooks}from'node:module';registerHooks({load(u,c,n){process.stderr.write('LOAD '+u+'\\n');return n(u,c)}})`
  const run = spawnSync(process.execPath, ['--import', hook, '-C', 'elder-source', '--input-type=module', '-e', `import('${START}').then((cli) => cli.start(['status', '--help']))`], { encoding: 'utf8' })
  const loaded = run.stderr.split('\n').filter((line) => line.startsWith('LOAD '))
  expect(run.status).toBe(0)
  expect(loaded.some((line) => line.endsWith('gateway/cli/commands/status.ts'))).toBe(true)
  expect(loaded.filter((line) => /libp2p|yjs|\/pino\/|commands\/join/.test(line))).toEqual([])
})

const old = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => existsSync(path) && /^v(1\d|20|21)\./.test(execFileSync(path, ['--version'], { encoding: 'utf8' })))
if (old === undefined) console.info('skipped: no Node older than 22 on this machine, so the bin shim cannot be shown to refuse it')
test.skipIf(old === undefined)('the bin refuses an old Node in one line that names the remedy', () => {
  const { status, stdout, stderr } = spawnSync(old ?? '', [BIN, 'status'], { encoding: 'utf8' })
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toMatch(/^elder-node: needs Node 22\.13 or newer, this is \d+\..*npx -y -p node@24 -p elder-node elder-node status\n$/)
})

test('in a folder that was removed below it a command works', () => {
  const script = join(desk.dir, 'start.mjs')
  writeFileSync(script, `import { start } from ${JSON.stringify(START)}; await start(['--version'])`)
  const gone = spawnSync('sh', ['-c', `d=$(mktemp -d) && cd "$d" && rmdir "$d" && "${process.execPath}" -C elder-source "${script}"`], { encoding: 'utf8' })
  expect({ status: gone.status, stdout: gone.stdout }).toEqual({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string })
})
