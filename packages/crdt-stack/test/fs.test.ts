import { execFileSync, spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, open, readdir, readFile, rename, rm, symlink, utimes, writeFile, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Batch } from '@elder-node/protocol'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { feedStoreAcceptance } from '../src/acceptance/index.ts'
import { HEADER } from '../src/fs/frames.ts'
import { FsFeedStore, Handles } from '../src/fs/index.ts'
import { createMemory, MemoryFeedStore, Stack } from '../src/index.ts'
import { seededRandom } from '../../../test/simulator/world.ts'
import { createDevice, createSigner, crypto, NAME, pull, random, STACK } from './support.ts'

const dirs: string[] = []
afterAll(async () => { for (const dir of dirs) await rm(dir, { recursive: true, force: true }) })
async function temporary (): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'elder-fs-'))
  dirs.push(dir)
  return dir
}

feedStoreAcceptance('memory', async () => {
  const memory = createMemory()
  return { open: async () => new MemoryFeedStore(memory), dispose: async () => {} }
}, { describe, it, expect })

feedStoreAcceptance('framed logs on disk', async () => {
  const dir = await temporary()
  return { open: async () => await FsFeedStore.open(join(dir, 'stack')), dispose: async () => {} }
}, { describe, it, expect })

const signer = createSigner(new Uint8Array(32).fill(9))
async function openStack (dir: string, handles?: Handles): Promise<Stack> {
  const store = await FsFeedStore.open(dir, handles === undefined ? {} : { handles })
  const stack = await Stack.open({ store, crypto, signer, wallMs: () => Date.now(), random }, { id: STACK, name: NAME })
  opened.push(stack)
  return stack
}
// A life that never ends, in a test, still gives its files back.
const opened: Stack[] = []
afterEach(async () => { for (const stack of opened.splice(0)) await stack.close().catch(() => undefined) })

const feedsIn = (stack: Stack): number => new Set(stack.vector().map(({ feed }) => feed)).size
const titles = (stack: Stack): string[] => stack.entries().map(({ title }) => title)

/** A stack of `count` notes on disk, one frame each; its log and where the frames begin. */
async function written (count: number): Promise<{ dir: string, log: string, whole: Buffer, frames: number[] }> {
  const dir = await temporary()
  const stack = await openStack(dir)
  for (let i = 0; i < count; i++) await stack.add({ kind: 'note', title: `${i}` })
  await stack.close()
  const [name] = (await readdir(dir)).filter(file => file.endsWith('.log')) as [string]
  const whole = await readFile(join(dir, name))
  const frames = []
  for (let at = 0; at < whole.length; at += HEADER + whole.readUInt32BE(at + 4)) frames.push(at)
  return { dir, log: join(dir, name), whole, frames }
}

/** Opens what `bytes` would be as a log, in a folder of its own beside no clean end. */
async function reopened (log: string, bytes: Uint8Array): Promise<{ stack: Stack, dir: string }> {
  const dir = await temporary()
  await writeFile(join(dir, log.split('/').at(-1) as string), bytes)
  return { stack: await openStack(dir), dir }
}

describe('framed logs', () => {
  it('that are a device or a pipe are refused by name, and never read without end', async () => {
    for (const odd of ['/dev/zero', 'pipe']) {
      const { dir, log } = await written(1)
      await rm(log)
      if (odd === 'pipe') execFileSync('mkfifo', [log])
      else await symlink(odd, log)
      await expect(openStack(dir)).rejects.toMatchObject({ code: 'STORAGE', message: expect.stringContaining('not a regular file') as string })
    }
  })

  it('recover the records before a cut at every byte, and cut a torn tail', async () => {
    const { log, whole, frames } = await written(3)
    const dir = await temporary()
    const path = join(dir, log.split('/').at(-1) as string)
    for (let cut = 0; cut < whole.length; cut++) {
      await writeFile(path, whole.subarray(0, cut))
      const store = await FsFeedStore.open(dir)
      const { batches, damaged } = await store.load()
      const complete = frames.filter((at, i) => (frames[i + 1] ?? whole.length) <= cut).length
      expect([batches.length, damaged]).toEqual([complete, []])
      expect((await readFile(path)).length).toBe(frames[complete])
      await store.close()
    }
  })

  it('lose the record of a frame in which any byte changed, and nothing else', async () => {
    const { log, whole, frames } = await written(3)
    const dir = await temporary()
    const name = log.split('/').at(-1) as string
    for (let at = 0; at < whole.length; at++) {
      await writeFile(join(dir, name), whole.map((byte, i) => i === at ? byte ^ (1 << (at % 8)) : byte))
      const hit = frames.findLastIndex(start => start <= at)
      const changed = await readFile(join(dir, name))
      for (let life = 0; life < (at % 16 === 0 ? 2 : 1); life++) {
        const store = await FsFeedStore.open(dir)
        const { batches, damaged } = await store.load()
        expect(batches.map(({ from }) => from), `byte ${at}`).toEqual([1, 2, 3].filter(seq => seq !== hit + 1))
        // It is told once; the bytes are kept as they were. A length that points behind the end is no torn tail.
        const bytes = (frames[hit + 1] ?? whole.length) - (frames[hit] as number)
        if (life > 0) expect(damaged).toEqual([])
        else {
          expect(damaged).toMatchObject([{ at: frames[hit], bytes, file: join(dir, `${name}.damaged-${frames[hit]}`) }])
          expect(await readFile(damaged[0]?.file as string)).toEqual(changed)
        }
        await store.close()
      }
      await rm(join(dir, `${name}.damaged-${frames[hit]}`), { force: true })
    }
  })

  it('show the records behind a hole again once a peer sends what was lost', async () => {
    const { dir, log, whole, frames } = await written(4)
    const before = await openStack(dir)
    const peer = await createDevice().open()
    await pull(peer, before)
    const digest = before.digest()
    await before.close()
    const { stack, dir: place } = await reopened(
      log, whole.map((byte, i) => i === (frames[1] as number) + 60 ? byte ^ 4 : byte)
    )
    expect(stack.damaged).toMatchObject([{ at: frames[1] }])
    expect(titles(stack)).toEqual(['0'])
    expect(stack.missing()).toMatchObject([{ seq: 2 }])
    await pull(stack, peer)
    expect(titles(stack)).toEqual(['0', '1', '2', '3'])
    expect(stack.digest()).toEqual(digest)
    // It came from outside: what is written now stands in a new feed.
    await stack.add({ kind: 'note', title: 'new' })
    expect(feedsIn(stack)).toBe(2)
    await pull(peer, stack)
    expect(peer.forks()).toEqual([])
    const now = stack.digest()
    await stack.close()
    const again = await openStack(place)
    expect(again.damaged).toEqual([])
    expect(again.digest()).toEqual(now)
    await again.close()
  })

  it('keep aside a log that does not read at the end, and go on behind the last frame', async () => {
    const { log, whole } = await written(2)
    const { stack, dir } = await reopened(log, Buffer.concat([whole, Buffer.from('zeros or worse '.repeat(9))]))
    const [damage] = stack.damaged
    expect(damage?.file).toBe(join(dir, `${log.split('/').at(-1) as string}.damaged-${whole.length}`))
    expect((await readFile(damage?.file as string, 'utf8')).endsWith('zeros or worse '.repeat(9))).toBe(true)
    await stack.add({ kind: 'note', title: 'after' })
    await stack.close()
    const again = await openStack(dir)
    expect([again.damaged, titles(again)]).toEqual([[], ['0', '1', 'after']])
    await again.close()
  })

  it('give the same vector and digest whatever the order of their frames', async () => {
    const device = createDevice(9)
    const stack = await device.open()
    const { id } = await stack.add({ kind: 'note', title: 't', body: 'a b c d\n' })
    for (let i = 0; i < 6; i++) await stack.edit(id, { body: `a b ${i} c d\n`, title: `${i}` })
    await stack.close()
    const backup = [...device.memory.batches]
    const fork = await Stack.open(
      {
        store: new MemoryFeedStore({ batches: backup, cleanEnd: device.memory.cleanEnd }), crypto,
        signer: device.signer, wallMs: () => 1_750_000_100_000, random,
      },
      { id: STACK, name: NAME }
    )
    await fork.edit(id, { body: 'a b fork c d\n' })
    const left = await device.open()
    await left.edit(id, { body: 'A b 5 c d\n' })
    await pull(left, fork)
    expect(left.forks()).toHaveLength(1)
    const next = seededRandom(4)
    for (let round = 0; round < 20; round++) {
      const dir = await temporary()
      const store = await FsFeedStore.open(dir)
      await store.load()
      const shuffled = device.memory.batches.map(batch => ({ batch, key: next() })).sort((a, b) => a.key - b.key)
      for (const { batch } of shuffled) await store.append([batch])
      await store.close()
      const loaded = await openStack(dir)
      expect(loaded.digest()).toEqual(left.digest())
      expect(loaded.vector()).toEqual(left.vector())
      await loaded.close()
    }
  })

  it('reject with DISK_FULL on a short write, take it back, and go on in a new feed when there is space', async () => {
    const dir = await temporary()
    const disk = { left: Infinity }
    const handles = new Handles({ open: async (path, flags) => shortOf(await open(path, flags, 0o600), disk) })
    const stack = await openStack(dir, handles)
    const first = await stack.add({ kind: 'note', title: 'one', body: 'one\n' })
    const digest = stack.digest()
    disk.left = 57
    await expect(stack.edit(first.id, { body: 'two\n' })).rejects.toMatchObject({ code: 'DISK_FULL' })
    await expect(
      Promise.all([stack.add({ kind: 'note', title: 'two' }), stack.add({ kind: 'note', title: 'three' })])
    ).rejects.toMatchObject({ code: 'DISK_FULL' })
    expect(stack.digest()).toEqual(digest)
    disk.left = Infinity
    await stack.edit(first.id, { body: 'four\n' })
    await stack.add({ kind: 'note', title: 'five' })
    const now = stack.digest()
    await stack.close()
    const again = await openStack(dir)
    expect(again.digest()).toEqual(now)
    expect([feedsIn(again), again.forks(), again.damaged]).toEqual([2, [], []])
    await again.close()
  })

  it('keep text that was told as failed out of every document, however many are open', async () => {
    const dir = await temporary()
    const disk = { left: Infinity }
    const handles = new Handles({ open: async (path, flags) => shortOf(await open(path, flags, 0o600), disk) })
    const stack = await openStack(dir, handles)
    const entries = await Promise.all(
      Array.from({ length: 80 }, (_, i) => stack.add({ kind: 'note', title: `${i}`, body: `body ${i}\n` }))
    )
    for (const { id } of entries) await stack.edit(id, { body: 'edited once\n' })
    const digest = stack.digest()
    disk.left = 57
    const failed = await Promise.allSettled(entries.map(({ id }) => stack.edit(id, { body: 'told as failed\n' })))
    expect(new Set(failed.map(({ status }) => status))).toEqual(new Set(['rejected']))
    disk.left = Infinity
    for (const { id } of entries) expect(
      (await stack.edit(id, { body: 'edited once, then again\n' })).body
    ).toBe('edited once, then again\n')
    expect(stack.digest()).not.toEqual(digest)
    const now = stack.digest()
    await stack.close()
    const again = await openStack(dir)
    expect(again.digest()).toEqual(now)
    await again.close()
  })

  it('are never written before they were read', async () => {
    const { dir } = await written(1)
    const stack = await openStack(dir)
    const [head] = stack.vector()
    const [batch] = head === undefined ? [] : stack.path({ ...head, from: 1, to: 1 })
    await stack.close()
    const unread = await FsFeedStore.open(dir)
    await expect(unread.append([batch as Batch])).rejects.toThrow('is loaded before it is written')
    await unread.close()
    const again = await openStack(dir)
    expect(again.entries()).toHaveLength(1)
    await again.close()
  })

  it('lose no acknowledged write to 20 SIGKILLs, and fork nothing', async () => {
    await Promise.all([killRepeatedly(await temporary(), 10), killRepeatedly(await temporary(), 10)])
  }, 60_000)
})

describe('an own feed is continued', () => {
  const write = async (dir: string, title: string): Promise<number> => {
    const stack = await openStack(dir)
    await stack.add({ kind: 'note', title })
    await stack.close()
    return feedsIn(stack)
  }

  it('after a clean end, and only there', async () => {
    const dir = await temporary()
    expect([await write(dir, '1'), await write(dir, '2'), await write(dir, '3')]).toEqual([1, 1, 1])
    await rm(join(dir, 'clean-end'))
    expect(await write(dir, '4')).toBe(2)
  })

  it('not in a copy, a restored backup, or a log that was touched', async () => {
    const copied = async (options: { preserve: boolean }): Promise<number> => {
      const dir = await temporary()
      await write(join(dir, 'one'), '1')
      await cp(join(dir, 'one'), join(dir, 'two'), { recursive: true, preserveTimestamps: options.preserve })
      return await write(join(dir, 'two'), '2')
    }
    expect([await copied({ preserve: false }), await copied({ preserve: true })]).toEqual([2, 2])
    // Deleted and put back in place, as a backup does: the same inode perhaps, another ctime.
    const dir = await temporary()
    await write(join(dir, 'it'), '1')
    await cp(join(dir, 'it'), join(dir, 'backup'), { recursive: true })
    await write(join(dir, 'it'), '2')
    await rm(join(dir, 'it'), { recursive: true })
    await cp(join(dir, 'backup'), join(dir, 'it'), { recursive: true, preserveTimestamps: true })
    expect(await write(join(dir, 'it'), '3')).toBe(2)
    const [log] = (await readdir(join(dir, 'it'))).filter(file => file.endsWith('.log')) as [string]
    await utimes(join(dir, 'it', log), new Date(), new Date())
    expect(await write(join(dir, 'it'), '4')).toBeGreaterThanOrEqual(2)
  })

  it('not after a crash: a life that wrote and did not end leaves no note', async () => {
    const dir = await temporary()
    await write(dir, '1')
    const crashed = await openStack(dir)
    await crashed.add({ kind: 'note', title: '2' })
    expect(await readdir(dir)).not.toContain('clean-end')
    const after = await openStack(dir)
    await after.add({ kind: 'note', title: '3' })
    expect(feedsIn(after)).toBe(2)
    expect(titles(after)).toEqual(['1', '2', '3'])
    for (const stack of [after, crashed]) await stack.close()
  })

  it('not where the note does not read', async () => {
    const dir = await temporary()
    await write(dir, '1')
    const note = await readFile(join(dir, 'clean-end'))
    for (
      const bytes of [
        note.subarray(0, note.length - 1), note.map((byte, i) => i === 20 ? byte ^ 1 : byte), Buffer.from('{}'),
        Buffer.alloc(0),
      ]
    ) {
      await mkdir(join(dir, 'x'), { recursive: true })
      await writeFile(join(dir, 'clean-end'), bytes)
      const stack = await openStack(dir)
      const before = feedsIn(stack)
      await stack.add({ kind: 'note', title: 'x' })
      expect(feedsIn(stack)).toBe(before + 1)
      // No clean end: the next round must find its own.
    }
  })
})

/** A disk with so many bytes left: beyond, writes are short, as Node's are. */
function shortOf (handle: FileHandle, disk: { left: number }): FileHandle {
  const write = handle.write.bind(handle) as (
    bytes: Uint8Array, offset: number, length: number
  ) => Promise<{ bytesWritten: number, buffer: Uint8Array }>
  return Object.assign(handle, {
    write: async (bytes: Uint8Array, offset: number, length: number) => {
      const part = Math.min(length, disk.left)
      disk.left -= part
      return part === 0 ? { bytesWritten: 0, buffer: bytes } : await write(bytes, offset, part)
    },
  })
}

async function killRepeatedly (dir: string, kills: number): Promise<void> {
  const acked: string[] = []
  for (let kill = 0; kill < kills; kill++) {
    const child = spawn(
      process.execPath,
      [
        '--conditions=elder-source', '--disable-warning=ExperimentalWarning',
        fileURLToPath(new URL('fs-child.ts', import.meta.url)), dir,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] }
    )
    const after = acked.length + 1 + Math.floor(Math.random() * 40)
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('ack ')) acked.push(line.slice(4))
      if (acked.length >= after) child.kill('SIGKILL')
    }
  }
  const stack = await openStack(dir)
  const kept = new Set(stack.entries().map(entry => entry.id as string))
  expect(acked.length).toBeGreaterThanOrEqual(kills)
  expect(acked.filter(id => !kept.has(id))).toEqual([])
  expect([stack.forks(), stack.damaged, stack.unshown()]).toEqual([[], [], []])
  expect(stack.bareHeads()).toHaveLength(1)
  await stack.close()
}

describe('a log that goes under a running store', () => {
  /** Two notes, the log of the feed they are in, and the handles that hold it open. */
  async function running (): Promise<{ dir: string, stack: Stack, log: string, handles: Handles }> {
    const dir = await temporary()
    const handles = new Handles()
    const stack = await openStack(dir, handles)
    await stack.add({ kind: 'note', title: 'one' })
    await stack.add({ kind: 'note', title: 'two' })
    const [name] = (await readdir(dir)).filter(file => file.endsWith('.log')) as [string]
    return { dir, stack, log: join(dir, name), handles }
  }
  const refused = (log: string): object =>
    ({ code: 'STORAGE', message: expect.stringContaining(`${log} was removed or replaced`) as string })
  type Remove = (running: { dir: string, log: string, handles: Handles }) => Promise<void>

  it('by its name alone is written anew, with all that it held', async () => {
    const { dir, stack, log } = await running()
    for (const title of ['three', 'four']) {
      await rm(log)
      await stack.add({ kind: 'note', title })
    }
    await stack.add({ kind: 'note', title: 'five' })
    await stack.close()
    const again = await openStack(dir)
    expect([titles(again), again.damaged, again.missing()]).toEqual([['one', 'two', 'three', 'four', 'five'], [], []])
    expect(feedsIn(again)).toBe(1)
  })

  it.each([
    ['for another file', async ({ log }) => { await writeFile(`${log}.x`, 'other'); await rename(`${log}.x`, log) }],
    ['while it was not open', async ({ log, handles }) => { await handles.closeAll(); await rm(log) }],
    ['with its folder', async ({ dir }) => { await rm(dir, { recursive: true }) }],
  ] as Array<[string, Remove]>)('%s: no write is acknowledged from then on', async (_how, remove) => {
    const { stack, ...at } = await running()
    await remove(at)
    for (const title of ['three', 'four']) {
      await expect(stack.add({ kind: 'note', title })).rejects.toMatchObject(refused(at.log))
    }
    expect(titles(stack)).toEqual(['one', 'two'])
  })
})

describe('a log that was deleted under a stopped node, of a feed that no record names', () => {
  /** A note of another device, which nothing of this one names; the log that it stands in. */
  async function received (...own: string[]): Promise<{ dir: string, other: Stack, stack: Stack, log: string }> {
    const dir = await temporary()
    const other = await createDevice().open()
    await other.add({ kind: 'note', title: 'of another' })
    const stack = await openStack(dir)
    for (const title of own) await stack.add({ kind: 'note', title })
    await pull(stack, other)
    return { dir, other, stack, log: join(dir, `${other.vector()[0]?.feed}.log`) }
  }
  const gone = (stack: Stack): unknown[] => stack.damaged.map(({ file, gone }) => [file, gone])
  const restarted = async (dir: string, stack: Stack): Promise<Stack> => {
    await stack.close()
    return await openStack(dir)
  }

  it('is missed at each start and by the audit, until another device sends it', async () => {
    const { dir, other, stack, log } = await received()
    await stack.close()
    await rm(log)
    let again = await openStack(dir)
    for (let life = 0; life < 2; life++) {
      expect([titles(again), gone(again)]).toEqual([[], [[log, true]]])
      expect((await again.audit()).problems).toMatchObject([{ code: 'FEED_GONE', file: log }])
      again = await restarted(dir, again)
    }
    await pull(again, other)
    expect((await again.audit()).problems).toEqual([])
    again = await restarted(dir, again)
    expect([titles(again), gone(again)]).toEqual([['of another'], []])
  })

  it('is missed after a life that ended in a crash, too, when it was there at the start of that life', async () => {
    const { dir, log } = await received()
    // Neither of these lives ends; the second finds the log.
    await openStack(dir)
    await rm(log)
    expect(gone(await openStack(dir))).toEqual([[log, true]])
  })

  it('is given up when the list is deleted; a list that does not read is made anew', async () => {
    const { dir, stack, log } = await received()
    await stack.close()
    await writeFile(join(dir, 'feeds'), 'x')
    await (await openStack(dir)).close()
    await rm(log)
    const again = await openStack(dir)
    expect(gone(again)).toEqual([[log, true]])
    await again.close()
    await rm(join(dir, 'feeds'))
    expect(gone(await openStack(dir))).toEqual([])
  })

  it('does not keep this device from going on with its own feed', async () => {
    const { dir, stack, log } = await received('own')
    await stack.close()
    await rm(log)
    const again = await openStack(dir)
    expect(gone(again)).toEqual([[log, true]])
    await again.add({ kind: 'note', title: 'more' })
    expect([titles(again), feedsIn(again)]).toEqual([['own', 'more'], 1])
  })
})
