/** Two devices, one remote: nothing is lost by races, bad segments, foreign hands or rewritten history. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { restoreMirror } from '../../src/mirror/index.ts'
import type { Entry } from '../../src/types.ts'
import { bareRemote, crypto, folder, forever, gitOf, MESH, mirrorOf, TinyStack, WINDOW } from './support.ts'

// A dozen git processes per test, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000 })

function git (dir: string, ...args: string[]): string {
  return execFileSync('git', ['-C', dir, '-c', 'user.name=human', '-c', 'user.email=human@example.org', ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
}

/** A person's clone of the branch. `push` sends what was changed in it. */
function humanClone (bare: string): { dir: string, push (...flags: string[]): void } {
  const dir = join(folder(), 'clone')
  execFileSync('git', ['clone', '--quiet', '-b', 'elder/memory', bare, dir], { stdio: 'ignore' })
  return { dir, push: (...flags) => { git(dir, 'add', '-A'); git(dir, 'commit', '--quiet', '--allow-empty', '-m', 'by hand'); git(dir, 'push', '--quiet', ...flags, 'origin', 'HEAD:elder/memory') } }
}

function filesOf (dir: string): string[] { return (readdirSync(dir, { recursive: true }) as string[]).filter(name => !name.startsWith('.git')).sort() }

async function restored (url: string, key = 'notes'): Promise<TinyStack> {
  const stack = new TinyStack(key)
  const mirror = await restoreMirror({ git: await gitOf(url), crypto, verifyRoster: records => ({ records, mayWrite: () => true }) }, forever)
  await stack.receive(mirror.stacks.find(found => found.key === key)?.batches ?? [])
  return stack
}

describe('one pass over one remote', () => {
  it('pushes a stack that a person can read and a stranger can restore', async () => {
    const { url, dir } = bareRemote()
    const stack = new TinyStack('notes')
    const entry = stack.write('auth tokens are PASETO', 'because JWT\nno newline')
    const result = await (await mirrorOf(url)).sync([stack], forever)
    expect(result).toMatchObject({ pushed: true, problems: [] })
    expect(result.covered).toEqual(new Set(['notes']))
    const clone = humanClone(dir).dir
    expect(readFileSync(join(clone, `stacks/notes/entries/note/${entry.id}.md`), 'utf8')).toMatch(/title: "auth tokens are PASETO"\n[^]*---\nbecause JWT\nno newline$/)
    expect(readFileSync(join(clone, 'stacks/notes/MEMORY.md'), 'utf8')).toContain('auth tokens are PASETO')
    expect(JSON.parse(readFileSync(join(clone, 'elder.json'), 'utf8'))).toEqual({ format: 2, importer: 1, mesh: MESH, renderer: 2 })
    expect((await restored(url)).digest()).toBe(stack.digest())
  })

  it('does nothing when nothing changed', async () => {
    const { url } = bareRemote()
    const stack = new TinyStack('notes')
    stack.write('a')
    const mirror = await mirrorOf(url)
    const first = await mirror.sync([stack], forever)
    const second = await mirror.sync([stack], forever)
    expect(second).toMatchObject({ pushed: false, tip: first.tip })
    expect(second.covered).toEqual(new Set(['notes']))
    const afresh = await (await mirrorOf(url)).sync([stack], forever)
    expect(afresh).toMatchObject({ pushed: false, tip: first.tip })
  })

  it('replaces the tail segment and leaves full windows as they are', async () => {
    const { url, dir } = bareRemote()
    const stack = new TinyStack('notes')
    const mirror = await mirrorOf(url)
    const names = (): string[] => filesOf(join(humanClone(dir).dir, 'stacks/notes/feeds', stack.feed)).map(name => name.split('.')[0] as string)
    for (let i = 0; i < WINDOW + 3; i++) stack.write(`note ${i}`)
    await mirror.sync([stack], forever)
    expect(names()).toEqual([`1-${WINDOW}`, `${WINDOW + 1}-${WINDOW + 3}`])
    stack.write('one more')
    await mirror.sync([stack], forever)
    expect(names()).toEqual([`1-${WINDOW}`, `${WINDOW + 1}-${WINDOW + 4}`])
    expect((await restored(url)).digest()).toBe(stack.digest())
  })

  it('keeps strands of one window side by side, and takes away only what a longer one contains', async () => {
    const { url, dir } = bareRemote()
    const stack = new TinyStack('notes')
    const mirror = await mirrorOf(url)
    const names = (): string[] => filesOf(join(humanClone(dir).dir, 'stacks/notes/feeds', stack.feed)).map(name => name.split('.')[0] as string)
    for (let i = 0; i < 4; i++) stack.write(`note ${i}`)
    await mirror.sync([stack], forever)
    stack.goBack(2)
    for (let i = 0; i < 3; i++) stack.write(`after the backup ${i}`)
    await mirror.sync([stack], forever)
    expect(names()).toEqual(['1-4', '1-5'])
    stack.write('one more')
    await mirror.sync([stack], forever)
    expect(names()).toEqual(['1-4', '1-6'])
    expect((await restored(url)).digest()).toBe(stack.digest())
  })

  it('takes back what the remote has', async () => {
    const { url } = bareRemote()
    const [a, b] = [new TinyStack('notes'), new TinyStack('notes')]
    a.write('from a')
    await (await mirrorOf(url)).sync([a], forever)
    b.write('from b')
    const result = await (await mirrorOf(url)).sync([b], forever)
    expect(result.gained).toEqual(new Set(['notes']))
    expect(b.entries().map(entry => entry.title).sort()).toEqual(['from a', 'from b'])
  })

  it('opens a stack that only the remote has, when it may', async () => {
    const { url } = bareRemote()
    const [a, adopted] = [new TinyStack('notes'), new TinyStack('notes')]
    a.write('from a')
    await (await mirrorOf(url)).sync([a], forever)
    const asked: string[] = []
    const adopt = async (key: string): Promise<TinyStack> => { asked.push(key); return adopted }
    expect((await (await mirrorOf(url, {}, { adopt })).sync([], forever)).covered).toEqual(new Set(['notes']))
    expect(asked).toEqual(['notes'])
    expect(adopted.digest()).toBe(a.digest())
  })

  it.each(['opened', 'written to'])('goes on without a stack that cannot be %s, tells it, and takes it once it can', async how => {
    const { url } = bareRemote()
    const [a, b] = [new TinyStack('notes'), new TinyStack('other')]
    a.write('from a')
    b.write('from b')
    await (await mirrorOf(url)).sync([a, b], forever)
    let isBroken = true
    const stacks = new Map(['notes', 'other'].map(key => [key, new TinyStack(key)]))
    const notes = stacks.get('notes') as TinyStack
    const receive = notes.receive.bind(notes)
    notes.receive = async batches => {
      if (isBroken && how === 'written to') throw new Error('the disk does not read')
      return await receive(batches)
    }
    const adopt = async (key: string): Promise<TinyStack | undefined> => {
      if (isBroken && how === 'opened' && key === 'notes') throw new Error('the disk does not read')
      return stacks.get(key)
    }
    const mirror = await mirrorOf(url, {}, { adopt })
    const told = { code: 'STACK_NOT_RESTORED', message: expect.stringContaining('of the stack notes was not taken: the disk does not read') as string }
    expect(await mirror.sync([], forever)).toMatchObject({ problems: [told], gained: new Set(['other']) })
    isBroken = false
    expect((await mirror.sync([], forever)).problems).toEqual([])
    expect([...stacks.values()].map(stack => stack.digest())).toEqual([a.digest(), b.digest()])
  })

  it('two pushers at once: every note of both arrives, history is linear', async () => {
    const { url, dir } = bareRemote()
    const devices = await Promise.all(['a', 'b'].map(async name => ({ name, stack: new TinyStack('notes'), mirror: await mirrorOf(url) })))
    await Promise.all(devices.map(async ({ name, stack, mirror }) => {
      for (let i = 0; i < 3; i++) {
        stack.write(`${name} ${i}`)
        await mirror.sync([stack], forever)
      }
    }))
    for (const { stack, mirror } of devices) await mirror.sync([stack], forever)
    const [a, b] = devices.map(device => device.stack) as [TinyStack, TinyStack]
    expect(a.entries()).toHaveLength(6)
    expect(a.digest()).toBe(b.digest())
    expect((await restored(url)).digest()).toBe(a.digest())
    expect(git(dir, 'rev-list', '--min-parents=2', 'elder/memory')).toBe('')
  })

  it('gives up after the last attempt with a name, and takes nothing away', async () => {
    const { url } = bareRemote()
    const [a, b] = [new TinyStack('notes'), new TinyStack('notes')]
    const fast = await mirrorOf(url)
    const { MirrorSync } = await import('../../src/mirror/index.ts')
    const inner = await gitOf(url)
    // Whenever b is about to push, a was faster.
    const raced = Object.assign(Object.create(inner) as typeof inner, {
      url: inner.url,
      fetchTip: inner.fetchTip.bind(inner), isAncestor: inner.isAncestor.bind(inner), readTree: inner.readTree.bind(inner), readBlobs: inner.readBlobs.bind(inner), commitTree: inner.commitTree.bind(inner),
      push: async (commit: Parameters<typeof inner.push>[0]) => {
        a.write('faster')
        await fast.sync([a], forever)
        return await inner.push(commit, forever)
      },
    })
    b.write('from b')
    const slow = new MirrorSync({ git: raced, crypto, wallMs: Date.now, random: Math.random, sleep: async () => {} }, { mesh: MESH, attemptsMax: 3 })
    await expect(slow.sync([b], forever)).rejects.toMatchObject({ code: 'GIT_CONTENDED' })
    expect(b.entries()).toHaveLength(3) // its own, and what the two fetches between the three pushes brought
  })
})

describe('a remote is not trusted', () => {
  async function mirrored (notes = 3): Promise<{ url: string, dir: string, stack: TinyStack, mirror: Awaited<ReturnType<typeof mirrorOf>> }> {
    const { url, dir } = bareRemote()
    const stack = new TinyStack('notes')
    for (let i = 0; i < notes; i++) stack.write(`note ${i}`)
    const mirror = await mirrorOf(url)
    await mirror.sync([stack], forever)
    return { url, dir, stack, mirror }
  }

  it('skips and names junk, torn and forged segments, and heals what it holds', async () => {
    const { url, dir, stack, mirror } = await mirrored()
    const human = humanClone(dir)
    const feed = join(human.dir, 'stacks/notes/feeds', stack.feed)
    const [name] = readdirSync(feed) as [string]
    const good = readFileSync(join(feed, name))
    writeFileSync(join(feed, name), good.subarray(0, good.length - 1))
    writeFileSync(join(feed, `1-9.${'0'.repeat(32)}`), good)
    writeFileSync(join(feed, 'README'), 'hello')
    mkdirSync(join(human.dir, 'stacks/notes/feeds/not-a-feed'))
    writeFileSync(join(human.dir, 'stacks/notes/feeds/not-a-feed/1-1.x'), 'x')
    human.push()
    const stranger = new TinyStack('notes')
    const taken = await (await mirrorOf(url)).sync([stranger], { ...forever, push: () => false })
    expect(stranger.entries()).toEqual([])
    expect(taken.problems.map(problem => problem.code)).toEqual(Array.from({ length: 4 }, () => 'MIRROR_SEGMENT'))
    const before = stack.digest()
    const result = await mirror.sync([stack], forever)
    expect(result.pushed).toBe(true)
    expect(stack.digest()).toBe(before)
    expect((await restored(url)).digest()).toBe(stack.digest())
  })

  it('goes to quarantine when history was rewritten, until a person accepts it', async () => {
    const { url, dir, stack, mirror } = await mirrored()
    const human = humanClone(dir)
    git(human.dir, 'checkout', '--quiet', '--orphan', 'fresh')
    git(human.dir, 'rm', '-rfq', 'stacks')
    human.push('--force')
    stack.write('after the rewrite')
    const before = stack.digest()
    for (let pass = 0; pass < 2; pass++) {
      const result = await mirror.sync([stack], forever)
      expect(result.pushed).toBe(false)
      expect(result.problems).toMatchObject([{ code: 'MIRROR_REWRITTEN' }])
    }
    expect(stack.digest()).toBe(before)
    expect((await mirror.sync([stack], { ...forever, acceptRewrite: true })).pushed).toBe(true)
    expect((await restored(url)).digest()).toBe(stack.digest())
  })

  it('notices a rewrite that happened while it was down, and a branch that is gone', async () => {
    const { url, dir, stack, mirror } = await mirrored()
    git(dir, 'update-ref', '-d', 'refs/heads/elder/memory')
    const later = await mirrorOf(url, { memory: mirror.memory })
    expect((await later.sync([stack], forever)).problems).toMatchObject([{ code: 'MIRROR_REWRITTEN' }])
  })

  it('still takes verified segments out of a rewritten history', async () => {
    const { url, dir, stack, mirror } = await mirrored()
    const human = humanClone(dir)
    const other = new TinyStack('notes')
    other.write('from another device')
    git(human.dir, 'push', '--quiet', 'origin', ':elder/memory')
    await (await mirrorOf(url)).sync([other], forever)
    const result = await mirror.sync([stack], forever)
    expect(result.problems.map(problem => problem.code)).toEqual(['MIRROR_REWRITTEN'])
    expect(stack.entries().map(entry => entry.title)).toContain('from another device')
  })

  it('does not write another mesh\'s mirror, nor one of a newer format', async () => {
    const { url, dir, stack } = await mirrored()
    const foreign = await mirrorOf(url, { mesh: 'b'.repeat(26) })
    expect(await foreign.sync([stack], forever)).toMatchObject({ pushed: false, problems: [{ code: 'MIRROR_FOREIGN' }] })
    const human = humanClone(dir)
    writeFileSync(join(human.dir, 'elder.json'), JSON.stringify({ format: 3, importer: 1, mesh: MESH, renderer: 1 }))
    human.push()
    expect(await (await mirrorOf(url)).sync([stack], forever)).toMatchObject({ pushed: false, problems: [{ code: 'MIRROR_NEWER' }] })
  })

  it('neither writes nor restores one of an older format, and names it', async () => {
    const { url, dir, stack } = await mirrored()
    const human = humanClone(dir)
    writeFileSync(join(human.dir, 'elder.json'), JSON.stringify({ format: 1, importer: 1, mesh: MESH, renderer: 1 }))
    human.push()
    const before = git(dir, 'rev-parse', 'elder/memory')
    stack.write('not beside what is older')
    const told = { code: 'MIRROR_OLDER', message: expect.stringContaining('mirror format 1') as string }
    const result = await (await mirrorOf(url)).sync([stack], forever)
    expect(result).toMatchObject({ pushed: false, problems: [told] })
    expect(result.covered).toEqual(new Set())
    expect(git(dir, 'rev-parse', 'elder/memory')).toBe(before)
    await expect(restored(url)).rejects.toMatchObject({ ...told, fix: expect.stringContaining('empty repository') as string })
  })

  it('keeps a person\'s edit beside the next render and says so; node renders are simply replaced', async () => {
    const { dir, stack, mirror } = await mirrored(2)
    const human = humanClone(dir)
    const [edited] = stack.entries() as [Entry, Entry]
    const path = `stacks/notes/entries/note/${edited.id}.md`
    const mine = `${readFileSync(join(human.dir, path), 'utf8')}\nA human was here.\n`
    writeFileSync(join(human.dir, path), mine)
    human.push()
    const by = git(human.dir, 'rev-parse', 'HEAD').slice(0, 12)
    stack.write('another')
    const result = await mirror.sync([stack], forever)
    expect(result.problems).toMatchObject([{ code: 'MIRROR_EDITED', message: expect.stringContaining(`.edited-${by}.md`) }])
    const after = humanClone(dir).dir
    expect(readFileSync(join(after, path.replace('.md', `.edited-${by}.md`)), 'utf8')).toBe(mine)
    expect(readFileSync(join(after, path), 'utf8')).not.toContain('A human was here.')
    stack.write('yet another')
    expect((await mirror.sync([stack], forever)).problems).toEqual([])
    expect(filesOf(humanClone(dir).dir).filter(name => name.includes('.edited-'))).toHaveLength(1)
  })

  it('carries membership records both ways', async () => {
    const { url, dir } = bareRemote()
    const [mine, yours] = [Buffer.from('record one'), Buffer.from('record two')]
    const heard: string[] = []
    const roster = (own: Buffer): { records (): Uint8Array[], receive (records: Uint8Array[]): void } => ({ records: () => [own], receive: records => { heard.push(...records.map(record => Buffer.from(record).toString())) } })
    const stack = new TinyStack('notes')
    stack.write('a')
    await (await mirrorOf(url, {}, { roster: roster(mine) })).sync([stack], forever)
    stack.write('b')
    await (await mirrorOf(url, {}, { roster: roster(yours) })).sync([stack], forever)
    expect(heard).toEqual(['record one'])
    expect(filesOf(join(humanClone(dir).dir, 'roster'))).toHaveLength(2)
  })
})
