import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { peerIdOf } from '@elder-node/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/adapters/clock.ts'
import { cryptoAcceptance } from '../../../protocol/test/support/crypto-acceptance.ts'
import { nodeCrypto, randomBytes, signerFromSeed } from '../../src/adapters/crypto.ts'
import { dataDirAt, dataDirPath, prepareDataDir } from '../../src/adapters/data-dir.ts'
import { makePrivateDir } from '../../src/adapters/files.ts'
import { openIdentity } from '../../src/adapters/identity.ts'
import { lockHolder, takeLock } from '../../src/adapters/lock.ts'
import { privateFiles } from '../../src/adapters/private-files.ts'
import { needs } from '../support/when.ts'

let root: string
const children: ChildProcess[] = []
beforeEach(() => { root = mkdtempSync(join(tmpdir(), 'elder-local-')) })
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  rmSync(root, { recursive: true, force: true })
})

const throwing = (code: string): Error => expect.objectContaining({ code }) as Error

cryptoAcceptance('of a node', nodeCrypto(), n => signerFromSeed(new Uint8Array(32).fill(n)))

describe('crypto', () => {
  test('Ed25519 as in RFC 8032, test 2', () => {
    const signer = signerFromSeed(Buffer.from('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb', 'hex'))
    expect(Buffer.from(signer.publicKey).toString('hex')).toBe('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c')
    expect(Buffer.from(signer.sign(Uint8Array.of(0x72))).toString('hex')).toMatch(/^92a009a9f0d4cab8/)
  })

  test('the clocks run', () => {
    expect(systemClock.wallMs()).toBeGreaterThan(1.7e12)
    expect(systemClock.monotonicMs()).toBeLessThanOrEqual(systemClock.monotonicMs())
  })
})

describe('the identity', () => {
  test('is made once, private, and is the peer id that libp2p derives', async () => {
    const path = join(root, 'data', 'device.key')
    const made = openIdentity(path, randomBytes)
    expect(openIdentity(path, randomBytes).device).toBe(made.device)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(join(root, 'data')).mode & 0o777).toBe(0o700)
    const key = await generateKeyPairFromSeed('Ed25519', made.seed)
    expect(peerIdFromPrivateKey(key).toString()).toBe(peerIdOf(made.device))
  })

  test('refuses a key that others can read, and says how to mend it', () => {
    const path = join(root, 'data', 'device.key')
    openIdentity(path, randomBytes)
    chmodSync(path, 0o640)
    expect(() => openIdentity(path, randomBytes)).toThrow(expect.objectContaining({ code: 'KEY_READABLE', fix: `chmod 600 ${path}` }) as Error)
    chmodSync(path, 0o600)
    chmodSync(join(root, 'data'), 0o755)
    expect(() => openIdentity(path, randomBytes)).toThrow(expect.objectContaining({ fix: `chmod 700 ${join(root, 'data')}` }) as Error)
  })

  test('a damaged key is named, never replaced', () => {
    const path = join(root, 'device.key')
    writeFileSync(path, 'short', { mode: 0o600 })
    expect(() => openIdentity(path, randomBytes)).toThrow(throwing('KEY_DAMAGED'))
    expect(readFileSync(path, 'utf8')).toBe('short')
  })
})

describe('private files', () => {
  test('replace and append, readable by the owner only, nothing temporary left', () => {
    const files = privateFiles(root)
    expect(files.read('a')).toBeUndefined()
    files.replace('a', Uint8Array.of(1, 2))
    files.replace('a', Uint8Array.of(3))
    files.append('b', [Uint8Array.of(4)])
    files.append('b', [Uint8Array.of(5, 6), Uint8Array.of(7)])
    expect(files.read('a')).toEqual(Uint8Array.of(3))
    expect(files.readLog('b')).toEqual({ entries: [Uint8Array.of(4), Uint8Array.of(5, 6), Uint8Array.of(7)], isTorn: false, isDamaged: false })
    expect(readdirSync(root).sort()).toEqual(['a', 'b'])
    for (const name of ['a', 'b']) expect(statSync(join(root, name)).mode & 0o777).toBe(0o600)
  })

  test('a file that is not what was written is named; a cache is made anew, and the log says so', () => {
    const said: string[] = []
    const files = privateFiles(root, { log: { warn: fields => { said.push((fields as { path: string }).path) } } })
    files.replace('in/a', Uint8Array.of(1, 2, 3))
    expect([files.list(), files.list('in'), files.list('nowhere')]).toEqual([['in'], ['a'], []])
    const path = join(root, 'in', 'a')
    writeFileSync(path, readFileSync(path).map((byte, i) => i === 15 ? byte ^ 1 : byte))
    expect(() => files.read('in/a')).toThrow(expect.objectContaining({ code: 'FILE_DAMAGED', message: expect.stringContaining(path) as string }) as Error)
    expect(files.readCache('in/a')).toBeUndefined()
    expect(said).toEqual([path])
    expect(readFileSync(files.keepAside('in/a'))).toEqual(readFileSync(path))
    expect(files.keepAside('in/a')).toBe(files.keepAside('in/a'))
    files.replace('in/a', Uint8Array.of(4))
    expect(files.readCache('in/a')).toEqual(Uint8Array.of(4))
  })

  test('a failure is an ElderError and leaves the old file', () => {
    mkdirSync(join(root, 'taken'))
    expect(() => { privateFiles(root).replace('taken', Uint8Array.of(1)) }).toThrow(throwing('STORAGE'))
    expect(() => { privateFiles(join(root, 'nowhere')).append('x', [Uint8Array.of(1)]) }).toThrow(throwing('STORAGE'))
    expect(readdirSync(root)).toEqual(['taken'])
  })

  test.runIf(needs(process.platform === 'linux', 'Linux: /proc takes no folder'))('a folder that cannot be made is an error, not a loop', () => {
    expect(() => { makePrivateDir('/proc/no/such/folder') }).toThrow(throwing('STORAGE'))
  })

  test.runIf(needs(existsSync('/dev/full'), '/dev/full, a disk without space'))('a full disk is DISK_FULL', () => {
    expect(() => { privateFiles('/dev').append('full', [Uint8Array.of(1)]) }).toThrow(throwing('DISK_FULL'))
  })
})

describe('the data directory', () => {
  test('comes from --dir, the environment, XDG, or home, in this order', () => {
    const env = { ELDER_NODE_DIR: '/e', XDG_STATE_HOME: '/x' }
    expect(dataDirPath('/d', env)).toBe('/d')
    expect(dataDirPath(undefined, env)).toBe('/e')
    expect(dataDirPath(undefined, { XDG_STATE_HOME: '/x' })).toBe('/x/elder-node')
    expect(dataDirPath(undefined, { XDG_STATE_HOME: 'relative' })).toMatch(/\.local\/state\/elder-node$/)
  })

  test.runIf(needs(process.platform === 'linux' && process.getuid?.() === 0, 'root on Linux, to be a user that the system does not know'))('of a user without a home has to be named', async () => {
    const module = JSON.stringify(new URL('../../src/adapters/data-dir.ts', import.meta.url).href)
    const script = `process.setuid(69001); import(${module}).then(m => { console.log(m.dataDirPath('/d', {})); m.dataDirPath(undefined, {}) }).catch(e => console.log(e.code, e.fix))`
    const code = 'NO_HOME'
    const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=elder-source', '--eval', script], { cwd: '/', env: {} })
    expect(stdout).toMatch(new RegExp(`^/d\n${code} .*--dir.*HOME`))
  })

  test('a socket path that is too long moves to a private runtime directory', () => {
    const env = { XDG_RUNTIME_DIR: root }
    expect(dataDirAt('/d', env).socket).toBe('/d/control.sock')
    const long = dataDirAt(join(root, 'x'.repeat(100)), env)
    expect(Buffer.byteLength(long.socket)).toBeLessThanOrEqual(100)
    prepareDataDir(long, env)
    expect(statSync(join(root, 'elder-node')).mode & 0o777).toBe(0o700)
    chmodSync(join(root, 'elder-node'), 0o755)
    expect(() => { prepareDataDir(long, env) }).toThrow(throwing('RUNTIME_DIR'))
    expect(dataDirAt(join(root, 'y'.repeat(100)), env).socket).not.toBe(long.socket)
  })
})

describe('the lock', () => {
  test('a second node is refused with the pid of the first; released, it is free', () => {
    const path = join(root, 'lock')
    const lock = takeLock(path)
    expect(() => takeLock(path)).toThrow(expect.objectContaining({ code: 'LOCKED', data: expect.objectContaining({ pid: process.pid }) }) as Error)
    expect(lockHolder(path)).toBe(process.pid)
    lock.release()
    expect(lockHolder(path)).toBeUndefined()
    takeLock(path).release()
    expect(readdirSync(root)).toEqual([])
  })

  test('a lock left by a SIGKILL is recovered', async () => {
    const path = join(root, 'lock')
    const child = spawn(process.execPath, ['--conditions=elder-source', '--input-type=module', '-e', `
      const { takeLock } = await import(${JSON.stringify(new URL('../../src/adapters/lock.ts', import.meta.url).href)})
      takeLock(${JSON.stringify(path)})
      process.stdout.write('locked')
      setInterval(() => {}, 1000)`], { stdio: ['ignore', 'pipe', 'inherit'] })
    children.push(child)
    await once(child.stdout as NodeJS.ReadableStream, 'data')
    expect(() => takeLock(path)).toThrow(expect.objectContaining({ data: expect.objectContaining({ pid: child.pid }) }) as Error)
    child.kill('SIGKILL')
    await once(child, 'exit')
    takeLock(path).release()
  })

  test('a lock of a process id that is in use again is stale', () => {
    const path = join(root, 'lock')
    writeFileSync(path, JSON.stringify({ pid: process.pid, started: 'another boot/1' }))
    expect(lockHolder(path)).toBeUndefined()
    takeLock(path).release()
    writeFileSync(path, 'half a lo')
    takeLock(path).release()
  })
})
