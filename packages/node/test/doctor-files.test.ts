/**
 * The doctor reads every small file of a data directory: a damaged one is a finding of its own, with its path and a
 * fix, and stays as it is.
 */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encode, signMemberRecord, stackIdOf, stackKey } from '@elder-node/protocol'
import { afterAll, describe, expect, test } from 'vitest'
import { nodeCrypto, randomBytes, signerFromSeed } from '../src/adapters/crypto.ts'
import { dataDirAt, prepareDataDir } from '../src/adapters/data-dir.ts'
import { openIdentity } from '../src/adapters/identity.ts'
import { beginLife } from '../src/adapters/node-config.ts'
import { privateFiles } from '../src/adapters/private-files.ts'
import { readSmallFiles } from '../src/gateway/doctor/small-files.ts'
import { openMembership } from '../src/services/membership/open-membership.ts'
import { Desk } from './support/cli.ts'

const crypto = nodeCrypto()
const clock = { wallMs: () => 1_800_000_000_000, monotonicMs: () => 0 }
const temp = mkdtempSync(join(tmpdir(), 'elder-doctor-'))
afterAll(() => { rmSync(temp, { recursive: true, force: true }) })
const key = stackKey(stackIdOf('notes', crypto))
const text = (value: unknown): Uint8Array => new Uint8Array(Buffer.from(JSON.stringify(value)))

/** A directory with one of each small file, as a node leaves it. */
function make (root: string): void {
  const dir = dataDirAt(root)
  prepareDataDir(dir)
  const { signer } = openIdentity(dir.key, randomBytes)
  const mesh = privateFiles(dir.mesh)
  openMembership({ crypto, signer, signerFromSeed, clock, random: randomBytes, files: mesh }, { deviceName: 'pi' })
  beginLife(dir.config, clock.wallMs())
  mesh.replace('addresses.cbor', encode([]))
  mesh.replace('remotes-seen.json', text({ sinceMs: 1, seenMs: {} }))
  mesh.replace('remotes.json', text([]))
  privateFiles(dir.mirrors).replace('mirrors.json', text({}))
  privateFiles(dir.builds).append('builds.log', [text({}), text({})])
  const stacks = privateFiles(dir.stacks)
  stacks.replace('removed.json', text({}))
  for (const [name, content] of [['stack.cbor', [key, 'notes']], ['archive.cbor', []], ['removed.cbor', []]] as const) stacks.replace(`${key}/${name}`, encode([...content]))
}

function contentsOf (root: string): Map<string, string> {
  const names = readdirSync(root, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
  return new Map(names.sort().map(name => [name, readFileSync(name, 'hex')]))
}

const good = join(temp, 'good')
make(good)
const copy = (name: string): string => {
  const root = join(temp, name)
  rmSync(root, { recursive: true, force: true })
  cpSync(good, root, { recursive: true })
  chmodSync(root, 0o700)
  return root
}
const faults = (root: string): Array<{ path: string, code: string | undefined, fix: string | undefined, heals: boolean }> =>
  readSmallFiles(dataDirAt(root)).filter(({ fault }) => fault !== null).map(({ path, fault, heals }) => ({ path, code: fault?.code, fix: fault?.fix, heals }))

const FILES: Array<[path: string, code: string, heals: boolean, fix: RegExp]> = [
  ['mesh/mesh.cbor', 'MESH_DAMAGED', false, /backup/], ['mesh/roster.log', 'ROSTER_DAMAGED', true, /another device/],
  ['mesh/addresses.cbor', 'FILE_DAMAGED', true, /^Nothing/], ['mesh/remotes-seen.json', 'FILE_DAMAGED', true, /^Nothing/],
  ['mesh/remotes.json', 'FILE_DAMAGED', false, /stack remote add/], ['mirrors/mirrors.json', 'FILE_DAMAGED', true, /^Nothing/],
  ['builds/builds.log', 'FILE_DAMAGED', true, /history has a gap/], ['config.json', 'FILE_DAMAGED', true, /another port/],
  ['stacks/removed.json', 'FILE_DAMAGED', true, /30 days/], [`stacks/${key}/stack.cbor`, 'STACK_NAMELESS', true, /stack show/],
  [`stacks/${key}/archive.cbor`, 'FILE_DAMAGED', false, /stack restore/], [`stacks/${key}/removed.cbor`, 'FILE_DAMAGED', false, /names itself/],
]

test('a directory that is well, an empty one, and one that is not there have no findings', () => {
  expect(faults(good)).toEqual([])
  expect(readSmallFiles(dataDirAt(good)).map(({ path }) => path).sort()).toEqual(FILES.map(([path]) => join(good, path)).filter(path => !path.endsWith('config.json')).sort())
  mkdirSync(join(temp, 'empty'))
  for (const name of ['empty', 'none']) expect(readSmallFiles(dataDirAt(join(temp, name)))).toEqual([])
})

describe('one file', () => {
  test.each(FILES)('%s: a flipped bit, and a file that was emptied, are named with a fix, and nothing is written', (path, code, heals, fix) => {
    const root = copy('work')
    const bytes = readFileSync(join(root, path))
    for (const damaged of [bytes.map((byte, i) => i === 12 ? byte ^ 4 : byte), Buffer.alloc(0)]) {
      if (path === 'builds/builds.log' && damaged.length === 0) continue
      writeFileSync(join(root, path), damaged)
      const before = contentsOf(root)
      const [fault, ...more] = faults(root)
      expect(more).toEqual([])
      expect(fault).toMatchObject({ path: join(root, path), code, heals, fix: expect.stringMatching(fix) as string })
      expect(contentsOf(root)).toEqual(before)
    }
  })

  test('of another device, of another format, missing, or a folder in its place', () => {
    const root = copy('work')
    rmSync(join(root, 'mesh/mesh.cbor'))
    expect(faults(root)).toMatchObject([{ code: 'MESH_MISSING', path: join(root, 'mesh/mesh.cbor') }])
    make(join(temp, 'other'))
    cpSync(join(temp, 'other/mesh/mesh.cbor'), join(root, 'mesh/mesh.cbor'))
    expect(faults(root)).toMatchObject([{ code: 'DATA_MIXED' }])
    const without = copy('work')
    rmSync(join(without, `stacks/${key}/stack.cbor`))
    rmSync(join(without, 'mesh/roster.log'))
    rmSync(join(without, 'mesh/addresses.cbor'))
    mkdirSync(join(without, 'mesh/addresses.cbor'))
    expect(faults(without)).toMatchObject([{ code: 'ROSTER_DAMAGED' }, { code: 'STORAGE', path: join(without, 'mesh/addresses.cbor') }, { code: 'STACK_NAMELESS' }])
  })

  test('the roster, and with it what makes this device a member, is told as a start would', () => {
    const root = copy('work')
    const { signer } = openIdentity(join(root, 'device.key'), randomBytes)
    const genesis = signMemberRecord({ mesh: null, seq: 1, at: 1, grant: null, prev: [], content: { type: 'genesis', founderName: 'x', recoveryKey: signerFromSeed(randomBytes(32)).publicKey, meshName: 'y', policy: {} } }, signerFromSeed(randomBytes(32)), crypto)
    const mesh = privateFiles(join(root, 'mesh'))
    mesh.replaceLog('roster.log', [genesis.bytes])
    expect(faults(root)).toMatchObject([{ code: 'ROSTER_DAMAGED', heals: true }])
    openMembership({ crypto, signer, signerFromSeed, clock, random: randomBytes, files: mesh }, { deviceName: 'pi' })
    expect(faults(root)).toMatchObject([{ code: 'ROSTER_DAMAGED', fix: expect.stringContaining('roster-damage') as string }])
  })
})

test('at the command line each is a line of its own, --fix leaves them alone, and the exit code is 5', async () => {
  await using desk = new Desk()
  rmSync(desk.dir, { recursive: true, force: true })
  cpSync(good, desk.dir, { recursive: true })
  for (const path of ['mesh/mesh.cbor', 'mirrors/mirrors.json']) writeFileSync(join(desk.dir, path), 'x')
  const before = contentsOf(desk.dir)
  const { code, stdout } = await desk.run(['doctor', '--fix'])
  expect(code).toBe(5)
  expect(stdout).toMatch(/^\[fail\] files: [^[]*mesh\.cbor[^[]*\(MESH_DAMAGED\)$/m)
  expect(stdout).toMatch(/^\[warn\] files: [^[]*mirrors\.json[^[]*\(FILE_DAMAGED\)\n {7}fix: Nothing: it is made anew from the remotes\.$/m)
  expect(contentsOf(desk.dir)).toEqual(before)
})
