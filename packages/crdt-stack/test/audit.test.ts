import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { feedId, type Dep } from '@elder-node/protocol'
import { afterAll, describe, expect, it } from 'vitest'
import { framed, HEADER } from '../src/fs/frames.ts'
import { FsFeedStore } from '../src/fs/index.ts'
import { Stack } from '../src/index.ts'
import { createDevice, createSigner, crypto, NAME, pull, random, RawFeed, STACK } from './support.ts'

const temp = mkdtempSync(join(tmpdir(), 'elder-audit-'))
afterAll(() => { rmSync(temp, { recursive: true, force: true }) })

async function openAt (name: string): Promise<Stack> {
  return await Stack.open(
    {
      store: await FsFeedStore.open(join(temp, name)), crypto, signer: createSigner(new Uint8Array(32).fill(9)),
      wallMs: () => Date.now(), random,
    },
    { id: STACK, name: NAME }
  )
}

async function filled (name: string): Promise<{ stack: Stack, log: string }> {
  const stack = await openAt(name)
  const { id } = await stack.add({ kind: 'note', title: 'one', body: 'text' })
  await stack.edit(id, { body: 'other text', title: 'renamed' })
  for (let n = 0; n < 5; n++) await stack.add({ kind: 'note', title: `more ${n}` })
  const log = readdirSync(join(temp, name)).find(file => file.endsWith('.log')) ?? ''
  return { stack, log: join(temp, name, log) }
}

describe('audit', () => {
  it('comes to what the running stack shows, from the disk alone', async () => {
    const { stack } = await filled('fine')
    const other = createDevice(3)
    const theirs = await other.open()
    await theirs.add({ kind: 'note', title: 'from elsewhere' })
    await pull(stack, theirs)
    const audit = await stack.audit({ pause: async () => {} })
    expect(audit).toMatchObject({ digest: stack.digest().digest, feeds: stack.digest().feeds, problems: [] })
    expect(audit.perFeed.map(({ records }) => records).sort()).toEqual([1, 8])
    expect(audit.records).toBe(9)
    expect(audit.signatures).toBeGreaterThan(1)
    await stack.close()
  })

  it('reads what is appended meanwhile or not at all', async () => {
    const { stack } = await filled('busy')
    const writes = Array.from({ length: 30 }, (_, n) => stack.add({ kind: 'note', title: `busy ${n}` }))
    for (let n = 0; n < 5; n++) expect((await stack.audit()).problems).toEqual([])
    await Promise.all(writes)
    await stack.close()
  })

  it('names a byte that changed on the disk, and the file', async () => {
    const { stack, log } = await filled('bent')
    const whole = readFileSync(log)
    writeFileSync(log, whole.map((byte, i) => i === whole.length - 200 ? byte ^ 1 : byte))
    const { problems } = await stack.audit()
    expect(problems).toMatchObject([{ code: 'FEED_DAMAGED', file: log }])
    writeFileSync(log, whole)
    expect((await stack.audit()).problems).toEqual([])
    await stack.close()
  })

  it('names a signature that does not hold although every checksum does', async () => {
    const { stack, log } = await filled('forged')
    const whole = readFileSync(log)
    // The last bytes of a log are a signature: bend it, then make the frame's checksum right again.
    const { at, length } = split(whole).at(-1) as { at: number, length: number }
    const payload = Buffer.from(whole.subarray(at + HEADER, at + HEADER + length))
    payload[payload.length - 1] = (payload.at(-1) as number) ^ 1
    writeFileSync(log, Buffer.concat([whole.subarray(0, at), framed(payload)]))
    expect((await stack.audit()).problems).toMatchObject([{
      code: 'FEED_BROKEN', message: expect.stringContaining('signature') as string,
    }])
    await stack.close()
  })

  it('names a log that is gone, and leaves alone what a failed write left behind the last record', async () => {
    const { stack, log } = await filled('gone')
    appendFileSync(log, Buffer.from('half a frame'))
    expect((await stack.audit()).problems).toEqual([])
    rmSync(log)
    expect((await stack.audit()).problems).toMatchObject([{ code: 'FEED_SHORT' }])
    await stack.close()
  })

  it('finds both histories of a fork', async () => {
    const writer = createDevice(4)
    const branch = createDevice(4)
    const [ours, theirs] = [await writer.open(), await branch.open()]
    await ours.add({ kind: 'note', title: 'ours' })
    await theirs.add({ kind: 'note', title: 'theirs' })
    const { stack } = await filled('fork')
    await pull(stack, ours)
    await pull(stack, theirs)
    expect(stack.forks()).toHaveLength(1)
    expect(await stack.audit()).toMatchObject({ ...digestOf(stack), problems: [] })
    await stack.close()
  })
})

describe('audit of a stack that dropped strands', () => {
  it('finds no difference, though the disk still holds them', async () => {
    const liar = createDevice()
    const feed = feedId(liar.id, random(8))
    const device = createDevice()
    const stack = await device.open({ headsMax: 3 })
    const strand = (length: number): RawFeed => {
      const raw = new RawFeed(feed, liar.signer)
      for (let n = 0; n < length; n++) raw.write({
        kind: 'new', body: { kind: 'note', fields: { title: `${length} ${random(4).join()}` }, body: '', v: 1 },
      })
      return raw
    }
    const strands = [1, 1, 1, 2, 2, 2].map(strand)
    for (const raw of strands) await stack.receive(raw.batch(1, raw.seq))
    expect(stack.entries()).toHaveLength(7)
    // The first strand was pinned. One record names two of the three: there is room for a dropped one again, and nobody asks for it.
    const [a, b] = strands.slice(3).map(
      raw => ({ feed, seq: raw.seq, hash: raw.hash() })
    ).sort((x, y) => Buffer.compare(x.hash, y.hash)) as [Dep, Dep]
    const namer = new RawFeed(feedId(liar.id, random(8)), liar.signer)
    await stack.receive(namer.write({ kind: 'see', deps: [a, b], body: {} }))
    expect(await stack.audit()).toMatchObject({ ...digestOf(stack), problems: [] })
    await stack.close()
  })
})

function digestOf (stack: Stack): { digest: string, feeds: string } {
  const { digest, feeds } = stack.digest()
  return { digest, feeds }
}

function split (bytes: Buffer): Array<{ at: number, length: number }> {
  const frames = []
  for (let at = 0; at + HEADER <= bytes.length; at += HEADER + bytes.readUInt32BE(at + 4)) {
    frames.push({ at, length: bytes.readUInt32BE(at + 4) })
  }
  return frames
}
