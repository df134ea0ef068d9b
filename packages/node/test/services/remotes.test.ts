/** Remotes that travel and remotes that do not, and what becomes of those of a device that is evicted. */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SETTINGS_STACK, type DeviceId } from '@elder-node/protocol'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createGitCaches } from '../../src/adapters/git-caches.ts'
import { MirrorService, type MirrorServiceInit } from '../../src/services/mirror.ts'
import { electPusher } from '../../src/services/mirror/elect.ts'
import { mirrorSource } from '../../src/services/mirror-source.ts'
import { Remotes, type RemotesComponents } from '../../src/services/remotes.ts'
import { MESH, remote as server } from '../../../crdt-stack/test/mirror/support.ts'
import { eventually } from '../support/eventually.ts'
import { HandClock } from '../support/hand-clock.ts'
import { MemoryFiles } from '../support/memory-files.ts'
import { crypto, StackMesh, type StackNode } from '../support/stacks.ts'

vi.setConfig({ testTimeout: 30_000 })

const HTTPS = 'https://git.example/memory.git'
let mesh: StackMesh
let temp: string
const services: MirrorService[] = []
beforeEach(() => {
  mesh = new StackMesh()
  temp = mkdtempSync(join(tmpdir(), 'elder-remotes-'))
})
afterEach(async () => {
  for (const service of services.splice(0)) await service.stop()
  await mesh.stop()
  rmSync(temp, { recursive: true, force: true })
})

function bare (name = 'remote.git'): string {
  const dir = join(temp, name)
  execFileSync('git', ['init', '-q', '--bare', dir])
  return dir
}

/** As a device could write it that does not check: straight into the settings of the mesh. */
async function plant (node: StackNode, url: string): Promise<void> {
  const { stack } = await node.stacks.ensure(SETTINGS_STACK)
  await stack.add({ kind: 'remote', title: 'x', body: JSON.stringify({ stack: '--all', url }) })
}

function mirrorOf (node: StackNode, { livePeers = () => [], ...init }: MirrorServiceInit & { livePeers?: () => DeviceId[] } = {}): MirrorService {
  const quiet = (): void => {}
  const service = new MirrorService({
    source: mirrorSource(node), self: node.device, mesh: MESH as never, livePeers, crypto, random: Math.random, files: new MemoryFiles(),
    openGit: createGitCaches(join(temp, `caches-${node.device}`)), clock: { wallMs: Date.now, monotonicMs: () => performance.now() }, log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    membership: { records: () => [], receive: quiet, mayFound: () => true, verify: records => ({ records, mayWrite: () => true }) },
  }, { idleMs: 20, busyMs: 200, pullMs: 100, flushMs: 5000, ...init })
  services.push(service)
  service.start()
  return service
}

const note = async (node: StackNode): Promise<unknown> => await node.stacks.open('notes').add({ kind: 'note', title: 'one' })
const codes = (node: StackNode): string[] => node.remotes.problems().map(({ code }) => code)

describe('a folder', () => {
  it('is this device\'s alone, survives a restart, and goes when it is removed', async () => {
    const [a, b] = [await mesh.node(), await mesh.node()]
    await mesh.connectAll()
    const [path, file] = [bare('one.git'), `file://${bare('two.git')}`]
    expect(await a.remotes.add('--all', path, 'otto')).toEqual({ stack: '--all', url: path, scope: 'device', addedBy: { device: a.device, agent: 'otto' } })
    await a.remotes.add('notes', file)
    // What travels arrives; if the folder had been sent, it would be there by then.
    await a.remotes.add('--all', HTTPS)
    await eventually(() => { expect(b.remotes.all()).toMatchObject([{ url: HTTPS, scope: 'mesh' }]) })
    expect(b.settings.folders()).toEqual([])
    expect(a.stacks.held(a.stacks.all().find(({ name }) => name === SETTINGS_STACK)?.key as never)?.stack.entries()).toHaveLength(1)
    await mesh.stop(a)
    const again = await mesh.node({ disk: a.disk })
    expect(again.remotes.all().map(({ url, scope }) => [url, scope])).toEqual([[HTTPS, 'mesh'], [path, 'device'], [file, 'device']])
    await again.remotes.remove('--all', path)
    expect(again.remotes.all().map(({ url }) => url)).toEqual([HTTPS, file])
    await expect(again.remotes.remove('--all', path)).rejects.toMatchObject({ code: 'NO_SUCH_REMOTE' })
  })

  it('that is not there, or holds no repository, is refused before anything says mirrored: REMOTE_MISSING', async () => {
    const a = await mesh.node()
    mkdirSync(join(temp, 'empty'))
    writeFileSync(join(temp, 'file'), '')
    for (const path of ['none.git', 'empty', 'file']) {
      await expect(a.remotes.add('fmt', join(temp, path)), path).rejects.toMatchObject({ code: 'REMOTE_MISSING', fix: expect.stringContaining(`git init --bare ${join(temp, path)}`) as string })
      await expect(a.remotes.add('fmt', `file://${join(temp, path)}`), path).rejects.toMatchObject({ code: 'REMOTE_MISSING' })
    }
    expect(a.remotes.all()).toEqual([])
  })

  it('that another device wrote into the settings is not used, whatever stands in it: REMOTE_PATH', async () => {
    const [a, b] = [await mesh.node(), await mesh.node()]
    const [path, canary] = [bare(), join(temp, 'canary')]
    writeFileSync(join(path, 'hooks/pre-receive'), `#!/bin/sh\ntouch ${canary}\n`)
    chmodSync(join(path, 'hooks/pre-receive'), 0o755)
    await mesh.connectAll()
    const service = mirrorOf(a)
    await note(a)
    await plant(b, path)
    await plant(b, `file://${path}`)
    await eventually(() => { expect(codes(a)).toEqual(['REMOTE_PATH', 'REMOTE_PATH']) })
    expect(a.remotes.all()).toEqual([])
    await expect(service.sync()).rejects.toMatchObject({ code: 'NO_REMOTE' })
    expect(existsSync(canary)).toBe(false)
    // The same folder, added by a person here, is used, and its hooks are not.
    await a.remotes.add('--all', path)
    expect(await service.sync()).toMatchObject([{ ok: true }])
    expect(existsSync(canary)).toBe(false)
    await a.remotes.remove('--all', path)
    await a.remotes.remove('--all', path)
    await a.remotes.remove('--all', `file://${path}`)
    expect(codes(a)).toEqual([])
  })

  it('is pushed to by this device, whoever would be elected: nobody else knows it', async () => {
    const a = await mesh.node()
    const path = bare()
    const other = await mesh.node().then(({ device }) => device)
    const url = [path, `file://${path}`].find(one => electPusher('notes', one, [a.device, other], crypto) === other) ?? path
    await a.remotes.add('--all', url)
    await note(a)
    const service = mirrorOf(a, { pullMs: 3_600_000, livePeers: () => [other] })
    await eventually(() => { expect(service.status('notes')).toMatchObject([{ state: 'ok' }]) })
  })

  it('in a list that does not read: told, and left as it is', async () => {
    const a = await mesh.node()
    await a.remotes.add('--all', bare())
    a.disk.files.contents.set('remotes.json', Uint8Array.of(1, 2, 3))
    await mesh.stop(a)
    const again = await mesh.node({ disk: a.disk })
    expect(again.remotes.problems()).toMatchObject([{ code: 'FILE_DAMAGED', fix: expect.stringContaining('remotes.json') as string }])
    await expect(again.remotes.add('--all', bare('two.git'))).rejects.toMatchObject({ code: 'FILE_DAMAGED' })
    expect(again.disk.files.contents.get('remotes.json')).toEqual(Uint8Array.of(1, 2, 3))
  })

  it('alone is taken from the list of this device: what travels stands in the settings, where it ends with who added it', async () => {
    const a = await mesh.node()
    const [path, stack] = [bare(), '--all']
    const list = [{ stack, url: HTTPS }, { stack: '../x', url: path }, { url: path }, null, { stack, url: path }]
    a.disk.files.replace('remotes.json', Buffer.from(JSON.stringify(list)))
    await mesh.stop(a)
    const again = await mesh.node({ disk: a.disk })
    expect(again.remotes.problems()).toEqual([])
    expect(again.remotes.all().map(({ url, scope }) => [url, scope])).toEqual([[path, 'device']])
  })
})

describe('the remotes of a device that is evicted', () => {
  it('are neither pushed to nor fetched from, until a member adds them again: REMOTE_STOPPED', async () => {
    let asked = 0
    const { url } = await server({ intercept: () => { asked++; return undefined } })
    const [a, b] = [await mesh.node(), await mesh.node()]
    await mesh.connectAll()
    await b.remotes.add('--all', url)
    await eventually(() => { expect(a.remotes.all()).toHaveLength(1) })
    await note(a)
    const service = mirrorOf(a)
    await eventually(() => { expect(service.status('notes')).toMatchObject([{ state: 'ok' }]) })
    expect(a.remotes.of(b.device)).toEqual([{ stack: '--all', url }])

    mesh.evicted.add(b.device)
    a.remotes.rosterChanged()
    expect(service.status('notes')).toEqual([])
    await service.stop()
    const before = asked
    await expect(service.sync()).rejects.toMatchObject({ code: 'NO_REMOTE' })
    const next = mirrorOf(a)
    await note(a)
    await expect(next.sync()).rejects.toMatchObject({ code: 'NO_REMOTE' })
    expect(asked).toBe(before)
    expect(a.remotes.problems()).toMatchObject([{ code: 'REMOTE_STOPPED', message: expect.stringContaining(url) as string }])

    await a.remotes.add('--all', url)
    expect(codes(a)).toEqual([])
    expect(await next.sync()).toMatchObject([{ ok: true }])
    expect(a.remotes.of(b.device)).toEqual([])
    expect(a.remotes.of(a.device)).toEqual([{ stack: '--all', url }])
  })
})

it('what ends with a device is what nobody else has added', async () => {
  const [a, b] = [await mesh.node(), await mesh.node()]
  await mesh.connectAll()
  for (const node of [a, b]) await plant(node, HTTPS)
  await plant(b, 'https://git.example/other.git')
  await eventually(() => { expect(a.settings.remotes()).toHaveLength(2) })
  await eventually(() => { expect(a.remotes.of(b.device)).toEqual([{ stack: '--all', url: 'https://git.example/other.git' }]) })
  expect(a.remotes.of(a.device)).toEqual([])
})

describe('a remote that another device added', () => {
  const DAY_MS = 86_400_000

  it('is told once, for a day; what was there when this device came is not: REMOTE_NEW', async () => {
    const [a, b] = [await mesh.node(), await mesh.node()]
    await mesh.connectAll()
    const clock = new HandClock()
    const files = new MemoryFiles()
    const open = (): Remotes => new Remotes({ settings: a.settings, files, clock, self: a.device, isEvicted: () => false, nameOf: () => 'desk', look: async () => {} } satisfies RemotesComponents)
    const told = (remotes: Remotes): string[] => remotes.problems().map(({ code, message }) => `${code} ${message}`)
    await b.remotes.add('--all', 'https://git.example/old.git')
    await eventually(() => { expect(a.remotes.all()).toHaveLength(1) })
    const first = open()
    expect(told(first)).toEqual([])
    clock.pass(3_600_000)
    await a.remotes.add('--all', 'https://git.example/own.git')
    await b.remotes.add('notes', HTTPS)
    await eventually(() => { expect(a.remotes.all()).toHaveLength(3) })
    expect(first.problems()).toMatchObject([{ code: 'REMOTE_NEW', fix: expect.stringContaining(`stack remote rm notes ${HTTPS}`) as string }])
    expect(told(first)).toEqual([`REMOTE_NEW desk added a remote: the stack notes is mirrored to ${HTTPS} from now on.`])
    clock.pass(DAY_MS / 2)
    expect(told(open())).toHaveLength(1)
    clock.pass(DAY_MS / 2)
    expect(told(first)).toEqual([])
    expect(told(open())).toEqual([])
  })
})
