import { execFile } from 'node:child_process'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ElderError } from '@elder-node/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { JoinInit } from '../../src/gateway/cli/node-factory.ts'
import { Desk } from '../support/cli.ts'
import type { Ran, RunOptions } from '../support/cli.ts'
import { eventually } from '../support/eventually.ts'

let desk: Desk
const inits: JoinInit[] = []
beforeEach(() => { desk = new Desk(); inits.length = 0 })
afterEach(async () => { await desk[Symbol.asyncDispose]() })

const until = (ready: string): NonNullable<RunOptions['onStart']> => (interrupt, out) => { void eventually(() => { expect(out.stdout()).toContain(ready) }).then(() => { interrupt() }) }
const nodeFactory = async (init: JoinInit): Promise<Desk['node']> => { inits.push(init); return desk.node }

test('the first JSON line is ready; a signal stops the node and the exit code is 0', async () => {
  const { code, json } = await desk.run(['join', '--json'], { nodeFactory, onStart: until('ready') })
  expect(code).toBe(0)
  expect(json()[0]).toEqual({
    schema: 'elder/join.v1', event: 'ready', device: { id: desk.node.device.id, name: 'laptop' }, mesh: { id: desk.node.mesh.id, name: 'bramble' }, addresses: ['/ip4/127.0.0.1/tcp/4410/p2p/x'],
  })
  expect(desk.node.stopped).toBe(true)
})

test('people are told what was founded, where it listens, and how to go on', async () => {
  const { stdout } = await desk.run(['join'], { nodeFactory, onStart: until('Stop') })
  expect(stdout).toMatch(/^founded mesh bramble as laptop\n {2}\/ip4\/127\.0\.0\.1\/tcp\/4410\/p2p\/x\nTakes 2 builds at once, engine process: NO isolation.*\nRecovery text.*\n {2}elder-recovery1abc\n.*elder-node invite/)
})

test('every flag reaches the node', async () => {
  await desk.run(['join', '--name', 'pi', '--listen', '/ip4/127.0.0.1/tcp/0', '--listen', '/ip6/::1/tcp/0', '--announce', '/ip4/10.0.0.1/tcp/1', '--slots', '0', '--engine', 'process', '--no-mdns', '--timeout', '5s', '--ticket-file', '-'], { stdin: 'elder1abc\n', nodeFactory, onStart: until('Stop') })
  expect(inits[0]).toMatchObject({ dir: desk.dir, ticket: 'elder1abc', name: 'pi', listen: ['/ip4/127.0.0.1/tcp/0', '/ip6/::1/tcp/0'], announce: ['/ip4/10.0.0.1/tcp/1'], slots: 0, engine: 'process', mdns: false, timeoutMs: 5000 })
})

test('what join was told stays: its flags are settings from then on', async () => {
  const given = ['--slots', '2', '--engine', 'process', '--trust-builds', '--name', 'My mini', '--no-mdns']
  const places = ['--listen', '/ip4/127.0.0.1/tcp/0', '--announce', '/dns4/a.example/tcp/1', '--announce', '/ip4/10.0.0.1/tcp/1']
  await desk.run(['join', ...given, ...places, '--relay', 'off'], { nodeFactory, onStart: until('Stop') })
  const settings = async (): Promise<Record<string, unknown>> => {
    const [list] = (await desk.run(['config', 'list', '--json'])).json() as [{ settings: Array<Record<string, unknown>> }]
    return Object.fromEntries(list.settings.filter(({ source }) => source === 'file').map(({ key, value }) => [key, value]))
  }
  const kept = {
    slots: 2, engine: 'process', 'build.trust': true, name: 'my-mini', mdns: false, relay: 'off',
    listen: ['/ip4/127.0.0.1/tcp/0'], announce: ['/dns4/a.example/tcp/1', '/ip4/10.0.0.1/tcp/1'],
  }
  expect(await settings()).toEqual(kept)
  await desk.run(['join'], { nodeFactory, onStart: until('Stop') })
  expect(await settings()).toEqual(kept)
  await desk.run(['join', '--slots', '1'], { nodeFactory, onStart: until('Stop') })
  expect(await settings()).toEqual({ ...kept, slots: 1 })
})

test('a start that fails keeps no flag', async () => {
  await desk.run(['join', '--slots', '2'], { nodeFactory: async () => { throw new ElderError('LOCKED', 'why', 'the fix') } })
  expect((await desk.run(['config', 'get', 'slots', '--json'])).json()[0]).toMatchObject({ source: 'default' })
})

test('60 s for the admission; what no flag says is left to the settings', async () => {
  await desk.run(['join', 'elder1word'], { nodeFactory, onStart: until('Stop') })
  expect(inits[0]).toMatchObject({ ticket: 'elder1word', timeoutMs: 60_000 })
  expect(inits[0]).not.toHaveProperty('slots')
  expect(inits[0]).not.toHaveProperty('mdns')
})

test('a device that is told it is out exits 1 with EVICTED', async () => {
  desk.node.evicted = Promise.resolve(new ElderError('EVICTED', 'an admin removed this device', 'Join with a new data directory.'))
  const { code, json } = await desk.run(['join', '--json'], { nodeFactory })
  expect(code).toBe(1)
  expect(json().at(-1)).toMatchObject({ error: { code: 'EVICTED' } })
  expect(desk.node.stopped).toBe(true)
})

/** Once the node is ready: what nobody caught, then, for a node that goes on, Ctrl-C. */
const faulty = (error: Error): NonNullable<RunOptions['onStart']> => (interrupt, out, fault) => {
  void eventually(() => { expect(out.stdout()).toContain('ready') }).then(() => { fault(error); setImmediate(interrupt) })
}

test('a stream of the network that breaks where nobody waits does not end the node', async () => {
  const { code, json } = await desk.run(['join', '--json'], { nodeFactory, onStart: faulty(Object.assign(new Error('stream reset'), { name: 'StreamResetError' })) })
  expect(code).toBe(0)
  expect(json()).toHaveLength(1)
  expect(readFileSync(join(desk.dir, 'node.log'), 'utf8')).toContain('stream reset')
})

test.each([
  ['as a code', Object.assign(new Error('open EMFILE'), { code: 'EMFILE' })],
  ['as a number that Node has no name for', Object.assign(new Error('system error 24'), { code: 'ERR_SYSTEM_ERROR', info: { errno: 24 } })],
])('a lack of file descriptors, told %s, is logged and the node goes on', async (_how, fault) => {
  const { code } = await desk.run(['join', '--json'], { nodeFactory, onStart: faulty(fault) })
  expect(code).toBe(0)
  expect(readFileSync(join(desk.dir, 'node.log'), 'utf8')).toContain('no file descriptor left')
})

test('any other fault ends it, stopped in order, with exit code 1', async () => {
  const { code, json } = await desk.run(['join', '--json'], { nodeFactory, onStart: faulty(new TypeError('x is undefined')) })
  expect(code).toBe(1)
  expect(json().at(-1)).toMatchObject({ error: { code: 'CRASHED', message: expect.stringContaining('x is undefined') as string } })
  expect(desk.node.stopped).toBe(true)
})

test('faults of the process reach the guard: errors and rejections', async () => {
  const script = `import { processIo } from ${JSON.stringify(join(import.meta.dirname, '../../src/gateway/cli/io.ts'))}
    processIo(() => {}).onFault(fault => { console.log(fault.message) })
    setImmediate(() => { throw new Error('thrown') })
    void Promise.reject(new Error('rejected'))`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
  expect(stdout.trim().split('\n').sort()).toEqual(['rejected', 'thrown'])
})

test.each([
  ['ADMISSION_TIMEOUT', 6], ['PORT_IN_USE', 1], ['KEY_READABLE', 1], ['LOCKED', 1], ['EVICTED', 1],
])('%s surfaces with its fix, exit %i', async (code, exit) => {
  const ran = await desk.run(['join', '--json'], { nodeFactory: async () => { throw new ElderError(code, 'why', 'the fix') } })
  expect(ran.code).toBe(exit)
  expect(ran.json()[0]).toMatchObject({ error: { code, message: 'why', fix: 'the fix' } })
})

/** Two interrupts while the node hangs in its admission. */
const twice = async (laterMs: number): Promise<Ran> => await desk.run(['join'], {
  nodeFactory: ({ signal }) => new Promise((_resolve, reject) => { if (laterMs < 250) signal?.addEventListener('abort', () => setImmediate(() => reject(signal.reason))) }),
  onStart: (interrupt) => { void eventually(() => { expect(readFileSync(join(desk.dir, 'node.log'))).toBeDefined() }).then(() => { interrupt(); interrupt(laterMs) }) },
})

test('the second Ctrl-C leaves at once, even while the node hangs', async () => {
  expect(await twice(1000)).toMatchObject({ code: 130, stderr: '' })
})

test('one Ctrl-C that npm passes on a second time is one', async () => {
  expect(await twice(50)).toMatchObject({ code: 130, stderr: expect.stringContaining('stopped before this device was in a mesh') })
})

test('what is not a ticket is refused before anything starts', async () => {
  const { code, stderr } = await desk.run(['join', '--ticket-file', '-'], { stdin: 'hello', nodeFactory })
  expect({ code, started: inits.length }).toEqual({ code: 1, started: 0 })
  expect(stderr).toContain('fix: elder-node invite')
  expect((await desk.run(['join', 'elder1a', '--ticket-file', '-'], { nodeFactory })).code).toBe(2)
})

test.each([
  ['quotes', '"elder1abc234"\n'], ['line breaks of a mail', 'elder1ab\n  c2\r\n34\n'], ['the whole command', 'npx elder-node join elder1abc234 --name pi'], ['the document of invite --json', '{"schema":"elder/invite.v1","ticket":"elder1abc234","role":"builder"}'],
])('a ticket is found in %s', async (_what, stdin) => {
  await desk.run(['join', '--ticket-file', '-'], { stdin, nodeFactory, onStart: until('Stop') })
  expect(inits[0]).toMatchObject({ ticket: 'elder1abc234' })
})

test('a recovery text is not mistaken for a ticket, and a missing file is named', async () => {
  const { stderr } = await desk.run(['join', '--ticket-file', '-'], { stdin: 'elder-recovery1abc', nodeFactory })
  expect(stderr).toContain('that is a recovery text, not a ticket')
  expect((await desk.run(['join', '--ticket-file', 'nowhere.txt', '--json'], { nodeFactory })).json()[0]).toMatchObject({ error: { code: 'NO_SUCH_FILE', message: expect.stringContaining('nowhere.txt') } })
})

test('--save-recovery writes a private file and never overwrites one', async () => {
  const path = join(desk.dir, 'recovery.txt')
  const { stdout } = await desk.run(['join', '--save-recovery', path], { nodeFactory, onStart: until('Stop') })
  expect(stdout).not.toContain('elder-recovery1abc')
  expect(readFileSync(path, 'utf8')).toBe('elder-recovery1abc\n')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  writeFileSync(path, 'keep')
  expect((await desk.run(['join', '--save-recovery', path, '--json'], { nodeFactory })).json()[0]).toMatchObject({ error: { code: 'FILE_EXISTS' } })
  expect(readFileSync(path, 'utf8')).toBe('keep')
})

test('a ticket with spaces in it, as a terminal breaks it, is one ticket', async () => {
  await desk.run(['join', 'elder1ab', 'cd', 'ef'], { nodeFactory, onStart: until('Stop') })
  expect(inits[0]).toMatchObject({ ticket: 'elder1abcdef' })
})

test('words that are no ticket are not repeated: they may be half of one', async () => {
  const { code, stderr } = await desk.run(['join', 'secretab', 'cdefgh'], { nodeFactory })
  expect(code).toBe(1)
  expect(stderr).not.toContain('cdefgh')
})

test('at the prompt a line that is no ticket is said, and forgotten', async () => {
  const { stderr } = await desk.run(['join', '--ticket-file', '-'], { stdin: ['what now?\n', 'elder1', 'abc\n'], tty: { columns: 80, rows: 24 }, nodeFactory, onStart: until('Stop') })
  expect(stderr).toContain('That is no ticket')
  expect(inits[0]).toMatchObject({ ticket: 'elder1abc' })
})

test('a device that is back with another --name is told that it keeps its own', async () => {
  desk.node.joined = 'returned'
  expect((await desk.run(['join', '--name', 'mini'], { nodeFactory, onStart: until('Stop') })).stderr).toContain('keeps the name it joined with, laptop')
  expect((await desk.run(['join', '--name', 'Laptop'], { nodeFactory, onStart: until('Stop') })).stderr).not.toContain('keeps the name')
})

test('a data directory that cannot be one says why, before anything is loaded', async () => {
  writeFileSync(join(desk.dir, 'file'), '')
  for (const path of ['file', 'file/below']) {
    const { code, stderr } = await desk.run(['join', '--dir', path], { nodeFactory })
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringMatching(/a file is where a folder should be\nfix: Choose another path with --dir\.\n$/) })
  }
  expect(inits).toEqual([])
})
