/**
 * A disk without space, at every small write: what fails says so, nothing that was there is harmed, and once there is space again the
 * same call succeeds. On a real file system of a few pages, since what a full disk does to a rename or an append is the system's doing.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryFeedStore } from '@elder-node/crdt-stack'
import { peerIdOf } from '@elder-node/protocol'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { nodeCrypto, randomBytes, signerFromSeed } from '../../src/adapters/crypto.ts'
import { openIdentity } from '../../src/adapters/identity.ts'
import { takeLock } from '../../src/adapters/lock.ts'
import { beginLife, readConfig } from '../../src/adapters/node-config.ts'
import { privateFiles } from '../../src/adapters/private-files.ts'
import { writeSettingsFile } from '../../src/adapters/settings-file.ts'
import { BuildStore } from '../../src/services/builds/store.ts'
import { openMembership } from '../../src/services/membership/open-membership.ts'
import { Stacks } from '../../src/services/stacks.ts'
import { silent, verifyArchive } from '../support/stacks.ts'
import { needs } from '../support/when.ts'

const disk = mkdtempSync(join(tmpdir(), 'elder-full-'))
const root = join(disk, 'data')
const crypto = nodeCrypto()
const clock = { wallMs: () => 1_800_000_000_000, monotonicMs: () => 0 }
const signer = signerFromSeed(new Uint8Array(32).fill(3))
const FULL = { code: 'DISK_FULL', message: expect.stringContaining(root) as string, fix: expect.stringContaining('space') as string }

const mount = (): void => { execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k,mode=700', 'tmpfs', disk], { stdio: 'ignore' }) }
const unmount = (): void => { execFileSync('umount', [disk]) }

function canMount (): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  try {
    mount()
    unmount()
    return true
  } catch {
    return false
  }
}

afterAll(() => { rmSync(disk, { recursive: true, force: true }) })

const ballast = join(disk, 'ballast')
/** Takes every page that is left. */
function fill (): void {
  let bytes = 0
  try {
    for (;; bytes += 4096) writeFileSync(ballast, new Uint8Array(4096), { flag: 'a' })
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC')
    expect(bytes).toBeGreaterThan(0)
  }
}
function free (): void { rmSync(ballast, { force: true }) }

function contents (): Record<string, string> {
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
  return Object.fromEntries(files.sort().map(path => [path, readFileSync(path, 'hex')]))
}

/** Fails on the full disk and leaves every file as it was; succeeds once there is space. */
async function survives (act: () => unknown): Promise<void> {
  fill()
  const before = contents()
  await expect((async () => await act())()).rejects.toMatchObject(FULL)
  expect(contents()).toEqual(before)
  free()
  await act()
  expect(contents()).not.toEqual(before)
}

describe.runIf(needs(canMount(), 'root on Linux, to mount a disk of a few pages'))('a full disk', () => {
  beforeAll(mount)
  afterAll(unmount)
  beforeEach(() => { mkdirSync(root, { mode: 0o700 }) })
  afterEach(() => {
    free()
    rmSync(root, { recursive: true, force: true })
  })

  test('at the key of the first start', () => survives(() => openIdentity(join(root, 'device.key'), randomBytes)))

  test('at the lock', () => survives(() => { takeLock(join(root, 'lock')) }))

  test('at the count of starts, which was there before', async () => {
    const path = join(root, 'config.json')
    const first = beginLife(path, 1)
    await survives(() => beginLife(path, 2))
    expect(readConfig(path)).toMatchObject({ lives: first.lives + 1 })
  })

  test('at the settings', () => survives(() => { writeSettingsFile(join(root, 'settings.json'), { slots: 2, name: 'x'.repeat(5000) }) }))

  test('at the founding of a mesh: none, or a whole one', async () => {
    const found = (): ReturnType<typeof openMembership> => openMembership({ crypto, signer, signerFromSeed, clock, random: randomBytes, files: privateFiles(root) }, { deviceName: 'pi' })
    await survives(found)
    expect(found().state).toBe('member')
  })

  test('at a record of the mesh: the roster is as before, in memory and on the disk', async () => {
    const { membership } = openMembership({ crypto, signer, signerFromSeed, clock, random: randomBytes, files: privateFiles(root) }, { deviceName: 'pi' })
    const records = membership.records().length
    // A record is smaller than a page: it fits behind the last one until the page ends.
    const invite = (): void => { for (let i = 0; i < 30; i++) membership.invite({ addresses: [`/ip4/10.0.0.1/tcp/4707/p2p/${peerIdOf(membership.self)}`] }) }
    fill()
    try { invite() } catch (error) { expect(error).toMatchObject(FULL) }
    const kept = membership.records().length
    expect(kept).toBeGreaterThanOrEqual(records)
    expect(privateFiles(root).readLog('roster.log')).toMatchObject({ isTorn: false, isDamaged: false, entries: { length: kept } })
    free()
    invite()
    expect(privateFiles(root).readLog('roster.log')?.entries).toHaveLength(membership.records().length)
  })

  test('at a new stack: it is made by the next write', async () => {
    const stacks = await Stacks.open({
      crypto, signer, clock, random: randomBytes, files: privateFiles(root), openStore: () => new MemoryFeedStore(), dropStore: () => {},
      mayWrite: () => true, cuts: () => new Map(), verifyArchive, log: silent,
    })
    await survives(() => stacks.open('notes').add({ kind: 'note', title: 'x', body: '' }))
    expect(stacks.list().map(({ name }) => name)).toEqual(['notes'])
    await stacks.close()
  })

  test('at the history of builds: what was there is read, and the next build is in it', async () => {
    const status = (id: string): Parameters<BuildStore['begin']>[0] => ({ id, state: 'running', builder: null, attempt: 0, startedAt: '2026-11-21T10:00:00.000Z', command: ['x'.repeat(5000)], exitCode: null, requester: { id: 'a', name: 'a' } })
    const store = new BuildStore(privateFiles(root))
    store.begin(status('b1'))
    await survives(() => { store.begin(status('b2')) })
    expect(new BuildStore(privateFiles(root)).builds.map(build => build.status.id)).toEqual(['b1', 'b2'])
  })

  test('leaves no temporary file behind', async () => {
    const files = privateFiles(root)
    files.replace('a', new Uint8Array(10))
    fill()
    expect(() => { files.replace('a', new Uint8Array(100_000)) }).toThrow(expect.objectContaining(FULL) as Error)
    expect(readdirSync(root)).toEqual(['a'])
    expect(files.read('a')).toHaveLength(10)
    expect(statSync(join(root, 'a')).size).toBeLessThan(100)
  })
})

