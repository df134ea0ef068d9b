/** Replication against peers that break rules, streams that break, and feeds that fork. */
import { batchOf, batchValue, decodeSync, ElderError, encodeSync, LIMITS, liveValue, stackIdOf, stackKey, toHex, type Batch, type Cuts, type SyncMessage } from '@elder-node/protocol'
import * as fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { FrameStream } from '../../src/ports/mesh.ts'
import { proveStack } from '../../src/services/stack-proof.ts'
import { batchesOf, crypto, stackOf, StackMesh, type StackNode } from '../support/stacks.ts'
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

describe('an eviction', () => {
  it('that keeps more brings what one device has to the others at once, whoever hears of it first', async () => {
    for (const order of [[0, 1, 2], [2, 1, 0], [1, 0, 2]]) {
      let cuts: Cuts = new Map()
      const own = { cuts: () => cuts, ...QUIET }
      const [a, b, c] = [await mesh.node(own), await mesh.node(own), await mesh.node(own)]
      const victim = await mesh.node(QUIET)
      await mesh.network.connect(b.device, victim.device)
      await note(victim, 'late')
      await eventually(async () => { expect(await titles(b)).toEqual(['late']) })
      await mesh.stop(victim)
      const apply = async (keep: string[]): Promise<void> => {
        cuts = new Map([[victim.device, { keep: new Set(keep), undo: false }]])
        for (const at of order) await [a, b, c][at]?.stacks.applyCuts()
      }
      await apply([])
      for (const [from, to] of [[a, b], [b, c], [a, c]] as const) await mesh.network.connect(from.device, to.device)
      await note(a, 'of a member')
      await eventually(async () => {
        for (const node of [a, b, c]) expect(await titles(node)).toEqual(['of a member'])
      })
      const [aside] = [...(await b.stacks.headsBeyond(victim.device)).values()].flat()
      await apply([toHex(aside as Uint8Array)])
      await eventually(async () => {
        for (const node of [a, b, c]) expect(await titles(node)).toEqual(['late', 'of a member'])
      })
      await mesh.stop()
    }
  })
})

describe('what lies beyond a cut', () => {
  it('is found in every stack of which the disk reads', async () => {
    let cuts: Cuts = new Map()
    const [node, victim] = [await mesh.node({ cuts: () => cuts, ...QUIET }), await mesh.node(QUIET)]
    await mesh.connectAll()
    for (const name of ['repo', 'other']) await victim.stacks.open(name).add({ kind: 'note', title: name })
    await eventually(() => { for (const name of ['repo', 'other']) expect(stackOf(node, name).isEmpty).toBe(false) })
    cuts = new Map([[victim.device, { keep: new Set(), undo: false }]])
    await node.stacks.applyCuts()
    const broken = vi.spyOn(stackOf(node, 'other'), 'headsBeyond').mockRejectedValue(new Error('the disk does not read'))
    expect([...(await node.stacks.headsBeyond(victim.device)).keys()]).toEqual([stackIdOf('repo', crypto)])
    expect(broken).toHaveBeenCalledOnce()
  })
})

describe('a stack that cannot be opened', () => {
  it('keeps no other from an exchange', async () => {
    const [a, b] = [await mesh.node(QUIET), await mesh.node(QUIET)]
    const names = ['one', 'two', 'three', 'four']
    for (const name of names) await a.stacks.open(name).add({ kind: 'note', title: name })
    await mesh.stop(a)
    const bad = a.disk.feeds.get(stackKey(stackIdOf('two', crypto)))
    for (const batch of bad?.batches ?? []) batch.records[0] = new Uint8Array(10)
    const again = await mesh.node({ disk: a.disk, ...QUIET })
    expect(again.stacks.broken.map(({ name }) => name)).toEqual(['two'])
    for (const name of [...names, 'five', 'six']) await b.stacks.open(name).add({ kind: 'note', title: 'by b' })
    for (const other of mesh.nodes) if (other !== again && other !== b) mesh.cut(again, other)
    await mesh.network.connect(again.device, b.device)
    await eventually(async () => { expect((await again.replication.exchange(b.device)).reason).toBe('done') })
    const held = async ({ stacks }: StackNode, name: string): Promise<string[]> => (await stacks.open(name).list()).map(({ title }) => title)
    for (const name of ['one', 'three', 'four']) for (const node of [again, b]) expect((await held(node, name)).sort()).toEqual(['by b', name])
    for (const name of ['five', 'six']) expect(await held(again, name)).toEqual(['by b'])
    expect(again.stacks.problems()).toMatchObject([{ message: expect.stringContaining('two cannot be opened') as string }])
  })

  it('but a full disk ends it: nothing could be taken', async () => {
    const [a, b] = [await mesh.node(QUIET), await mesh.node(QUIET)]
    await note(b, 'x')
    vi.spyOn(a.stacks, 'receive').mockRejectedValue(new ElderError('DISK_FULL', 'the disk is full', ''))
    await mesh.network.connect(a.device, b.device)
    await eventually(async () => { expect((await a.replication.exchange(b.device)).reason).toBe('failed') })
  })
})

describe('a peer that breaks the rules', () => {
  it('random, truncated and senseless frames end the exchange as MALFORMED and change nothing', async () => {
    const a = await mesh.node(QUIET)
    await note(a, 'mine')
    const before = await feedsOf(a)
    const open = await stranger(a)
    const valid = encodeSync({ type: 'root', root: new Uint8Array(32) })
    const frames = [new Uint8Array(), valid.slice(0, -1), new Uint8Array(LIMITS.frameBytesMax), encodeSync({ type: 'done', held: [], more: false }), ...fc.sample(fc.uint8Array({ maxLength: 300 }), 20)]
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
    const stack = stackOf(b, 'repo')
    const [batch] = batchesOf(stack) as [Batch]
    const forged = batchOf(batchValue({ ...batch, head: { ...batch.head, signature: new Uint8Array(64) } }))
    const stream = await (await stranger(a))()
    const frames = stream[Symbol.asyncIterator]()
    await stream.send(encodeSync({ type: 'root', root: new Uint8Array(32) }))
    expect((await nextMessage(frames)).type).toBe('buckets')
    await stream.send(encodeSync({ type: 'stacks', differing: new Uint8Array(32).fill(255), stacks: [{ key: KEY, name: 'repo', digest: new Uint8Array(32) }], more: false, traceparent: null }))
    expect((await nextMessage(frames)).type).toBe('vectors')
    await stream.send(encodeSync({ type: 'vectors', vectors: [{ key: KEY, name: 'repo', vector: stack.vector() }], more: false }))
    expect((await nextMessage(frames)).type).toBe('want')
    await stream.send(encodeSync({ type: 'batches', key: KEY, answers: [[forged]] }))
    await expect(frames.next()).rejects.toThrow('the stream broke')
    expect(a.mesh.broken).toEqual([expect.stringContaining('malformed')])
    expect(a.stacks.all()).toEqual([])
  })

  it('gossip of another device\'s feed, of a wrong name and of nonsense is dropped', async () => {
    const a = await mesh.node(QUIET)
    const b = await mesh.node({ ...QUIET, deaf: true })
    await note(b, 'real')
    const [batch] = batchesOf(stackOf(b, 'repo')) as [Batch]
    const liar = await mesh.node(QUIET)
    liar.replication.stop()
    await mesh.network.connect(liar.device, a.device)
    for (const message of [liveValue(KEY, 'repo', batch), liveValue(KEY, 'other', batch), [], null, [KEY, 'repo', [1, 2, 3]], [KEY, 'repo', [new Uint8Array(40), 1, new Uint8Array(32)]]]) await liar.mesh.broadcast('stack', message)
    await note(liar, 'honest')
    await liar.mesh.broadcast('stack', liveValue(KEY, 'repo', batchesOf(stackOf(liar, 'repo'))[0] as Batch))
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
  const copyOf = ({ disk }: StackNode): StackNode['disk'] => ({ ...disk, feeds: new Map([...disk.feeds].map(([key, memory]) => [key, structuredClone(memory)])) })
  const forksOf = async (node: StackNode): Promise<unknown> => {
    const nameOf = (device: string): string => mesh.nodes.some(other => other.device === device) ? 'a member' : 'nobody'
    const { problems } = await proveStack({ ...node, remotes: async () => [], members: () => [], nameOf }, 'repo', { signal: new AbortController().signal })
    return problems
  }

  /** Both lives of one device write, and meet different devices; then those meet each other. */
  const twoLives = async (disk: StackNode['disk'], copy: StackNode['disk']): Promise<StackNode[]> => {
    const elsewhere = new StackMesh()
    const [a, b, twin, witness] = [await mesh.node({ disk }), await mesh.node(), await elsewhere.node({ disk: copy }), await elsewhere.node({ seed: 9 })]
    await note(a, 'one life')
    await note(twin, 'another life')
    await elsewhere.connectAll()
    await mesh.connectAll()
    await eventually(async () => { expect(await titles(b)).toEqual(['common', 'one life']) })
    await eventually(async () => { expect(await titles(witness)).toEqual(['another life', 'common']) })
    await elsewhere.stop()
    const nodes = [a, b, await mesh.node({ disk: witness.disk })]
    await mesh.connectAll()
    await eventually(async () => {
      expect(new Set(await Promise.all(nodes.map(feedsOf))).size).toBe(1)
      for (const node of nodes) expect(await titles(node)).toEqual(['another life', 'common', 'one life'])
    })
    return nodes
  }

  it('while it ran: each life writes a feed of its own, every device shows both, and nothing is a fault', async () => {
    const first = await mesh.node()
    await note(first, 'common')
    const copy = copyOf(first)
    await mesh.stop()
    for (const node of await twoLives(first.disk, copy)) expect(await forksOf(node)).toEqual([])
  })

  it('after a clean end, so that both lives go on with one feed: every device shows both and names the device', async () => {
    const first = await mesh.node()
    await note(first, 'common')
    await mesh.stop()
    const nodes = await twoLives(first.disk, copyOf(first))
    const [a, , witness] = nodes as [StackNode, StackNode, StackNode]
    for (const node of nodes) {
      expect(await forksOf(node)).toMatchObject([{
        code: 'FEED_FORKED', device: { id: first.device, name: 'a member' }, fix: expect.stringContaining('elder-node evict a member') as string,
      }])
    }
    await note(a, 'goes on')
    await eventually(async () => { expect(await titles(witness)).toContain('goes on') })
    expect(stackOf(witness, 'repo').forks()).toEqual([expect.objectContaining({ seq: 2 })])
  })
})
