import { spawn } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Batch, FeedId } from '@elder-node/protocol'
import { afterAll, describe, expect, it } from 'vitest'
import { feedStoreAcceptance } from '../src/acceptance/index.ts'
import { FsFeedStore } from '../src/fs/index.ts'
import { nodeIo, type Io } from '../src/fs/io.ts'
import { createMemory, MemoryFeedStore, Stack } from '../src/index.ts'
import { createSigner, crypto, NAME, random, STACK } from './support.ts'

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
async function openStack (dir: string, io?: Io): Promise<Stack> {
  const store = await FsFeedStore.open(dir, io === undefined ? {} : { io })
  return await Stack.open({ store, crypto, signer, wallMs: () => Date.now(), random }, { id: STACK, name: NAME })
}

describe('framed logs', () => {
  it('recover the records before a cut at every byte of the last one', async () => {
    const dir = await temporary()
    const stack = await openStack(dir)
    for (let i = 0; i < 3; i++) await stack.add({ kind: 'note', title: `${i}` })
    await stack.close()
    const [name] = (await readdir(dir)).filter(file => file.endsWith('.log')) as [string]
    const whole = await readFile(join(dir, name))
    let start = 0
    for (let i = 0; i < 2; i++) start += 8 + whole.readUInt32BE(start)
    expect(start).toBeLessThan(whole.length)
    for (let cut = start; cut < whole.length; cut++) {
      await writeFile(join(dir, name), whole.subarray(0, cut))
      const { feeds, repaired } = await (await FsFeedStore.open(dir)).load()
      expect(feeds[0]?.records.length).toBe(2)
      expect(repaired.map(({ bytesCut }) => bytesCut)).toEqual(cut === start ? [] : [cut - start])
      expect((await readFile(join(dir, name))).length).toBe(start)
    }
  })

  it('cut a flipped bit and everything after it', async () => {
    const dir = await temporary()
    const stack = await openStack(dir)
    for (let i = 0; i < 3; i++) await stack.add({ kind: 'note', title: `${i}` })
    await stack.close()
    const [name] = (await readdir(dir)).filter(file => file.endsWith('.log')) as [string]
    const whole = await readFile(join(dir, name))
    const second = 8 + whole.readUInt32BE(0)
    whole[second + 40] = (whole[second + 40] as number) ^ 1
    await writeFile(join(dir, name), whole)
    const again = await openStack(dir)
    expect(again.entries()).toHaveLength(1)
    await again.close()
  })

  it('reject with DISK_FULL on a short write, take it back, and go on when there is space', async () => {
    const dir = await temporary()
    const disk = { left: Infinity }
    const io: Io = {
      ...nodeIo,
      open: async path => {
        const file = await nodeIo.open(path)
        return {
          ...file,
          write: async (bytes, position) => {
            const part = bytes.subarray(0, Math.min(bytes.length, disk.left))
            disk.left -= part.length
            return part.length === 0 ? 0 : await file.write(part, position)
          },
        }
      },
    }
    const stack = await openStack(dir, io)
    const first = await stack.add({ kind: 'note', title: 'one', body: 'one\n' })
    const digest = stack.digest()
    disk.left = 57
    await expect(stack.edit(first.id, { body: 'two\n' })).rejects.toMatchObject({ code: 'DISK_FULL' })
    await expect(Promise.all([stack.add({ kind: 'note', title: 'two' }), stack.add({ kind: 'note', title: 'three' })])).rejects.toMatchObject({ code: 'DISK_FULL' })
    expect(stack.digest()).toEqual(digest)
    disk.left = Infinity
    await stack.edit(first.id, { body: 'four\n' })
    await stack.add({ kind: 'note', title: 'five' })
    const now = stack.digest()
    await stack.close()
    const again = await openStack(dir)
    expect(again.digest()).toEqual(now)
    expect(again.vector().size).toBe(1)
    await again.close()
  })

  it('are never written before they were read', async () => {
    const dir = await temporary()
    const stack = await openStack(dir)
    await stack.add({ kind: 'note', title: 'one' })
    const [feed] = [...stack.vector().keys()]
    const [batch] = stack.batches({ feed: feed as FeedId, from: 1, to: 1 })
    await stack.close()
    const unread = await FsFeedStore.open(dir)
    await expect(unread.append(batch as Batch)).rejects.toThrow('is loaded before it is written')
    const again = await openStack(dir)
    expect(again.entries()).toHaveLength(1)
    await again.close()
  })

  it('ignore a corrupt snapshot', async () => {
    const dir = await temporary()
    const stack = await openStack(dir)
    await Promise.all(Array.from({ length: 400 }, (_, i) => stack.add({ kind: 'note', title: `${i}`, body: 'b' })))
    await stack.edit(stack.entries()[0]?.id as string, { body: 'edited\n' })
    const digest = stack.digest()
    await stack.close()
    const snapshot = join(dir, 'snapshot')
    const bytes = await readFile(snapshot)
    expect(bytes.length).toBeGreaterThan(10_000)
    const intact = await openStack(dir)
    expect(intact.digest()).toEqual(digest)
    await intact.close()
    for (const damage of [0, 30, bytes.length - 1]) {
      await truncate(snapshot, damage)
      const again = await openStack(dir)
      expect(again.digest()).toEqual(digest)
      await again.close()
      await writeFile(snapshot, bytes)
    }
  })

  it('open a new incarnation where the directory was copied', async () => {
    const dir = await temporary()
    const stack = await openStack(join(dir, 'one'))
    await stack.add({ kind: 'note', title: 'one' })
    await stack.close()
    await cp(join(dir, 'one'), join(dir, 'two'), { recursive: true })
    const copy = await openStack(join(dir, 'two'))
    await copy.close()
    const again = await openStack(join(dir, 'two'))
    await again.add({ kind: 'note', title: 'two' })
    expect([...again.vector().values()].map(head => head.seq)).toEqual([1, 1])
    await again.close()
  })

  it('lose no acknowledged write to 20 SIGKILLs', async () => {
    await Promise.all([killRepeatedly(await temporary(), 10), killRepeatedly(await temporary(), 10)])
  }, 60_000)
})

async function killRepeatedly (dir: string, kills: number): Promise<void> {
  const acked: string[] = []
  for (let kill = 0; kill < kills; kill++) {
    const child = spawn(process.execPath, ['--conditions=elder-source', '--disable-warning=ExperimentalWarning', fileURLToPath(new URL('fs-child.ts', import.meta.url)), dir], { stdio: ['ignore', 'pipe', 'inherit'] })
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
  expect(stack.vector().size).toBe(1)
  await stack.close()
}
