/** Strands of a forked feed on the wire, on remotes and against the bounds; and what they wrote twice under one place of a text. */
import { feedId, LIMITS, toHex, type Batch, type Cuts, type EntryId, type VectorEntry } from '@elder-node/protocol'
import { describe, expect, it, vi } from 'vitest'
import * as Y from 'yjs'
import { baseClientId, clientIdOf } from '../src/client-id.ts'
import type { Stack } from '../src/index.ts'
import { makeSegment, parseSegment } from '../src/mirror/segments.ts'
import { shortHash } from '../src/mirror/layout.ts'
import { seededRandom } from '../../../test/simulator/world.ts'
import { converge, createDevice, crypto, pull, random, RawFeed, STACK, type Device } from './support.ts'

const note = (title: string, body = ''): {
  kind: string, body: { kind: string, fields: { title: string }, body: string, v: number },
} =>
  ({ kind: 'new', body: { kind: 'note', fields: { title }, body, v: 1 } })
const titles = (stack: Stack): string[] => stack.entries().map(({ title }) => title).sort()
const bytesOf = (batch: Batch): number => batch.records.reduce((sum, bytes) => sum + bytes.length, 0)
const liarFeed = (device: Device): RawFeed => new RawFeed(feedId(device.id, random(8)), device.signer)

/** One signature over a long batch, and a strand that leaves it in the middle with a large record. */
function splitBatch (tail: number): { trunk: RawFeed, strand: RawFeed, batches: Batch[] } {
  const trunk = liarFeed(createDevice())
  for (let i = 0; i < 10; i++) trunk.write(note(`trunk ${i}`, 'x'.repeat(18_000)))
  const strand = new RawFeed(trunk.feed, trunk.signer)
  for (const [i, bytes] of trunk.records.slice(0, 9).entries()) {
    strand.records.push(bytes)
    strand.hashes.push(trunk.hash(i + 1))
  }
  strand.write(note('strand', 'y'.repeat(tail)))
  return { trunk, strand, batches: [trunk.batch(1, 10), strand.batch(10)] }
}

describe('a strand that leaves a batch of one signature', () => {
  it.each([10, 190_000])('is served within the bounds of a batch, %d bytes of it', async tail => {
    const { batches } = splitBatch(tail)
    const holder = await createDevice().open({ readonly: true })
    await holder.receive(batches)
    for (const head of holder.vector()) {
      for (const batch of holder.path({ ...head, from: 1, to: head.seq })) expect(
        batch.records.length === 1 || bytesOf(batch) <= LIMITS.batchBytesMax
      ).toBe(true)
      const joiner = await createDevice().open({ readonly: true })
      await joiner.receive([...holder.path({ ...head, from: 1, to: head.seq })])
      expect(joiner.holds(head.hash)).toBe(true)
      expect(joiner.missing()).toEqual([])
    }
    const joiner = await createDevice().open({ readonly: true })
    await pull(joiner, holder)
    expect(joiner.digest()).toEqual(holder.digest())
  })

  it.each([10, 190_000])('stands in a segment that a remote gives back, %d bytes of it', async tail => {
    const { batches } = splitBatch(tail)
    const holder = await createDevice().open({ readonly: true })
    await holder.receive(batches)
    const restored = await createDevice().open({ readonly: true })
    for (const want of holder.windows()) {
      const segment = makeSegment([...holder.path(want)])
      expect(segment.name).toMatchObject({ from: want.from, to: want.to, hash: shortHash(want.hash) })
      const { batches: read } = parseSegment(STACK, segment.name, segment.content, crypto)
      await restored.receive(read)
    }
    expect(restored.digest()).toEqual(holder.digest())
  })

  it('and that was dropped still signs the record before it', async () => {
    const liar = createDevice()
    const trunk = liarFeed(liar)
    trunk.write(note('named by somebody'))
    trunk.write(note('nobody\'s'))
    const holder = await createDevice().open({ headsMax: 2 })
    await holder.receive(trunk.batch(1, 2))
    const namer = liarFeed(createDevice())
    await holder.receive(
      namer.write({ kind: 'see', deps: [{ feed: trunk.feed, seq: 1, hash: trunk.hash(1) }], body: {} })
    )
    // Higher strands of the same device push the second record out.
    for (let i = 0; i < 3; i++) {
      const other = liarFeed(liar)
      for (let n = 0; n < 4; n++) other.write(note(`${i} ${n}`))
      await holder.receive(other.batch(1, 4))
    }
    expect(titles(holder)).toContain('named by somebody')
    expect(titles(holder)).not.toContain('nobody\'s')
    const joiner = await createDevice().open({ headsMax: 2, readonly: true })
    await pull(joiner, holder)
    expect(joiner.digest()).toEqual(holder.digest())
    expect(titles(joiner)).toContain('named by somebody')
    for (const want of holder.windows()) expect([...holder.path(want)].length).toBeGreaterThan(0)
    const audit = await holder.audit()
    expect(audit.problems).toEqual([])
  })
})

// By hand: TINY_FEEDS=4096 WAITING=65536
const TINY_FEEDS = Number(process.env['TINY_FEEDS'] ?? 700)
const WAITING = Number(process.env['WAITING'] ?? 18_432)

describe('what one member can fill', () => {
  it('tiny feeds cost no honest record, before or after them', async () => {
    const liar = createDevice()
    const [reader, writer, late] = [
      await createDevice().open(), await createDevice().open(), await createDevice().open(),
    ]
    await writer.add({ kind: 'decision', title: 'before' })
    const feeds = Array.from(
      { length: TINY_FEEDS },
      (_, i) => new RawFeed(
        feedId(liar.id, Uint8Array.of(0, 0, 0, 0, 0, 0, i >> 8, i & 255)), liar.signer
      ).write(note(`${i}`))
    )
    await reader.receive(feeds)
    await pull(reader, writer)
    await reader.add({ kind: 'decision', title: 'by the reader' })
    await late.add({ kind: 'decision', title: 'a new writer' })
    await pull(reader, late)
    await pull(late, reader)
    for (const stack of [reader, late]) expect(
      titles(stack).filter(title => !/^\d/.test(title))
    ).toEqual(['a new writer', 'before', 'by the reader'])
    expect(reader.vector().length).toBeLessThanOrEqual(LIMITS.headsPerDeviceMax + 3)
    expect(late.digest()).toEqual(reader.digest())
  }, 60_000)

  it('waiting records beyond its share keep nobody else waiting', async () => {
    const liar = createDevice()
    const device = createDevice()
    const [joiner, a, b] = [await device.open(), await createDevice().open(), await createDevice().open()]
    const { id } = await a.add({ kind: 'note', title: 'first' })
    await pull(b, a)
    for (let i = 0; i < 59; i++) await b.add({ kind: 'note', title: `honest ${i}` })
    await b.edit(id, { title: 'first, edited' })
    const raw = liarFeed(liar)
    const absent = { feed: feedId(createDevice().id, random(8)), seq: 1, hash: random(32) }
    let refused = 0
    for (let i = 0; i < WAITING / LIMITS.batchRecordsMax; i++) {
      for (let n = 0; n < LIMITS.batchRecordsMax; n++) raw.write({
        kind: 'x', body: null, deps: i === 0 && n === 0 ? [absent] : [],
      })
      refused += (await joiner.receive(raw.batch(i * 256 + 1, (i + 1) * 256))).refused
    }
    expect(refused).toBe(WAITING - LIMITS.waitingRecordsMax)
    // A record that has to wait for a moment does so, and all of them come in.
    const [head] = b.vector().filter(({ seq }) => seq > 1) as [VectorEntry]
    const { waiting } = await joiner.receive([...b.path({ ...head, from: 1, to: head.seq })])
    expect(waiting).toBeGreaterThan(LIMITS.waitingRecordsMax)
    await pull(joiner, a)
    await pull(joiner, b)
    expect(joiner.digest().digest).toBe(b.digest().digest)
    expect(joiner.entries()).toHaveLength(60)
  }, 60_000)
})

/** A writer of text by hand: its document, its session, and its feed. */
class Typist {
  readonly feed: RawFeed
  readonly doc: Y.Doc
  readonly #entry: Uint8Array
  readonly #session: Uint8Array
  readonly #client: number

  constructor (feed: RawFeed, entry: Uint8Array, initial: string, session: Uint8Array, updates: Uint8Array[] = []) {
    this.feed = feed
    this.#entry = entry
    this.#session = session
    this.#client = clientIdOf(STACK, feed.feed, toHex(entry), session, crypto)
    this.doc = new Y.Doc({ gc: false })
    this.doc.clientID = baseClientId(STACK, toHex(entry), crypto)
    this.doc.getText('body').insert(0, initial)
    this.doc.clientID = 0
    for (const update of updates) Y.applyUpdate(this.doc, update)
  }

  get updates (): Uint8Array { return Y.encodeStateAsUpdate(this.doc) }
  get body (): string { return this.doc.getText('body').toString() }

  /** The same feed, document and session, gone back to: what both write next is two contents under one client. */
  twin (): Typist { return new Typist(this.feed.fork(), this.#entry, '', this.#session, [this.updates]) }

  read (update: Uint8Array): void { Y.applyUpdate(this.doc, update) }

  type (at: number, remove: number, insert: string, deps: VectorEntry[] = []): { batch: Batch, update: Uint8Array } {
    let update: Uint8Array = Uint8Array.of()
    this.doc.clientID = this.#client
    this.doc.once('update', (bytes: Uint8Array) => { update = bytes })
    const text = this.doc.getText('body')
    this.doc.transact(() => {
      if (remove > 0) text.delete(at, remove)
      if (insert !== '') text.insert(at, insert)
    })
    this.doc.clientID = 0
    return {
      batch: this.feed.write({
        kind: 'text', deps, body: { entry: this.#entry, session: this.#session, format: 1, update },
      }),
      update,
    }
  }
}

/** Of this thread: a busy machine makes nothing slow. */
async function cpuMsOf (work: () => Promise<unknown>): Promise<number> {
  const before = process.threadCpuUsage()
  await work()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1000
}

const headOf = ({ feed }: Typist): VectorEntry => ({ feed: feed.feed, seq: feed.seq, hash: feed.hash() })

/** Readers that take the batches in every rotation and some random orders; all of them must show the same. @returns the readers */
async function inAllOrders (batches: readonly Batch[], cuts: Cuts = new Map(), orders = 24): Promise<Stack[]> {
  const next = seededRandom(batches.length)
  const lists = Array.from(
    { length: orders },
    (_, i) => i < batches.length ? [
      ...batches.slice(i), ...batches.slice(0, i),
    ] : batches.map(batch => ({ batch, key: next() })).sort((a, b) => a.key - b.key).map(({ batch }) => batch)
  )
  const readers: Stack[] = []
  let slowestMs = 0
  for (const [i, list] of lists.entries()) {
    const device = createDevice()
    let reader = await device.open({ readonly: true, cuts: i % 2 === 0 ? cuts : new Map() })
    // Thrice: what a cut does not keep is dropped, and offered again once a waiting record names it.
    for (const batch of [...list, ...list, ...list]) {
      slowestMs = Math.max(slowestMs, await cpuMsOf(() => reader.receive(batch)))
    }
    if (i % 3 === 0) {
      await reader.close()
      reader = await device.open({ readonly: true })
    }
    await reader.setCuts(cuts)
    readers.push(reader)
  }
  const seen = readers.map(reader => JSON.stringify([reader.digest(), reader.entries(), reader.unshown()]))
  expect(new Set(seen).size).toBe(1)
  expect(slowestMs).toBeLessThan(100)
  return readers
}

describe('a text of which one place was written twice', () => {
  const BODY = 'one two three\n'
  const session = new Uint8Array(8).fill(3)

  function born (): { author: RawFeed, entry: Uint8Array, birth: Batch } {
    const author = liarFeed(createDevice())
    const birth = author.write(note('t', BODY))
    return { author, entry: author.hash(1), birth }
  }

  /** A device restored from a backup that continues its session: nobody notices, and both go on. */
  function twins (): {
    entry: Uint8Array, birth: Batch, left: Typist, right: Typist, first: Batch, both: Batch[], device: Device,
  } {
    const { author, entry, birth } = born()
    const device = createDevice()
    const left = new Typist(liarFeed(device), entry, BODY, session)
    const { batch: first } = left.type(0, 0, 'start ', [{ feed: author.feed, seq: 1, hash: author.hash(1) }])
    const right = left.twin()
    const both = [left.type(0, 0, 'LEFT ').batch, right.type(6, 0, 'RIGHT ').batch]
    return { entry, birth, left, right, first, both, device }
  }

  it('shows one of them everywhere, in every order of arrival, and the other as skipped', async () => {
    const { birth, first, both, device } = twins()
    const [reader] = await inAllOrders([birth, first, ...both])
    expect(['LEFT start one two three\n', 'start RIGHT one two three\n']).toContain(reader?.entries()[0]?.body)
    expect(reader?.unshown()).toMatchObject([{
      state: 'skipped', why: 'its session was continued twice', device: device.id, seq: 2,
    }])
  })

  it('goes on: deletes, more text and other devices on both sides', async () => {
    const { birth, first, both, left, right, entry } = twins()
    const more = [left.type(2, 3, 'l').batch, right.type(0, 4, '').batch, left.type(0, 0, 'again ').batch]
    const other = new Typist(liarFeed(createDevice()), entry, BODY, random(8))
    other.read(left.updates)
    const onLeft = other.type(0, 5, 'OTHER', [headOf(left)]).batch
    const third = new Typist(liarFeed(createDevice()), entry, BODY, random(8))
    third.read(right.updates)
    const onRight = third.type(1, 1, 'THIRD', [headOf(right)]).batch
    const [reader] = await inAllOrders([birth, first, ...both, ...more, onLeft, onRight])
    // Exactly one side counts, with everything that was built on it.
    expect(reader?.unshown().every(({ state }) => state === 'skipped')).toBe(true)
    const body = reader?.entries()[0]?.body as string
    expect([body.includes('OTHER'), body.includes('THIRD')].filter(Boolean)).toHaveLength(1)
  })

  it('keeps the text of honest devices that needs neither side', async () => {
    const { birth, first, both, entry } = twins()
    const [stack, peer] = [await createDevice().open(), await createDevice().open({ readonly: true })]
    await stack.receive([birth])
    const { id } = stack.entries()[0] as { id: EntryId }
    await stack.edit(id, { body: `${BODY}of an honest device\n` }, {}, { overwrite: true })
    await stack.receive([first, ...both])
    await stack.edit(id, { body: `${stack.entry(id)?.body ?? ''}and more\n` }, {}, { overwrite: true })
    await pull(peer, stack)
    for (const device of [stack, peer]) {
      expect(device.entry(id)?.body).toContain('of an honest device\nand more\n')
      expect(device.digest()).toEqual(stack.digest())
      expect(device.unshown()).toHaveLength(1)
    }
    expect(toHex(entry)).toHaveLength(64)
  })

  it('of an evicted author: its side loses, its deletes do not count, and what others built on it stays', async () => {
    const { birth, first, both, left, right, entry, device } = twins()
    const evil = right.type(0, 5, '').batch
    const other = new Typist(liarFeed(createDevice()), entry, BODY, random(8))
    other.read(left.updates)
    const honest = other.type(other.body.indexOf('three'), 0, 'HONEST ', [headOf(left)]).batch
    const keep = new Set([left.feed.hash(1)].map(toHex))
    for (const cut of [{ keep, undo: false }, { keep: new Set<string>(), undo: true }]) {
      const named = left.feed.batch(2, left.feed.seq)
      const [reader] = await inAllOrders([birth, first, ...both, evil, named, honest], new Map([[device.id, cut]]))
      const body = reader?.entries()[0]?.body as string
      expect(body).toBe(cut.undo ? 'one two HONEST three\n' : 'start one two HONEST three\n')
      const others = reader?.unshown().filter(({ device: at, feed }) => at !== device.id && !feed.startsWith(device.id))
      expect(others).toEqual([])
    }
  })

  it('takes 400 rival records without a slow step', async () => {
    const { birth, first, both, left, right } = twins()
    const batches = [birth, first, ...both]
    for (let i = 0; i < 200; i++) batches.push(left.type(0, 0, 'l').batch, right.type(0, 0, 'r').batch)
    const reader = await createDevice().open({ readonly: true })
    let slowest = 0
    for (const batch of batches) slowest = Math.max(slowest, await cpuMsOf(() => reader.receive(batch)))
    expect(reader.unshown()).toHaveLength(201)
    expect(slowest).toBeLessThan(100)
    const again = await createDevice().open({ readonly: true })
    await again.receive(batches.toReversed())
    expect(again.digest()).toEqual(reader.digest())
    await converge([again, reader])
  }, 60_000)

  it('reads few documents for a thousand edits, whatever of the fork came first, and again at a start', async () => {
    const { birth, first, both, left, right } = twins()
    const [lefts, rights] = [[both[0] as Batch], [both[1] as Batch]]
    for (let i = 0; i < 900; i++) lefts.push(left.type(0, 0, 'l').batch)
    for (let i = 0; i < 100; i++) rights.push(right.type(0, 0, 'r').batch)
    // Every document that is made is asked for its text.
    const asked = vi.spyOn(Y.Doc.prototype, 'getText')
    const seen = new Set<string>()
    const inTurn = lefts.flatMap((batch, i) => [batch, ...rights.slice(i, i + 1)])
    for (const batches of [[...lefts, ...rights], [...rights, ...lefts], inTurn]) {
      const device = createDevice()
      const reader = await device.open({ readonly: true })
      await reader.receive([birth, first, ...batches])
      for (const stack of [reader, await device.open({ readonly: true })]) {
        seen.add(JSON.stringify([stack.digest(), stack.entries(), stack.unshown()]))
      }
    }
    expect(seen.size).toBe(1)
    expect(asked.mock.calls.length).toBeLessThan(100)
    asked.mockRestore()
  })
})
