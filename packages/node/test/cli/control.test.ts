import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { CONTROL_LIMITS, ElderError } from '@elder-node/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ControlClient } from '../../src/gateway/control-client.ts'
import { serveControl } from '../../src/gateway/control-server.ts'
import { locate } from '../../src/gateway/location.ts'
import { Desk } from '../support/cli.ts'
import { FakeNode, untilCancelled } from '../support/fake-node.ts'
import { eventually } from '../support/eventually.ts'

let desk: Desk
beforeEach(async () => { desk = await Desk.open() })
afterEach(async () => { await desk[Symbol.asyncDispose]() })
const signal = (): AbortSignal => AbortSignal.timeout(5000)

/** Writes raw bytes and answers everything that comes back. */
async function raw (bytes: string | Buffer): Promise<string> {
  const socket = connect(desk.socket)
  socket.on('error', () => {})
  socket.write(bytes)
  let answer = ''
  socket.on('data', (chunk: Buffer) => { answer += chunk.toString() })
  await new Promise((resolve) => socket.on('close', resolve))
  return answer
}

test('the socket is the owner\'s alone', () => {
  expect(statSync(desk.socket).mode & 0o777).toBe(0o600)
})

test.each([
  ['not JSON', 'hello\n', 'MALFORMED'],
  ['another version', '{"schema":"elder/control.v9","method":"status","params":{}}\n', 'CONTROL_VERSION'],
  ['an unknown method', '{"schema":"elder/control.v1","method":"toString","params":{}}\n', 'NO_SUCH_METHOD'],
  ['an unknown parameter', '{"schema":"elder/control.v1","method":"status","params":{"x":1}}\n', 'BAD_REQUEST'],
  ['a wrong type', '{"schema":"elder/control.v1","method":"evict","params":{"device":7}}\n', 'BAD_REQUEST'],
  ['a prototype key', '{"schema":"elder/control.v1","method":"__proto__","params":{}}\n', 'NO_SUCH_METHOD'],
])('%s is answered with an error, and the server lives on', async (_what, line, code) => {
  expect(JSON.parse(await raw(line))).toMatchObject({ error: { code } })
  expect(await new ControlClient(locate(desk.dir, {})).call('devices', {}, { signal: signal() })).toHaveLength(2)
})

test('a line above the bound is refused without being read to its end', async () => {
  expect(await raw(Buffer.alloc(CONTROL_LIMITS.requestBytesMax + 70_000, 'x'))).toMatch(/^$|MALFORMED/)
  expect(await new ControlClient(locate(desk.dir, {})).call('devices', {}, { signal: signal() })).toHaveLength(2)
})

test('an error keeps code, fix and data on its way; a stack trace never leaves', async () => {
  desk.node.evict = async () => { throw new ElderError('NOT_ADMIN', 'm', 'f', { role: 'member' }) }
  const client = new ControlClient(locate(desk.dir, {}))
  await expect(client.call('evict', { device: 'x' }, { signal: signal() })).rejects.toMatchObject({ code: 'NOT_ADMIN', message: 'm', fix: 'f', data: { role: 'member' } })
  desk.node.evict = async () => { throw new TypeError('boom') }
  const failure = await client.call('evict', { device: 'x' }, { signal: signal() }).catch((error: ElderError) => error)
  expect(failure).toMatchObject({ code: 'INTERNAL', message: 'the node failed: boom' })
  expect(await raw('{"schema":"elder/control.v1","method":"evict","params":{"device":"x"}}\n')).not.toContain('.ts:')
})

test('while a build runs as the user of the node, nobody is invited, promoted or evicted over the socket, nor leaves; the rest goes on', async () => {
  let exposed = true
  const dir = join(desk.dir, 'exposed')
  mkdirSync(dir, { mode: 0o700 })
  const at = locate(dir, {})
  const server = await serveControl(desk.node, at.socket, { exposed: () => exposed })
  const client = new ControlClient(at)
  const calls = [() => client.call('invite', {}, { signal: signal() }), () => client.call('promote', { device: 'x' }, { signal: signal() }), () => client.call('evict', { device: 'x' }, { signal: signal() }), () => client.call('leave', { force: true }, { signal: signal() })]
  for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'PROCESS_RUNS' })
  expect(await client.call('devices', {}, { signal: signal() })).toHaveLength(2)
  exposed = false
  expect(await client.call('invite', {}, { signal: signal() })).toHaveProperty('ticket')
  await server.close()
})

test('leaving the loop cancels the build', async () => {
  desk.node.script = untilCancelled
  for await (const event of new ControlClient(locate(desk.dir, {})).stream('build', { source: '/', command: ['x'] }, { signal: signal() })) {
    if (event.event === 'log') break
  }
  await eventually(() => { expect(desk.node.cancels).toBe(1) })
})

test('a slow reader gets everything, whole', async () => {
  const body = 'x'.repeat(200_000)
  const store = await desk.node.stacks.open('big')
  for (let i = 0; i < 40; i++) await store.add({ kind: 'note', title: String(i), body })
  const bodies: number[] = []
  for await (const entry of new ControlClient(locate(desk.dir, {})).stream('stack.show', { stack: 'big' }, { signal: signal() })) {
    bodies.push(entry.body.length)
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(bodies).toEqual(Array(40).fill(200_000))
})

test('a socket left by a SIGKILL is replaced; one that answers is not', async () => {
  await expect(serveControl(new FakeNode(), desk.socket)).rejects.toMatchObject({ code: 'LOCKED' })
  const stale = new Desk()
  const holder = spawn(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(stale.socket)}, () => console.log('up'))`], { stdio: ['ignore', 'pipe', 'ignore'] })
  await once(holder.stdout, 'data')
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  expect(existsSync(stale.socket)).toBe(true)
  const server = await serveControl(new FakeNode(), stale.socket)
  expect(await new ControlClient(locate(stale.dir, {})).call('devices', {}, { signal: signal() })).toHaveLength(2)
  await server.close()
  expect(existsSync(stale.socket)).toBe(false)
  await stale[Symbol.asyncDispose]()
})

test('a node that goes away in the middle of a call is said to be gone', async () => {
  mkdirSync(join(desk.dir, 'mesh'))
  writeFileSync(join(desk.dir, 'mesh', 'mesh.cbor'), '')
  const called = Promise.withResolvers<void>()
  desk.node.status = () => { called.resolve(); return new Promise(() => {}) }
  const asked = new ControlClient(locate(desk.dir, {})).call('status', {}, { signal: signal() })
  const refused = expect(asked).rejects.toMatchObject({ code: 'NOT_RUNNING' })
  await called.promise
  await desk[Symbol.asyncDispose]()
  await refused
})

test('a call beyond the limit is told BUSY, and the next one is served when another has ended', async () => {
  const socket = join(desk.dir, 'narrow.sock')
  await using server = await serveControl(desk.node, socket, { connectionsMax: 1 }).then((server) => ({ [Symbol.asyncDispose]: () => server.close() }))
  expect(server).toBeDefined()
  const idle = connect(socket)
  await once(idle, 'connect')
  const client = new ControlClient({ ...locate(desk.dir, {}), socket })
  await eventually(async () => { await expect(client.call('status', {}, { signal: signal() })).rejects.toMatchObject({ code: 'BUSY', fix: expect.stringContaining('Repeat') as string }) })
  idle.destroy()
  await eventually(async () => { await client.call('status', {}, { signal: signal() }) })
})
