/** Refusals of the services that no other test meets, each by its code. */
import { deviceId, feedDevice, recordHash, stackIdOf, LIMITS, stackKey, toHex, type Batch, type MeshId } from '@elder-node/protocol'
import type { RestoredMirror } from '@elder-node/crdt-stack/mirror'
import { afterEach, describe, expect, test } from 'vitest'
import { receiveSource } from '../../src/services/builds/source-receive.ts'
import { readMesh } from '../../src/services/membership/mesh-file.ts'
import { archiveRules } from '../../src/services/membership/writers.ts'
import { importMirror } from '../../src/services/restore.ts'
import { Farm } from '../builds/farm.ts'
import { eventually } from '../support/eventually.ts'
import { TestMesh } from '../support/membership.ts'
import { MemoryFiles } from '../support/memory-files.ts'
import { MemoryCache } from '../support/memory-source.ts'
import { batchesOf, crypto, rosterOf, StackMesh, stackOf, type StackNode } from '../support/stacks.ts'

const OTHER = 'b'.repeat(26) as MeshId
const bounds = LIMITS as { rosterRecordsMax: number, recordsPerIssuerMax: number, stacksMax: number }
const { ...before } = bounds
const stacks = new StackMesh()
afterEach(async () => {
  Object.assign(bounds, before)
  await stacks.stop()
})

describe('membership', () => {
  // The real bounds are thousands of signed records.
  test.each([['rosterRecordsMax', /^This mesh holds/], ['recordsPerIssuerMax', /^This device has written/]] as const)('a roster that is full takes no invitation: ROSTER_FULL for %s', async (bound, message) => {
    const founder = await new TestMesh().node('laptop')
    bounds[bound] = 3
    const invitations = (): void => { for (let n = 0; n < 3; n++) founder.membership.invite({}) }
    expect(invitations).toThrow(expect.objectContaining({ code: 'ROSTER_FULL', message: expect.stringMatching(message) as string }) as Error)
  })

  test('a sole admin that wrote its last record hands over as the error says: by a promotion, or by an invitation', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('laptop')
    bounds.recordsPerIssuerMax = 5
    const full = (fix: string): void => { expect(() => { for (;;) founder.membership.invite() }).toThrow(expect.objectContaining({ code: 'ROSTER_FULL', fix: expect.stringContaining(fix) as string }) as Error) }
    full('elder-node invite --role admin')
    const desk = await mesh.joined(founder, 'desk', { role: 'admin' })
    full('Run it on desk.')
    expect((await mesh.joined(desk, 'pi')).membership.me?.name).toBe('pi')

    const other = new TestMesh()
    const sole = await other.node('laptop')
    const pi = await other.joined(sole, 'pi')
    expect(() => { for (;;) sole.membership.invite() }).toThrow(expect.objectContaining({ fix: 'elder-node devices promote pi, and run it there.' }) as Error)
    sole.membership.promote('pi')
    await eventually(() => { expect(pi.membership.me?.role).toBe('admin') })
    expect((await other.joined(pi, 'tablet')).membership.me?.name).toBe('tablet')
  })

  test('a ticket that would be good for longer than a year: USAGE', async () => {
    const founder = await new TestMesh().node('laptop')
    const invited = (days: number) => (): unknown => founder.membership.invite({ expiresMs: days * 86_400_000 })
    for (const days of [366, 99_999, Infinity, Number.NaN]) expect(invited(days)).toThrow(expect.objectContaining({ code: 'USAGE', message: expect.stringContaining('at most 365 days') as string }) as Error)
    expect(invited(365)).not.toThrow()
  })

  test('a mesh file that was overwritten: MESH_DAMAGED', () => {
    const files = new MemoryFiles()
    files.replace('mesh.cbor', Buffer.from('not a mesh'))
    expect(() => readMesh(files, deviceId(new Uint8Array(32)))).toThrow(expect.objectContaining({ code: 'MESH_DAMAGED' }) as Error)
  })
})

describe('stacks', () => {
  test('one more than a mesh can have: TOO_MANY_STACKS', async () => {
    const node = await stacks.node()
    bounds.stacksMax = 1
    await node.stacks.ensure('first')
    await expect(node.stacks.ensure('second')).rejects.toMatchObject({ code: 'TOO_MANY_STACKS' })
    expect((await node.stacks.ensure('first')).name).toBe('first')
  })

  test('a stack that is asked for while the node stops: CLOSED', async () => {
    const node = await stacks.node()
    await node.stacks.close()
    await expect(node.stacks.ensure('late')).rejects.toMatchObject({ code: 'CLOSED' })
  })

  test('foreign records for a stack of this mesh: NOT_ARCHIVED', async () => {
    const node = await stacks.node()
    await expect(node.stacks.acceptOrigin(stackKey(stackIdOf('repo', crypto)), 'repo', [])).rejects.toMatchObject({ code: 'NOT_ARCHIVED' })
  })

  test.each([
    ['REMOTE_URL', 'ext::sh -c id'], ['REMOTE_URL', '--upload-pack=id'], ['REMOTE_URL', 'ssh://-oProxyCommand=id/x'], ['REMOTE_URL', 'ssh://git@-oProxyCommand=id/x'], ['REMOTE_URL', '-l@host:x'],
    // git decodes an address before ssh reads it.
    ['REMOTE_URL', 'ssh://%2doProxyCommand=id/x'], ['REMOTE_URL', 'ssh://git@%2DoProxyCommand=id/x'], ['REMOTE_URL', 'ssh://%2dl@host/x'],
    ['REMOTE_URL', 'git@-oProxyCommand:x'], ['REMOTE_URL', '-oProxyCommand:x'], ['REMOTE_URL', 'git@host:-x'], ['REMOTE_URL', 'ext::id'], ['REMOTE_URL', 'fd::3'], ['REMOTE_URL', 'http::https://host/x'],
    ['REMOTE_URL', 'relative/path'], ['REMOTE_URL', 'https://host/$(id)'], ['REMOTE_URL', 'https://host/a;id'], ['REMOTE_URL', "/srv/a'b"], ['REMOTE_URL', 'https://host/\u001b[2J'], ['REMOTE_URL', `https://host/${'x'.repeat(400)}`],
    ['REMOTE_CREDENTIALS', 'https://me:secret@host/repo'], ['REMOTE_CREDENTIALS', 'https://token@host/repo'], ['REMOTE_CREDENTIALS', 'ssh://git:secret@host/repo'],
  ])('%s: %s', async (code, url) => {
    const node = await stacks.node()
    await expect(node.settings.addRemote('repo', url)).rejects.toMatchObject({ code })
    expect(node.settings.remotes()).toEqual([])
  })

  test('a mirror of which nothing verifies, and records that are of no mesh: MIRROR_UNVERIFIED', async () => {
    const node = await stacks.node()
    const mirror = { stacks: [], roster: [], quarantined: [{ path: 'stacks/repo/a', why: 'its signature is wrong' }] } as unknown as RestoredMirror
    await expect(importMirror(mirror, { stacks: node.stacks, mesh: OTHER, nameOf: of => of })).rejects.toMatchObject({ code: 'MIRROR_UNVERIFIED', message: expect.stringContaining('its signature is wrong') as string })
    expect(() => archiveRules([Buffer.from('no record')], OTHER, crypto)).toThrow(expect.objectContaining({ code: 'MIRROR_UNVERIFIED' }) as Error)
  })
})

test('a stack of a mirror that cannot come back keeps no other away, nor does a batch that is wrong: STACK_NOT_RESTORED', async () => {
  const origin = 'a'.repeat(26) as MeshId
  const [there, here] = [await stacks.node(), await stacks.node()]
  const contentOf = async (name: string, bad: boolean): Promise<object> => {
    await there.stacks.open(name).add({ kind: 'note', title: name })
    const batches = batchesOf(stackOf(there, name))
    const [first] = batches as [Batch]
    const wrong = { ...first, head: { ...first.head, signature: new Uint8Array(64) } }
    return { id: stackOf(there, name).id, name, key: name, mesh: origin, batches: [wrong, ...batches], names: new Set(), roster: bad ? [] : rosterOf(origin, [there.device]) }
  }
  const mirror = { commit: '', mesh: origin, roster: [], quarantined: [], stacks: [await contentOf('aaa', true), await contentOf('repo', false)] } as unknown as RestoredMirror
  const restored = await importMirror(mirror, { stacks: here.stacks, mesh: OTHER, nameOf: of => of })
  expect(restored).toMatchObject([
    { stack: 'repo', entries: 1, problems: [] },
    { stack: 'aaa', entries: 0, digest: '', archived: true, problems: [{ code: 'STACK_NOT_RESTORED', message: expect.stringContaining('not the records of that mesh') as string }] },
  ])
})

describe('a restored stack that had been removed', () => {
  const mirrorOf = (there: StackNode, mesh: MeshId): RestoredMirror => ({
    commit: '', mesh, roster: [], quarantined: [], stacks: ['gone', 'repo'].map(name => ({
      id: stackOf(there, name).id, name, key: name, mesh, batches: batchesOf(stackOf(there, name)), names: new Set(), roster: rosterOf(mesh, [there.device]),
    })),
  }) as unknown as RestoredMirror

  test.each(['held', 'swept'])('is back on every device, and that is told: %s', async how => {
    const [here, there] = [await stacks.node(), await stacks.node()]
    await stacks.connectAll()
    for (const name of ['gone', 'repo']) await there.stacks.open(name).add({ kind: 'note', title: name })
    await eventually(() => { expect(here.stacks.list()).toHaveLength(2) })
    const mirror = mirrorOf(there, OTHER)
    await here.stacks.book.remove(here.stacks.find('gone'), {})
    await eventually(() => { expect(there.stacks.list()).toHaveLength(1) })
    const key = stackKey(stackIdOf('gone', crypto))
    if (how === 'swept') for (const { stacks: of } of [here, there]) await of.drop(key)
    expect(here.stacks.held(key) === undefined).toBe(how === 'swept')
    const restored = await importMirror(mirror, { stacks: here.stacks, mesh: OTHER, nameOf: of => of })
    const message = expect.stringMatching(/^The stack gone had been removed on \d{4}-/) as string
    expect(restored).toMatchObject([
      { stack: 'gone', entries: 1, problems: [{ code: 'STACK_RETURNED', message, fix: expect.stringContaining('rm --all-of gone') as string }] },
      { stack: 'repo', entries: 1, problems: [] },
    ])
    await eventually(() => {
      for (const { stacks: of } of [here, there]) expect(of.list().map(({ name }) => name)).toEqual(['gone', 'repo'])
    })
    for (const { stacks: of } of [here, there]) expect(of.book.expiring(of.find('gone'))).toBeUndefined()
  })

  test('is refused to an observer, who takes nobody\'s removal back, and the others come', async () => {
    const there = await stacks.node()
    const observer = await stacks.node({ writers: device => device === there.device })
    await stacks.connectAll()
    for (const name of ['gone', 'repo']) await there.stacks.open(name).add({ kind: 'note', title: name })
    await there.stacks.book.remove(there.stacks.find('gone'), {})
    await eventually(() => { expect(observer.stacks.list({ which: 'all' }).filter(({ removed }) => removed !== undefined)).toHaveLength(1) })
    const restored = await importMirror(mirrorOf(there, OTHER), { stacks: observer.stacks, mesh: OTHER, nameOf: of => of })
    expect(restored).toMatchObject([{ stack: 'repo', entries: 1 }, { stack: 'gone', digest: '', problems: [{ code: 'STACK_NOT_RESTORED', message: expect.stringContaining('observer') as string }] }])
  })
})

describe('a mirror that lacks one feed', () => {
  test.each(['this mesh', 'another'])('of %s: what it gave and cannot be shown is counted: RECORDS_WAIT', async of => {
    const origin = 'a'.repeat(26) as MeshId
    const [laptop, mini, fresh] = [await stacks.node(), await stacks.node(), await stacks.node()]
    const add = async (node: typeof mini, title: string): Promise<void> => { await node.stacks.open('repo').add({ kind: 'note', title }) }
    await add(laptop, 'one')
    await mini.stacks.receive(stackKey(stackIdOf('repo', crypto)), 'repo', batchesOf(stackOf(laptop, 'repo')))
    await add(mini, 'two')
    await add(mini, 'three')
    const { id } = stackOf(mini, 'repo')
    const namesOf = (batches: Batch[]): Set<string> =>
      new Set(batches.flatMap(({ records }) => records.map(bytes => toHex(recordHash(bytes, crypto)))))
    const content = (batches: Batch[]): RestoredMirror => ({
      commit: '', mesh: origin, roster: rosterOf(origin, [laptop.device, mini.device]), quarantined: [],
      stacks: [{ id, name: 'repo', key: 'repo', mesh: origin, batches, names: namesOf(batches), roster: rosterOf(origin, [laptop.device, mini.device]) }],
    }) as unknown as RestoredMirror
    const all = batchesOf(stackOf(mini, 'repo'))
    const restore = (batches: Batch[]): ReturnType<typeof importMirror> =>
      importMirror(content(batches), {
        stacks: fresh.stacks, mesh: of === 'another' ? OTHER : origin, nameOf: device => device === mini.device ? 'mini' : 'laptop',
      })
    const [holed] = await restore(all.filter(({ feed }) => feedDevice(feed) === mini.device))
    const message = expect.stringMatching(/^2 records of mini \(2\) of the stack repo are read from the mirror/) as string
    expect(holed).toMatchObject({ entries: 0, problems: [{ code: 'RECORDS_WAIT', message }] })
    expect((await restore(all))[0]).toMatchObject({ entries: 3, problems: [] })
  })
})

describe('builds', () => {
  test('an engine with a fault of its own: BUILDER_FAILED, and POISON when three have it', async () => {
    const script = async function * (): AsyncGenerator<never> { yield * []; throw new Error('no such device') }
    for (const [names, code] of [[['one'], 'BUILDER_FAILED'], [['one', 'two', 'three'], 'POISON']] as const) {
      const farm = new Farm()
      for (const name of names) await farm.add(name, { script })
      const laptop = await farm.add('laptop', { slots: 0 })
      const result = await (await laptop.builds.build({ command: ['x'] })).result
      expect(result).toMatchObject({ exitCode: 125, error: { code, message: expect.stringContaining('no such device') as string } })
      await farm.stop()
    }
  })

  test('a stream that ends before the source is there: SOURCE_BROKEN', async () => {
    const cache = new MemoryCache(new Map())
    const source = { project: 'p', commit: 'c'.repeat(40) }
    const receive = (frames: AsyncIterator<never>): Promise<void> => receiveSource(cache, 'me', source, frames, async () => {}, new AbortController().signal)
    await expect(receive((async function * () { yield { type: 'source', ancestors: [] } as never })())).rejects.toMatchObject({ code: 'SOURCE_BROKEN' })
    await expect(receive((async function * (): AsyncGenerator<never> { yield * []; throw new Error('reset') })())).rejects.toMatchObject({ code: 'SOURCE_BROKEN', message: 'reset' })
  })
})
