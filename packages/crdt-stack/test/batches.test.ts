import { deviceId, feedId, LIMITS, verifyBatch, type Batch, type FeedId } from '@elder-node/protocol'
import { describe, expect, it } from 'vitest'
import type { Stack } from '../src/index.ts'
import { createDevice, createSigner, crypto, RawFeed, STACK } from './support.ts'

const bytesOf = (batch: Batch): number => batch.records.reduce((sum, record) => sum + record.length, 0)

function checked (stack: Stack, feed: FeedId, from: number, to: number, prev: Uint8Array): Batch[] {
  const batches = stack.batches({ feed, from, to })
  let next = from
  let hash = prev
  for (const batch of batches) {
    expect(batch.from).toBe(next)
    expect(batch.records.length).toBeLessThanOrEqual(LIMITS.batchRecordsMax)
    expect(batch.records.length === 1 || bytesOf(batch) <= LIMITS.batchBytesMax).toBe(true)
    expect(Math.floor((batch.from - 1) / 256)).toBe(Math.floor((batch.head.seq - 1) / 256))
    hash = verifyBatch(STACK, batch, hash, crypto).at(-1)?.hash as Uint8Array
    next = batch.head.seq + 1
  }
  expect(next - 1).toBeGreaterThanOrEqual(to)
  return batches
}

describe('batches', () => {
  it('are signed within every bound, and any range is served from its start', async () => {
    const stack = await createDevice().open()
    const first: Batch[] = []
    stack.onAppend(batch => { first.push(batch) })
    await Promise.all(Array.from({ length: 700 }, (_, i) => stack.add({ kind: 'note', title: `${i}`, body: i % 50 === 0 ? 'x'.repeat(60_000) : 'y' })))
    const [feed] = [...stack.vector().keys()] as [FeedId]
    expect(stack.vector().get(feed)?.seq).toBe(700)
    for (const batch of first) expect(batch.records.length === 1 || bytesOf(batch) <= LIMITS.batchBytesMax).toBe(true)
    const all = checked(stack, feed, 1, 700, new RawFeed(feed, createSigner()).hash())
    const hashes = all.flatMap((batch, i) => verifyBatch(STACK, batch, i === 0 ? new RawFeed(feed, createSigner()).hash() : (all[i - 1] as Batch).head.hash, crypto).map(record => record.hash))
    for (const [from, to] of [[2, 2], [100, 300], [256, 257], [699, 700], [700, 900]] as const) checked(stack, feed, from, Math.min(to, 700), hashes[from - 2] as Uint8Array)
    expect(stack.batches({ feed, from: 701, to: 800 })).toEqual([])
    await stack.close()
  })

  it('merge small ones on the way to a peer, which ends with the same feed', async () => {
    const [a, b] = [await createDevice().open(), await createDevice().open()]
    for (let i = 0; i < 300; i++) await a.add({ kind: 'note', title: `${i}` })
    const [feed] = [...a.vector().keys()] as [FeedId]
    const batches = a.batches({ feed, from: 1, to: 300 })
    expect(batches.map(batch => batch.records.length)).toEqual([256, 44])
    for (const batch of batches) await b.receive(batch)
    expect(b.digest()).toEqual(a.digest())
    expect(await b.receive(batches[0] as Batch)).toMatchObject({ accepted: 0, duplicate: 256 })
    for (const stack of [a, b]) await stack.close()
  })

  it('of more changed feeds than one record may name are named by more records', async () => {
    const stack = await createDevice().open()
    for (let i = 0; i < 150; i++) {
      const signer = createSigner()
      await stack.receive(new RawFeed(feedId(deviceId(signer.publicKey), new Uint8Array(8)), signer).write({ kind: 'noise', body: null }))
    }
    await stack.add({ kind: 'note', title: 'after many' })
    const peer = await createDevice().open()
    for (const feed of stack.vector().keys()) for (const batch of stack.batches({ feed, from: 1, to: 10 })) await peer.receive(batch)
    expect(peer.digest()).toEqual(stack.digest())
    expect(peer.entries()).toHaveLength(1)
    for (const one of [stack, peer]) await one.close()
  })

  it('that would wait beyond the bounds are not kept', async () => {
    const stack = await createDevice().open()
    const signer = createSigner()
    const feed = new RawFeed(feedId(deviceId(signer.publicKey), new Uint8Array(8)), signer)
    const absent = { feed: feedId(deviceId(createSigner().publicKey), new Uint8Array(8)), seq: 1, hash: new Uint8Array(32) }
    const body = 'x'.repeat(250_000)
    const kept: number[] = []
    for (let i = 0; i < 300; i++) {
      const { waiting, missing } = await stack.receive(feed.write({ kind: 'noise', body, deps: i === 0 ? [absent] : [] }))
      kept.push(waiting)
      expect(missing).toEqual([{ feed: absent.feed, from: 1, to: 1 }])
      if (waiting === kept.at(-2)) break
    }
    expect((kept.at(-1) as number) * body.length).toBeLessThanOrEqual(LIMITS.pendingBytesMax)
    expect((kept.at(-1) as number) * body.length).toBeGreaterThan(LIMITS.pendingBytesMax * 0.9)
    await stack.close()
  }, 30_000)
})
