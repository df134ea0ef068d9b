import { ElderError } from '@elder-node/protocol'
import { afterEach, describe, expect, it } from 'vitest'
import { MemoryFeedStore, Stack, type StackChange } from '../src/index.ts'
import { converge, createDevice, crypto, NAME, pull, random, STACK } from './support.ts'

const stacks: Stack[] = []
afterEach(async () => { for (const stack of stacks.splice(0)) await stack.close() })
async function opened (device = createDevice()): Promise<Stack> {
  const stack = await device.open()
  stacks.push(stack)
  return stack
}

describe('a stack', () => {
  it('keeps what is written, byte-exact, through a restart', async () => {
    const device = createDevice()
    const first = await opened(device)
    const added = await first.add({ kind: 'decision', title: 'auth tokens are PASETO', body: 'because …\n\n', tags: ['auth'] }, { agent: 'claude' })
    await first.edit(added.id, { body: 'because JWT has alg:none\n\n', title: 'PASETO' }, { agent: 'claude' })
    const before = first.entries()
    const digest = first.digest()
    await first.close()
    const second = await opened(device)
    expect(second.entries()).toEqual(before)
    expect(second.digest()).toEqual(digest)
    expect(before[0]).toMatchObject({ title: 'PASETO', body: 'because JWT has alg:none\n\n', tags: ['auth'], author: { device: device.id, agent: 'claude' }, removed: false, rivals: {}, extra: {} })
    expect(before[0]?.createdAt).toMatch(/^2025-06-15T\d\d:\d\d:\d\d\.\d{3}Z$/)
  })

  it('takes a byte order mark at the start of a text for content: written, sent and read again', async () => {
    const mark = '\uFEFF'
    const device = createDevice()
    const [first, peer] = [await opened(device), await opened()]
    const { id } = await first.add({ kind: 'note', title: `${mark}title`, body: `${mark}body`, tags: [`${mark}tag`] }, { agent: `${mark}agent` })
    await first.edit(id, { body: `${mark}${mark}body` }, {}, { overwrite: true })
    await pull(peer, first)
    expect(peer.digest()).toEqual(first.digest())
    await first.close()
    const second = await opened(device)
    for (const stack of [second, peer]) expect(stack.entry(id)).toMatchObject({ title: `${mark}title`, body: `${mark}${mark}body`, tags: [`${mark}tag`] })
    expect((await second.audit()).problems).toEqual([])
  })

  it('continues its feed after a restart', async () => {
    const device = createDevice()
    const first = await opened(device)
    await first.add({ kind: 'note', title: 'one' })
    await first.close()
    const second = await opened(device)
    await second.add({ kind: 'note', title: 'two' })
    expect(second.vector().map(head => head.seq)).toEqual([2])
  })

  it('signs writes made together once', async () => {
    const stack = await opened()
    const batches: number[] = []
    stack.onAppend(batch => { batches.push(batch.records.length) })
    await Promise.all(Array.from({ length: 20 }, (_, i) => stack.add({ kind: 'note', title: `${i}` })))
    expect(batches.reduce((a, b) => a + b)).toBe(20)
    expect(batches.length).toBeLessThan(4)
  })

  it('keeps rivals of concurrent fields, shows the later, and settles by writing', async () => {
    const [a, b] = [await opened(), await opened()]
    const { id } = await a.add({ kind: 'task', title: 'draft' })
    await converge([a, b])
    await a.edit(id, { title: 'from a' })
    await b.edit(id, { title: 'from b' })
    await converge([a, b])
    expect(a.digest()).toEqual(b.digest())
    const entry = a.entry(id)
    expect([entry?.title, entry?.rivals['title']?.[0]?.value].sort()).toEqual(['from a', 'from b'])
    await a.edit(id, { title: entry?.title as string })
    await converge([a, b])
    expect(b.entry(id)?.rivals).toEqual({})
    expect(a.digest()).toEqual(b.digest())
  })

  it('keeps both sides of concurrent text, and edits elsewhere in it', async () => {
    const [a, b] = [await opened(), await opened()]
    const { id } = await a.add({ kind: 'note', title: 't', body: 'alpha\nbeta\ngamma\ndelta 😀 end\n' })
    await converge([a, b])
    await a.edit(id, { body: 'ALPHA\nbeta\ngamma\ndelta 😁 end\n' })
    await b.edit(id, { body: 'alpha\nbeta\nbetween\ngamma\ndelta 😀 end\nmore\n' }, {}, { overwrite: true })
    await converge([a, b])
    expect(a.entry(id)?.body).toBe('ALPHA\nbeta\nbetween\ngamma\ndelta 😁 end\nmore\n')
    expect(b.entry(id)?.body).toBe(a.entry(id)?.body)
    expect(a.digest()).toEqual(b.digest())
  })

  it('removes and restores', async () => {
    const [a, b] = [await opened(), await opened()]
    const { id } = await a.add({ kind: 'note', title: 't' })
    await a.remove(id)
    await converge([a, b])
    expect(b.entries()).toEqual([])
    expect(b.entry(id)?.removed).toBe(true)
    expect(b.entries({ removed: true })).toHaveLength(1)
    await b.restore(id)
    await converge([a, b])
    expect(a.entries().map(entry => entry.id)).toEqual([id])
  })

  it('refuses an edit of a removed entry, which would be shown nowhere', async () => {
    const stack = await opened()
    const { id } = await stack.add({ kind: 'note', title: 't' })
    await stack.remove(id)
    const feeds = stack.feedsDigest()
    for (const patch of [{ title: 'x' }, { body: 'x' }]) await expect(stack.edit(id, patch)).rejects.toMatchObject({ code: 'ENTRY_REMOVED' })
    expect(stack.feedsDigest()).toEqual(feeds)
    await stack.restore(id)
    expect((await stack.edit(id, { title: 'x' })).title).toBe('x')
  })

  it.each([{ title: 'by b' }, { body: 'by b' }])('shows an entry that was removed by one and written to by another at the same time: %j', async patch => {
    const [a, b] = [await opened(), await opened()]
    const { id, author } = await a.add({ kind: 'note', title: 't', body: 't' })
    await converge([a, b])
    await b.edit(id, patch, {}, { overwrite: true })
    await a.remove(id)
    await converge([a, b])
    for (const stack of [a, b]) {
      expect(stack.entries()).toMatchObject([{ ...patch, removed: false, rivals: { removed: [{ value: true, author }] } }])
    }
    // Whoever has read it decides: gone again, or kept.
    await b.remove(id)
    await converge([a, b])
    expect([a.entries(), a.entry(id)?.removed, a.entry(id)?.rivals]).toEqual([[], true, {}])
    await a.restore(id)
    await converge([a, b])
    expect(b.entries()).toMatchObject([{ ...patch, removed: false, rivals: {} }])
  })

  it('keeps a shown conflict with a removal by an undo', async () => {
    const [a, b] = [await opened(), await opened()]
    const { id } = await a.add({ kind: 'note', title: 't' })
    await converge([a, b])
    await b.edit(id, { title: 'by b' })
    await a.remove(id)
    await converge([a, b])
    await a.restore(id)
    await converge([a, b])
    expect(b.entries()).toMatchObject([{ title: 'by b', removed: false, rivals: {} }])
  })

  it('filters and sorts', async () => {
    const stack = await opened()
    await stack.add({ kind: 'note', title: '1', tags: ['x'] })
    await stack.add({ kind: 'task', title: '2', tags: ['x', 'y'] })
    await stack.add({ kind: 'note', title: '3' })
    expect(stack.entries().map(entry => entry.title)).toEqual(['1', '2', '3'])
    expect(stack.entries({ tag: 'x' }).map(entry => entry.title)).toEqual(['1', '2'])
    expect(stack.entries({ kind: 'note', tag: 'x' }).map(entry => entry.title)).toEqual(['1'])
  })

  it('refuses secrets, strange input and immutable text, with a reason and a fix', async () => {
    const stack = await opened()
    await expect(stack.add({ kind: 'note', title: 'key', body: `use AKIA${'A'.repeat(16)}` })).rejects.toMatchObject({ code: 'SECRET', data: { pattern: 'AWS access key' } })
    await expect(stack.add({ kind: 'No Kind', title: '' })).rejects.toMatchObject({ code: 'ENTRY_INVALID' })
    await expect(stack.add({ kind: 'note', title: 'x'.repeat(600) })).rejects.toMatchObject({ code: 'ENTRY_INVALID' })
    await expect(stack.add({ kind: 'note', title: 't', body: '\ud800' })).rejects.toMatchObject({ code: 'ENTRY_INVALID' })
    await expect(stack.add({ kind: 'note', title: 't', body: 'x'.repeat(300_000) })).rejects.toMatchObject({ code: 'TOO_LARGE' })
    await expect(stack.edit('01ARZ3NDEKTSV4RRFFQ69G5FAV', { title: 'x' })).rejects.toMatchObject({ code: 'NO_SUCH_ENTRY' })
    const { id } = await stack.add({ kind: 'message', title: 'm', body: 'said' })
    await expect(stack.edit(id, { body: 'unsaid' })).rejects.toMatchObject({ code: 'IMMUTABLE' })
    expect(stack.entries()).toHaveLength(1)
  })

  it('writes nothing when nothing differs', async () => {
    const stack = await opened()
    const { id } = await stack.add({ kind: 'note', title: 't', body: 'b', tags: ['x'] })
    await stack.edit(id, { title: 't', body: 'b', tags: ['x'], supersedes: null })
    expect(stack.vector().map(head => head.seq)).toEqual([1])
  })

  it('streams changes and ends with its signal', async () => {
    const [a, b] = [await opened(), await opened()]
    const abort = new AbortController()
    const seen: StackChange[] = []
    const stream = b.changes({ signal: abort.signal })
    const reading = (async () => {
      for await (const change of stream) {
        seen.push(change)
        if (change.type === 'entry' && change.entry.title === 'two') abort.abort()
      }
    })()
    const { id } = await a.add({ kind: 'note', title: 'one' })
    await pull(b, a)
    await b.edit(id, { title: 'two' })
    await reading
    expect(seen.map(change => change.type === 'entry' ? change.entry.title : change.type)).toContain('two')
  })

  it('shows nothing of a write before it is durable, and never what was told as failed', async () => {
    const device = createDevice()
    const gate = Promise.withResolvers<void>()
    let fails = false
    const store = new MemoryFeedStore(device.memory)
    const held: typeof store.append = async batches => {
      if (!fails) return await MemoryFeedStore.prototype.append.call(store, batches)
      await gate.promise
      throw new ElderError('DISK_FULL', 'full')
    }
    store.append = held
    const stack = await Stack.open({ store, crypto, signer: device.signer, wallMs: () => device.clock.ms++, random }, { id: STACK, name: NAME })
    const { id } = await stack.add({ kind: 'note', title: 't', body: 'one\n' })
    const before = { digest: stack.digest(), vector: stack.vector(), entries: stack.entries() }
    fails = true
    const refused = Promise.allSettled([stack.edit(id, { body: 'two\n', title: 'x' }), stack.add({ kind: 'note', title: 'not durable' })])
    await Promise.resolve()
    const seen = (): unknown => ({ digest: stack.digest(), vector: stack.vector(), entries: stack.entries() })
    expect(seen()).toEqual(before)
    gate.resolve()
    expect((await refused).map(result => result.status)).toEqual(['rejected', 'rejected'])
    expect(seen()).toEqual(before)
    fails = false
    const old = stack.vector()[0]?.feed
    expect((await stack.edit(id, { body: 'three\n' })).body).toBe('three\n')
    // The place of the refused record stays empty: another one there would be a fork.
    expect(stack.vector().filter(({ feed }) => feed === old).map(({ seq }) => seq)).toEqual([1])
    const peer = await opened()
    await pull(peer, stack)
    expect(peer.digest()).toEqual(stack.digest())
    expect(peer.forks()).toEqual([])
    await stack.close()
  })
})
