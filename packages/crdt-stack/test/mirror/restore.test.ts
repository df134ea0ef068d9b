/** Real stacks through a mirror and back: equal digests, both branches of a fork, and whatever does not verify left out. */
import { execFileSync } from 'node:child_process'
import { genesisHash, LIMITS, recordHash, encodeRecord, signHead, type Batch, type Want } from '@elder-node/protocol'
import { describe, expect, it, vi } from 'vitest'
import { mirroredStack, restoreMirror, type MirroredStack, type RestoredMirror, type RosterVerdict, type SyncResult } from '../../src/mirror/index.ts'
import type { Stack } from '../../src/index.ts'
import { createDevice, NAME, pull } from '../support.ts'
import { rosterPath } from '../../src/mirror/layout.ts'
import { bareRemote, byHand, crypto, forever, gitOf, mirrorOf, TinyStack } from './support.ts'

// A dozen git processes per test, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000 })

async function restore (url: string, mayWrite: () => boolean = () => true): Promise<RestoredMirror> {
  return await restoreMirror({ git: await gitOf(url), crypto, verifyRoster: records => ({ records, mayWrite }) }, forever)
}

describe('what an evicted device pushed beyond its cut', () => {
  /** A mirror with one note of a device that is evicted, and a stack of another that knows. `on`: the note names a record that the mirror lacks. */
  async function evicted (on?: Stack): Promise<{ url: string, dir: string, stack: Stack, gone: string }> {
    const remote = bareRemote()
    const device = createDevice()
    const theirs = await device.open()
    if (on !== undefined) await pull(theirs, on)
    await theirs.add({ kind: 'note', title: 'too late' })
    const windows = (): Want[] => theirs.windows().filter(({ feed }) => feed.startsWith(device.id))
    await (await mirrorOf(remote.url)).sync([{ ...mirroredStack(theirs), windows }], forever)
    const stack = await createDevice().open()
    await stack.setCuts(new Map([[device.id, { keep: new Set(), undo: false }]]))
    return { ...remote, stack, gone: device.id }
  }

  it('is taken once, not with every pass', async () => {
    const { url, stack, gone } = await evicted()
    const mirror = await mirrorOf(url)
    const taken: number[] = []
    for (const title of ['one', 'two', 'three']) {
      await stack.add({ kind: 'note', title })
      let batches = 0
      const receive: MirroredStack['receive'] = async some => { batches += some.filter(({ feed }) => feed.startsWith(gone)).length; return await stack.receive(some) }
      await mirror.sync([{ ...mirroredStack(stack), receive }], forever)
      taken.push(batches)
    }
    expect(taken).toEqual([1, 0, 0])
  })

  it('and waits for what nobody has: entries go on being rendered', async () => {
    const unknown = await createDevice().open()
    await unknown.add({ kind: 'note', title: 'on no remote' })
    const { url, dir, stack } = await evicted(unknown)
    await stack.add({ kind: 'note', title: 'for readers' })
    await (await mirrorOf(url)).sync([mirroredStack(stack)], forever)
    expect(execFileSync('git', ['-C', dir, 'show', `elder/memory:stacks/${NAME}/MEMORY.md`], { encoding: 'utf8' })).toContain('for readers')
  })
})

async function rebuilt (batches: Batch[]): Promise<Stack> {
  const stack = await createDevice().open()
  await stack.receive(batches)
  return stack
}

describe('restore from a remote alone', () => {
  it('gives the digest that the devices print', async () => {
    const { url } = bareRemote()
    const [a, b] = [await createDevice().open(), await createDevice().open()]
    const entry = await a.add({ kind: 'decision', title: 'PASETO', body: 'because\n', tags: ['auth'] })
    await pull(b, a)
    await b.edit(entry.id, { body: 'because JWT\n', title: 'PASETO it is' }, {}, { overwrite: true })
    await a.edit(entry.id, { title: 'PASETO, says a' })
    await a.remove((await a.add({ kind: 'note', title: 'gone' })).id)
    for (let i = 0; i < 300; i++) await b.add({ kind: 'note', title: `note ${i}` })
    await (await mirrorOf(url)).sync([mirroredStack(a)], forever)
    await (await mirrorOf(url)).sync([mirroredStack(b)], forever)
    await (await mirrorOf(url)).sync([mirroredStack(a)], forever)
    expect(a.digest()).toEqual(b.digest())
    const mirror = await restore(url)
    expect(mirror).toMatchObject({ quarantined: [], stacks: [{ name: NAME, key: NAME }] })
    expect((await rebuilt(mirror.stacks[0]?.batches ?? [])).digest()).toEqual(a.digest())
  })

  it('keeps the names of archived stacks', async () => {
    const { url } = bareRemote()
    const stack = await createDevice().open()
    await stack.add({ kind: 'note', title: 'x' })
    const key = `${NAME}@${'c'.repeat(26)}`
    await (await mirrorOf(url)).sync([mirroredStack(stack, key)], forever)
    expect((await restore(url)).stacks).toMatchObject([{ name: NAME, key, mesh: 'c'.repeat(26) }])
  })

  it('carries both branches of a fork', async () => {
    const { url } = bareRemote()
    const device = createDevice()
    const feed = `${device.id}-0011223344556677` as Batch['feed']
    const stack = await createDevice().open()
    const record = (title: string): Uint8Array => encodeRecord({ seq: 1, prev: genesisHash(stack.id, feed, crypto), deps: [], at: 1_750_000_000_000 * 1024, agent: null, kind: `x-${title}`, body: title })
    const batch = (title: string): Batch => ({ feed, from: 1, records: [record(title)], head: signHead(stack.id, feed, 1, recordHash(record(title), crypto), device.signer) })
    await stack.receive(batch('one'))
    await stack.receive(batch('two'))
    expect(stack.forks()).toHaveLength(1)
    const mirror = await mirrorOf(url)
    expect(await mirror.sync([mirroredStack(stack)], forever)).toMatchObject({ pushed: true })
    expect(await mirror.sync([mirroredStack(stack)], forever)).toMatchObject({ pushed: false })
    const copy = await rebuilt((await restore(url)).stacks[0]?.batches ?? [])
    expect(copy.digest()).toEqual(stack.digest())
    // And a device that knows one branch learns of the other from the mirror.
    const other = await createDevice().open({ readonly: true })
    await other.receive(batch('two'))
    await (await mirrorOf(url)).sync([mirroredStack(other)], forever)
    expect(other.digest()).toEqual(stack.digest())
  })

  it('leaves out feeds of devices that were never members, and names them', async () => {
    const { url } = bareRemote()
    const stack = await createDevice().open()
    await stack.add({ kind: 'note', title: 'x' })
    await (await mirrorOf(url)).sync([mirroredStack(stack)], forever)
    expect(await restore(url, () => false)).toMatchObject({ stacks: [{ batches: [] }], quarantined: [{ why: 'its author was never a member' }] })
  })

  it('stops a feed at a gap and goes on with the others', async () => {
    const { url } = bareRemote()
    const [whole, torn] = [new TinyStack('notes'), new TinyStack('notes')]
    whole.write('whole')
    for (let i = 0; i < 257; i++) torn.write(`torn ${i}`)
    const [first, second] = torn.windows() as [Want, Want]
    // The second window is there in full, of the first one only a part that does not lead to it.
    const part = { ...first, to: 9, hash: (torn.path(first)[8] as Batch).head.hash }
    const holed: MirroredStack = {
      id: whole.id, key: 'notes', windows: () => [...whole.windows(), part, second], path: want => [...whole.path(want), ...torn.path(want)], feedsDigest: () => whole.feedsDigest(),
      holdsAt: () => false, receive: batches => whole.receive(batches), entries: () => [],
    }
    await (await mirrorOf(url)).sync([holed], forever)
    const { stacks, quarantined } = await restore(url)
    expect(stacks[0]?.batches.reduce((sum, batch) => sum + batch.records.length, 0)).toBe(10)
    expect(quarantined).toMatchObject([{ why: 'the records before it are missing or do not lead to it' }])
  })

  it('brings back every record of a roster as large as one may be', async () => {
    const { url } = bareRemote()
    const roster = Array.from({ length: LIMITS.rosterKeptMax }, (_, i) => Buffer.from(`record ${i}`))
    const stack = new TinyStack('notes')
    stack.write('a')
    const parts = { roster: { records: () => roster, receive: () => {} } }
    await (await mirrorOf(url, {}, parts)).sync([stack], forever)
    const mirror = await restore(url)
    expect(mirror.quarantined).toEqual([])
    expect(new Set(mirror.roster.map(record => Buffer.from(record).toString()))).toEqual(new Set(roster.map(String)))
  })

  it('judges an archived stack by the members of the mesh that it came from', async () => {
    const { url } = bareRemote()
    const [device, elsewhere] = [createDevice(), 'c'.repeat(26)]
    const stack = await device.open()
    await stack.add({ kind: 'note', title: 'old words' })
    const key = `${NAME}@${elsewhere}`
    const origin = [Buffer.from(device.id)]
    await (await mirrorOf(url)).sync([{ ...mirroredStack(stack, key), origin: () => origin }], forever)
    const verifyRoster = (records: Uint8Array[]): RosterVerdict => ({ records, mayWrite: writer => records.some(record => Buffer.from(record).toString() === writer) })
    const mirror = await restoreMirror({ git: await gitOf(url), crypto, verifyRoster }, forever)
    expect(mirror).toMatchObject({ quarantined: [], roster: [], stacks: [{ key, mesh: elsewhere, roster: origin }] })
    expect((await rebuilt(mirror.stacks[0]?.batches ?? [])).entries()).toMatchObject([{ title: 'old words' }])
  })

  it('what it came from is missing on the remote: it is pushed again without a note', async () => {
    const { url } = bareRemote()
    const stack = new TinyStack('notes')
    stack.write('a')
    const pass = async (origin: Uint8Array[]): Promise<SyncResult> => await (await mirrorOf(url)).sync([Object.assign(stack, { origin: () => origin })], { ...forever, push: (_stack, lacks) => lacks })
    await pass([])
    expect(await pass([Uint8Array.of(1)])).toMatchObject({ pushed: true, covered: new Set(['notes']) })
    expect(await pass([Uint8Array.of(1)])).toMatchObject({ pushed: false })
  })

  it('finds the membership records among more files than a roster holds', async () => {
    const { url, dir } = bareRemote()
    const stack = new TinyStack('notes')
    stack.write('a')
    const real = Array.from({ length: 50 }, (_, i) => Buffer.from(`real ${i}`))
    await (await mirrorOf(url, {}, { roster: { records: () => real, receive: () => {} } })).sync([stack], forever)
    const flood = Array.from({ length: LIMITS.rosterKeptMax }, (_, i) => `${i}`)
    const files = flood.map(text => `M 100644 inline ${rosterPath(Buffer.from(text), crypto)}\ndata ${text.length}\n${text}\n`).join('')
    byHand(dir, files)
    const verifyRoster = (records: Uint8Array[]): RosterVerdict => ({ records: [...new Set(records.map(String))].filter(text => text.startsWith('real')).map(text => Buffer.from(text)), mayWrite: () => true })
    const { roster } = await restoreMirror({ git: await gitOf(url), crypto, verifyRoster: records => verifyRoster(records.map(record => Buffer.from(record))) }, forever)
    expect(roster.map(String).toSorted()).toEqual(real.map(String).toSorted())
  })

  it('says what is missing when the remote is no mirror', async () => {
    const { url } = bareRemote()
    await expect(restore(url)).rejects.toMatchObject({ code: 'MIRROR_EMPTY' })
  })
})
