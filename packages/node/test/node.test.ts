/** The composition: one real node, alone. */
import {
  chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { rootName } from '../src/adapters/engine-common/root.ts'
import { readConfig, writeConfig } from '../src/adapters/node-config.ts'
import { StagingNotes } from '../src/adapters/output-staging.ts'
import type { RunningNode } from '../src/api.ts'
import { createNode } from '../src/node.ts'
import { eventually } from './support/eventually.ts'
import { needs } from './support/when.ts'

let dir: string
let node: RunningNode | undefined
beforeEach(() => { dir = mkdtempSync(join(tmpdir(), 'elder-node-')) })
afterEach(async () => {
  await node?.stop()
  rmSync(dir, { recursive: true, force: true })
})

const start = async (init: Parameters<typeof createNode>[0] = {}): Promise<RunningNode> => node = await createNode({ dir, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, engine: 'none', ...init })
const epoch = (): number => (JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')) as { epoch: number }).epoch

test('writes in the name of the agent it was made for; a call can name another', async () => {
  await start({ agent: 'coder' })
  const stack = await node?.stacks.open('notes')
  expect((await stack?.add({ kind: 'note', title: 'a', body: '' }))?.author).toMatchObject({ device: node?.device.id, agent: 'coder' })
  expect((await stack?.add({ kind: 'note', title: 'b', body: '' }, { agent: 'reviewer' }))?.author.agent).toBe('reviewer')
})

test('every life is above the one before, also when the wall clock went back', async () => {
  const future = Date.now() + 3_600_000
  writeConfig(join(dir, 'config.json'), { ...readConfig(join(dir, 'config.json')), epoch: future })
  await (await start()).stop()
  expect(epoch()).toBe(future + 1)
  const [port] = (await start()).addresses()
  expect(epoch()).toBe(future + 2)
  await node?.stop()
  expect((await start()).addresses()).toEqual([port])
})

test('a start that was called off leaves nothing behind that keeps the next one out, nor a mesh whose recovery text nobody saw', async () => {
  await expect(start({ signal: AbortSignal.abort(new Error('never mind')) })).rejects.toThrow('never mind')
  expect(existsSync(join(dir, 'lock'))).toBe(false)
  expect(await start()).toMatchObject({ joined: 'founded', recovery: expect.stringMatching(/^elder-recovery1/) as string })
  await node?.stop()
  await expect(start({ signal: AbortSignal.abort(new Error('never mind')) })).rejects.toThrow('never mind')
  expect((await start()).joined).toBe('returned')
})

test('a start deletes what a crash left of outputs that were on their way', async () => {
  const name = '.elder-outputs-0123456789abcdef'
  const tree = realpathSync(mkdtempSync(join(tmpdir(), 'elder-tree-')))
  try {
    mkdirSync(join(tree, name))
    writeFileSync(join(tree, name, '0'), 'built')
    new StagingNotes(join(dir, 'builds/outputs/staging')).add(name, join(tree, name))
    await start()
    await eventually(() => { expect([readdirSync(tree), readdirSync(join(dir, 'builds/outputs/staging'))]).toEqual([[], []]) })
  } finally {
    rmSync(tree, { recursive: true, force: true })
  }
})

test('two nodes in one process: each has its own directory, port and stacks', async () => {
  const other = mkdtempSync(join(tmpdir(), 'elder-node-'))
  const one = await start()
  const two = await createNode({ dir: other, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, engine: 'none' })
  try {
    await (await one.stacks.open('notes')).add({ kind: 'note', title: 'one', body: '' })
    expect(two.device.id).not.toBe(one.device.id)
    expect(two.addresses()).not.toEqual(one.addresses())
    expect(await two.stacks.list()).toEqual([])
    await expect(createNode({ dir: other, mdns: false })).rejects.toMatchObject({ code: 'LOCKED' })
  } finally {
    await two.stop()
    rmSync(other, { recursive: true, force: true })
  }
  expect((await one.stacks.list()).map(({ name }) => name)).toEqual(['notes'])
})

test('what an evicted device named as a mirror is left at once by the one that evicts it', async () => {
  const other = mkdtempSync(join(tmpdir(), 'elder-node-'))
  const one = await start()
  const { ticket } = await one.invite()
  const two = await createNode({ dir: other, ticket, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, engine: 'none' })
  try {
    await (await one.stacks.open('notes')).add({ kind: 'note', title: 'one', body: '' })
    // Nobody answers there, and that is what a sync says as long as it is a remote.
    await two.stacks.addRemote('--all', 'http://127.0.0.1:9/memory.git')
    await eventually(async () => { expect(await one.stacks.remotes()).toHaveLength(1) })
    expect(await one.stacks.sync()).toMatchObject([{ ok: false }])
    expect(await one.evictee(two.device.id)).toMatchObject({ remotes: [{ stack: '--all', url: 'http://127.0.0.1:9/memory.git' }] })
    await one.evict(two.device.id)
    await expect(one.stacks.sync()).rejects.toMatchObject({ code: 'NO_REMOTE' })
    expect((await one.status()).problems.map(({ code }) => code)).toContain('REMOTE_STOPPED')
  } finally {
    await two.stop()
    rmSync(other, { recursive: true, force: true })
  }
})

test('the build of a device that is evicted ends on its builder at once', async () => {
  const [other, project] = ['elder-node-', 'elder-project-'].map(name => mkdtempSync(join(tmpdir(), name))) as [string, string]
  writeFileSync(join(project, 'a'), 'a')
  const one = await start({ engine: 'process', trustBuilds: true, slots: 1 })
  const { ticket } = await one.invite()
  const two = await createNode({ dir: other, ticket, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, engine: 'none' })
  const free = async (): Promise<number | undefined> =>
    (await one.devices()).find(({ id }) => id === one.device.id)?.slots.free
  try {
    await two.build({ source: project, command: ['sleep', '600'], waitMs: 30_000 })
    await eventually(async () => { expect(await free()).toBe(0) })
    const began = performance.now()
    await one.evict(two.device.id)
    await eventually(async () => { expect(await free()).toBe(1) })
    // A lease lapses after 10 s, and its builder waits 10 s for the requester to come back.
    expect(performance.now() - began).toBeLessThan(9_000)
  } finally {
    await two.stop()
    for (const folder of [other, project]) rmSync(folder, { recursive: true, force: true })
  }
})

test('the process engine takes its empty folder away', async () => {
  await start({ engine: 'process', trustBuilds: true })
  const folders = ['/var/lib/elder-node', join(tmpdir(), `elder-node-${process.getuid?.() ?? 0}`)].map(parent => join(parent, rootName(dir)))
  expect(folders.filter(folder => existsSync(folder))).toHaveLength(1)
  await node?.stop()
  expect(folders.filter(folder => existsSync(folder))).toEqual([])
})

test.runIf(needs(process.platform === 'linux' && process.getuid?.() === 0, 'root on Linux'))('status tells what builds left and nothing could remove, until it is gone', async () => {
  await start({ engine: 'process', trustBuilds: true })
  const root = ['/var/lib/elder-node', join(tmpdir(), 'elder-node-0')].map(parent => join(parent, rootName(dir))).find(existsSync) as string
  await node?.stop()
  const left = join(root, 'b1-1.0')
  // Of a build's user, with something of root's in it: that user cannot remove it.
  mkdirSync(join(left, 'home', 'roots', 'f'), { recursive: true })
  chownSync(join(left, 'home'), 70_000, 70_000)
  await start({ engine: 'process', trustBuilds: true })
  const told = async (): Promise<string[]> => (await node?.status())?.problems.filter(({ code }) => code === 'BUILD_LEFTOVERS').map(({ message }) => message) ?? []
  expect(await told()).toEqual([expect.stringContaining(left)])
  rmSync(left, { recursive: true })
  expect(await told()).toEqual([])
})
