/** What somebody who can push takes away from a mirror comes back, and what they put into it costs little. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { LIMITS } from '@elder-node/protocol'
import { describe, expect, it, vi } from 'vitest'
import { restoreMirror, type MirrorSync } from '../../src/mirror/index.ts'
import { newStacks } from '../../src/mirror/adopt.ts'
import { SEGMENT_BYTES_MAX } from '../../src/mirror/segments.ts'
import { takeSegments } from '../../src/mirror/take.ts'
import { readMirror, sortTree, type StackTree } from '../../src/mirror/tree.ts'
import type { Commit, GitMirror, TreeFile } from '../../src/git/index.ts'
import { bareRemote, byHand, crypto, forever, gitOf, MESH, mirrorOf, TinyStack } from './support.ts'

// A dozen git processes per test, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000 })

const RECORDS = [new Uint8Array([1, 2, 3]), new Uint8Array([4, 5, 6])]
const roster = { records: () => RECORDS, receive: () => {} }
const restore = async (url: string): ReturnType<typeof restoreMirror> => await restoreMirror({ git: await gitOf(url), crypto, verifyRoster: records => ({ records, mayWrite: () => true }) }, forever)
const pathsOf = (dir: string): string[] => execFileSync('git', ['-C', dir, 'ls-tree', '-r', '--name-only', 'elder/memory'], { encoding: 'utf8' }).trim().split('\n')

async function mirrored (): Promise<{ url: string, dir: string, stack: TinyStack, mirror: MirrorSync }> {
  const { url, dir } = bareRemote()
  const stack = new TinyStack('notes')
  stack.write('one')
  const mirror = await mirrorOf(url, {}, { roster })
  expect(await mirror.sync([stack], forever)).toMatchObject({ pushed: true, covered: new Set(['notes']) })
  return { url, dir, stack, mirror }
}

describe('what is deleted on the remote', () => {
  it.for(['elder.json', 'roster', 'stacks/notes/feeds', 'stacks'])('%s: not covered until it is back, and back with the next pass, without a new note', async path => {
    const { url, dir, stack, mirror } = await mirrored()
    const before = pathsOf(dir)
    byHand(dir, `D ${path}\n`)
    const looked = await mirror.sync([stack], { ...forever, push: () => false })
    expect(looked).toMatchObject({ pushed: false, covered: new Set() })
    const asked: boolean[] = []
    // As a device does that has nothing to say: it pushes only because something is missing.
    const next = await mirror.sync([stack], { ...forever, push: (_stack, lacks) => { asked.push(lacks); return lacks } })
    expect(asked).toContain(true)
    expect(next).toMatchObject({ pushed: true, covered: new Set(['notes']) })
    expect(pathsOf(dir)).toEqual(before)
    const back = await restore(url)
    expect(back.roster).toHaveLength(RECORDS.length)
    expect(back.stacks[0]?.batches.at(-1)?.head.seq).toBe(1)
  })

  it('a membership record that is new here reaches the remote without a note', async () => {
    const { url, stack } = await mirrored()
    const more = { ...roster, records: () => [...RECORDS, new Uint8Array([7])] }
    const mirror = await mirrorOf(url, {}, { roster: more })
    expect(await mirror.sync([stack], { ...forever, push: (_stack, lacks) => lacks })).toMatchObject({ pushed: true, covered: new Set(['notes']) })
    expect((await restore(url)).roster).toHaveLength(RECORDS.length + 1)
    expect(await mirror.sync([stack], { ...forever, push: (_stack, lacks) => lacks })).toMatchObject({ pushed: false })
  })
})

describe('what is put there', () => {
  it('tens of thousands of names below feeds/ and a thousand false segments: a few are told, the mirror goes on', { timeout: 120_000 }, async () => {
    const { url, dir, stack, mirror } = await mirrored()
    const name = (i: number): string => createHash('sha256').update(String(i)).digest('hex').slice(0, 32)
    const blob = execFileSync('git', ['-C', dir, 'hash-object', '-w', '--stdin'], { input: 'x', encoding: 'utf8' }).trim()
    const names = Array.from({ length: 40_000 }, (_, i) => `100644 blob ${blob}\t${name(i)}\n`).join('')
    const junk = execFileSync('git', ['-C', dir, 'mktree'], { input: names, encoding: 'utf8' }).trim()
    const bad = Array.from({ length: 1000 }, (_, i) => `M 100644 ${blob} stacks/notes/feeds/${stack.feed}/1-2.${name(i)}\n`)
    byHand(dir, [...bad, `M 040000 ${junk} stacks/notes/feeds/junk\n`].join(''))
    stack.write('two')
    const result = await mirror.sync([stack], forever)
    expect(result).toMatchObject({ pushed: true, covered: new Set(['notes']) })
    expect(result.problems).toHaveLength(LIMITS.mirrorProblemsMax)
    expect((await restore(url)).stacks[0]?.batches.at(-1)?.head.seq).toBe(2)
  })

  it('more files under roster/ than a mesh has records: those that are records are found, and nothing is read twice', { timeout: 120_000 }, async () => {
    const { url, dir, stack } = await mirrored()
    const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)
    const junk = Array.from({ length: LIMITS.rosterRecordsMax + 100 }, (_, i) => `junk ${i}`)
    // Their names are those of their contents, and one that is a record comes last of all.
    const last = junk.reduce((a, b) => hash(a) > hash(b) ? a : b)
    byHand(dir, junk.map(text => `M 100644 inline roster/${hash(text)}\ndata ${text.length}\n${text}\n`).join(''))
    const heard: string[] = []
    const mirror = await mirrorOf(url, {}, { roster: { ...roster, receive: records => { heard.push(...records.map(record => Buffer.from(record).toString())) } } })
    expect(await mirror.sync([stack], forever)).toMatchObject({ covered: new Set(['notes']) })
    expect(heard).toHaveLength(junk.length)
    expect(heard).toContain(last)
    stack.write('two')
    await mirror.sync([stack], forever)
    expect(heard).toHaveLength(junk.length)
  })

  it('hundreds of large files where entries are rendered: a few are kept beside, none is held that does not fit', async () => {
    const { url, dir, stack, mirror } = await mirrored()
    const blob = execFileSync('git', ['-C', dir, 'hash-object', '-w', '--stdin'], { input: Buffer.alloc(4_000_000, 'x'), encoding: 'utf8' }).trim()
    const name = (i: number): string => `01ARZ3NDEKTSV4RRFFQ69G${String(i).padStart(4, '0')}`
    byHand(dir, Array.from({ length: 200 }, (_, i) => `M 100644 ${blob} stacks/notes/entries/note/${name(i)}.md\n`).join(''))
    const before = process.memoryUsage().rss
    stack.write('two')
    const result = await mirror.sync([stack], forever)
    expect(result).toMatchObject({ pushed: true, covered: new Set(['notes']) })
    expect(process.memoryUsage().rss - before).toBeLessThan(400_000_000)
    expect(result.problems.map(({ code }) => code)).toEqual(Array.from({ length: 16 }, () => 'MIRROR_EDITED'))
    expect(pathsOf(dir).filter(path => path.includes('.edited-'))).toHaveLength(16)
    expect((await restore(url)).stacks[0]?.batches.at(-1)?.head.seq).toBe(2)
  })

  it('folders of stacks that nobody of ours signed make no stacks here', async () => {
    const { url, dir, stack } = await mirrored()
    const [ours, theirs] = [new TinyStack('ours'), new TinyStack('theirs')]
    ours.write('a')
    theirs.write('b')
    await (await mirrorOf(url, {}, { roster })).sync([stack, ours, theirs], forever)
    const blob = execFileSync('git', ['-C', dir, 'hash-object', '-w', '--stdin'], { input: 'x', encoding: 'utf8' }).trim()
    byHand(dir, Array.from({ length: 300 }, (_, i) => `M 100644 ${blob} stacks/made-up-${i}/feeds/${ours.feed}/1-1.${'ab'.repeat(16)}\n`).join(''))
    const asked: string[] = []
    const mayFound = (device: string): boolean => ours.feed.startsWith(device)
    const mirror = await mirrorOf(url, {}, { roster: { ...roster, mayFound }, adopt: async key => { asked.push(key); return undefined } })
    await mirror.sync([stack], forever)
    expect(asked).toEqual(['ours'])
  })

  it('a header and a membership record that are far too long, and one that is not what its name says: none is taken', async () => {
    const { url, dir, stack } = await mirrored()
    const header = JSON.stringify({ format: 2, importer: 1, mesh: MESH, renderer: 1, padding: 'x'.repeat(100_000) })
    const record = 'x'.repeat(LIMITS.doorBytesMax + 1)
    const hash = createHash('sha256').update(record).digest('hex').slice(0, 32)
    byHand(dir, [['elder.json', header], [`roster/${hash}`, record], [`roster/${'0'.repeat(32)}`, 'of another name']].map(([path, text]) => `M 100644 inline ${path}\ndata ${text?.length}\n${text}\n`).join(''))
    await expect(restore(url)).rejects.toMatchObject({ code: 'MIRROR_EMPTY' })
    const heard: number[] = []
    const mirror = await mirrorOf(url, {}, { roster: { ...roster, receive: records => { heard.push(...records.map(({ length }) => length)) } } })
    expect(await mirror.sync([stack], forever)).toMatchObject({ pushed: true, covered: new Set(['notes']) })
    expect(heard).toEqual([])
    expect((await restore(url)).mesh).toBe(MESH)
  })

  it('hundreds of false segments of several stacks: told as one is', async () => {
    const { url, dir, stack, mirror } = await mirrored()
    const other = new TinyStack('other')
    other.write('one')
    await mirror.sync([stack, other], forever)
    const bad = (one: TinyStack): string => Array.from({ length: 100 }, (_, i) => `M 100644 inline stacks/${one.key}/feeds/${one.feed}/1-2.${i.toString(16).padStart(32, '0')}\ndata 1\nx\n`).join('')
    byHand(dir, bad(stack) + bad(other))
    expect((await mirror.sync([stack, other], { ...forever, push: () => false })).problems).toHaveLength(LIMITS.mirrorProblemsMax)
    const fresh = await gitOf(url)
    const tree = await readMirror(fresh, await fresh.fetchTip(forever) as Commit, forever)
    const taken = await takeSegments(fresh, stack, tree.stacks.get('notes') as StackTree, new Set(), crypto, forever)
    expect([taken.bad.length, taken.problems.length]).toEqual([100, LIMITS.mirrorProblemsMax])
  })

  it('a segment that is far too long, more folders than a mesh has stacks, and what is not ours: passed over', async () => {
    const { feed } = new TinyStack('notes')
    const file = (key: string, bytes: number): TreeFile => ({ path: `stacks/${key}/feeds/${feed}/1-1.${'ab'.repeat(16)}`, blob: `${key}` as TreeFile['blob'], bytes })
    const tree = sortTree([file('notes', SEGMENT_BYTES_MAX), file('notes', SEGMENT_BYTES_MAX + 1)]).stacks.get('notes')
    expect([tree?.segments.length, tree?.junk.length]).toEqual([1, 1])
    const many = Array.from({ length: LIMITS.stacksMax + 10 }, (_, i) => file(`made-up-${i}`, 10))
    const junk = Array.from({ length: 1000 }, (_, i) => ({ ...file('notes', 1), path: `stacks/notes/feeds/junk/${i}` }))
    const others = ['README', 'docs/a', 'stacks/x', 'stacks/NOT A STACK/feeds/x', 'roster/x'].map(path => ({ ...file('notes', 1), path }))
    let looked = 0
    let held: TreeFile[] = []
    const git = {
      readTree: async (_commit: Commit, { wants }: { wants: (path: string) => boolean }) => held = [...many, ...junk, ...others].filter(({ path }) => wants(path)),
      readBlobs (files: TreeFile[]) { looked += files.length; return [] },
    } as unknown as GitMirror
    const { folders, stacks } = await readMirror(git, 'x' as Commit, forever)
    expect(folders.size).toBe(LIMITS.stacksMax)
    expect([held.length - many.length, held.filter(one => junk.includes(one)).length]).toEqual([LIMITS.mirrorProblemsMax, LIMITS.mirrorProblemsMax])
    for await (const _key of newStacks({ git, crypto, mayFound: () => true }, stacks, new Set(), forever));
    expect(looked).toBe(LIMITS.stacksMax)
  })
})
