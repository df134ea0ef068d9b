import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FsFeedStore } from '@elder-node/crdt-stack/fs'
import { codeOf, deviceId, encodeRecord, feedId, genesisHash, LIMITS, recordHash, signHead, stackIdOf, stackKey, SETTINGS_STACK, type Batch, type MeshId, type StackKey } from '@elder-node/protocol'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { randomBytes, signerFromSeed } from '../../src/adapters/crypto.ts'
import type { Problem } from '../../src/api.ts'
import { privateFiles } from '../../src/adapters/private-files.ts'
import { Stacks, type Archive } from '../../src/services/stacks.ts'
import { batchesOf, crypto, rosterOf, silent, StackMesh, stackOf, verifyArchive, type StackNode } from '../support/stacks.ts'
import { eventually } from '../support/eventually.ts'

const OTHER_MESH = 'a'.repeat(26) as MeshId

const bounds = LIMITS as { stacksPerDeviceMax: number }
const { stacksPerDeviceMax } = LIMITS

let mesh = new StackMesh()
afterEach(async () => {
  bounds.stacksPerDeviceMax = stacksPerDeviceMax
  await mesh.stop()
  mesh = new StackMesh()
})

const digestOf = async (node: StackNode, name: string): Promise<unknown> => {
  const { digest, feeds } = await node.stacks.open(name).digest()
  return { digest, feeds }
}
const converged = async (nodes: StackNode[], name: string, entries: number): Promise<void> => {
  await eventually(async () => {
    for (const node of nodes) {
      expect(await node.stacks.open(name).list()).toHaveLength(entries)
      expect(await digestOf(node, name)).toEqual(await digestOf(nodes[0] as StackNode, name))
    }
  })
}
const note = async (node: StackNode, name: string, title: string, body = ''): Promise<string> => (await node.stacks.open(name).add({ kind: 'note', title, body })).id
const failure = async (promise: Promise<unknown>): Promise<string> => promise.then(() => 'nothing', codeOf)

/** The first record of a stack, as a device signs it that makes as many as it can. */
function firstBatch (name: string, seed: number): Batch {
  const signer = signerFromSeed(new Uint8Array(32).fill(seed))
  const feed = feedId(deviceId(signer.publicKey), new Uint8Array(8))
  const id = stackIdOf(name, crypto)
  const body = { kind: 'note', fields: { title: name }, body: '', v: 1 }
  const record = encodeRecord({ seq: 1, prev: genesisHash(id, feed, crypto), deps: [], at: 1, agent: null, kind: 'new', body })
  return { feed, from: 1, records: [record], head: signHead(id, feed, 1, recordHash(record, crypto), signer) }
}

describe('the bound on stacks', () => {
  it('counts for each device by itself: who makes too many keeps neither another device nor this one from making more', async () => {
    bounds.stacksPerDeviceMax = 50
    const node = await mesh.node()
    const offer = async (name: string, seed: number): Promise<void> => {
      await node.stacks.receive(stackKey(stackIdOf(name, crypto)), name, [firstBatch(name, seed)])
    }
    const told = (): Problem[] => node.stacks.refusals(() => true, () => 'pi')
    for (let i = 0; i < LIMITS.stacksPerDeviceMax; i++) await offer(`flood-${i}`, 200)
    expect(told()).toEqual([])
    for (let i = 0; i < 20; i++) for (let again = 0; again < 2; again++) await offer(`more-${i}`, 200)
    expect(node.stacks.all()).toHaveLength(LIMITS.stacksPerDeviceMax)
    const message = `pi has made more than ${LIMITS.stacksPerDeviceMax} stacks, the most that is taken of one device: 20 of them are not kept here.`
    expect(told()).toMatchObject([{ code: 'STACKS_REFUSED', message }])
    expect(node.stacks.refusals(() => false, () => 'pi')).toEqual([])
    await offer('honest', 201)
    await note(node, 'own', 'made here')
    expect(node.stacks.all().map(({ name }) => name)).toEqual(expect.arrayContaining(['honest', 'own']))
  })
})

describe('a device that makes stacks', () => {
  it('stops at what the others take of one device, before it writes, many at once and after a restart too', async () => {
    bounds.stacksPerDeviceMax = 3
    const [node, other] = [await mesh.node(), await mesh.node()]
    await mesh.connectAll()
    const made = await Promise.allSettled(['a', 'b', 'c', 'd', 'e'].map(name => note(node, name, 'first')))
    expect(made.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected'])
    await expect(note(node, 'f', 'one more')).rejects.toMatchObject({ code: 'TOO_MANY_STACKS', message: expect.stringContaining('has made 3 stacks') as string, fix: expect.stringContaining('another device') as string })
    await note(node, 'a', 'second')
    await converged([node, other], 'c', 1)
    expect(other.stacks.refusals(() => true, () => 'it')).toEqual([])
    await note(other, 'f', 'made there')
    await converged([node, other], 'f', 1)
    await note(node, 'f', 'and written to here')
    await mesh.stop(node)
    const again = await mesh.node({ disk: node.disk })
    expect(await failure(note(again, 'g', 'one more'))).toBe('TOO_MANY_STACKS')
    await note(again, 'b', 'still')
  })
})

describe('stacks on several devices', () => {
  it('notes written on two devices at once appear on all three, and every device knows of three copies', async () => {
    const [a, b, c] = [await mesh.node(), await mesh.node(), await mesh.node()]
    await mesh.connectAll()
    await Promise.all([note(a, 'repo', 'from a'), note(b, 'repo', 'from b')])
    await converged([a, b, c], 'repo', 2)
    await eventually(() => {
      for (const { stacks, replication } of [a, b, c]) expect(stacks.list({ copies: held => replication.copies(held) })).toEqual([{ name: 'repo', entries: 2, copies: 3, mirrors: [], archived: false }])
    })
  })

  it('a write is known to have copies long before the next round', async () => {
    const init = { intervalMs: 600_000 }
    const [a, b, c] = [await mesh.node(init), await mesh.node(init), await mesh.node(init)]
    await mesh.connectAll()
    await note(a, 'repo', 'precious')
    await eventually(() => { expect(a.replication.copies(a.stacks.named('repo') as NonNullable<ReturnType<typeof a.stacks.named>>)).toBe(3) })
    expect((await c.stacks.open('repo').list())[0]?.author.device).toBe(a.device)
    expect(b.stacks.all()).toHaveLength(1)
  })

  it('both sides of a partition write on; when it heals, nothing is lost', async () => {
    const init = { intervalMs: 600_000 }
    const [a, b, c] = [await mesh.node(init), await mesh.node(init), await mesh.node(init)]
    await mesh.connectAll()
    const shared = await note(a, 'repo', 'shared', 'one\ntwo\n')
    await converged([a, b, c], 'repo', 1)
    mesh.cut(a, b)
    mesh.cut(a, c)
    for (let i = 0; i < 20; i++) await note(a, 'repo', `a${i}`)
    await a.stacks.open('repo').edit(shared, { body: 'one\ntwo\nthree\n' })
    const { revision } = await b.stacks.open('repo').get(shared)
    await stackOf(b, 'repo').edit(shared, { body: 'zero\none\ntwo\n' }, {}, { base: revision })
    for (let i = 0; i < 20; i++) await note(b, 'repo', `b${i}`)
    await note(c, 'another', 'made while apart')
    await mesh.connectAll()
    await converged([a, b, c], 'repo', 41)
    await converged([a, b, c], 'another', 1)
    expect((await c.stacks.open('repo').get(shared)).body).toBe('zero\none\ntwo\nthree\n')
  })

  it('a late joiner gets everything, and so does one that restarts', async () => {
    const a = await mesh.node()
    for (let i = 0; i < 300; i++) await note(a, `stack-${i % 5}`, `note ${i}`)
    const b = await mesh.node()
    await mesh.connectAll()
    for (let i = 0; i < 5; i++) await converged([a, b], `stack-${i}`, 60)
    await mesh.stop(b)
    mesh.nodes.splice(1)
    await note(a, 'stack-0', 'while b was away')
    const again = await mesh.node({ disk: b.disk })
    expect(again.stacks.list().map(({ name }) => name)).toEqual(['stack-0', 'stack-1', 'stack-2', 'stack-3', 'stack-4'])
    await mesh.connectAll()
    await converged([a, again], 'stack-0', 61)
  })

  it('a note of 200 KB travels by pull, at once', async () => {
    const init = { intervalMs: 600_000 }
    const [a, b] = [await mesh.node(init), await mesh.node(init)]
    await mesh.connectAll()
    await note(a, 'repo', 'small')
    await converged([a, b], 'repo', 1)
    const body = Array.from({ length: 20_000 }, (_, i) => `line ${i}`).join('\n').slice(0, 200_000)
    const id = await note(a, 'repo', 'large', body)
    await converged([a, b], 'repo', 2)
    expect((await b.stacks.open('repo').get(id)).body).toBe(body)
  })

  it('without gossip, the rounds repair', async () => {
    const [a, b, c] = [await mesh.node({ deaf: true }), await mesh.node({ deaf: true }), await mesh.node({ deaf: true })]
    await mesh.connectAll()
    await note(a, 'repo', 'quiet')
    await note(c, 'repo', 'quieter')
    await converged([a, b, c], 'repo', 2)
  })

  it('an observer reads and does not write; what it signs is refused everywhere', async () => {
    const observers = new Set<string>()
    const writers = (device: string): boolean => !observers.has(device)
    const a = await mesh.node({ writers })
    const rogue = await mesh.node()
    observers.add(rogue.device)
    const reader = await mesh.node({ writers })
    observers.add(reader.device)
    await mesh.connectAll()
    await note(a, 'repo', 'from a writer')
    await note(rogue, 'repo', 'from an observer that ignores its role')
    await note(rogue, 'forged', 'a whole stack')
    await eventually(async () => { expect(await reader.stacks.open('repo').list()).toHaveLength(1) })
    expect(await failure(reader.stacks.open('repo').add({ kind: 'note', title: 'no' }))).toBe('FORBIDDEN')
    await a.replication.exchange(rogue.device)
    expect(await a.stacks.open('repo').list()).toHaveLength(1)
    expect(a.stacks.named('forged')).toBeUndefined()
  })
})

describe('names and entries', () => {
  it('entries answer to a unique prefix; errors say what to do', async () => {
    const a = await mesh.node()
    const open = a.stacks.open('repo')
    expect(await failure(open.list())).toBe('NO_SUCH_STACK')
    expect(await failure(open.edit('ABCD', { title: 'x' }))).toBe('NO_SUCH_STACK')
    expect(a.stacks.all()).toEqual([])
    const first = await open.add({ kind: 'note', title: 'first' }, { agent: 'otto' })
    await open.add({ kind: 'note', title: 'second' })
    expect(first.author).toEqual({ device: a.device, agent: 'otto' })
    expect((await open.get(first.id.toLowerCase())).title).toBe('first')
    expect(await failure(open.get(first.id.slice(0, 3)))).toBe('NO_SUCH_ENTRY')
    expect(await failure(open.get(first.id.slice(0, 4)))).toBe('AMBIGUOUS')
    expect(await failure(open.get('7ZZZZ'))).toBe('NO_SUCH_ENTRY')
    await open.remove(first.id)
    expect(await open.list()).toHaveLength(1)
    expect((await open.get(first.id)).removed).toBe(true)
    expect(await failure(a.stacks.open('Not A Name').add({ kind: 'note', title: 'x' }))).toBe('STACK_NAME')
    expect(await failure(a.stacks.open('_mesh').add({ kind: 'note', title: 'x' }))).toBe('STACK_NAME')
  })

  it('a long history of one entry is read while others are served', async () => {
    const a = await mesh.node()
    const open = a.stacks.open('repo')
    const { id } = await open.add({ kind: 'note', title: 'journal', body: '' })
    for (let n = 0; n < 40; n++) await open.edit(id, { body: `${'line\n'.repeat(n)}end\n` })
    let [turns, isRead, ms] = [0, false, 0]
    const turn = (): void => {
      turns++
      if (!isRead) setImmediate(turn)
    }
    const now = vi.spyOn(performance, 'now').mockImplementation(() => ms += 11)
    try {
      setImmediate(turn)
      const changes = await open.log({ entry: id })
      expect(changes.map(({ difference }) => difference?.split('\n').filter(line => line.startsWith('+')).length)).toEqual([...Array.from({ length: 40 }, () => 1), 0])
      expect(turns).toBeGreaterThan(changes.length)
    } finally {
      isRead = true
      now.mockRestore()
    }
  })

  it('a text that another device or agent wrote last is not replaced unseen', async () => {
    const [a, b] = [await mesh.node(), await mesh.node()]
    await mesh.connectAll()
    const id = await note(a, 'repo', 'shared', 'one\n')
    await converged([a, b], 'repo', 1)
    const { revision } = await b.stacks.open('repo').get(id)
    expect(await failure(b.stacks.open('repo').edit(id, { body: 'mine\n' }))).toBe('STALE_EDIT')
    expect(await failure(a.stacks.open('repo').edit(id, { body: 'mine\n' }, { agent: 'juno' }))).toBe('STALE_EDIT')
    expect((await a.stacks.open('repo').edit(id, { body: 'one\ntwo\n' })).body).toBe('one\ntwo\n')
    expect(await failure(stackOf(b, 'repo').edit(id, { body: 'x' }, {}, { base: 'nothing' }))).toBe('NO_SUCH_REVISION')
    await stackOf(b, 'repo').edit(id, { body: 'zero\none\n' }, {}, { base: revision })
    await eventually(async () => { expect((await a.stacks.open('repo').get(id)).body).toBe('zero\none\ntwo\n') })
    // The title is another matter: what was there before stands in the history.
    await b.stacks.open('repo').edit(id, { title: 'ours' })
  })

  it('the settings reach every device and are never listed', async () => {
    const [a, b] = [await mesh.node(), await mesh.node()]
    await mesh.connectAll()
    const heard: string[][] = []
    b.settings.onRemotesChanged(remotes => heard.push(remotes.map(({ url }) => url)))
    await a.settings.addRemote('--all', 'https://git.example/memory.git', { agent: 'otto' })
    await a.settings.addRemote('--all', 'https://git.example/memory.git')
    await eventually(() => { expect(b.settings.remotes()).toEqual([{ stack: '--all', url: 'https://git.example/memory.git', addedBy: { device: a.device, agent: 'otto' } }]) })
    expect(heard).toEqual([['https://git.example/memory.git']])
    expect(b.stacks.list()).toEqual([])
    expect(b.stacks.named(SETTINGS_STACK)).toBeUndefined()
    await b.settings.removeRemote('--all', 'https://git.example/memory.git')
    await eventually(() => { expect(a.settings.remotes()).toEqual([]) })
    for (const url of ['ext::sh -c id', '--upload-pack=id', '-oProxyCommand=id', 'relative/path', 'ssh://host/with space', 'https://user:secret@host/x']) {
      expect(await failure(a.settings.addRemote('--all', url)), url).toMatch(/^REMOTE_/)
    }
  })

  it('a remote that another device wrote past the check is not believed', async () => {
    const a = await mesh.node()
    const { stack } = await a.stacks.ensure(SETTINGS_STACK)
    for (const body of [JSON.stringify({ stack: '--all', url: 'ext::sh -c id' }), '{', '[]', 'null', JSON.stringify({ stack: '../x', url: '/srv/x.git' })]) await stack.add({ kind: 'remote', title: 'x', body })
    expect(a.settings.remotes()).toEqual([])
  })
})

describe('archived stacks', () => {
  const restored = async (): Promise<{ key: StackKey, name: string, batches: Batch[], roster: Uint8Array[], digest: unknown }> => {
    const elsewhere = new StackMesh()
    const node = await elsewhere.node({ disk: { seed: 99, files: (await mesh.node()).disk.files, feeds: new Map() } })
    for (let i = 0; i < 10; i++) await note(node, 'memory', `old ${i}`)
    // In the worst order: everything waits for what comes last.
    const batches = batchesOf(stackOf(node, 'memory')).reverse()
    const digest = await digestOf(node, 'memory')
    await elsewhere.stop()
    return { key: stackKey(stackIdOf('memory', crypto), OTHER_MESH), name: 'memory', batches, roster: rosterOf(OTHER_MESH, [node.device]), digest }
  }

  it('is verified on every device, replicates, is read-only, and answers to its name while that is free', async () => {
    const archive = await restored()
    const [a, b] = [await mesh.node({ intervalMs: 600_000 }), await mesh.node({ intervalMs: 600_000 })]
    await mesh.connectAll()
    await a.stacks.importArchived(archive)
    await eventually(async () => { expect(await digestOf(b, 'memory')).toEqual(archive.digest) })
    expect(b.stacks.origin(archive.key)).toEqual(archive.roster)
    expect(await failure(b.stacks.open('memory').add({ kind: 'note', title: 'x' }))).toBe('ARCHIVED')
    expect(b.stacks.list()).toMatchObject([{ name: 'memory', archived: true, entries: 10 }])
    // There is no record to take back: saying that it takes writes again would not be true.
    expect(await failure(b.stacks.book.archive(b.stacks.settle('memory'), { undo: true }))).toBe('ARCHIVED')
    await b.stacks.ensure('memory').then(({ stack }) => stack.add({ kind: 'note', title: 'new' }))
    expect(b.stacks.list().map(({ name }) => name)).toEqual(['memory', `memory@${OTHER_MESH}`])
    expect(await b.stacks.open('memory').list()).toHaveLength(1)
    expect(await b.stacks.open(`memory@${OTHER_MESH}`).list()).toHaveLength(10)
    const again = await mesh.node({ disk: b.disk })
    expect(await digestOf(again, `memory@${OTHER_MESH}`)).toEqual(archive.digest)
  })

  it('restored again from a later copy of its mirror: whoever joined meanwhile counts too, on every device', async () => {
    const elsewhere = new StackMesh()
    const [first, later] = [await elsewhere.node(), await elsewhere.node()]
    await note(first, 'memory', 'from the first')
    const key = stackKey(stackIdOf('memory', crypto), OTHER_MESH)
    const copy = (from: StackNode, writers: StackNode[]): Archive =>
      ({ key, name: 'memory', batches: batchesOf(stackOf(from, 'memory')), roster: rosterOf(OTHER_MESH, writers.map(({ device }) => device)) })
    const early = copy(first, [first])
    await note(later, 'memory', 'from one that joined later')
    await later.stacks.receive(stackKey(stackIdOf('memory', crypto)), 'memory', early.batches)
    const late = copy(later, [first, later])
    await elsewhere.stop()
    const [a, b] = [await mesh.node({ intervalMs: 600_000 }), await mesh.node({ intervalMs: 600_000 })]
    await mesh.connectAll()
    for (const { stacks } of [a, b]) await stacks.importArchived(early)
    await a.stacks.importArchived(late)
    for (const node of [a, b]) await eventually(async () => { expect(await node.stacks.open('memory').list()).toHaveLength(2) })
    await b.stacks.importArchived(early)
    expect(await b.stacks.open('memory').list()).toHaveLength(2)
  })

  it('those that peers offer leave room for the stacks of this mesh', async () => {
    const a = await mesh.node()
    const offer = (at: number, asked: boolean): Promise<unknown> => {
      const name = `s${at}`
      return a.stacks.acceptOrigin(stackKey(stackIdOf(name, crypto), OTHER_MESH), name, rosterOf(OTHER_MESH, []), { asked })
    }
    for (let at = 0; at < LIMITS.stacksPerDeviceMax; at++) await offer(at, false)
    await expect(offer(LIMITS.stacksPerDeviceMax, false)).rejects.toMatchObject({ code: 'TOO_MANY_STACKS' })
    await offer(LIMITS.stacksPerDeviceMax, true)
  })

  it('is refused when its origin does not verify, and records of devices that were no writers there are not taken', async () => {
    const archive = await restored()
    const a = await mesh.node()
    await expect(a.stacks.importArchived({ ...archive, roster: rosterOf('b'.repeat(26), []) })).rejects.toThrow()
    expect(a.stacks.all()).toEqual([])
    await a.stacks.importArchived({ ...archive, roster: rosterOf(OTHER_MESH, [a.device]) })
    expect(a.stacks.list()).toEqual([])
  })
})

describe('an eviction', () => {
  it('that is heard while a stack is being opened counts there too', async () => {
    const [a, b] = [await mesh.node(), await mesh.node()]
    await mesh.connectAll()
    await note(a, 'repo', 'from a')
    await converged([a, b], 'repo', 1)
    await mesh.stop(b)
    mesh.nodes.splice(1)
    // The roster changes between the first question for the cuts and the end of the load.
    let asked = 0
    const evicted = new Map([[a.device, { keep: new Set<string>(), undo: true }]])
    const again = await mesh.node({ disk: b.disk, cuts: () => asked++ === 0 ? new Map() : evicted })
    expect(again.stacks.named('repo')?.entries()).toBe(0)
  })
})

describe('small files that do not read', () => {
  const damage = (disk: StackNode['disk'], name: string): void => {
    const bytes = disk.files.contents.get(name) as Uint8Array
    disk.files.contents.set(name, bytes.map((byte, i) => i === bytes.length - 2 ? byte ^ 1 : byte))
  }

  it('the name of a stack: said by a peer that holds it, and everything is there', async () => {
    const a = await mesh.node()
    await a.stacks.open('notes').add({ kind: 'note', title: 'kept' })
    const key = stackKey(stackIdOf('notes', crypto))
    const digest = await digestOf(a, 'notes')
    const { disk } = a
    await mesh.stop(a)
    const b = await mesh.node()
    damage(disk, `${key}/stack.cbor`)
    const again = await mesh.node({ disk })
    expect(again.stacks.problems().map(({ code, message }) => [code, message.includes(`${key}/stack.cbor`)])).toEqual([['STACK_NAMELESS', true]])
    expect(again.stacks.all()).toEqual([])
    // The peer has a note of its own in it, and with it the name.
    await b.stacks.open('notes').add({ kind: 'note', title: 'theirs' })
    await mesh.connectAll()
    await eventually(async () => { expect((await again.stacks.open('notes').list()).map(({ title }) => title).sort()).toEqual(['kept', 'theirs']) })
    expect(again.stacks.problems()).toEqual([])
    expect(await digestOf(again, 'notes')).not.toEqual(digest)
    await eventually(async () => { expect(await digestOf(b, 'notes')).toEqual(await digestOf(again, 'notes')) })
  })
})

describe('an archived stack whose origin does not read', () => {
  it('is named as a problem, and mended by a peer that holds it', async () => {
    const elsewhere = new StackMesh()
    const node = await elsewhere.node()
    await node.stacks.open('memory').add({ kind: 'note', title: 'old' })
    const key = stackKey(stackIdOf('memory', crypto), OTHER_MESH)
    const archive = { key, name: 'memory', batches: batchesOf(stackOf(node, 'memory')), roster: rosterOf(OTHER_MESH, [node.device]) }
    await elsewhere.stop()
    const [a, b] = [await mesh.node(), await mesh.node()]
    for (const { stacks } of [a, b]) await stacks.importArchived(archive)
    const { disk } = a
    await mesh.stop(a)
    disk.files.contents.set(`${key}/archive.cbor`, new Uint8Array(7))
    const again = await mesh.node({ disk })
    expect(again.stacks.problems()).toMatchObject([{ code: 'FILE_DAMAGED', message: expect.stringContaining(`${key}/archive.cbor`) as string }])
    await mesh.network.connect(again.device, b.device)
    await eventually(async () => { expect(await digestOf(again, 'memory')).toEqual(await digestOf(b, 'memory')) })
    expect(again.stacks.problems()).toEqual([])
  })
})

describe('when a removal was heard of', () => {
  const DAY_MS = 86_400_000
  const titles = async ({ stacks }: StackNode): Promise<string[]> => {
    return (await stacks.open('repo').list()).map(({ title }) => title)
  }
  const give = async (from: StackNode, to: StackNode, name: string): Promise<void> => {
    await to.stacks.receive(stackKey(stackIdOf(name, crypto)), name, batchesOf((await from.stacks.ensure(name)).stack))
  }
  const later = async (): Promise<void> => { await new Promise(resolve => { setTimeout(resolve, 5) }) }

  it.each([
    ['is known after a start: what was written since is shown', undefined],
    ['does not read: the removal hides nothing that it does not name', new Uint8Array(7)],
  ])('%s', async (_, damage) => {
    const [a, other, rogue] = [await mesh.node(), await mesh.node(), await mesh.node()]
    await note(other, 'repo', 'old')
    await give(other, a, 'repo')
    const heads = stackOf(a, 'repo').vector().map(({ feed }) => [feed, 2 ** 40, 'f'.repeat(64)])
    const settings = await rogue.stacks.ensure(SETTINGS_STACK)
    const ms = Date.now() + 2 * DAY_MS
    const ahead = vi.spyOn(Date, 'now').mockReturnValue(ms)
    const body = JSON.stringify({ stack: 'repo', heads })
    await settings.stack.add({ kind: 'removal', title: 'repo', body }).finally(() => { ahead.mockRestore() })
    await give(rogue, a, SETTINGS_STACK)
    expect(a.stacks.list()).toEqual([])
    await later()
    await note(other, 'repo', 'later')
    await give(other, a, 'repo')
    expect(await titles(a)).toEqual(['old', 'later'])
    await mesh.stop(a)
    const { files } = a.disk
    if (damage !== undefined) files.contents.set(`${stackKey(stackIdOf('repo', crypto))}/removed.cbor`, damage)
    await later()
    expect(await titles(await mesh.node({ disk: a.disk }))).toEqual(['old', 'later'])
  })
})

describe('on a disk', () => {
  it('a node that starts again holds what it held, archived or not, and goes on', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'elder-stacks-'))
    const signer = signerFromSeed(new Uint8Array(32).fill(7))
    const open = (): Promise<Stacks> => Stacks.open({
      crypto, signer, clock: { wallMs: () => Date.now(), monotonicMs: () => performance.now() }, random: randomBytes, files: privateFiles(dir),
      openStore: key => FsFeedStore.open(join(dir, key)), dropStore: () => {}, mayWrite: () => true, cuts: () => new Map(), verifyArchive, log: silent,
    })
    try {
      const first = await open()
      await first.open('repo').add({ kind: 'note', title: 'kept', body: 'byte for byte\n' })
      const batches = batchesOf(stackOf({ stacks: first }, 'repo'))
      await first.importArchived({ key: stackKey(stackIdOf('repo', crypto), OTHER_MESH), name: 'repo', batches, roster: rosterOf(OTHER_MESH, [first.self]) })
      const before = await first.open('repo').digest()
      await first.close()
      const second = await open()
      expect(second.broken).toEqual([])
      expect(second.list().map(({ name }) => name)).toEqual(['repo', `repo@${OTHER_MESH}`])
      expect(await second.open('repo').digest()).toEqual(before)
      expect(await second.open(`repo@${OTHER_MESH}`).digest()).toEqual(before)
      await second.open('repo').add({ kind: 'note', title: 'next' })
      expect(stackOf({ stacks: second }, 'repo').vector()).toHaveLength(1)
      await second.close()
    } finally {
      await rm(dir, { recursive: true })
    }
  })

  it('a stack that cannot be opened is named, and the others are there', async () => {
    const a = await mesh.node()
    await note(a, 'good', 'x')
    await note(a, 'bad', 'x')
    const memory = a.disk.feeds.get(stackKey(stackIdOf('bad', crypto)))
    for (const batch of memory?.batches ?? []) batch.records[0] = new Uint8Array(10)
    await mesh.stop(a)
    const again = await mesh.node({ disk: a.disk })
    expect(again.stacks.list().map(({ name }) => name)).toEqual(['good'])
    expect(again.stacks.broken.map(({ name }) => name)).toEqual(['bad'])
  })
})
