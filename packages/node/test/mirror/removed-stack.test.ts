/** A removed or archived stack and its git remotes: real stacks, the real service, a real repository. */
import { execFileSync } from 'node:child_process'
import { afterEach, expect, test, vi } from 'vitest'
import { createGitCaches } from '../../src/adapters/git-caches.ts'
import { MirrorService, type MirrorComponents } from '../../src/services/mirror.ts'
import { mirrorSource } from '../../src/services/mirror-source.ts'
import { crypto, folder, MESH, remote } from '../../../crdt-stack/test/mirror/support.ts'
import { eventually } from '../support/eventually.ts'
import { MemoryFiles } from '../support/memory-files.ts'
import { StackMesh, type StackNode } from '../support/stacks.ts'

vi.setConfig({ testTimeout: 60_000 })

let mesh = new StackMesh()
const services: MirrorService[] = []
afterEach(async () => {
  for (const service of services.splice(0)) await service.stop()
  await mesh.stop()
  mesh = new StackMesh()
})

async function mirrored (node: StackNode, url: string): Promise<MirrorService> {
  await node.settings.addRemote('--all', url)
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  const service = new MirrorService({
    source: mirrorSource(node), self: node.device, mesh: MESH as MirrorComponents['mesh'], livePeers: () => [], crypto, random: Math.random, files: new MemoryFiles(),
    openGit: createGitCaches(folder()), clock: { wallMs: Date.now, monotonicMs: () => performance.now() }, log,
    membership: { records: () => [], receive: () => {}, mayFound: () => true, verify: records => ({ records, mayWrite: () => true }) },
  }, { idleMs: 20, busyMs: 200, pullMs: 100, flushMs: 5000 })
  services.push(service)
  service.start()
  return service
}

const filesIn = (dir: string): string[] => execFileSync('git', ['-C', dir, 'ls-tree', '-r', '--name-only', 'elder/memory'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n').filter(Boolean)
const stacksIn = (dir: string): string[] => [...new Set(filesIn(dir).flatMap(path => /^stacks\/([^/]+)\//.exec(path)?.[1] ?? []))].sort()
const settled = async (check: () => void): Promise<void> => { await eventually(check, { intervalMs: 25 }) }

test('a removed stack leaves its mirror by itself; an undo, and a record of another device beyond it, bring it back', async () => {
  const { url, dir } = await remote()
  const [node, other] = [await mesh.node(), await mesh.node()]
  const service = await mirrored(node, url)
  await node.stacks.open('fmt').add({ kind: 'note', title: 'kept' })
  await node.stacks.open('fmtt').add({ kind: 'note', title: 'slip' })
  await settled(() => { expect(stacksIn(dir)).toEqual(['fmt', 'fmtt']) })
  const held = node.stacks.find('fmtt')
  await node.stacks.book.remove(held, {})
  await settled(() => { expect(stacksIn(dir)).toEqual(['fmt']) })
  // Nothing of it is left to do, and nothing of it is reported.
  await settled(() => { expect(service.status('fmtt')).toMatchObject([{ state: 'ok' }]) })
  expect((await service.sync()).map(({ stack }) => stack)).toEqual(['fmt'])
  await node.stacks.book.remove(held, { undo: true })
  await settled(() => { expect(stacksIn(dir)).toEqual(['fmt', 'fmtt']) })
  await node.stacks.book.remove(held, {})
  await settled(() => { expect(stacksIn(dir)).toEqual(['fmt']) })
  await other.stacks.open('fmtt').add({ kind: 'note', title: 'precious' })
  await mesh.connectAll()
  await settled(() => { expect(filesIn(dir).filter(path => path.startsWith('stacks/fmtt/entries/'))).toHaveLength(2) })
})

test('records that stand only on the remote, beyond the removal, are taken before its files go', async () => {
  const { url, dir } = await remote()
  const [node, other] = [await mesh.node(), await mesh.node()]
  await mirrored(node, url)
  await node.stacks.open('fmtt').add({ kind: 'note', title: 'slip' })
  await settled(() => { expect(stacksIn(dir)).toEqual(['fmtt']) })
  await services.splice(0)[0]?.stop()
  await other.stacks.open('fmtt').add({ kind: 'note', title: 'precious' })
  await (await mirrored(other, url)).sync()
  await services.splice(0)[0]?.stop()
  await node.stacks.book.remove(node.stacks.find('fmtt'), {})
  await mirrored(node, url)
  await settled(() => { expect(node.stacks.find('fmtt').stack.entries().map(({ title }) => title).sort()).toEqual(['precious', 'slip']) })
  expect(stacksIn(dir)).toEqual(['fmtt'])
})

test('an archived stack stays mirrored', async () => {
  const { url, dir } = await remote()
  const node = await mesh.node()
  await node.stacks.open('old').add({ kind: 'note', title: 'kept' })
  await node.stacks.book.archive(node.stacks.find('old'), {})
  const service = await mirrored(node, url)
  await settled(() => { expect(stacksIn(dir)).toEqual(['old']) })
  expect((await service.sync('old')).map(({ ok }) => ok)).toEqual([true])
})

test('a note that is written while its stack is being pushed goes out with the next pass', async () => {
  const node = await mesh.node()
  let during = 0
  const { url, dir } = await remote({
    intercept: async ({ method, path }) => {
      if (method === 'POST' && path.endsWith('git-receive-pack') && during++ === 0) await node.stacks.open('fmt').add({ kind: 'note', title: 'second' })
      return undefined
    },
  })
  await node.stacks.open('fmt').add({ kind: 'note', title: 'first' })
  await mirrored(node, url)
  await settled(() => { expect(filesIn(dir).filter(path => path.includes('/entries/'))).toHaveLength(2) })
  expect(during).toBe(2)
})
