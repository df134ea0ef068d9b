/** Two records with one number: proof, the last common record, a new incarnation; and feeds that end for other reasons. */
import { type Batch, type FeedId } from '@elder-node/protocol'
import { describe, expect, it } from 'vitest'
import { createMemory, MemoryFeedStore, Stack, type Memory, type StoredFeed } from '../src/index.ts'
import { converge, createDevice, crypto, NAME, pull, random, STACK, type Device } from './support.ts'

/** The device as it was: its key and clock with a copy of its memory. */
async function restored (device: Device, memory: Memory): Promise<Stack> {
  return await Stack.open({ store: new MemoryFeedStore(memory), crypto, signer: device.signer, wallMs: () => device.clock.ms++, random }, { id: STACK, name: NAME })
}

function copyOf (memory: Memory): Memory {
  const feeds = [...memory.feeds.values()].map(({ feed, records, heads }) => [feed, { feed, records: [...records], heads: [...heads] }] satisfies [FeedId, StoredFeed])
  return { ...createMemory(), feeds: new Map(feeds), notes: [...memory.notes] }
}

async function forked (): Promise<{ left: Stack, right: Stack, device: Device, feed: FeedId }> {
  const device = createDevice()
  const first = await device.open()
  await first.add({ kind: 'note', title: 'common' })
  const backup = copyOf(device.memory)
  const left = first
  await left.add({ kind: 'note', title: 'left' })
  await left.add({ kind: 'note', title: 'left too' })
  const right = await restored(device, backup)
  await right.add({ kind: 'note', title: 'right' })
  return { left, right, device, feed: [...left.vector().keys()][0] as FeedId }
}

describe('a fork', () => {
  it('ends the feed at the last common record on every peer, whatever it heard first', async () => {
    const { left, right, feed } = await forked()
    const readers = await Promise.all([0, 1, 2].map(() => createDevice().open()))
    const [a, b, c] = readers as [Stack, Stack, Stack]
    await pull(a, left)
    await pull(b, right)
    expect(a.vector().get(feed)?.seq).toBe(3)
    expect(b.vector().get(feed)?.seq).toBe(2)
    await converge([a, b, c], 3)
    for (const reader of readers) {
      expect(reader.entries().map(entry => entry.title)).toEqual(['common'])
      expect(reader.closedFeeds()).toEqual([{ feed, seq: 2, why: 'the device signed two different records with this number' }])
      expect(reader.digest()).toEqual(a.digest())
    }
  })

  it('survives a restart as evidence', async () => {
    const { left, right } = await forked()
    const device = createDevice()
    const reader = await device.open()
    await pull(reader, left)
    await converge([reader, right])
    const digest = reader.digest()
    expect(reader.closedFeeds()).toHaveLength(1)
    await reader.close()
    const again = await device.open()
    expect(again.digest()).toEqual(digest)
    expect(again.closedFeeds()).toHaveLength(1)
  })

  it('makes the device go on under a new incarnation', async () => {
    const { left, right, feed } = await forked()
    const reader = await createDevice().open()
    await pull(reader, left)
    await pull(reader, right)
    await converge([right, reader])
    expect(right.closedFeeds()).toHaveLength(1)
    await right.add({ kind: 'note', title: 'again' })
    await converge([right, reader])
    expect(reader.entries().map(entry => entry.title)).toEqual(['common', 'again'])
    expect([...reader.vector().keys()].filter(id => id !== feed)).toHaveLength(1)
  })

  it('is found when it began long before the batch that shows it', async () => {
    const { left, right, feed } = await forked()
    for (let i = 0; i < 5; i++) await left.add({ kind: 'note', title: `l${i}` })
    const reader = await createDevice().open()
    for (const batch of right.batches({ feed, from: 1, to: 2 })) await reader.receive(batch)
    const [late] = left.batches({ feed, from: 3, to: 3 }) as [Batch]
    const told = await reader.receive(late)
    expect(told.missing).toEqual([{ feed, from: 1, to: 2 }])
    for (const range of told.missing) for (const batch of left.batches(range)) await reader.receive(batch)
    expect(reader.closedFeeds().map(closed => closed.seq)).toEqual([2])
  })

  it('takes back what was built on it, on every peer alike', async () => {
    const { left, right } = await forked()
    const [a, b, c] = await Promise.all([0, 1, 2].map(() => createDevice().open())) as [Stack, Stack, Stack]
    await pull(a, left)
    const built = a.entries().find(entry => entry.title === 'left')
    await a.edit(built?.id as string, { body: 'built on it\n' })
    await pull(b, right)
    await converge([a, b, c], 4)
    for (const reader of [a, b, c]) expect(reader.entries().map(entry => entry.title)).toEqual(['common'])
    await a.add({ kind: 'note', title: 'a goes on' })
    await converge([a, b, c], 2)
    for (const reader of [a, b, c]) expect(reader.digest()).toEqual(a.digest())
    expect(b.entries().map(entry => entry.title)).toEqual(['common', 'a goes on'])
  })
})

describe('an own feed that a peer holds more of', () => {
  it('is completed and never written again, not even after a restart', async () => {
    const device = createDevice()
    const stack = await device.open()
    await stack.add({ kind: 'note', title: '1' })
    const backup = copyOf(device.memory)
    await stack.add({ kind: 'note', title: '2' })
    const peer = await createDevice().open()
    await pull(peer, stack)
    const old = await restored(device, backup)
    await pull(old, peer)
    expect(old.entries()).toHaveLength(2)
    await old.close()
    const again = await restored(device, backup)
    await again.add({ kind: 'note', title: '3' })
    await converge([again, peer])
    expect(peer.entries()).toHaveLength(3)
    expect(peer.closedFeeds()).toEqual([])
    expect(peer.vector().size).toBe(2)
  })
})

describe('a log whose tail was cut at open', () => {
  class TornStore extends MemoryFeedStore {
    override async load (): ReturnType<MemoryFeedStore['load']> {
      const loaded = await super.load()
      return { ...loaded, repaired: loaded.feeds.map(({ feed }) => ({ feed, bytesCut: 10 })) }
    }
  }

  it('is not continued: what a peer holds of it comes back, and what is written now is no fork', async () => {
    const device = createDevice()
    const before = await device.open()
    await before.add({ kind: 'note', title: 'one' })
    const backup = copyOf(device.memory)
    await before.add({ kind: 'note', title: 'cut here, held there' })
    const peer = await createDevice().open()
    await pull(peer, before)
    const torn = await Stack.open({ store: new TornStore(backup), crypto, signer: device.signer, wallMs: () => device.clock.ms++, random }, { id: STACK, name: NAME })
    await torn.add({ kind: 'note', title: 'written before it met anybody' })
    await peer.add({ kind: 'note', title: 'of the peer' })
    await converge([torn, peer])
    for (const stack of [torn, peer]) {
      expect(stack.entries().map(({ title }) => title).sort()).toEqual(['cut here, held there', 'of the peer', 'one', 'written before it met anybody'])
      expect(stack.closedFeeds()).toEqual([])
    }
    expect(torn.digest()).toEqual(peer.digest())
  })
})
