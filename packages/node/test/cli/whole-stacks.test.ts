/** Whole stacks: made by a slip and told, archived, removed and brought back, on every device. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { LIMITS } from '@elder-node/protocol'
import { nearNames } from '../../src/gateway/cli/near-name.ts'
import { Sweeper } from '../../src/services/stacks/sweeper.ts'
import { eventually } from '../support/eventually.ts'
import { Office, TTY, type Seat } from '../support/memory-desk.ts'
import type { StackNode } from '../support/stacks.ts'

let office: Office
let laptop: Seat
let mini: Seat
beforeEach(async () => {
  office = new Office()
  laptop = await office.seat()
  mini = await office.seat()
})
afterEach(async () => { await office[Symbol.asyncDispose]() })

const note = (stack: string, title: string): string[] => ['stack', 'add', stack, '--kind', 'note', '--title', title]
const one = (text: string): string => text.replace(/\s+/g, ' ')
/** Until both show the same stacks. */
const agree = async (held: Record<string, string[]>): Promise<void> => {
  await eventually(async () => { for (const seat of [laptop, mini]) expect(await seat.held()).toEqual(held) })
}

describe('a name by a slip', () => {
  test.each([
    ['fmtt', 'fmt'], ['shpo', 'shop'], ['my-reop', 'my-repo'], ['my_repo', 'my-repo'], ['myrepo', 'my-repo'], ['elder', 'elder-node'], ['elder-mode', 'elder-node'], ['eldre-mode', 'elder-node'],
  ])('%s is near %s', (name, other) => { expect(nearNames(name, ['zzz', other])).toEqual([other]) })

  test.each([['api', 'app'], ['shop', 'shop-frontend-2'].reverse() as [string, string], ['docs', 'tools'], ['web', 'elder-node'], ['elder-node', 'elder-node']])('%s is not near %s', (name, other) => {
    expect(nearNames(name, [other])).toEqual([])
  })

  test('is made and told, with the way to undo it', async () => {
    await laptop.run(note('shop', 'first'))
    const { code, stderr } = await laptop.run(note('shopp', 'slip'))
    expect(code).toBe(0)
    expect(one(stderr))
      .toContain('There is no stack "shopp" yet. Did you mean shop? It is made now; elder-node stack rm --all-of shopp removes it.')
    expect((await laptop.run(note('shopp', 'again'))).stderr).not.toContain('Did you mean')
    expect((await laptop.run(note('garage', 'another'))).stderr).not.toContain('Did you mean')
  })

  test('is asked at a terminal; a no makes nothing', async () => {
    await laptop.run(note('shop', 'first'))
    expect((await laptop.run(note('shopp', 'slip'), { stdin: 'n\n', ...TTY })).code).toBe(130)
    await agree({ shop: ['first'] })
    expect((await laptop.run(note('shopp', 'meant'), { stdin: 'y\n', ...TTY })).code).toBe(0)
    await agree({ shop: ['first'], shopp: ['meant'] })
  })
})

describe('stack archive', () => {
  test('on every device: read, not written, and off the lists; --undo takes it back', async () => {
    await laptop.run(note('old', 'kept'))
    await agree({ old: ['kept'] })
    expect(await laptop.json(['stack', 'archive', 'old']))
      .toEqual({ schema: 'elder/stack-archive.v1', stack: 'old', archived: true })
    await agree({})
    expect(await mini.held('--all')).toEqual({ old: ['kept'] })
    expect((await mini.json(['stack', 'list', '--all']))['stacks']).toMatchObject([{ name: 'old', archived: true }])
    expect((await mini.json(['stack', 'show', 'old']))['entries']).toMatchObject([{ title: 'kept' }])
    const id = (await laptop.node.stacks.open('old').list())[0]?.id ?? ''
    for (const line of [note('old', 'more'), ['stack', 'edit', 'old', id, '--title', 'x'], ['stack', 'rm', 'old', id]]) {
      expect(await mini.json(line))
        .toMatchObject({ error: { code: 'ARCHIVED', fix: 'elder-node stack archive old --undo' } })
    }
    await mini.run(['stack', 'archive', 'old', '--undo'])
    await agree({ old: ['kept'] })
    expect((await laptop.run(note('old', 'more'))).code).toBe(0)
  })

  test('goes on replicating what was written elsewhere before it was known', async () => {
    await laptop.run(note('old', 'kept'))
    await agree({ old: ['kept'] })
    office.mesh.cut(laptop.node, mini.node)
    await laptop.run(['stack', 'archive', 'old'])
    await mini.run(note('old', 'meanwhile'))
    await office.mesh.connectAll()
    await eventually(async () => { expect(await laptop.held('--all')).toEqual({ old: ['kept', 'meanwhile'] }) })
  })

  test('searches of all stacks leave it out without --all; one that names it finds it', async () => {
    await laptop.run(note('old', 'paseto'))
    await laptop.run(['stack', 'archive', 'old'])
    const hits = async (...words: string[]): Promise<unknown> => (await laptop.json(['stack', 'search', ...words]))['hits']
    expect(await hits('paseto')).toEqual([])
    expect(await hits('--all', 'paseto')).toHaveLength(1)
  })

  test('of a stack that is not there: NO_SUCH_STACK', async () => {
    expect(await laptop.json(['stack', 'archive', 'none'])).toMatchObject({ error: { code: 'NO_SUCH_STACK' } })
  })
})

describe('stack rm --all-of', () => {
  test('without a terminal and --yes nothing happens: exit 2, and what it would hit', async () => {
    await laptop.run(['stack', 'add', 'fmtt', '--kind', 'note', '--title', 'slip', '--as', 'juno'])
    const refused = await laptop.run(['stack', 'rm', '--all-of', 'fmtt'])
    expect(refused.code).toBe(2)
    expect(one(refused.stderr))
      .toContain('This removes the stack fmtt with 1 entry from every device and mirror. Nothing was done')
    expect(refused.stderr).toContain('fix: elder-node stack rm --all-of fmtt --yes')
    expect(await laptop.json(['stack', 'rm', '--all-of', 'fmtt'])).toMatchObject({ error: { code: 'NEEDS_YES' } })
    const asked = await laptop.run(['stack', 'rm', '--all-of', 'fmtt'], { stdin: 'n\n', ...TTY })
    expect(asked.code).toBe(130)
    expect(asked.stderr).toMatch(/written by juno, last change \S+/)
    await agree({ fmtt: ['slip'] })
  })

  test('takes it out of sight on every device, and --undo brings all of it back', async () => {
    await laptop.run(note('fmtt', 'slip'))
    await laptop.run(note('fmt', 'kept'))
    await agree({ fmtt: ['slip'], fmt: ['kept'] })
    expect(await laptop.json(['stack', 'rm', '--all-of', 'fmtt', '--yes']))
      .toEqual({ schema: 'elder/stack-removal.v1', stack: 'fmtt', removed: true, entries: 1 })
    await agree({ fmt: ['kept'] })
    for (const verb of ['show', 'digest', 'log']) expect(await mini.json(['stack', verb, 'fmtt'])).toMatchObject({ error: { code: 'NO_SUCH_STACK', fix: 'elder-node stack rm --all-of fmtt --undo' } })
    expect((await mini.json(['stack', 'search', '--all', 'slip']))['hits']).toEqual([])
    expect((await mini.json(['stack', 'list', '--all']))['stacks'])
      .toMatchObject([{ name: 'fmt' }, { name: 'fmtt', removed: { at: expect.any(String) as string } }])
    expect(await mini.json(['stack', 'rm', '--all-of', 'fmtt', '--undo'])).toMatchObject({ removed: false, entries: 1 })
    await agree({ fmtt: ['slip'], fmt: ['kept'] })
  })

  test('what another device wrote meanwhile is not lost: the stack is shown again, and that is told', async () => {
    await laptop.run(note('fmtt', 'slip'))
    await agree({ fmtt: ['slip'] })
    office.mesh.cut(laptop.node, mini.node)
    await laptop.run(['stack', 'rm', '--all-of', 'fmtt', '--yes'])
    await mini.run(note('fmtt', 'precious'))
    await office.mesh.connectAll()
    await agree({ fmtt: ['slip', 'precious'] })
    for (const { node } of [laptop, mini]) expect(node.stacks.problems()).toMatchObject([{ code: 'STACK_RETURNED', message: expect.stringContaining('fmtt') as string }])
    await laptop.run(['stack', 'rm', '--all-of', 'fmtt', '--yes'])
    await agree({})
    for (const { node } of [laptop, mini]) expect(node.stacks.problems()).toEqual([])
  })

  test('a write of one\'s own to it is told before, too', async () => {
    await laptop.run(note('fmtt', 'slip'))
    await laptop.run(['stack', 'rm', '--all-of', 'fmtt', '--yes'])
    expect(one((await laptop.run(note('fmtt', 'meant'))).stderr))
      .toContain('a write shows it again, with 1 entry that it had.')
    expect(await laptop.held()).toEqual({ fmtt: ['slip', 'meant'] })
  })

  test('a removal that names records which do not exist hides nothing that is written later', async () => {
    await mini.run(note('fmtt', 'slip'))
    await agree({ fmtt: ['slip'] })
    const [head] = mini.node.stacks.find('fmtt').stack.vector()
    const settings = await laptop.node.stacks.ensure('_mesh')
    const heads = [[head?.feed, 1e9, 'f'.repeat(64)]]
    await settings.stack.add({ kind: 'removal', title: 'fmtt', body: JSON.stringify({ stack: 'fmtt', heads }) })
    await agree({})
    await mini.run(note('fmtt', 'precious'))
    await agree({ fmtt: ['slip', 'precious'] })
  })

  test.each([[['--undo']], [[]], [['--all-of', 'a', 'b']]])('%j is a usage error', async words => {
    expect((await laptop.run(['stack', 'rm', ...words])).code).toBe(2)
  })
})

const DAY_MS = 86_400_000
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
/** Looks at it so many days from now. */
const sweep = async ({ stacks, disk }: StackNode, days: number): Promise<void> => {
  const clock = { wallMs: () => Date.now() + days * DAY_MS, monotonicMs: () => 0 }
  await new Sweeper({ stacks, files: disk.files, clock, log: silent }).sweep()
}
const onDisk = ({ disk }: StackNode): number => disk.feeds.size

describe('a removal by a hostile member, with heads that will never exist and a date ahead', () => {
  let rogue: Seat
  beforeEach(async () => {
    rogue = await office.seat()
    await office.mesh.connectAll()
    await laptop.run(note('fmtt', 'slip'))
    await mini.run(note('fmtt', 'slip too'))
    await agree({ fmtt: ['slip', 'slip too'] })
    await eventually(async () => { expect(await rogue.held()).toEqual({ fmtt: ['slip', 'slip too'] }) })
  })

  const forge = async (days: number): Promise<void> => {
    const heads = rogue.node.stacks.find('fmtt').stack.vector()
      .map(({ feed }) => [feed, 2 ** 40, randomBytes(32).toString('hex')])
    const { stack } = await rogue.node.stacks.ensure('_mesh')
    const ms = Date.now() + days * DAY_MS
    const ahead = vi.spyOn(Date, 'now').mockReturnValue(ms)
    const adding = stack.add({ kind: 'removal', title: 'fmtt', body: JSON.stringify({ stack: 'fmtt', heads }) })
    await adding.finally(() => { ahead.mockRestore() })
  }
  const heard = async ({ node }: Seat): Promise<void> => {
    await eventually(() => { expect(node.stacks.list()).toEqual([]) })
  }

  test.each([0, 2, 365])('dated %i days ahead: a write after it takes it back, and is shown everywhere', async days => {
    await forge(days)
    await agree({})
    const wrote = await mini.run(note('fmtt', 'precious'))
    expect(wrote.code).toBe(0)
    expect(one(wrote.stderr)).toContain('a write shows it again')
    // At once where it was written, not when it has travelled.
    expect(await mini.held()).toEqual({ fmtt: ['slip', 'slip too', 'precious'] })
    await agree({ fmtt: ['slip', 'slip too', 'precious'] })
    for (const { node } of [laptop, mini]) {
      await sweep(node, 0)
      await sweep(node, 40)
      expect(onDisk(node)).toBe(2)
    }
    await agree({ fmtt: ['slip', 'slip too', 'precious'] })
  })

  test('what a device that had not heard of it writes is shown; a write where it is shown takes it back', async () => {
    office.mesh.cut(rogue.node, mini.node)
    office.mesh.cut(laptop.node, mini.node)
    await forge(2)
    await heard(laptop)
    await mini.run(note('fmtt', 'precious'))
    office.mesh.cut(rogue.node, laptop.node)
    await office.mesh.network.connect(laptop.node.device, mini.node.device)
    await eventually(async () => { expect(await laptop.held()).toEqual({ fmtt: ['slip', 'slip too', 'precious'] }) })
    await sweep(laptop.node, 0)
    await sweep(laptop.node, 40)
    expect(onDisk(laptop.node)).toBe(2)
    await laptop.run(note('fmtt', 'more'))
    await agree({ fmtt: ['slip', 'slip too', 'precious', 'more'] })
  })

  test('what came after it was heard of is never deleted, hidden or not, and --undo brings it back', async () => {
    office.mesh.cut(rogue.node, mini.node)
    office.mesh.cut(laptop.node, mini.node)
    await mini.run(note('fmtt', 'early'))
    await forge(2)
    await heard(laptop)
    await office.mesh.connectAll()
    await eventually(() => { expect(laptop.node.stacks.settle('fmtt').entries()).toBe(3) })
    await agree({})
    for (const days of [0, 40, 400]) await sweep(laptop.node, days)
    expect(onDisk(laptop.node)).toBe(2)
    expect(await laptop.json(['stack', 'rm', '--all-of', 'fmtt', '--undo']))
      .toMatchObject({ removed: false, entries: 3 })
    await agree({ fmtt: ['slip', 'slip too', 'early'] })
  })
})

describe('the disk of a removed stack', () => {
  test('is kept for 30 days after this device heard of it, whatever date the removal has, then freed', async () => {
    const { node } = laptop
    await laptop.run(note('fmtt', 'slip'))
    await laptop.run(['stack', 'rm', '--all-of', 'fmtt', '--yes'])
    expect(LIMITS.removedStackMs).toBe(30 * DAY_MS)
    // Heard of on day 40, by this device's clock.
    await sweep(node, 40)
    expect(onDisk(node)).toBe(2)
    await sweep(node, 69)
    expect(onDisk(node)).toBe(2)
    expect(await laptop.json(['stack', 'rm', '--all-of', 'fmtt', '--undo'])).toMatchObject({ removed: false })
    await laptop.run(['stack', 'rm', '--all-of', 'fmtt', '--yes'])
    await sweep(node, 70)
    await sweep(node, 101)
    expect(onDisk(node)).toBe(1)
    expect(await laptop.held('--all')).toEqual({})
  })

  test('a device that wrote beyond it brings the whole stack back, also after that', async () => {
    await laptop.run(note('fmtt', 'slip'))
    await agree({ fmtt: ['slip'] })
    office.mesh.cut(laptop.node, mini.node)
    await laptop.run(['stack', 'rm', '--all-of', 'fmtt', '--yes'])
    await mini.run(note('fmtt', 'precious'))
    await sweep(laptop.node, 0)
    await sweep(laptop.node, 31)
    expect(onDisk(laptop.node)).toBe(1)
    await office.mesh.connectAll()
    await agree({ fmtt: ['slip', 'precious'] })
  })

  test('a device that was behind what was removed brings nothing back', async () => {
    await laptop.run(note('fmtt', 'slip'))
    await agree({ fmtt: ['slip'] })
    office.mesh.cut(laptop.node, mini.node)
    await laptop.run(note('fmtt', 'slip again'))
    await laptop.run(['stack', 'rm', '--all-of', 'fmtt', '--yes'])
    await sweep(laptop.node, 0)
    await sweep(laptop.node, 31)
    expect(onDisk(laptop.node)).toBe(1)
    await office.mesh.connectAll()
    await agree({})
    await eventually(() => { expect(onDisk(laptop.node)).toBe(2) })
    for (const { node } of [laptop, mini]) expect(node.stacks.problems()).toEqual([])
    expect(await laptop.held()).toEqual({})
  })

  test('what cannot be read of when it heard keeps it longer', async () => {
    await laptop.run(note('fmtt', 'slip'))
    await laptop.run(['stack', 'rm', '--all-of', 'fmtt', '--yes'])
    laptop.node.disk.files.contents.set('removed.json', new Uint8Array([1, 2, 3]))
    await sweep(laptop.node, 100)
    expect(onDisk(laptop.node)).toBe(2)
  })

  test('another removal is another thirty days', async () => {
    await laptop.run(note('fmtt', 'slip'))
    await laptop.run(['stack', 'rm', '--all-of', 'fmtt', '--yes'])
    await sweep(laptop.node, 0)
    await laptop.run(['stack', 'rm', '--all-of', 'fmtt', '--undo'])
    await laptop.run(['stack', 'rm', '--all-of', 'fmtt', '--yes'])
    await sweep(laptop.node, 31)
    expect(onDisk(laptop.node)).toBe(2)
    await sweep(laptop.node, 62)
    expect(onDisk(laptop.node)).toBe(1)
  })

  test('nothing is deleted while the disk does not take when it was heard of', async () => {
    await laptop.run(note('fmtt', 'slip'))
    await agree({ fmtt: ['slip'] })
    const { node } = mini
    const { files } = node.disk
    const replace = files.replace.bind(files)
    const full = vi.spyOn(files, 'replace').mockImplementation((name, bytes) => {
      if (name.endsWith('/removed.cbor')) throw new Error('full')
      replace(name, bytes)
    })
    await laptop.run(['stack', 'rm', '--all-of', 'fmtt', '--yes'])
    await agree({})
    await sweep(node, 0)
    await sweep(node, 31)
    expect(onDisk(node)).toBe(2)
    full.mockRestore()
    await sweep(node, 31)
    expect(onDisk(node)).toBe(2)
    await sweep(node, 62)
    expect(onDisk(node)).toBe(1)
  })
})
