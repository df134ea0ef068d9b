/** What the owner of a device sets, asks and mends, on real nodes: config, ping, doctor, leave. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Departure } from '../../packages/node/src/api.ts'
import { Lab, expectRefusal, must, until } from './support.ts'
import type { Node } from './support.ts'

interface Examined { running: boolean, fixed: string[], checks: Array<{ name: string, status: string, code: string | null, message: string, fix: string | null }> }

const lab = new Lab()
let desk: Node
let mini: Node
let pi: Node
afterAll(() => lab[Symbol.asyncDispose]())
beforeAll(async () => {
  desk = await lab.join('desk')
  ;[mini, pi] = await Promise.all([lab.admit('mini', desk), lab.admit('pi', desk)])
  for (const node of [desk, mini, pi]) await node.sees('desk', 'mini', 'pi')
})

const devices = async (node: Node): Promise<string[]> => (await node.call('devices', {})).map(({ name }) => name).sort()

test('ping shows round trip, path and address', async () => {
  const { code, command } = await desk.run('ping', 'mini', '--count', '3', '--interval', '20ms')
  expect(code, command.stdout + command.stderr).toBe(0)
  const [first, ...rest] = command.documents
  expect(first).toMatchObject({ schema: 'elder/ping.v1', event: 'pong', seq: 1, device: { id: mini.id, name: 'mini' }, path: 'direct', relay: null })
  expect(String(first?.address)).toMatch(/^\/ip4\/127\.0\.0\.1\/tcp\/\d+/)
  expect(first?.rttMs).toBeGreaterThan(0)
  expect(rest.at(-1)).toMatchObject({ event: 'summary', sent: 3, received: 3, path: 'direct' })
})

test('doctor: nothing fails on a mesh that is well, and it looked at the clocks of the others', async () => {
  const { code, last } = await desk.run('doctor')
  const { running, checks } = last as unknown as Examined
  expect(checks.filter(({ status }) => status === 'fail')).toEqual([])
  expect([code, running]).toEqual([0, true])
  expect(checks.find(({ name }) => name === 'clock of peers')).toMatchObject({ status: 'ok' })
  expect(checks.find(({ name }) => name === 'devices')).toMatchObject({ status: 'ok', message: '3 of 3 online' })
  expect(checks.find(({ code: of }) => of === 'ONE_ADMIN')).toMatchObject({ status: 'warn' })
})

test('a device that is gone: ping names each address and what went wrong there; doctor mends what the kill left; config holds from the next start', async () => {
  await mini.kill()
  await desk.sees('desk', 'pi')
  expectRefusal(await desk.run('ping', 'mini', '--count', '1'), 1, { code: 'UNREACHABLE', names: /^mini cannot be reached\. Last seen: 20.*\n {2}\/ip4\/127\.0\.0\.1\/tcp\/\d+: connection refused/s, fix: /elder-node status/ })
  const ill = (await mini.run('doctor')).last as unknown as Examined
  expect(ill.running).toBe(false)
  expect(ill.checks.map(({ code }) => code)).toEqual(expect.arrayContaining(['LOCK_STALE', 'SOCKET_STALE', 'NOT_RUNNING']))
  expect(((await mini.run('doctor', '--fix')).last as unknown as Examined).fixed).toEqual([`rm ${join(mini.dir, 'lock')}`, `rm ${join(mini.dir, 'control.sock')}`])

  expect((await mini.run('config', 'set', 'announce', '/dns4/mini.example/tcp/4707')).code).toBe(0)
  expectRefusal(await mini.run('config', 'set', 'annouce', 'x'), 2, { code: 'SETTING_UNKNOWN', names: /did you mean announce/, fix: /config get announce/ })
  // Beside what `join` was told.
  expect(JSON.parse(readFileSync(join(mini.dir, 'settings.json'), 'utf8'))).toMatchObject({ announce: ['/dns4/mini.example/tcp/4707'], 'build.trust': true, engine: 'process' })
  await mini.start()
  await until('the address that was set is told', () => mini.call('status', {}).then(({ self }) => self.addresses.some(address => address.startsWith('/dns4/mini.example/tcp/4707'))))
  await desk.sees('desk', 'mini', 'pi')
})

test('leave: whoever is there knows at once, nothing of the mesh stays here, and a new join is a new device', async () => {
  await pi.note('notes', 'from the pi')
  const departure = await pi.ask<Departure>('leave', '--yes')
  expect(departure).toMatchObject({ schema: 'elder/leave.v1', device: { id: pi.id, name: 'pi' }, lost: [] })
  expect(departure.told.map(({ name }) => name)).toContain('desk')
  expect(await devices(desk)).toEqual(['desk', 'mini'])
  expect(await pi.process.exited, pi.process.stderr).toBe(0)
  expect(pi.process.last).toMatchObject({ event: 'left' })
  expect(readdirSync(pi.dir).filter(name => !['config.json', 'node.log', 'settings.json'].includes(name))).toEqual([])
  await until('the others agree', async () => (await devices(mini)).join() === 'desk,mini')
  expect(await desk.titles('notes')).toEqual(['from the pi'])

  const again = await lab.admit('pi', desk, { dir: pi.dir })
  expect(again.id).not.toBe(pi.id)
  await until('it has the stack again', async () => (await again.titles('notes').catch((): string[] => [])).includes('from the pi'))
})

test('the only admin stays until another one is there', async () => {
  expectRefusal(await desk.run('leave', '--yes'), 1, { code: 'LAST_ADMIN', names: /only admin of the mesh "home"/, fix: /elder-node devices promote/ })
  expect(await devices(desk)).toContain('desk')
  await desk.ask('devices', 'promote', 'mini')
  await until('mini may invite', () => mini.ticket().then(() => true, () => false))
  expect((await desk.ask<Departure>('leave', '--yes')).told.length).toBeGreaterThan(0)
  expect(await desk.process.exited).toBe(0)
  expect(await devices(mini)).toEqual(['mini', 'pi'])
  expect(existsSync(join(desk.dir, 'device.key'))).toBe(false)
  expect(must((await mini.status()).devices.find(({ name }) => name === 'mini'), 'mini is listed').role).toBe('admin')
})
