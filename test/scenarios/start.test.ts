/** A node that cannot start says why and touches nothing; what a SIGKILL left behind does not keep it from starting. */
import { chmodSync, existsSync, lstatSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { Lab, expectRefusal } from './support.ts'
import type { Node } from './support.ts'

const lab = new Lab()
let node: Node
afterAll(() => lab[Symbol.asyncDispose]())
beforeAll(async () => {
  node = await lab.join('steady')
  await node.note('kept', 'before')
})

/** Every file of a data directory with its bytes, the log of the node left out. */
function contents (dir: string): Record<string, string> {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile() && entry.name !== 'node.log')
  return Object.fromEntries(files.map(entry => join(entry.parentPath, entry.name)).sort().map(path => [path, readFileSync(path, 'base64')]))
}

test('a port in use: its holder is named by process id', async () => {
  const refused = await lab.refused('squeezed', { listen: `/ip4/127.0.0.1/tcp/${node.port}` })
  expectRefusal(refused, 1, { code: 'PORT_IN_USE', names: new RegExp(`port ${node.port} is held by process ${node.pid} \\(`), fix: new RegExp(`/tcp/${node.port + 1}`) })
  await node.status()
})

test('a port in use by another program: this process is named', async () => {
  const server = createServer()
  onTestFinished(() => { server.close() })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  const { port } = server.address() as AddressInfo
  expectRefusal(await lab.refused('squeezed-too', { listen: `/ip4/127.0.0.1/tcp/${port}` }), 1, { code: 'PORT_IN_USE', names: new RegExp(`port ${port} is held by process ${process.pid} \\(`), fix: /config set listen/ })
})

test('a key that others may read, or a directory that others may enter: chmod is the fix, and works', async () => {
  const careless = await lab.join('careless')
  const { id, dir } = careless
  await careless.stop()
  const before = contents(dir)
  const key = join(dir, 'device.key')
  for (const [path, bad, good] of [[key, 0o644, 0o600], [dir, 0o755, 0o700]] as const) {
    chmodSync(path, bad)
    expectRefusal(await lab.refused('careless'), 1, { code: 'KEY_READABLE', names: path, fix: `chmod ${good.toString(8)} ${path}` })
    expect(contents(dir)).toEqual(before)
    chmodSync(path, good)
  }
  await careless.start()
  expect(careless.id).toBe(id)
})

test('a key file that was cut is never replaced by a new one', async () => {
  const cut = await lab.join('cut')
  await cut.stop()
  const key = join(cut.dir, 'device.key')
  writeFileSync(key, readFileSync(key).subarray(0, 20))
  expectRefusal(await lab.refused('cut'), 1, { code: 'KEY_DAMAGED', names: `${key} does not hold a device key: it has 20 bytes instead of 46`, fix: /backup/ })
  expect(readFileSync(key)).toHaveLength(20)
})

test('a second node on one directory: the first is named and goes on', async () => {
  const before = contents(node.dir)
  expectRefusal(await lab.refused('steady'), 1, { code: 'LOCKED', names: `process ${node.pid}`, fix: /elder-node status.*--dir/ })
  expect(contents(node.dir)).toEqual(before)
  expect(await node.titles('kept')).toEqual(['before'])
})

test('a lock that was emptied or deleted while its node runs lets no second one in', async () => {
  const lock = join(node.dir, 'lock')
  const kept = readFileSync(lock)
  for (const damage of [() => { writeFileSync(lock, '') }, () => { rmSync(lock) }]) {
    const before = contents(node.dir)
    damage()
    expectRefusal(await lab.refused('steady'), 1, { code: 'LOCKED', names: node.dir, fix: /--dir/ })
    rmSync(lock, { force: true })
    writeFileSync(lock, kept, { mode: 0o600 })
    expect(contents(node.dir)).toEqual(before)
  }
  await node.status()
})

test('a lock and a socket left by a SIGKILL: the same device starts again, with its notes and its port', async () => {
  const { id, port, dir } = node
  const digest = await node.digest('kept')
  await node.kill()
  expect(existsSync(join(dir, 'lock')), 'SIGKILL leaves the lock').toBe(true)
  expect(lstatSync(join(dir, 'control.sock')).isSocket(), 'SIGKILL leaves the socket').toBe(true)
  expectRefusal(await node.run('status'), 4, { code: 'NOT_RUNNING', names: dir, fix: /elder-node join/ })
  await node.start()
  expect(node.id).toBe(id)
  expect(node.port).toBe(port)
  expect(await node.digest('kept')).toEqual(digest)
})

test('a kept port that another program took meanwhile: replaced, kept from then on, told, and the mesh finds the device', async () => {
  const home = await lab.join('home')
  const away = await lab.admit('away', home)
  const { port } = away
  await away.stop()
  const server = createServer()
  onTestFinished(() => { server.close() })
  await new Promise<void>(resolve => { server.listen(port, '127.0.0.1', resolve) })
  await away.start()
  expect(away.port).not.toBe(port)
  const { problems } = await away.status()
  expect(problems.find(({ code }) => code === 'PORT_MOVED')?.message).toMatch(new RegExp(`^Port ${port} is held by process ${process.pid} .* moved to port ${away.port}`))
  await home.sees('home', 'away')
  const moved = away.port
  await away.stop()
  await away.start()
  expect(away.port).toBe(moved)
  expect((await away.status()).problems.map(({ code }) => code)).not.toContain('PORT_MOVED')
  await home.sees('home', 'away')
})

test('a data path too long for a socket works: two nodes, each with its own', async () => {
  const deep = (name: string): string => join(lab.temp, 'd'.repeat(60), 'e'.repeat(60), name)
  const one = await lab.join('one', { dir: deep('one') })
  const two = await lab.admit('two', one, { dir: deep('two') })
  await one.sees('one', 'two')
  expect((await two.status()).self.dir).toBe(deep('two'))
  expect(existsSync(join(one.dir, 'control.sock'))).toBe(false)
  // The hashed name is recovered after a SIGKILL, too.
  await two.kill()
  expectRefusal(await two.run('status'), 4, { code: 'NOT_RUNNING', names: deep('two'), fix: /elder-node join/ })
  await two.start()
  await two.sees('one', 'two')
})
