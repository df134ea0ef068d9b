/** Somebody else listens where a node's control socket should be: a command says nothing to it. */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { ControlClient } from '../../src/gateway/control-client.ts'
import { serveControl } from '../../src/gateway/control-server.ts'
import { locate } from '../../src/gateway/location.ts'
import { Desk } from '../support/cli.ts'
import { FakeNode } from '../support/fake-node.ts'
import { needs } from '../support/when.ts'

const STRANGER = 54_321
const isRoot = needs(process.getuid?.() === 0, 'root: a socket and a folder of another user')
const posix = needs(process.platform !== 'win32', 'a Unix socket')
let temp = ''
let impostor: Server | undefined
let heard = ''
beforeEach(() => {
  temp = mkdtempSync(join(tmpdir(), 'elder-impostor-'))
  heard = ''
})
afterEach(async () => {
  const server = impostor
  if (server !== undefined) await new Promise(resolve => { server.close(resolve) })
  impostor = undefined
  rmSync(temp, { recursive: true, force: true })
})

/** A data directory with its socket in a shared folder, as with a long path; the impostor answers there. */
async function squat (reply: (method: string) => string = () => '{"result":{}}\n'): Promise<{ client: ControlClient, socket: string, folder: string }> {
  const dir = join(temp, 'data')
  const folder = join(temp, 'runtime')
  for (const path of [dir, folder]) mkdirSync(path, { mode: 0o700 })
  const socket = join(folder, 'x.sock')
  impostor = createServer(connection => {
    connection.on('data', (chunk: Buffer) => {
      heard += chunk.toString()
      connection.end(reply((JSON.parse(chunk.toString()) as { method: string }).method))
    }).on('error', () => {})
  })
  await new Promise<void>(resolve => { impostor?.listen(socket, resolve) })
  chmodSync(socket, 0o600)
  return { client: new ControlClient({ dir, socket, log: '', flag: '' }), socket, folder }
}

const build = (client: ControlClient): Promise<unknown> => client.stream('build', { source: '/', command: ['x'], env: { TOKEN: 'secret' } }, { signal: AbortSignal.timeout(5000) }).next()
const ask = (client: ControlClient): Promise<unknown> => client.call('status', {}, { signal: AbortSignal.timeout(5000) })

describe('a command', () => {
  test.runIf(posix)('says nothing to a socket that others may use, nor to what is no socket', async () => {
    const { client, socket } = await squat()
    chmodSync(socket, 0o666)
    await expect(build(client)).rejects.toMatchObject({ code: 'SOCKET_FOREIGN', message: expect.stringContaining(socket) as string })
    await new Promise(resolve => { impostor?.close(resolve) })
    impostor = undefined
    writeFileSync(socket, '', { mode: 0o600 })
    await expect(build(client)).rejects.toMatchObject({ code: 'SOCKET_FOREIGN' })
    expect(heard).toBe('')
  })

  test.runIf(posix)('says nothing into a folder that others may write to', async () => {
    const { client, folder } = await squat()
    chmodSync(folder, 0o777)
    await expect(build(client)).rejects.toMatchObject({ code: 'SOCKET_FOLDER', fix: expect.stringContaining(folder) as string })
    expect(heard).toBe('')
  })

  test.runIf(isRoot)('says nothing to the socket of another user, and nothing into a folder of one', async () => {
    const { client, socket, folder } = await squat()
    chownSync(socket, STRANGER, STRANGER)
    await expect(build(client)).rejects.toMatchObject({ code: 'SOCKET_FOREIGN' })
    chownSync(socket, 0, 0)
    chownSync(folder, STRANGER, STRANGER)
    await expect(build(client)).rejects.toMatchObject({ code: 'SOCKET_FOLDER' })
    expect(heard).toBe('')
  })

  test.runIf(posix)('says nothing to the node of another user, unless it is root', async () => {
    const { client } = await squat()
    const spy = vi.spyOn(process, 'getuid').mockReturnValue(STRANGER)
    onTestFinished(() => { spy.mockRestore() })
    await expect(build(client)).rejects.toMatchObject({ code: 'NOT_YOURS' })
    expect(heard).toBe('')
  })

  test.runIf(isRoot)('of root commands the node of the user whose data directory it is', async () => {
    const { client, socket, folder } = await squat()
    for (const path of [socket, folder, join(temp, 'data')]) chownSync(path, STRANGER, STRANGER)
    expect(await ask(client)).toEqual({})
  })

  test.each([
    ['a text', '"x"\n'], ['nothing', 'null\n'], ['an event', '{"event":{}}\n'], ['a list', '{"result":[]}\n'], ['a text as result', '{"result":"x"}\n'],
    ['an error without a fix', '{"error":{"code":"X","message":"m"}}\n'], ['an error that is no code', '{"error":{"code":"\\u001b[2J","message":"m","fix":"f"}}\n'], ['more than was asked', '{"result":{},"end":true}\n'],
  ])('takes %s for no answer', async (_what, text) => {
    const { client } = await squat(() => text)
    await expect(ask(client)).rejects.toMatchObject({ code: text.includes('"event"') ? 'NOT_RUNNING' : 'CONTROL_VERSION' })
  })
})

test.runIf(isRoot)('at the command line: a token for a build does not reach who squats in the folder of a long data path', async () => {
  await using desk = new Desk()
  const env = { XDG_RUNTIME_DIR: temp, TOKEN: 'secret' }
  const dir = join(temp, 'd'.repeat(60), 'e'.repeat(60))
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const { socket } = locate(dir, env)
  expect(dirname(socket)).toBe(join(temp, 'elder-node'))
  mkdirSync(dirname(socket), { mode: 0o777 })
  impostor = createServer(connection => { connection.on('data', (chunk: Buffer) => { heard += chunk.toString() }).on('error', () => {}) })
  await new Promise<void>(resolve => { impostor?.listen(socket, resolve) })
  chownSync(dirname(socket), STRANGER, STRANGER)
  const { code, json } = await desk.run(['build', desk.dir, '--env', 'TOKEN', '--json', '--dir', dir, '--', 'true'], { env })
  expect([code, json()[0]]).toMatchObject([125, { error: { code: 'SOCKET_FOLDER' } }])
  expect(heard).toBe('')
})

test.runIf(isRoot)('a node does not listen in a folder of another user', async () => {
  const folder = join(temp, 'runtime')
  mkdirSync(folder, { mode: 0o700 })
  chownSync(folder, STRANGER, STRANGER)
  await expect(serveControl(new FakeNode(), join(folder, 'x.sock'))).rejects.toMatchObject({ code: 'SOCKET_FOLDER' })
})

describe.runIf(posix)('the socket of a node', () => {
  const serve = async (): Promise<number> => {
    const folder = join(temp, 'runtime')
    mkdirSync(folder, { mode: 0o700 })
    const { socket, close } = await serveControl(new FakeNode(), join(folder, 'x.sock'))
    onTestFinished(async () => { await close() })
    return statSync(socket).mode & 0o777
  }

  test('is its owner\'s alone from its first moment', async () => {
    const masks: number[] = []
    const listen = Server.prototype.listen as (this: Server, ...args: unknown[]) => Server
    const spy = vi.spyOn(Server.prototype, 'listen').mockImplementation(function (this: Server, ...args: unknown[]): Server {
      const mask = process.umask(0o077)
      process.umask(mask)
      masks.push(mask)
      return listen.apply(this, args)
    })
    onTestFinished(() => { spy.mockRestore() })
    const before = process.umask(0o022)
    onTestFinished(() => { process.umask(before) })
    expect(await serve()).toBe(0o600)
    expect([masks, process.umask(0o022)]).toEqual([[0o177], 0o022])
  })

  test('is so where the mask of new files does not count', async () => {
    const spy = vi.spyOn(process, 'umask').mockReturnValue(0)
    onTestFinished(() => { spy.mockRestore() })
    expect(await serve()).toBe(0o600)
  })
})
