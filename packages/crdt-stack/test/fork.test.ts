/** Disks that went back in time, copies and liars: each costs a line in the lists of faults, and nobody an acknowledged record. */
import { feedDevice, feedId, toHex, type Batch, type Cuts, type EntryId, type FeedId } from '@elder-node/protocol'
import { describe, expect, it } from 'vitest'
import { MemoryFeedStore, Stack, type Memory } from '../src/index.ts'
import { converge, createDevice, crypto, exchange, NAME, pull, random, RawFeed, STACK, type Device } from './support.ts'

/** The device as it was: its key and clock with a copy of its memory. `noticed`: the place knows that it is a copy. */
async function restored (device: Device, memory: Memory, noticed = false): Promise<Stack> {
  const store = new MemoryFeedStore(noticed ? { ...memory, cleanEnd: undefined } : memory)
  return await Stack.open(
    { store, crypto, signer: device.signer, wallMs: () => device.clock.ms++, random }, { id: STACK, name: NAME }
  )
}

const copyOf = (memory: Memory): Memory => ({ ...memory, batches: [...memory.batches] })
const titles = (stack: Stack): string[] => stack.entries().map(({ title }) => title).sort()
const readers = async (count: number): Promise<Stack[]> => await Promise.all(
  Array.from({ length: count }, () => createDevice().open())
)

/** A device whose disk went back to `common`, and that did not notice. */
async function forked (): Promise<{ left: Stack, right: Stack, device: Device, feed: FeedId }> {
  const device = createDevice()
  const first = await device.open()
  await first.add({ kind: 'note', title: 'common' })
  await first.close()
  const backup = copyOf(device.memory)
  const left = await device.open()
  await left.add({ kind: 'note', title: 'left' })
  await left.add({ kind: 'note', title: 'left too' })
  const right = await restored(device, backup)
  await right.add({ kind: 'note', title: 'right' })
  const [head] = left.vector()
  return { left, right, device, feed: head?.feed as FeedId }
}

const ALL = ['common', 'left', 'left too', 'right']

describe('a fork', () => {
  it('shows both histories on every peer, whatever it heard first, and tells of it', async () => {
    const { left, right, feed } = await forked()
    const peers = await readers(3)
    await pull(peers[0] as Stack, left)
    await pull(peers[1] as Stack, right)
    await converge(peers, 3)
    for (const peer of peers) {
      expect(titles(peer)).toEqual(ALL)
      expect(peer.forks()).toEqual([{ feed, seq: 2, strands: 2 }])
      expect(peer.unshown()).toEqual([])
      expect(peer.digest()).toEqual(peers[0]?.digest())
    }
  })

  it('costs the other devices nothing that they wrote since', async () => {
    const { left, right } = await forked()
    const [a, b, c] = await readers(3) as [Stack, Stack, Stack]
    await pull(a, left)
    for (let i = 0; i < 8; i++) await a.add({ kind: 'decision', title: `a${i}` })
    const built = a.entries().find(({ title }) => title === 'left') as { id: EntryId }
    await a.edit(built.id, { body: 'built on it\n', title: 'left, edited' }, {}, { overwrite: true })
    await pull(b, right)
    await b.add({ kind: 'decision', title: 'b' })
    await converge([a, b, c, right], 4)
    for (const stack of [a, b, c, right]) {
      expect(titles(stack)).toEqual([
        ...Array.from({ length: 8 }, (_, i) => `a${i}`), 'b', 'common', 'left too', 'left, edited', 'right',
      ])
      expect(stack.entry(built.id)?.body).toBe('built on it\n')
      expect(stack.unshown()).toEqual([])
      expect(stack.digest()).toEqual(a.digest())
    }
  })

  it('is told once, and known after a restart', async () => {
    const { left, right, feed } = await forked()
    const device = createDevice()
    const reader = await device.open()
    const told: unknown[] = []
    reader.onFault(fault => { told.push(fault) })
    await pull(reader, left)
    await converge([reader, right])
    expect(told).toEqual([{ type: 'fork', feed, seq: 2 }])
    const digest = reader.digest()
    await reader.close()
    const again = await device.open()
    expect(again.digest()).toEqual(digest)
    expect(again.forks()).toEqual([{ feed, seq: 2, strands: 2 }])
  })

  it('makes the device go on under a new incarnation, above all it wrote', async () => {
    const { left, right, device, feed } = await forked()
    const [reader] = await readers(1) as [Stack]
    await pull(reader, left)
    await converge([right, reader])
    await right.add({ kind: 'note', title: 'again' })
    await converge([right, reader])
    expect(titles(reader)).toEqual(['again', ...ALL])
    // The new feed's first record has seen both strands: one bare head is left.
    expect(reader.bareHeads()).toHaveLength(1)
    expect(
      reader.vector().filter(head => head.feed !== feed && feedDevice(head.feed) === device.id).map(({ seq }) => seq)
    ).toEqual([1])
  })

  it('is found when it began long before the batch that shows it', async () => {
    const { left, right, feed } = await forked()
    for (let i = 0; i < 5; i++) await left.add({ kind: 'note', title: `l${i}` })
    const [reader] = await readers(1) as [Stack]
    await pull(reader, right)
    const [head] = left.vector()
    const late = [...left.path({ feed, from: 5, to: 5, hash: head?.hash as Uint8Array })]
    const told = await reader.receive(late)
    expect(told).toMatchObject({ accepted: 0, missing: [{ feed, seq: 4 }] })
    await pull(reader, left)
    expect(reader.forks()).toEqual([{ feed, seq: 2, strands: 2 }])
    expect(titles(reader)).toEqual([...ALL, 'l0', 'l1', 'l2', 'l3', 'l4'].sort())
  })

  it('keeps the text of both sides, each under its own session', async () => {
    const device = createDevice()
    const first = await device.open()
    const { id } = await first.add({ kind: 'note', title: 't', body: 'one\ntwo\nthree\n' })
    await first.edit(id, { body: 'one\ntwo\nthree\nfour\n' })
    await first.close()
    const backup = copyOf(device.memory)
    const left = await device.open()
    await left.edit(id, { body: 'ONE\ntwo\nthree\nfour\n' })
    const right = await restored(device, backup)
    await right.edit(id, { body: 'one\ntwo\nTHREE\nfour\n' })
    const [reader] = await readers(1) as [Stack]
    await pull(reader, left)
    await converge([reader, right])
    for (const stack of [reader, right]) expect(stack.entry(id)?.body).toBe('ONE\ntwo\nTHREE\nfour\n')
    expect(reader.unshown()).toEqual([])
  })
})

describe('a restored backup', () => {
  it('that is noticed opens a new feed: no fork at all', async () => {
    const device = createDevice()
    const stack = await device.open()
    await stack.add({ kind: 'note', title: '1' })
    await stack.close()
    const backup = copyOf(device.memory)
    const later = await device.open()
    await later.add({ kind: 'note', title: '2' })
    const [peer] = await readers(1) as [Stack]
    await pull(peer, later)
    const again = await restored(device, backup, true)
    await again.add({ kind: 'note', title: '3' })
    await converge([again, peer])
    expect(titles(peer)).toEqual(['1', '2', '3'])
    expect(peer.forks()).toEqual([])
    expect(again.digest()).toEqual(peer.digest())
  })

  it('that meets a peer before it writes is completed and never continued, not even in the next life', async () => {
    const device = createDevice()
    const stack = await device.open()
    await stack.add({ kind: 'note', title: '1' })
    await stack.close()
    const backup = copyOf(device.memory)
    const later = await device.open()
    await later.add({ kind: 'note', title: '2' })
    const [peer] = await readers(1) as [Stack]
    await pull(peer, later)
    const old = await restored(device, backup)
    await pull(old, peer)
    expect(titles(old)).toEqual(['1', '2'])
    await old.close()
    const again = await restored(device, backup)
    await again.add({ kind: 'note', title: '3' })
    await converge([again, peer])
    expect(titles(peer)).toEqual(['1', '2', '3'])
    expect(peer.forks()).toEqual([])
    expect(new Set(peer.vector().map(({ feed }) => feed)).size).toBe(2)
  })

  it('two copies that meet the same peer, which ends where they do, fork nothing when both write', async () => {
    const device = createDevice()
    const first = await device.open()
    await first.add({ kind: 'note', title: 'common' })
    const peer = await createDevice().open()
    await pull(peer, first)
    // No clean end: a crash, and then a copy of what it left.
    const copies = [await restored(device, copyOf(device.memory)), await restored(device, copyOf(device.memory))]
    for (const copy of copies) {
      await exchange(copy, peer)
      await copy.add({ kind: 'note', title: 'after it' })
    }
    await converge([peer, ...copies])
    for (const stack of [peer, ...copies]) {
      expect(stack.forks()).toEqual([])
      expect(titles(stack)).toEqual(['after it', 'after it', 'common'])
    }
  })

  it('a hundred lives that ended badly are a hundred feeds, and none of their notes is lost', async () => {
    const device = createDevice()
    for (let life = 0; life < 100; life++) await (await device.open()).add({ kind: 'note', title: `life ${life}` })
    const last = await device.open()
    expect(last.entries()).toHaveLength(100)
    const [peer] = await readers(1) as [Stack]
    await pull(peer, last)
    expect(peer.digest()).toEqual(last.digest())
    expect(peer.bareHeads()).toHaveLength(1)
  })
})

describe('a member that signs two histories', () => {
  function liar (): { feeds: RawFeed[], device: Device } {
    const device = createDevice()
    const feed = feedId(device.id, random(8))
    const feeds = Array.from({ length: 3 }, () => new RawFeed(feed, device.signer))
    feeds.forEach(
      (raw, i) => raw.write({ kind: 'new', body: { kind: 'note', fields: { title: `lie ${i}` }, body: '', v: 1 } })
    )
    return { feeds, device }
  }

  it('takes away nobody\'s entries: 100 notes of three devices stay', async () => {
    const { feeds } = liar()
    const honest = await readers(3)
    for (const [i, stack] of honest.entries()) await stack.receive((feeds[i] as RawFeed).batch(1))
    for (let n = 0; n < 100; n++) await (honest[n % 3] as Stack).add({ kind: 'note', title: `${n}` })
    await converge(honest, 2)
    for (const stack of honest) {
      expect(stack.entries()).toHaveLength(103)
      expect(stack.forks()).toMatchObject([{ feed: feeds[0]?.feed, seq: 1 }])
      expect(stack.digest()).toEqual(honest[0]?.digest())
    }
  })

  it('cannot void what others built on a strand of which a record is void', async () => {
    const { feeds, device } = liar()
    const [raw] = feeds as [RawFeed]
    const bad = raw.write({ kind: 'set', body: 'nonsense' })
    const [a, b] = await readers(2) as [Stack, Stack]
    await a.receive([raw.batch(1), bad])
    expect(a.unshown()).toMatchObject([{ state: 'void', device: device.id, seq: 2 }])
    const { id } = await a.add({ kind: 'note', title: 'after the lie' })
    const entry = a.entries().find(({ title }) => title === 'lie 0') as { id: EntryId }
    await a.edit(entry.id, { title: 'still here' })
    await converge([a, b])
    expect(b.entry(id)?.title).toBe('after the lie')
    expect(titles(b)).toEqual(['after the lie', 'still here'])
  })

  it('is cut by its heads: what it wrote beyond is not shown, and an undo hides the rest', async () => {
    const { feeds, device } = liar()
    const [raw] = feeds as [RawFeed]
    const [a, b] = await readers(2) as [Stack, Stack]
    await a.receive(raw.batch(1))
    const keep = a.headsOf(device.id).map(hash => Buffer.from(hash).toString('hex'))
    const { id } = await a.add({ kind: 'note', title: 'names the kept head' })
    const late = raw.write({ kind: 'new', body: { kind: 'note', fields: { title: 'beyond' }, body: '', v: 1 } })
    await a.receive(late)
    expect(titles(a)).toEqual(['beyond', 'lie 0', 'names the kept head'])
    const cuts: Cuts = new Map([[device.id, { keep: new Set(keep), undo: false }]])
    for (const stack of [a, b]) await stack.setCuts(cuts)
    await converge([a, b])
    for (const stack of [a, b]) expect(titles(stack)).toEqual(['lie 0', 'names the kept head'])
    expect(a.digest()).toEqual(b.digest())
    const feeds1 = a.digest().feeds
    for (const stack of [a, b]) await stack.setCuts(new Map([[device.id, { keep: new Set(keep), undo: true }]]))
    for (const stack of [a, b]) expect(titles(stack)).toEqual(['names the kept head'])
    expect(a.entry(id)?.title).toBe('names the kept head')
    expect(a.digest().feeds).not.toBe(feeds1)
    expect(a.digest()).toEqual(b.digest())
  })

  it('is taken back when a later cut keeps more: every device dropped it, and none has to be asked', async () => {
    const { feeds, device } = liar()
    const [raw] = feeds as [RawFeed]
    const [a, b] = await readers(2) as [Stack, Stack]
    await a.receive(raw.batch(1))
    const keep = a.headsOf(device.id).map(hash => Buffer.from(hash).toString('hex'))
    await a.receive(raw.write({ kind: 'new', body: { kind: 'note', fields: { title: 'beyond' }, body: '', v: 1 } }))
    const more = a.headsOf(device.id).map(hash => Buffer.from(hash).toString('hex'))
    await converge([a, b])
    for (const stack of [a, b]) await stack.setCuts(new Map([[device.id, { keep: new Set(keep), undo: false }]]))
    for (const stack of [a, b]) expect(titles(stack)).toEqual(['lie 0'])
    const changes = a.changes({ signal: AbortSignal.timeout(60_000) })[Symbol.asyncIterator]()
    const next = changes.next()
    for (const stack of [a, b]) await stack.setCuts(new Map([[device.id, { keep: new Set([...keep, ...more]), undo: false }]]))
    for (const stack of [a, b]) expect(titles(stack)).toEqual(['beyond', 'lie 0'])
    expect(await next).toMatchObject({ value: { type: 'entry', entry: { title: 'beyond' } } })
    for (const stack of [a, b]) await stack.setCuts(new Map([[device.id, { keep: new Set(keep), undo: false }]]))
    for (const stack of [a, b]) await stack.setCuts(new Map())
    for (const stack of [a, b]) expect(titles(stack)).toEqual(['beyond', 'lie 0'])
    expect(a.digest()).toEqual(b.digest())
  })

  it('beyond its cut is kept on the disk that met it, and comes back everywhere by a further cut', async () => {
    const device = createDevice()
    const victim = await device.open()
    await victim.add({ kind: 'note', title: 'known to all' })
    const [first, second] = [createDevice(), createDevice()]
    const [a, b] = [await first.open(), await second.open()]
    for (const stack of [a, b]) await pull(stack, victim)
    const cut = (names: string[]): Cuts => new Map([[device.id, { keep: new Set(names), undo: false }]])
    const keep = a.headsOf(device.id).map(toHex)
    // More than one window, met by one device alone.
    for (let i = 0; i < 300; i++) await victim.add({ kind: 'note', title: `late ${i}` })
    await pull(b, victim)
    for (const stack of [a, b]) await stack.setCuts(cut(keep))
    expect(b.headsOf(device.id).map(toHex)).toEqual(keep)
    expect(await a.headsBeyond(device.id)).toEqual([])
    const beyond = (await b.headsBeyond(device.id)).map(toHex)
    expect(beyond).toEqual(victim.headsOf(device.id).map(toHex))
    await b.close()
    // One hears of both cuts while it is down, the other of the later one before it has any of those records.
    const again = await second.open({ cuts: cut([...keep, ...beyond]) })
    await a.setCuts(cut([...keep, ...beyond]))
    expect(titles(a)).toEqual(['known to all'])
    await converge([a, again])
    for (const stack of [a, again]) {
      expect(stack.entries()).toHaveLength(301)
      expect(await stack.headsBeyond(device.id)).toEqual([])
      expect((await stack.audit()).problems).toEqual([])
    }
    expect(a.digest()).toEqual(again.digest())
    // The same cut once more, and heads that nobody has: nothing changes but what is compared.
    const { digest } = a.digest()
    for (const stack of [a, again]) await stack.setCuts(cut([...keep, ...beyond, ...keep, 'ab'.repeat(32)]))
    await converge([a, again])
    for (const stack of [a, again]) expect(stack.digest().digest).toBe(digest)
    expect(a.digest()).toEqual(again.digest())
  })

  it('brings back with it what it names of another device that was cut, and shows nothing of that one', async () => {
    const [victim, other] = [createDevice(), createDevice()]
    const [late, later] = [await other.open(), await victim.open()]
    await late.add({ kind: 'note', title: 'of the other' })
    await pull(later, late)
    await later.add({ kind: 'note', title: 'of the victim' })
    const reader = await createDevice().open()
    await pull(reader, later)
    const cuts = (keep: string[]): Cuts => new Map([
      [victim.id, { keep: new Set(keep), undo: false }], [other.id, { keep: new Set<string>(), undo: false }],
    ])
    await reader.setCuts(cuts([]))
    expect(reader.isEmpty).toBe(true)
    const beyond = (await reader.headsBeyond(victim.id)).map(toHex)
    await reader.setCuts(cuts(beyond))
    expect(titles(reader)).toEqual(['of the victim'])
    expect(reader.waiting()).toEqual([])
  })

  it('counts as beyond its cut too when others name it: a further cut shows it again', async () => {
    const device = createDevice()
    const victim = await device.open()
    const { id } = await victim.add({ kind: 'note', title: 'the entry' })
    const [a, b] = await readers(2) as [Stack, Stack]
    await pull(a, victim)
    await a.edit(id, { tags: ['named'] })
    await converge([a, b])
    for (const stack of [a, b]) await stack.setCuts(new Map([[device.id, { keep: new Set<string>(), undo: false }]]))
    for (const stack of [a, b]) expect(titles(stack)).toEqual([])
    const beyond = (await b.headsBeyond(device.id)).map(toHex)
    for (const stack of [a, b]) await stack.setCuts(new Map([[device.id, { keep: new Set(beyond), undo: false }]]))
    for (const stack of [a, b]) expect(stack.entries()).toMatchObject([{ title: 'the entry', tags: ['named'] }])
    expect(a.digest()).toEqual(b.digest())
  })

  it('is refused its own writes while the cut stands, and after it writes on in a feed others can follow', async () => {
    const device = createDevice()
    const [self, reader] = [await device.open(), await createDevice().open()]
    await self.add({ kind: 'note', title: 'kept' })
    const keep = self.headsOf(device.id).map(hash => Buffer.from(hash).toString('hex'))
    await self.add({ kind: 'note', title: 'beyond' })
    await self.setCuts(new Map([[device.id, { keep: new Set(keep), undo: false }]]))
    await expect(self.add({ kind: 'note', title: 'refused' })).rejects.toMatchObject({ code: 'EVICTED' })
    await self.setCuts(new Map())
    await self.add({ kind: 'note', title: 'back again' })
    await pull(reader, self)
    for (const stack of [self, reader]) expect(titles(stack)).toEqual(['back again', 'beyond', 'kept'])
    expect(reader.digest()).toEqual(self.digest())
    expect((await self.audit()).problems).toEqual([])
  })

  it('with as many strands as it likes fills no device: the highest stay, and what others named', async () => {
    const device = createDevice()
    const feed = feedId(device.id, random(8))
    const strands = Array.from({ length: 40 }, (_, i) => {
      const raw = new RawFeed(feed, device.signer)
      for (let n = 0; n <= i % 5; n++) raw.write({
        kind: 'new', body: { kind: 'note', fields: { title: `${i} ${n}` }, body: '', v: 1 },
      })
      return raw
    })
    const open = async (): Promise<Stack> => await createDevice().open({ headsMax: 4 })
    const [a, b] = [await open(), await open()]
    await a.receive((strands[0] as RawFeed).batch(1))
    const { id } = await a.add({ kind: 'note', title: 'names strand 0' })
    const inOrder: Batch[] = strands.map(raw => raw.batch(1, raw.seq))
    for (const batch of inOrder) await a.receive(batch)
    for (const batch of inOrder.toReversed()) await b.receive(batch)
    await converge([a, b])
    expect(a.digest()).toEqual(b.digest())
    expect(b.entry(id)?.title).toBe('names strand 0')
    expect(titles(b)).toContain('0 0')
    expect(b.vector().filter(head => head.feed === feed)).toHaveLength(4)
  })
})
