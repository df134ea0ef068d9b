import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { FsFeedStore } from '../src/fs/index.ts'
import { Stack } from '../src/index.ts'
import { createDevice, createSigner, crypto, NAME, pull, random, STACK } from './support.ts'

const temp = mkdtempSync(join(tmpdir(), 'elder-audit-'))
afterAll(() => { rmSync(temp, { recursive: true, force: true }) })

async function openAt (name: string): Promise<Stack> {
  return await Stack.open({ store: await FsFeedStore.open(join(temp, name)), crypto, signer: createSigner(new Uint8Array(32).fill(9)), wallMs: () => Date.now(), random }, { id: STACK, name: NAME })
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

  it('names a byte that changed on the disk, and the record it concerns', async () => {
    const { stack, log } = await filled('bent')
    const whole = readFileSync(log)
    writeFileSync(log, whole.map((byte, i) => i === whole.length - 200 ? byte ^ 1 : byte))
    const { problems } = await stack.audit()
    expect(problems).toMatchObject([{ code: 'FEED_DAMAGED', seq: expect.any(Number) as number }])
    writeFileSync(log, whole)
    expect((await stack.audit()).problems).toEqual([])
    await stack.close()
  })

  it('names a signature that does not hold although every checksum does', async () => {
    const { stack, log } = await filled('forged')
    const whole = readFileSync(log)
    // The last bytes of a log are a signature: bend it, then make the frame's checksum right again.
    const { frames } = split(whole)
    const last = frames.at(-1) as { at: number, length: number }
    const bytes = Buffer.from(whole)
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1
    bytes.writeUInt32BE((await import('node:zlib')).crc32(bytes.subarray(last.at + 8, last.at + 8 + last.length)), last.at + 4)
    writeFileSync(log, bytes)
    expect((await stack.audit()).problems).toMatchObject([{ code: 'FEED_BROKEN', message: expect.stringContaining('signature') as string }])
    await stack.close()
  })

  it('names a log that is gone, and leaves alone what a failed write left behind the last record', async () => {
    const { stack, log } = await filled('gone')
    appendFileSync(log, Buffer.from('half a frame'))
    expect((await stack.audit()).problems).toEqual([])
    rmSync(log)
    expect((await stack.audit()).problems).toMatchObject([{ code: 'FEED_DAMAGED', seq: 1 }])
    await stack.close()
  })

  it('knows a fork by the evidence beside the feed', async () => {
    const writer = createDevice(4)
    const branch = createDevice(4)
    const [ours, theirs] = [await writer.open(), await branch.open()]
    await ours.add({ kind: 'note', title: 'ours' })
    await theirs.add({ kind: 'note', title: 'theirs' })
    const { stack } = await filled('fork')
    await pull(stack, ours)
    await pull(stack, theirs)
    expect(stack.closedFeeds()).toHaveLength(1)
    expect(await stack.audit()).toMatchObject({ ...digestOf(stack), problems: [] })
    await stack.close()
  })
})

function digestOf (stack: Stack): { digest: string, feeds: string } {
  const { digest, feeds } = stack.digest()
  return { digest, feeds }
}

function split (bytes: Buffer): { frames: Array<{ at: number, length: number }> } {
  const frames = []
  for (let at = 0; at + 8 <= bytes.length; at += 8 + bytes.readUInt32BE(at)) frames.push({ at, length: bytes.readUInt32BE(at) })
  return { frames }
}
