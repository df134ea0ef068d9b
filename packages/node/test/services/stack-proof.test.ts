/** Search over stacks, and the proof of one: what agrees, what is offline, what differs, and what a damaged disk says. */
import { feedDevice, type Batch, type DeviceId } from '@elder-node/protocol'
import { afterEach, describe, expect, it } from 'vitest'
import type { StackProof } from '../../src/api.ts'
import { proveStack } from '../../src/services/stack-proof.ts'
import { searchStacks } from '../../src/services/stack-search.ts'
import { StackMesh, type StackNode } from '../support/stacks.ts'
import { eventually } from '../support/eventually.ts'

let mesh = new StackMesh()
afterEach(async () => {
  await mesh.stop()
  mesh = new StackMesh()
})

const forever = { signal: new AbortController().signal }
const write = async (node: StackNode, title: string, stack = 'repo', body = ''): Promise<void> => { await node.stacks.open(stack).add({ kind: 'note', title, body }) }

async function prove (node: StackNode, remotes: StackProof['remotes'] = []): Promise<StackProof> {
  const members = mesh.nodes.map(({ device }, n) => ({ id: device, name: `device-${n}` }))
  const nameOf = (device: DeviceId): string => members.find(({ id }) => id === device)?.name ?? 'nobody'
  return await proveStack({ ...node, remotes: async () => remotes, members: () => members, nameOf }, 'repo', forever)
}

describe('verify', () => {
  it('two devices that hold the same vouch for each other', async () => {
    const [a, b] = [await mesh.node(), await mesh.node()]
    await mesh.connectAll()
    await write(a, 'one')
    await write(b, 'two')
    const proof = await prove(a)
    expect(proof).toMatchObject({ stack: 'repo', entries: 2, records: 2, problems: [], devices: [{ state: 'self' }, { name: 'device-1', state: 'same' }] })
    expect(proof.writers.map(({ device }) => device.name).sort()).toEqual(['device-0', 'device-1'])
    expect(await b.stacks.open('repo').digest()).toMatchObject({ digest: proof.digest, feeds: proof.feeds })
  })

  it('a device that is away is said, and is no fault', async () => {
    const [a, b] = [await mesh.node(), await mesh.node()]
    await mesh.connectAll()
    await write(a, 'one')
    mesh.cut(a, b)
    expect(await prove(a)).toMatchObject({ problems: [], devices: [{ state: 'self' }, { state: 'offline' }] })
  })

  it('a device that may not take what another wrote differs, and that is a fault', async () => {
    const a = await mesh.node()
    const b = await mesh.node({ writers: () => false })
    await mesh.connectAll()
    await write(a, 'one')
    expect(await prove(a)).toMatchObject({ devices: [{ state: 'self' }, { state: 'differs' }], problems: [{ code: 'DEVICE_DIFFERS', message: expect.stringContaining('device-1') as string, fix: expect.stringContaining('stack verify') as string }] })
    expect(b.stacks.named('repo')?.entries() ?? 0).toBe(0)
  })

  it('a record that changed below the running node is found, and named with what to do', async () => {
    const a = await mesh.node()
    await write(a, 'one')
    await write(a, 'two')
    for (const { batches } of a.disk.feeds.values()) {
      const [, second] = batches as [Batch, Batch]
      batches[1] = { ...second, records: second.records.map(record => record.map((byte, i) => i === 90 ? byte ^ 1 : byte)) }
    }
    const { problems } = await prove(a)
    expect(problems).toMatchObject([{ code: 'FEED_BROKEN', message: expect.stringContaining('record 2') as string, fix: expect.stringContaining('move that file away') as string }])
  })

  it('records that lack what they name are a fault, in a stack that shows nothing for it too', async () => {
    const [a, b] = [await mesh.node(), await mesh.node()]
    await mesh.connectAll()
    await write(a, 'one')
    await eventually(() => { expect(b.stacks.named('repo')?.entries()).toBe(1) })
    await write(b, 'two')
    await eventually(() => { expect(a.stacks.named('repo')?.entries()).toBe(2) })
    await mesh.stop(a)
    await mesh.stop(b)
    // As a log that was deleted while the node was stopped.
    for (const { batches } of b.disk.feeds.values()) {
      batches.splice(0, batches.length, ...batches.filter(({ feed }) => feedDevice(feed) === b.device))
    }
    mesh.nodes.splice(0)
    const alone = await mesh.node({ disk: b.disk })
    const wait = { code: 'RECORDS_WAIT', message: expect.stringContaining('One record of device-0 (1)') as string }
    expect(await prove(alone)).toMatchObject({ entries: 0, problems: [wait] })
  })

  it('a damaged remote is a fault; one that is behind or away is not', async () => {
    const a = await mesh.node()
    await write(a, 'one')
    const remote = { url: 'https://git.example/m.git', commit: null, lacks: null, message: 'why' }
    expect((await prove(a, [{ ...remote, state: 'behind' }, { ...remote, state: 'unreachable' }])).problems).toEqual([])
    expect((await prove(a, [{ ...remote, state: 'damaged' }])).problems).toMatchObject([{ code: 'MIRROR_SEGMENT' }])
  })

  it('knows no stack that is not there, and stops when it is told to', async () => {
    const a = await mesh.node()
    await expect(prove(a)).rejects.toMatchObject({ code: 'NO_SUCH_STACK' })
    await write(a, 'one')
    const reason = new Error('enough')
    await expect(proveStack({ ...a, remotes: async () => [], members: () => [], nameOf: () => '' }, 'repo', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })
})

describe('search', () => {
  it('over all stacks, or one, never the settings', async () => {
    const a = await mesh.node()
    await write(a, 'tokens are PASETO', 'one', 'because of the door')
    await write(a, 'the door', 'two')
    await a.settings.addRemote('--all', 'https://door.example/door.git')
    expect(searchStacks(a.stacks, 'door').map(({ stack, entry }) => [stack, entry.title])).toEqual([['two', 'the door'], ['one', 'tokens are PASETO']])
    expect(searchStacks(a.stacks, 'door', { stack: 'one' })).toMatchObject([{ stack: 'one', snippet: 'because of the door' }])
    expect(searchStacks(a.stacks, 'door', { kind: 'task' })).toEqual([])
    expect(() => searchStacks(a.stacks, 'door', { stack: 'three' })).toThrow(expect.objectContaining({ code: 'NO_SUCH_STACK' }) as Error)
  })

  it('who wrote what: by an id or its beginning', async () => {
    const a = await mesh.node()
    const repo = a.stacks.open('repo')
    const { id } = await repo.add({ kind: 'note', title: 'one' }, { agent: 'juno' })
    await repo.add({ kind: 'note', title: 'two' })
    await repo.edit(id, { title: 'uno' })
    expect((await repo.log()).map(({ change, entry }) => [change, entry?.title])).toEqual([['set', 'uno'], ['new', 'two'], ['new', 'uno']])
    expect(await repo.log({ entry: id.slice(0, 20).toLowerCase() + id.slice(20, 24), limit: 1 })).toMatchObject([{ change: 'set', field: 'title' }])
    await expect(repo.log({ entry: '01XX' })).rejects.toMatchObject({ code: 'NO_SUCH_ENTRY' })
  })

  it('a remote is taken away by the word it was given with', async () => {
    const a = await mesh.node()
    await a.settings.addRemote('repo', 'https://git.example/m.git')
    await expect(a.settings.removeRemote('--all', 'https://git.example/m.git')).rejects.toMatchObject({ code: 'NO_SUCH_REMOTE' })
    expect(await a.settings.removeRemote('repo', 'https://git.example/m.git')).toEqual({ stack: 'repo', url: 'https://git.example/m.git' })
    await eventually(() => { expect(a.settings.remotes()).toEqual([]) })
  })
})
