import { deviceId, feedId, genesisHash, LIMITS, verifyBatch, type Batch, type VectorEntry } from '@elder-node/protocol'
import { describe, expect, it } from 'vitest'
import type { Stack } from '../src/index.ts'
import { createDevice, createSigner, crypto, pull, RawFeed, STACK } from './support.ts'

const bytesOf = (batch: Batch): number => batch.records.reduce((sum, record) => sum + record.length, 0)

const headOf = (stack: Stack): VectorEntry => stack.vector()[0] as VectorEntry

/** The path from `from` to the record `hash`, as batches that were checked; and its hashes. */
function checked (stack: Stack, { feed, seq, hash }: VectorEntry, from: number, prev: Uint8Array): Uint8Array[] {
  let next = from
  let last = prev
  const hashes: Uint8Array[] = []
  for (const batch of stack.path({ feed, from, to: seq, hash })) {
    expect(batch.from).toBe(next)
    expect(batch.records.length).toBeLessThanOrEqual(LIMITS.batchRecordsMax)
    expect(batch.records.length === 1 || bytesOf(batch) <= LIMITS.batchBytesMax).toBe(true)
    expect(Math.floor((batch.from - 1) / 256)).toBe(Math.floor((batch.head.seq - 1) / 256))
    const records = verifyBatch(STACK, batch, crypto)
    expect(records[0]?.prev).toEqual(last)
    hashes.push(...records.map(record => record.hash))
    last = hashes.at(-1) as Uint8Array
    next = batch.head.seq + 1
  }
  expect(next - 1).toBeGreaterThanOrEqual(seq)
  expect(hashes[seq - from]).toEqual(hash)
  return hashes
}

describe('batches', () => {
  it('are signed within every bound, and any range is served from its start', async () => {
    const stack = await createDevice().open()
    const first: Batch[] = []
    stack.onAppend(batch => { first.push(batch) })
    await Promise.all(
      Array.from(
        { length: 700 },
        (_, i) => stack.add({ kind: 'note', title: `${i}`, body: i % 50 === 0 ? 'x'.repeat(60_000) : 'y' })
      )
    )
    const head = headOf(stack)
    expect(head.seq).toBe(700)
    for (const batch of first) expect(batch.records.length === 1 || bytesOf(batch) <= LIMITS.batchBytesMax).toBe(true)
    const hashes = checked(stack, head, 1, genesisHash(STACK, head.feed, crypto))
    for (const [from, to] of [[2, 2], [100, 300], [256, 257], [699, 700]] as const) checked(
      stack, { ...head, seq: to, hash: hashes[to - 1] as Uint8Array }, from, hashes[from - 2] as Uint8Array
    )
    expect([...stack.path({ feed: head.feed, from: 1, to: 700, hash: new Uint8Array(32) })]).toEqual([])
    await stack.close()
  })

  it('merge small ones on the way to a peer, which ends with the same feed', async () => {
    const [a, b] = [await createDevice().open(), await createDevice().open()]
    for (let i = 0; i < 300; i++) await a.add({ kind: 'note', title: `${i}` })
    const batches = [...a.path({ ...headOf(a), from: 1, to: 300 })]
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
      await stack.receive(
        new RawFeed(feedId(deviceId(signer.publicKey), new Uint8Array(8)), signer).write({ kind: 'noise', body: null })
      )
    }
    await stack.add({ kind: 'note', title: 'after many' })
    const peer = await createDevice().open()
    await pull(peer, stack)
    expect(peer.digest()).toEqual(stack.digest())
    expect(peer.entries()).toHaveLength(1)
    for (const one of [stack, peer]) await one.close()
  })

  it('that would wait beyond the share of their device are not kept, and said', async () => {
    const stack = await createDevice().open()
    const signer = createSigner()
    const feed = new RawFeed(feedId(deviceId(signer.publicKey), new Uint8Array(8)), signer)
    const absent = {
      feed: feedId(deviceId(createSigner().publicKey), new Uint8Array(8)), seq: 1, hash: new Uint8Array(32),
    }
    const body = 'x'.repeat(250_000)
    let kept = 0
    for (let i = 0; i < 300; i++) {
      const { waiting, missing, refused } = await stack.receive(
        feed.write({ kind: 'noise', body, deps: i === 0 ? [absent] : [] })
      )
      expect(missing).toEqual([absent])
      if (refused > 0) break
      kept = waiting
    }
    expect(kept * body.length).toBeLessThanOrEqual(LIMITS.waitingBytesMax)
    expect(kept * body.length).toBeGreaterThan(LIMITS.waitingBytesMax * 0.9)
    await stack.close()
  }, 30_000)
})
