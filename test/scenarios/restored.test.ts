/**
 * Disks that go back in time, copies of them, and plugs that are pulled: what reached another device stays, and nobody's
 * records suffer.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decode, encode, feedIdOf, stackIdOf, stackKey } from '@elder-node/protocol'
import { afterAll, describe, expect, test } from 'vitest'
import { framed, unframed } from '../../packages/crdt-stack/src/fs/frames.ts'
import { nodeCrypto } from '../../packages/node/src/adapters/crypto.ts'
import type { Problem } from '../../packages/node/src/api.ts'
import { git, Lab, must, until } from './support.ts'
import type { Node } from './support.ts'

const lab = new Lab()
afterAll(() => lab[Symbol.asyncDispose]())

const STACK = 'journal'
const KEY = stackKey(stackIdOf(STACK, nodeCrypto()))

/** Resolves when the note is acknowledged. */
async function write (node: Node, title: string): Promise<string> {
  return (await node.call('stack.add', { stack: STACK, entry: { kind: 'note', title } })).id
}

/** All of them show exactly these notes, and the same digest. */
async function converged (nodes: Node[], ...titles: string[]): Promise<void> {
  const wanted = JSON.stringify(titles.toSorted())
  await until(`all show ${titles.join(', ')}`, async () => {
    const digests = await Promise.all(nodes.map(async node => await node.digest(STACK)))
    if (digests.includes(undefined) || new Set(digests.map(digest => JSON.stringify(digest))).size > 1) return false
    const shown = await Promise.all(nodes.map(async node => JSON.stringify(await node.titles(STACK))))
    return shown.every(titles => titles === wanted)
  })
}

async function faultsOf (node: Node): Promise<Problem[]> {
  return (await node.status()).problems.filter(({ code }) => /^(?:FEED|RECORD)_/.test(code))
}

/** As a backup does it. */
function copy (from: string, to: string): void { execFileSync('cp', ['-a', from, to]) }

/** Three devices with one note. */
async function three (prefix: string): Promise<[laptop: Node, mini: Node, pi: Node]> {
  const laptop = await lab.join(`${prefix}-laptop`)
  const mini = await lab.admit(`${prefix}-mini`, laptop)
  const pi = await lab.admit(`${prefix}-pi`, laptop)
  await write(laptop, 'from the laptop')
  await converged([laptop, mini, pi], 'from the laptop')
  await write(mini, 'before the copy')
  await converged([laptop, mini, pi], 'before the copy', 'from the laptop')
  return [laptop, mini, pi]
}

const COMMON = ['before the copy', 'from the laptop']
/** What is held after {@link restored}: what reached nobody went with the disk. */
const KEPT = [...COMMON, 'reached the others', 'after the restore']

/** Copied while the node is stopped; it writes on, is killed, and the copy is put back before it writes again. */
async function restored (mini: Node, others: Node[], putBack: (backup: string) => void): Promise<void> {
  const backup = join(lab.temp, `${mini.name}-backup`)
  await mini.stop()
  copy(mini.dir, backup)
  await mini.start()
  await write(mini, 'reached the others')
  await converged([mini, ...others], ...COMMON, 'reached the others')
  await Promise.all(others.map(async node => { await node.stop() }))
  await write(mini, 'reached nobody')
  await mini.kill()
  rmSync(mini.dir, { recursive: true })
  putBack(backup)
  await mini.start()
  expect(await mini.titles(STACK)).toEqual(COMMON.toSorted())
  await write(mini, 'after the restore')
  await Promise.all(others.map(async node => { await node.start() }))
}

describe.concurrent('a device whose data directory is put back from a copy', () => {
  test('writes a feed of its own: all that reached another device is everywhere, and nothing is a fault', async () => {
    const [laptop, mini, pi] = await three('backup')
    await restored(mini, [laptop, pi], backup => { copy(backup, mini.dir) })
    await converged([laptop, mini, pi], ...KEPT)
    for (const node of [laptop, mini, pi]) expect(await faultsOf(node)).toEqual([])
    await write(pi, 'life goes on')
    await write(mini, 'here too')
    await converged([laptop, mini, pi], ...KEPT, 'life goes on', 'here too')
    expect(await laptop.ask('stack', 'verify', STACK)).toMatchObject({ ok: true, problems: [] })
    await Promise.all([laptop, mini, pi].map(async node => { await node.stop() }))
  }, 180_000)

  test('so that it cannot know it: both histories are kept and shown, and every device names it', async () => {
    const [laptop, mini, pi] = await three('image')
    await restored(mini, [laptop, pi], backup => {
      copy(backup, mini.dir)
      forgeCleanEnd(join(mini.dir, 'stacks', KEY))
    })
    await converged([laptop, mini, pi], ...KEPT)
    for (const node of [laptop, mini, pi]) {
      const faults = await until(`${node.name} says who forked`, async () => {
        const faults = await faultsOf(node)
        return faults.length > 0 && faults
      })
      expect(faults).toMatchObject([{
        code: 'FEED_FORKED', device: { id: mini.id, name: mini.name },
        message: expect.stringContaining(STACK) as string,
        fix: expect.stringContaining(`elder-node evict ${mini.name}`) as string,
      }])
    }
    await write(mini, 'under a new feed')
    await converged([laptop, mini, pi], ...KEPT, 'under a new feed')
    await Promise.all([laptop, mini, pi].map(async node => { await node.stop() }))
  }, 180_000)
})

describe.concurrent('a device alone with a remote', () => {
  test('that is put back from a copy has what reached the remote, and the remote has what it wrote since', async () => {
    const node = await lab.join('alone')
    const url = join(lab.temp, 'memory.git')
    git(lab.temp, 'init', '-q', '--bare', url)
    const sync = async (): Promise<void> => {
      expect(await node.ask('stack', 'sync', STACK)).toMatchObject({ results: [{ ok: true }] })
    }
    await write(node, 'in the copy')
    await node.ask('stack', 'remote', 'add', STACK, url)
    await sync()
    await node.stop()
    const backup = join(lab.temp, 'alone-backup')
    copy(node.dir, backup)
    await node.start()
    await write(node, 'on the remote alone')
    await sync()
    await node.kill()
    rmSync(node.dir, { recursive: true })
    copy(backup, node.dir)
    await node.start()
    await write(node, 'after the restore')
    await sync()
    await converged([node], 'after the restore', 'in the copy', 'on the remote alone')
    const { digest } = must(await node.digest(STACK), 'the stack is there')
    expect(await node.ask('stack', 'verify', STACK)).toMatchObject({ ok: true, problems: [], remotes: [{ state: 'same' }] })

    const again = await lab.join('from-the-remote')
    expect(await again.ask('stack', 'restore', url)).toMatchObject({ stacks: [{ name: STACK, digest, entries: 3 }] })
    await Promise.all([node.stop(), again.stop()])
  }, 120_000)
})

/**
 * A virtual disk that goes back in time looks as it did then, to the times of its inodes; a copied file does not. So the note
 * of the clean end is made to fit the copy.
 */
function forgeCleanEnd (dir: string): void {
  const path = join(dir, 'clean-end')
  const [key, head] = decode(must(unframed(readFileSync(path)), 'the note reads'), 4096) as [Uint8Array, Uint8Array]
  const { size, ctimeNs } = statSync(join(dir, `${feedIdOf(key)}.log`), { bigint: true })
  writeFileSync(path, framed(encode([key, head, `${size} ${ctimeNs}`])))
}

describe.concurrent('a copied data directory', () => {
  test('that is used by two nodes, one after the other: the notes of both lives are everywhere', async () => {
    const [laptop, mini, pi] = await three('twins')
    await mini.stop()
    const twinDir = join(lab.temp, 'twin')
    copy(mini.dir, twinDir)

    await mini.start()
    await write(mini, 'from the first')
    await converged([laptop, mini, pi], ...COMMON, 'from the first')
    await mini.stop()

    const twin = await lab.join(mini.name, { dir: twinDir })
    expect(twin.id).toBe(mini.id)
    await write(twin, 'from the second')
    await converged([laptop, twin, pi], ...COMMON, 'from the first', 'from the second')
    await twin.stop()

    await mini.start()
    await write(mini, 'from the first again')
    await converged([laptop, mini, pi], ...COMMON, 'from the first', 'from the second', 'from the first again')
    for (const node of [laptop, mini, pi]) expect(await faultsOf(node)).toEqual([])
    await Promise.all([laptop, mini, pi].map(async node => { await node.stop() }))
  }, 180_000)
})

describe.concurrent('a node that is killed while it writes', () => {
  test('loses no acknowledged note, here or on the device that hears it', async () => {
    const KILLS = 3
    const node = await lab.join('killed')
    const other = await lab.admit('hearing', node)
    const acknowledged = new Set<string>()
    for (let kill = 1; kill <= KILLS; kill++) {
      const enough = acknowledged.size + 5 * kill
      const writing = (async () => {
        for (let n = 0; ; n++) acknowledged.add(await write(node, `${kill}.${n}`))
      })().catch(() => undefined)
      await until('some notes are acknowledged', () => acknowledged.size >= enough)
      await node.kill()
      await writing
      await node.start()
      const held = new Set((await node.entries(STACK)).map(({ id }) => id as string))
      expect([...acknowledged].filter(id => !held.has(id)), `lost after kill ${kill}`).toEqual([])
    }
    const digest = async (of: Node): Promise<string> => JSON.stringify(await of.digest(STACK))
    await until('both show the same', async () => await digest(node) === await digest(other))
    const heard = new Set((await other.entries(STACK)).map(({ id }) => id as string))
    expect([...acknowledged].filter(id => !heard.has(id))).toEqual([])
    expect(await faultsOf(other)).toEqual([])
    await Promise.all([node.stop(), other.stop()])
  }, 120_000)
})

describe.concurrent('a byte that changed on the disk of one device', () => {
  test('costs its batch alone, is told with its file and place, and comes back from another device', async () => {
    const node = await lab.join('bent')
    const other = await lab.admit('whole', node)
    for (const title of ['one', 'two', 'three']) await write(other, title)
    await converged([node, other], 'one', 'three', 'two')
    await Promise.all([node.stop(), other.stop()])
    const dir = join(node.dir, 'stacks', KEY)
    const log = readdirSync(dir).find(name => name.startsWith(other.id))
    const path = join(dir, must(log, 'there is a feed of the other device'))
    writeFileSync(path, readFileSync(path).map((byte, at) => at === 100 ? byte ^ 1 : byte))
    await node.start()
    const aside = `${path}.damaged-0`
    expect(await faultsOf(node)).toMatchObject([{ code: 'FEED_DAMAGED', file: aside, message: expect.stringContaining('byte 0') as string }])
    await other.start()
    await converged([node, other], 'one', 'three', 'two')
    const verify = async (): Promise<unknown> => (await node.run('stack', 'verify', STACK)).last
    expect(await verify()).toMatchObject({ ok: false, problems: [{ code: 'FEED_DAMAGED', file: aside }] })

    // What the fix says: the file is for a person to look at, and told once.
    rmSync(aside)
    await node.stop()
    await node.start()
    expect(await faultsOf(node)).toEqual([])
    expect(await verify()).toMatchObject({ ok: true, problems: [] })
    await Promise.all([node.stop(), other.stop()])
  }, 120_000)
})

describe.concurrent('a log that was deleted', () => {
  test('while its node was stopped: the stack is there, and verify says what waits until another device gives it', async () => {
    const node = await lab.join('holed')
    const other = await lab.admit('filler', node)
    await write(other, 'one')
    await converged([node, other], 'one')
    await write(node, 'two')
    await converged([node, other], 'one', 'two')
    await Promise.all([node.stop(), other.stop()])
    const dir = join(node.dir, 'stacks', KEY)
    rmSync(join(dir, must(readdirSync(dir).find(name => name.startsWith(other.id)), 'there is a feed of the other device')))
    await node.start()
    const verify = async (): Promise<unknown> => (await node.run('stack', 'verify', STACK)).last
    const waits = { code: 'RECORDS_WAIT', message: expect.stringContaining('One record of holed (1)') as string }
    expect(await verify()).toMatchObject({ ok: false, entries: 0, problems: [{ code: 'FEED_GONE' }, waits] })
    expect((await node.run('stack', 'list')).last).toMatchObject({ stacks: [{ name: STACK, entries: 0 }] })
    await other.start()
    await converged([node, other], 'one', 'two')
    expect(await verify()).toMatchObject({ ok: true, problems: [] })
    await Promise.all([node.stop(), other.stop()])
  }, 120_000)

  test('under its running node: what is written then, and what was before, is there after a start', async () => {
    const node = await lab.join('unlinked')
    await write(node, 'one')
    const dir = join(node.dir, 'stacks', KEY)
    for (const name of readdirSync(dir).filter(name => name.endsWith('.log'))) rmSync(join(dir, name))
    await write(node, 'two')
    await node.kill()
    await node.start()
    expect(await node.titles(STACK)).toEqual(['one', 'two'])
    await node.stop()
  }, 120_000)
})
