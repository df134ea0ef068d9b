/** The mirror service over real git servers: debounce, election, ill remotes, shutdown, restart, restore. */
import { execFileSync } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openNativeGit } from '@elder-node/crdt-stack/git'
import { deviceId, ElderError, type DeviceId } from '@elder-node/protocol'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createGitCaches } from '../../src/adapters/git-caches.ts'
import { electPusher } from '../../src/services/mirror/elect.ts'
import { MirrorService, type MirrorComponents, type MirrorServiceInit, type MirrorSource } from '../../src/services/mirror.ts'
import { endless } from '../../../crdt-stack/test/git/endless.ts'
import { listening } from '../../../crdt-stack/test/git/remote.ts'
import { crypto, folder, forever, MESH, remote, TinyStack } from '../../../crdt-stack/test/mirror/support.ts'
import { eventually } from '../support/eventually.ts'
import { MemoryFiles } from '../support/memory-files.ts'

// A dozen git processes per test, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000 })

const DEVICES = [1, 2].map(byte => deviceId(new Uint8Array(32).fill(byte))) as [DeviceId, DeviceId]
const FAST: MirrorServiceInit = { idleMs: 20, busyMs: 200, pullMs: 100, flushMs: 5000 }
const services: MirrorService[] = []
afterEach(async () => { for (const service of services.splice(0)) await service.stop() })

class Source implements MirrorSource {
  readonly stack = new TinyStack('notes')
  readonly #changed = new Set<(key: string) => void>()
  readonly #remotes: string[]
  constructor (...remotes: string[]) { this.#remotes = remotes }
  stacks (): TinyStack[] { return [this.stack] }
  remotes (): Array<{ stack: string, url: string }> { return this.#remotes.map(url => ({ stack: '--all', url })) }
  onChanged (listener: (key: string) => void): () => void { this.#changed.add(listener); return () => { this.#changed.delete(listener) } }
  onRemotesChanged (): () => void { return () => {} }
  write (title: string): void {
    this.stack.write(title)
    for (const listener of this.#changed) listener('notes')
  }
}

function serve (source: Source, init: MirrorServiceInit = FAST, parts: Partial<MirrorComponents> = {}): MirrorService {
  const quiet = (): void => {}
  const service = new MirrorService({
    source, self: DEVICES[0], mesh: MESH as MirrorComponents['mesh'], livePeers: () => [], crypto, random: Math.random, files: new MemoryFiles(),
    openGit: createGitCaches(folder()), clock: { wallMs: Date.now, monotonicMs: () => performance.now() }, log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    membership: { records: () => [], receive: () => {}, mayFound: () => true, verify: records => ({ records, mayWrite: () => true }) }, ...parts,
  }, init)
  services.push(service)
  service.start()
  return service
}

const settled = async (check: () => void): Promise<void> => { await eventually(check, { intervalMs: 20 }) }
const state = (service: MirrorService): string | undefined => service.status('notes')[0]?.state
const commits = (dir: string): number => Number(execFileSync('git', ['-C', dir, 'rev-list', '--count', 'elder/memory'], { encoding: 'utf8' }))

describe('the mirror service', () => {
  it('pushes a burst of changes as few commits and says when', async () => {
    const { url, dir } = await remote()
    const source = new Source(url)
    const service = serve(source)
    for (let i = 0; i < 20; i++) source.write(`note ${i}`)
    await settled(() => { expect(service.status('notes')).toMatchObject([{ url, state: 'ok', message: null, lastPush: expect.stringMatching(/^\d{4}-/) }]) })
    expect(service.status('--all')).toEqual(service.status('notes'))
    expect(commits(dir)).toBeLessThanOrEqual(2)
    expect((await service.restore(url, forever)).stacks[0]?.batches.at(-1)?.head.seq).toBe(20)
  })

  it('reads a remote again: the same, behind, damaged, or away', async () => {
    let status: number | undefined
    const { url, dir } = await remote({ intercept: () => status })
    const source = new Source(url)
    const service = serve(source, { ...FAST, idleMs: 3_600_000, busyMs: 3_600_000 })
    source.write('one')
    expect(await service.inspect('notes', forever)).toMatchObject([{ url, state: 'behind', commit: null }])
    await service.sync('notes')
    expect(await service.inspect('notes', forever)).toMatchObject([{ state: 'same', lacks: 0, message: null, commit: expect.stringMatching(/^[0-9a-f]{40}$/) }])
    source.write('two')
    expect(await service.inspect('notes', forever)).toMatchObject([{ state: 'behind', lacks: 1 }])
    // A file that somebody put there by hand: its content is no segment.
    const git = (input: string, ...args: string[]): string => execFileSync('git', ['-C', dir, ...args], { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'] }).trim()
    const segment = git('', 'ls-tree', '-r', '--name-only', 'elder/memory').split('\n').find(path => path.includes('/feeds/')) as string
    execFileSync('git', ['-C', dir, 'fast-import', '--quiet'], { input: `commit refs/heads/elder/memory\ncommitter A <a@b> 1 +0000\ndata 1\nx\nfrom refs/heads/elder/memory^0\nM 644 inline ${segment}\ndata 4\njunk\n` })
    expect(await service.inspect('notes', forever)).toMatchObject([{ state: 'damaged', message: expect.stringContaining(segment) as string }])
    status = 503
    expect(await service.inspect('notes', forever)).toMatchObject([{ state: 'unreachable', commit: null }])
  })

  it('brings two devices together through the remote alone', async () => {
    const { url } = await remote()
    const [a, b] = [new Source(url), new Source(url)]
    serve(a)
    serve(b, FAST, { self: DEVICES[1] })
    a.write('from a')
    b.write('from b')
    await settled(() => { for (const { stack } of [a, b]) expect(stack.entries()).toHaveLength(2) })
  })

  it('is behind while the remote takes nothing, keeps the note, and recovers by itself', async () => {
    let status: number | undefined = 503
    const { url } = await remote({ intercept: () => status })
    const source = new Source(url)
    const service = serve(source)
    source.write('safe')
    await settled(() => { expect(service.status('notes')).toMatchObject([{ state: 'behind', lastPush: null, message: expect.stringContaining('503') }]) })
    expect(source.stack.entries()).toHaveLength(1)
    status = 401
    await settled(() => { expect(service.status('notes')[0]?.message).toContain('credentials') })
    status = undefined
    await settled(() => { expect(service.status('notes')).toMatchObject([{ state: 'ok', message: null }]) })
  })

  it('does not let a broken remote hold up another', async () => {
    const [good, bad] = [await remote(), await remote({ intercept: () => 500 })]
    const source = new Source(bad.url, good.url)
    const service = serve(source)
    source.write('a')
    await settled(() => { expect(service.status('notes').map(mirror => mirror.state)).toEqual(['behind', 'ok']) })
  })

  it('fails visibly once changes are missing from the remote for too long', async () => {
    const { url } = await remote({ intercept: () => 500 })
    const source = new Source(url)
    const service = serve(source, { ...FAST, failingAfterMs: 50 })
    source.write('a')
    await settled(() => { expect(state(service)).toBe('failing') })
  })

  it('is not called mirrored while the remote does not answer', async () => {
    let status: number | undefined
    const { url } = await remote({ intercept: () => status })
    const source = new Source(url)
    const service = serve(source)
    source.write('a')
    await settled(() => { expect(state(service)).toBe('ok') })
    status = 503
    await settled(() => { expect(service.status('notes')).toMatchObject([{ state: 'behind', message: expect.stringContaining('503') as string }]) })
    expect(service.status('notes')[0]?.behindSince).toBeUndefined()
    status = undefined
    await settled(() => { expect(service.status('notes')).toMatchObject([{ state: 'ok', message: null }]) })
  })

  it('brings back what the remote lost, without a new note; who is not elected says behind, and steps in', async () => {
    const { url, dir } = await remote()
    const source = new Source(url)
    const other = electPusher('notes', url, DEVICES, crypto) as DeviceId
    const self = DEVICES.find(device => device !== other) as DeviceId
    let peers: DeviceId[] = []
    const service = serve(source, { ...FAST, pullMs: 300 }, { self, livePeers: () => peers })
    source.write('a')
    await settled(() => { expect(state(service)).toBe('ok') })
    const lose = (path: string): void => { execFileSync('git', ['-C', dir, 'fast-import', '--quiet'], { input: `commit refs/heads/elder/memory\ncommitter A <a@b> 1 +0000\ndata 1\nx\nfrom refs/heads/elder/memory^0\nD ${path}\n` }) }
    lose('elder.json')
    await settled(() => { expect(commits(dir)).toBe(3) })
    peers = [other]
    lose('stacks/notes/feeds')
    await settled(() => { expect(state(service)).toBe('behind') })
    await settled(() => { expect(state(service)).toBe('ok') })
    expect(commits(dir)).toBe(5)
    expect((await service.restore(url, forever)).stacks[0]?.batches).toHaveLength(1)
  })

  it('looks at a remote that is too large at least every six hours, also after many times', async () => {
    const source = new Source('https://git.example/m.git')
    const service = serve(source, { ...FAST, pullMs: 60_000 }, { openGit: async () => { throw new ElderError('MIRROR_TOO_LARGE', 'it has no end', 'Look there.') } })
    source.write('a')
    for (let pass = 0; pass < 40; pass++) await service.sync('notes')
    const timers = vi.spyOn(globalThis, 'setTimeout')
    await service.sync('notes')
    const waits = timers.mock.calls.map(([, ms]) => ms ?? 0)
    timers.mockRestore()
    expect(Math.max(...waits)).toBeGreaterThan(3_600_000)
    expect(Math.max(...waits)).toBeLessThan(24_000_000)
  })

  it('says what is wrong on a remote once, however often it is looked at', async () => {
    const { url, dir } = await remote()
    const source = new Source(url)
    const warned: string[] = []
    const quiet = (): void => {}
    const log = { debug: quiet, info: quiet, error: quiet, warn: (_fields: object, message: string) => { warned.push(message) } }
    const service = serve(source, { idleMs: 60_000, pullMs: 60_000 }, { log: log as MirrorComponents['log'] })
    source.write('a')
    await service.sync('notes')
    const junk = 'commit refs/heads/elder/memory\ncommitter A <a@b> 1 +0000\ndata 1\nx\nfrom refs/heads/elder/memory^0\nM 100644 inline stacks/notes/feeds/README\ndata 1\nx\n'
    execFileSync('git', ['-C', dir, 'fast-import', '--quiet'], { input: junk })
    for (let pass = 0; pass < 3; pass++) {
      await service.sync('notes')
      expect(service.problems()).toMatchObject([{ code: 'MIRROR_SEGMENT' }])
    }
    expect(warned.filter(message => message.includes('README'))).toHaveLength(1)
  })

  it('tries a remote that sends without end less and less often, and a person at once', async () => {
    const { http, asked } = endless()
    const url = `${await listening(http)}/memory.git`
    const source = new Source(url)
    const dir = folder()
    const service = serve(source, { ...FAST, pullMs: 300 }, { openGit: (url, options) => openNativeGit({ dir, url, bytesMax: 1_000_000 }, options) })
    source.write('a')
    await settled(() => { expect(asked().length).toBeGreaterThan(2) })
    const [first = 0, second = 0, third = 0] = asked()
    expect(second - first).toBeGreaterThan(0.9 * 600)
    expect(third - second).toBeGreaterThan(0.9 * 1200)
    expect(service.status('notes')).toMatchObject([{ state: 'behind', message: expect.stringContaining('too large for a mirror') as string }])
    const before = asked().length
    await service.sync('notes')
    expect(asked().length).toBeGreaterThan(before)
    expect(await readdir(join(dir, 'objects/pack'))).toEqual([])
  })

  it('leaves the push to the elected device, and steps in after two intervals', async () => {
    const { url, dir } = await remote()
    const source = new Source(url)
    const other = electPusher('notes', url, DEVICES, crypto) as DeviceId
    const self = DEVICES.find(device => device !== other) as DeviceId
    const began = performance.now()
    const service = serve(source, { ...FAST, pullMs: 400 }, { self, livePeers: () => [other] })
    source.write('a')
    await settled(() => { expect(state(service)).toBe('ok') })
    expect(performance.now() - began).toBeGreaterThan(800)
    expect(commits(dir)).toBe(1)
  })

  it('flushes at shutdown', async () => {
    const { url, dir } = await remote()
    const source = new Source(url)
    const service = serve(source, { idleMs: 60_000, busyMs: 60_000, pullMs: 60_000 })
    source.write('last words')
    await service.stop()
    expect(commits(dir)).toBe(1)
  })

  it('does not wait for a dead remote at shutdown', async () => {
    let asked = 0
    const { url } = await remote({ intercept: () => { asked++; return new Promise<undefined>(() => {}) } })
    const source = new Source(url)
    const service = serve(source, { idleMs: 60_000, busyMs: 60_000, pullMs: 60_000, flushMs: 200 })
    source.write('a')
    await settled(() => { expect(asked).toBe(1) })
    const began = performance.now()
    await service.stop()
    expect(performance.now() - began).toBeLessThan(5000)
  })

  it('syncs now when asked, and reports per remote', async () => {
    const [good, bad] = [await remote(), await remote({ intercept: () => 503 })]
    const source = new Source(good.url, bad.url)
    const service = serve(source, { idleMs: 60_000, pullMs: 60_000 })
    source.write('a')
    const report = await service.sync('notes')
    expect(report).toMatchObject([{ stack: 'notes', url: good.url, ok: true, commit: expect.stringMatching(/^[0-9a-f]{40}$/), message: null }, { url: bad.url, ok: false, commit: null }])
    await expect(serve(new Source()).sync()).rejects.toMatchObject({ code: 'NO_REMOTE' })
  })

  it('says of what changed that it is not there yet, until a pass covered it; also after a run that ended in between', async () => {
    const { url } = await remote()
    const hanging: MirrorComponents['openGit'] = async (_url, { signal }) => await new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => { reject(signal.reason as Error) })
    })
    const [source, files] = [new Source(url), new MemoryFiles()]
    const service = serve(source, { ...FAST, idleMs: 600_000, busyMs: 600_000, pullMs: 600_000 }, { files })
    source.write('a')
    await service.sync()
    expect(state(service)).toBe('ok')
    source.write('b')
    expect(state(service)).toBe('behind')
    expect(service.status('--all').map(mirror => mirror.state)).toEqual(['behind'])
    expect(state(serve(source, { ...FAST, flushMs: 100 }, { files, openGit: hanging }))).toBe('behind')
    await service.sync()
    expect(state(service)).toBe('ok')
  })

  it('remembers over a restart what it saw: a rewritten remote is reported once, then accepted by sync', async () => {
    const { url, dir } = await remote()
    const [source, files] = [new Source(url), new MemoryFiles()]
    const first = serve(source, FAST, { files })
    source.write('a')
    await settled(() => { expect(state(first)).toBe('ok') })
    await first.stop()
    execFileSync('git', ['-C', dir, 'update-ref', '-d', 'refs/heads/elder/memory'])
    const second = serve(source, { ...FAST, pullMs: 60_000 }, { files })
    await settled(() => { expect(second.problems()).toMatchObject([{ code: 'MIRROR_REWRITTEN' }]) })
    expect(state(second)).toBe('failing')
    expect(await second.sync()).toMatchObject([{ ok: true }])
    expect(commits(dir)).toBe(1)
  })

  it('never stores or shows the credentials of a URL', async () => {
    const { url } = await remote({ auth: { user: 'elder', password: 's3cret' } })
    const [source, files] = [new Source(url.replace('://', '://elder:s3cret@')), new MemoryFiles()]
    const service = serve(source, FAST, { files })
    source.write('a')
    await settled(() => { expect(state(service)).toBe('ok') })
    expect(JSON.stringify(service.status('notes')) + Buffer.from(files.read('mirrors.json') ?? []).toString()).not.toContain('s3cret')
  })

  it('says so when a remote holds no mirror, and leaves no scratch behind', async () => {
    const { url } = await remote()
    const caches = folder()
    const service = serve(new Source(), FAST, { openGit: createGitCaches(caches) })
    await expect(service.restore(url, forever)).rejects.toMatchObject({ code: 'MIRROR_EMPTY' })
    expect(execFileSync('ls', [join(caches)], { encoding: 'utf8' })).toBe('')
  })
})

