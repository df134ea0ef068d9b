/** Replication against peers that break rules, streams that break, and feeds that fork. */
import { batchOf, batchValue, decodeSync, encodeSync, LIMITS, liveValue, stackIdOf, stackKey, type SyncMessage } from '@elder-node/protocol'
import * as fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import type { FrameStream } from '../../src/ports/mesh.ts'
import { crypto, StackMesh, type StackNode } from '../support/stacks.ts'
import { eventually } from '../support/eventually.ts'

const KEY = stackKey(stackIdOf('repo', crypto))
const QUIET = { intervalMs: 600_000 }

let mesh = new StackMesh()
afterEach(async () => {
  await mesh.stop()
  mesh = new StackMesh()
})

const note = async (node: StackNode, title: string, body = ''): Promise<string> => (await node.stacks.open('repo').add({ kind: 'note', title, body })).id
const titles = async (node: StackNode): Promise<string[]> => (await node.stacks.open('repo').list()).map(({ title }) => title).sort()
const feedsOf = async (node: StackNode): Promise<string> => (await node.stacks.open('repo').digest()).feeds

/** A member that speaks to `victim` by hand. */
const stranger = async (victim: StackNode): Promise<() => Promise<FrameStream>> => {
  const other = await mesh.node(QUIET)
  other.replication.stop()
  await mesh.network.connect(other.device, victim.device)
  return () => other.mesh.openStream(victim.device, 'sync', { signal: AbortSignal.timeout(30_000) })
}
const ending = async (stream: FrameStream): Promise<string> => {
  try {
    for await (const _frame of stream);
    return 'closed'
  } catch (error) {
    return (error as Error).message
  }
}
const nextMessage = async (frames: AsyncIterator<Uint8Array>): Promise<SyncMessage> => decodeSync((await frames.next()).value as Uint8Array, crypto)

describe('a peer that breaks the rules', () => {
  it('random, truncated and senseless frames end the exchange as MALFORMED and change nothing', async () => {
    const a = await mesh.node(QUIET)
    await note(a, 'mine')
    const before = await feedsOf(a)
    const open = await stranger(a)
    const valid = encodeSync({ type: 'root', root: new Uint8Array(32) })
    const frames = [new Uint8Array(), valid.slice(0, -1), new Uint8Array(LIMITS.frameBytesMax), encodeSync({ type: 'done' }), ...fc.sample(fc.uint8Array({ maxLength: 300 }), 20)]
    for (const frame of frames) {
      const stream = await open()
      await stream.send(frame)
      await ending(stream)
    }
    expect(a.mesh.broken).toHaveLength(frames.length)
    for (const why of a.mesh.broken) expect(why).toContain('malformed')
    expect(await feedsOf(a)).toBe(before)
    expect(a.stacks.all()).toHaveLength(1)
  })

  it('a batch with a wrong signature ends the exchange; the stack is not even made', async () => {
    const a = await mesh.node(QUIET)
    const b = await mesh.node({ ...QUIET, deaf: true })
    await note(b, 'real')
    const { stack } = b.stacks.named('repo') as NonNullable<ReturnType<typeof b.stacks.named>>
    const [feed] = [...stack.vector().keys()]
    const [batch] = stack.batches({ feed: feed as NonNullable<typeof feed>, from: 1, to: 1 })
    const forged = batchOf(batchValue({ ...batch as NonNullable<typeof batch>, head: { ...(batch as NonNullable<typeof batch>).head, signature: new Uint8Array(64) } }))
    const stream = await (await stranger(a))()
    const frames = stream[Symbol.asyncIterator]()
    await stream.send(encodeSync({ type: 'root', root: new Uint8Array(32) }))
    expect((await nextMessage(frames)).type).toBe('buckets')
    await stream.send(encodeSync({ type: 'stacks', differing: new Uint8Array(32).fill(255), stacks: [{ key: KEY, name: 'repo', digest: new Uint8Array(32) }], more: false, traceparent: null }))
    expect((await nextMessage(frames)).type).toBe('vectors')
    await stream.send(encodeSync({ type: 'vectors', vectors: [{ key: KEY, name: 'repo', vector: stack.vector() }], more: false }))
    expect((await nextMessage(frames)).type).toBe('want')
    await stream.send(encodeSync({ type: 'batches', key: KEY, batches: [forged] }))
    await expect(frames.next()).rejects.toThrow('the stream broke')
    expect(a.mesh.broken).toEqual([expect.stringContaining('malformed')])
    expect(a.stacks.all()).toEqual([])
  })

  it('gossip of another device\'s feed, of a wrong name and of nonsense is dropped', async () => {
    const a = await mesh.node(QUIET)
    const b = await mesh.node({ ...QUIET, deaf: true })
    await note(b, 'real')
    const { stack } = b.stacks.named('repo') as NonNullable<ReturnType<typeof b.stacks.named>>
    const batch = [...stack.vector()].flatMap(([feed, { seq }]) => stack.batches({ feed, from: 1, to: seq }))[0] as Parameters<typeof liveValue>[2]
    const liar = await mesh.node(QUIET)
    liar.replication.stop()
    await mesh.network.connect(liar.device, a.device)
    for (const message of [liveValue(KEY, 'repo', batch), liveValue(KEY, 'other', batch), [], null, [KEY, 'repo', [1, 2, 3]], [KEY, 'repo', [new Uint8Array(40), 1, new Uint8Array(32)]]]) await liar.mesh.broadcast('stack', message)
    await note(liar, 'honest')
    await liar.mesh.broadcast('stack', liveValue(KEY, 'repo', liarBatch(liar)))
    await eventually(async () => { expect(await titles(a)).toEqual(['honest']) })
  })

  it('a peer that falls silent is left after the idle time, and others are served meanwhile', async () => {
    const a = await mesh.node({ ...QUIET, idleMsMax: 200 })
    const b = await mesh.node(QUIET)
    const stream = await (await stranger(a))()
    await stream.send(encodeSync({ type: 'root', root: new Uint8Array(32) }))
    await note(a, 'served')
    await mesh.network.connect(a.device, b.device)
    await eventually(async () => { expect(await titles(b)).toEqual(['served']) })
    await ending(stream)
    expect(a.mesh.broken).toEqual([expect.stringContaining('timeout')])
  })
})

const liarBatch = (node: StackNode): Parameters<typeof liveValue>[2] => {
  const { stack } = node.stacks.named('repo') as NonNullable<ReturnType<typeof node.stacks.named>>
  return [...stack.vector()].flatMap(([feed, { seq }]) => stack.batches({ feed, from: 1, to: seq }))[0] as Parameters<typeof liveValue>[2]
}

describe('a link that breaks', () => {
  it('in the middle of a large exchange: what arrived stays, the rest comes when they meet again', async () => {
    const a = await mesh.node(QUIET)
    const b = await mesh.node(QUIET)
    for (let i = 0; i < 12; i++) await note(a, `note ${i}`, 'x'.repeat(100_000))
    await mesh.network.connect(a.device, b.device)
    await eventually(() => { expect(b.stacks.named('repo')?.stack.entries().length).toBeGreaterThan(0) }, { intervalMs: 1 })
    mesh.cut(a, b)
    await mesh.network.connect(a.device, b.device)
    await eventually(async () => { expect(await feedsOf(b)).toBe(await feedsOf(a)) })
    expect(await titles(b)).toHaveLength(12)
  })

  it('a full disk fails the exchange, and it succeeds once there is space', async () => {
    const a = await mesh.node(QUIET)
    const b = await mesh.node({ ...QUIET, retryMs: 20, retryMsMax: 100 })
    await note(a, 'too much')
    b.disk.files.failure = Object.assign(new Error('no space'), { code: 'DISK_FULL' })
    await mesh.connectAll()
    await b.replication.exchange(a.device).then(({ reason }) => { expect(reason).toBe('failed') })
    b.disk.files.failure = undefined
    await b.replication.exchange(a.device)
    expect(await titles(b)).toEqual(['too much'])
  })
})

describe('a device whose disk was copied', () => {
  it('forks its feed: every device sees it, closes the feed at the same place, and all are equal again', async () => {
    const a = await mesh.node()
    const b = await mesh.node()
    const c = await mesh.node()
    await note(a, 'common')
    const copy = new StackMesh()
    const twin = await copy.node({ disk: { ...a.disk, feeds: new Map([...a.disk.feeds].map(([key, memory]) => [key, structuredClone(memory)])) } })
    await note(a, 'one life')
    await note(twin, 'another life')
    await copy.network.connect(twin.device, (await copyOf(copy, c)).device)
    await mesh.connectAll()
    await eventually(async () => { expect(await titles(b)).toEqual(['common', 'one life']) })
    const witness = copy.nodes[1] as StackNode
    await eventually(async () => { expect(await titles(witness)).toEqual(['another life', 'common']) })
    await copy.stop()
    await mesh.stop(c)
    mesh.nodes.splice(2)
    const returned = await mesh.node({ disk: witness.disk })
    await mesh.connectAll()
    await eventually(async () => {
      const all = await Promise.all([a, b, returned].map(feedsOf))
      expect(new Set(all).size).toBe(1)
      for (const node of [a, b, returned]) expect(node.stacks.named('repo')?.stack.closedFeeds()).toMatchObject([{ seq: 2 }])
    })
    await note(a, 'goes on under a new incarnation')
    await eventually(async () => { expect(await titles(returned)).toContain('goes on under a new incarnation') })
  })
})

/** The third device meets the twin elsewhere, with a copy of what it holds. */
const copyOf = async (elsewhere: StackMesh, node: StackNode): Promise<StackNode> =>
  await elsewhere.node({ disk: { ...node.disk, feeds: new Map() } })
