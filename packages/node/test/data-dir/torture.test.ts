/**
 * Every small file of a data directory, damaged in every way: a start opens what it can, or names the file and what to do. It never
 * founds another mesh, never takes damage for an eviction, and overwrites nothing that it could not read.
 */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FsFeedStore } from '@elder-node/crdt-stack/fs'
import { ElderError, toHex, type DeviceId } from '@elder-node/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodeCrypto, randomBytes, signerFromSeed } from '../../src/adapters/crypto.ts'
import { dataDirAt, prepareDataDir, traceOfMesh } from '../../src/adapters/data-dir.ts'
import { openIdentity } from '../../src/adapters/identity.ts'
import { beginLife, readConfig } from '../../src/adapters/node-config.ts'
import { privateFiles } from '../../src/adapters/private-files.ts'
import { readSettingsFile, writeSettingsFile } from '../../src/adapters/settings-file.ts'
import { BuildStore } from '../../src/services/builds/store.ts'
import { openMembership } from '../../src/services/membership/open-membership.ts'
import { loadMemory, NEVER, saveMemory } from '../../src/services/mirror/memory.ts'
import { Stacks } from '../../src/services/stacks.ts'
import { silent } from '../support/stacks.ts'

interface Opened { device: DeviceId, mesh: string, state: string, members: number, problems: string[], stacks: string[], close: () => Promise<void> }

const crypto = nodeCrypto()
const clock = { wallMs: () => 1_800_000_000_000, monotonicMs: () => 0 }
const rules = {
  cuts: () => new Map(), verifyArchive: () => ({ records: [], mayWrite: () => true, cuts: () => new Map() }), log: silent,
}
const build = { id: 'b1', state: 'running' as const, builder: null, attempt: 0, startedAt: '2026-11-21T10:00:00.000Z', command: ['x'], exitCode: null, requester: { id: 'a', name: 'a' } }

/** What a start reads of its directory, in the order of node.ts. */
async function open (root: string): Promise<Opened> {
  const dir = dataDirAt(root)
  readSettingsFile(dir.settings)
  prepareDataDir(dir)
  const trace = traceOfMesh(dir)
  const { signer, device } = openIdentity(dir.key, randomBytes, { belongs: trace })
  const { membership, state } = openMembership(
    { crypto, signer, signerFromSeed, clock, random: randomBytes, files: privateFiles(dir.mesh) },
    { deviceName: 'pi', ...(trace === undefined ? {} : { trace }) },
  )
  beginLife(dir.config, clock.wallMs(), readConfig(dir.config))
  new BuildStore(privateFiles(dir.builds)).begin(build)
  saveMemory(privateFiles(dir.mirrors), loadMemory(privateFiles(dir.mirrors)))
  const stacks = await Stacks.open({
    crypto, signer, clock, random: randomBytes, files: privateFiles(dir.stacks), openStore: key => FsFeedStore.open(join(dir.stacks, key)),
    mayWrite: of => membership.mayWrite(of), dropStore: () => {}, ...rules,
  })
  const problems = [...membership.problems(), ...stacks.problems()].map(({ code }) => code)
  const close = async (): Promise<void> => { await stacks.close() }
  return { device, mesh: membership.meshId, state, members: membership.roster.members.size, problems, stacks: stacks.all().map(({ name }) => name), close }
}

async function make (root: string, name: string): Promise<void> {
  const { close } = await open(root)
  await close()
  const dir = dataDirAt(root)
  const { signer } = openIdentity(dir.key, randomBytes)
  const stacks = await Stacks.open({
    crypto, signer, clock, random: randomBytes, files: privateFiles(dir.stacks), openStore: key => FsFeedStore.open(join(dir.stacks, key)),
    mayWrite: () => true, dropStore: () => {}, ...rules,
  })
  await stacks.open(name).add({ kind: 'note', title: 'kept', body: '' })
  await stacks.close()
  saveMemory(privateFiles(dir.mirrors), new Map([['https://host/repo', { tips: { lastTip: undefined, verifiedTip: undefined }, stacks: { notes: NEVER } }]]))
  writeSettingsFile(dir.settings, { slots: 1 })
}

let temp = ''
let good = ''
let other = ''
let before: Pick<Opened, 'device' | 'mesh'>
beforeAll(async () => {
  temp = mkdtempSync(join(tmpdir(), 'elder-torture-'))
  good = join(temp, 'good')
  other = join(temp, 'other')
  await make(good, 'notes')
  await make(other, 'others')
  const { close, ...opened } = await open(good)
  await close()
  before = { device: opened.device, mesh: opened.mesh }
})
afterAll(() => { rmSync(temp, { recursive: true, force: true }) })

const stackFile = (root: string): string => join('stacks', readdirSync(join(root, 'stacks'))[0] as string, 'stack.cbor')
const FILES: Record<string, { may: Array<string | null>, path?: (root: string) => string }> = {
  'device.key': { may: ['KEY_DAMAGED', 'KEY_MISSING', 'DATA_MIXED'] },
  'mesh/mesh.cbor': { may: ['MESH_DAMAGED', 'MESH_MISSING', 'DATA_MIXED'] },
  'mesh/roster.log': { may: [null] },
  'config.json': { may: [null] },
  'settings.json': { may: [null, 'SETTINGS_DAMAGED'] },
  'stacks/*/stack.cbor': { may: [null], path: stackFile },
  'builds/builds.log': { may: [null] },
  'mirrors/mirrors.json': { may: [null] },
}

/** Bytes flipped, the file cut, and the file of another device of another mesh. */
function * damages (bytes: Uint8Array, foreign: Uint8Array, step: number): Generator<[name: string, bytes: Uint8Array | undefined]> {
  yield ['missing', undefined]
  for (let at = 0; at < bytes.length; at += step) {
    yield [`cut to ${at} bytes`, bytes.slice(0, at)]
    yield [`byte ${at} flipped`, bytes.map((byte, i) => i === at ? byte ^ (1 << (at % 8)) : byte)]
  }
  yield ['zeros', new Uint8Array(bytes.length)]
  yield ['of another mesh', foreign]
}

describe('a data directory with one file', () => {
  test.each(Object.entries(FILES))('%s damaged, missing or foreign', async (name, { may, path: place = () => name }) => {
    const root = join(temp, 'work')
    const path = place(good)
    const bytes = new Uint8Array(readFileSync(join(good, path)))
    const foreign = new Uint8Array(readFileSync(join(other, place(other))))
    for (const [damage, content] of damages(bytes, foreign, may[0] === null ? 1 + Math.floor(bytes.length / 60) : 1)) {
      rmSync(root, { recursive: true, force: true })
      cpSync(good, root, { recursive: true })
      chmodSync(root, 0o700)
      rmSync(join(root, path))
      if (content !== undefined) writeFileSync(join(root, path), content, { mode: 0o600 })
      await demand(root, path, { damage, content, may })
    }
  })
})

interface Case { damage: string, content: Uint8Array | undefined, may: Array<string | null> }

async function demand (root: string, path: string, { damage, content, may }: Case): Promise<void> {
  const files = contentsOf(root)
  const outcome = await open(root).catch((error: unknown) => error)
  if (outcome instanceof Error) {
    const { code, message, fix } = outcome as ElderError
    expect(may, `${damage}: ${code} ${message}`).toContain(code)
    expect([message.includes(join(root, path)), fix !== ''], `${damage}: ${message}`).toEqual([true, true])
    // Nothing was written, but folders.
    expect(contentsOf(root), damage).toEqual(files)
    return
  }
  const { close, ...opened } = outcome as Opened
  await close()
  expect(may, damage).toContain(null)
  expect(opened, damage).toMatchObject({ ...before, state: 'member', members: 1 })
  if (path.endsWith('stack.cbor')) await demandName(root, opened)
  if (path.endsWith('roster.log') && content !== undefined && !isTorn(content)) {
    expect(opened.problems, damage).toEqual(['ROSTER_DAMAGED'])
    expect([...contentsOf(root).values()], damage).toContain(toHex(content))
  }
}

/** An append that was cut off is no damage. */
function isTorn (content: Uint8Array): boolean {
  const whole = new Uint8Array(readFileSync(join(good, 'mesh/roster.log')))
  const isPrefix = content.length < whole.length && content.every((byte, i) => byte === whole[i])
  return content.length > 0 && (isPrefix || content.every(byte => byte === 0))
}

/** The log of the stack is there: its name is asked for, and any device or person that says it opens it. */
async function demandName (root: string, opened: Omit<Opened, 'close'>): Promise<void> {
  expect(opened.problems).toEqual(['STACK_NAMELESS'])
  const dir = dataDirAt(root)
  const { signer } = openIdentity(dir.key, randomBytes)
  const stacks = await Stacks.open({
    crypto, signer, clock, random: randomBytes, files: privateFiles(dir.stacks), openStore: key => FsFeedStore.open(join(dir.stacks, key)),
    mayWrite: () => true, dropStore: () => {}, ...rules,
  })
  await stacks.recall('other')
  expect(stacks.all()).toEqual([])
  await stacks.recall('notes')
  expect((await stacks.open('notes').list()).map(({ title }) => title)).toEqual(['kept'])
  expect(stacks.problems()).toEqual([])
  await stacks.close()
}

function contentsOf (root: string): Map<string, string> {
  const names = readdirSync(root, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
  return new Map(names.sort().map(name => [name, toHex(new Uint8Array(readFileSync(name)))]))
}

describe('a directory of version 0.1.0', () => {
  test('is refused whole, with the way to come back', async () => {
    const root = join(temp, 'old')
    for (const folder of ['mesh', 'stacks']) mkdirSync(join(root, folder), { recursive: true, mode: 0o700 })
    writeFileSync(join(root, 'device.key'), new Uint8Array(randomBytes(32)), { mode: 0o600 })
    writeFileSync(join(root, 'mesh/mesh.cbor'), 'x')
    const error = await open(root).catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'STORE_OLD', message: expect.stringContaining(root) as string, fix: expect.stringContaining('aside') as string })
    expect([...contentsOf(root).keys()]).toEqual([join(root, 'device.key'), join(root, 'mesh/mesh.cbor')])
  })
})

describe('an empty data directory', () => {
  test('founds a mesh, and what only another mesh has beside it forbids that', async () => {
    const root = join(temp, 'fresh')
    const { close, state } = await open(root)
    await close()
    expect(state).toBe('founded')
    rmSync(join(root, 'mesh'), { recursive: true })
    cpSync(join(good, 'stacks'), join(root, 'stacks'), { recursive: true })
    await expect(open(root)).rejects.toMatchObject({ code: 'MESH_MISSING' })
    rmSync(join(root, 'device.key'))
    await expect(open(root)).rejects.toMatchObject({ code: 'KEY_MISSING' })
  })
})
