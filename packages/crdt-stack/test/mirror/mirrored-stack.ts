/** What a mirror relies on of every stack: the one of this package, and the small one of tests of the mirror. */
import { recordHash, toHex, type FeedId, type Want } from '@elder-node/protocol'
import { describe, expect, it } from 'vitest'
import type { MirroredStack } from '../../src/mirror/index.ts'
import { crypto } from '../support.ts'

/** Empty, all of the same name; `write` adds an entry. */
export type MakeMirrored = () => Promise<{ stack: MirroredStack, write: (title: string) => Promise<void> }>

const WINDOW = 256
const titlesOf = async (stack: MirroredStack): Promise<string[]> =>
  (await stack.entries()).map(({ title }) => title).sort()
const prefix = (hash: Uint8Array): string => toHex(hash).slice(0, 16)

export function mirroredStackAcceptance (name: string, make: MakeMirrored): void {
  const filled = async (count: number): ReturnType<MakeMirrored> => {
    const made = await make()
    for (let i = 1; i <= count; i++) await made.write(`entry ${i}`)
    return made
  }

  describe(`${name}, mirrored`, () => {
    it('is empty at first', async () => {
      const { stack } = await make()
      expect([stack.windows(), await stack.entries()]).toEqual([[], []])
    })

    it('cuts its path into windows, each the records of its range in order, to the one whose hash it has', async () => {
      const { stack } = await filled(WINDOW + 2)
      const windows = stack.windows().sort((a, b) => a.from - b.from)
      expect(windows.map(({ from, to }) => [from, to])).toEqual([[1, WINDOW], [WINDOW + 1, WINDOW + 2]])
      for (const { from, to, hash, feed } of windows) {
        const batches = [...stack.path({ from, to, hash, feed })]
        const records = batches.flatMap(batch => batch.records)
        expect([batches[0]?.from, records.length]).toEqual([from, to - from + 1])
        expect(recordHash(records.at(-1) as Uint8Array, crypto)).toEqual(hash)
      }
    })

    it('holds a record at its own address, and no other', async () => {
      const { stack } = await filled(2)
      const [{ feed, to, hash }] = stack.windows() as [Want]
      const other = `${feed[0] === 'a' ? 'b' : 'a'}${feed.slice(1)}` as FeedId
      expect(stack.holdsAt(feed, to, prefix(hash))).toBe(true)
      expect(stack.holdsAt(feed, 1, prefix(hash))).toBe(false)
      expect(stack.holdsAt(other, to, prefix(hash))).toBe(false)
      expect(stack.holdsAt(feed, to, '0'.repeat(16))).toBe(false)
      expect([...stack.path({ feed, from: 1, to, hash: new Uint8Array(32) })]).toEqual([])
    })

    it('takes what another has, once, and is then the same', async () => {
      const { stack, write } = await filled(3)
      const { stack: copy } = await make()
      const batches = stack.windows().flatMap(want => [...stack.path(want)])
      const before = toHex(copy.feedsDigest())
      expect(await copy.receive(batches)).toMatchObject({ accepted: 3, missing: [] })
      expect(await copy.receive(batches)).toMatchObject({ accepted: 0, missing: [] })
      expect(await titlesOf(copy)).toEqual(['entry 1', 'entry 2', 'entry 3'])
      expect(toHex(copy.feedsDigest())).not.toBe(before)
      expect(copy.feedsDigest()).toEqual(stack.feedsDigest())
      await write('another')
      expect(copy.feedsDigest()).not.toEqual(stack.feedsDigest())
    })

    it('names what is missing before a part that comes first, and shows all when the rest is there', async () => {
      const { stack } = await filled(WINDOW + 2)
      const { stack: copy } = await make()
      const [first, second] = stack.windows().sort((a, b) => a.from - b.from) as [Want, Want]
      const missing = [{ feed: first.feed, seq: WINDOW, hash: first.hash }]
      expect((await copy.receive([...stack.path(second)])).missing).toEqual(missing)
      expect((await copy.receive([...stack.path(first)])).missing).toEqual([])
      expect(await titlesOf(copy)).toEqual(await titlesOf(stack))
    })
  })
}
