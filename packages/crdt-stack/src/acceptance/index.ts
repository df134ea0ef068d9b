/**
 * What every {@link FeedStore} must do. Free of a test runner: pass in its `describe`, `it` and `expect`.
 *
 * @packageDocumentation
 */
import { feedId, type Batch, type DeviceId, type FeedId } from '@elder-node/protocol'
import type { FeedStore } from '../types.ts'

/** The part of vitest, jest or a look-alike that the suite uses. */
export interface TestRunner {
  describe: (name: string, body: () => void) => void
  it: (name: string, body: () => Promise<void>) => void
  expect: (value: unknown) => { toEqual: (other: unknown) => void, rejects: { toMatchObject: (shape: object) => Promise<unknown> } }
}

/** A place that outlives its stores: `open` twice is a restart. */
export interface StorePlace { open: () => Promise<FeedStore>, dispose: () => Promise<void> }

const DEVICE = 'a'.repeat(52) as DeviceId
const ONE = feedId(DEVICE, new Uint8Array(8))
const TWO = feedId(DEVICE, new Uint8Array(8).fill(7))

function batch (feed: FeedId, from: number, count: number): Batch {
  const records = Array.from({ length: count }, (_, i) => new Uint8Array(20 + i).fill(from + i))
  return { feed, from, records, head: { seq: from + count - 1, hash: new Uint8Array(32).fill(from), signature: new Uint8Array(64).fill(from) } }
}

export function feedStoreAcceptance (name: string, make: () => Promise<StorePlace>, { describe, it, expect }: TestRunner): void {
  const check = (what: string, body: (place: StorePlace) => Promise<void>): void => it(what, async () => {
    const place = await make()
    try {
      await body(place)
    } finally {
      await place.dispose()
    }
  })

  describe(`${name} as a feed store`, () => {
    check('starts empty', async place => {
      const store = await place.open()
      const { feeds, repaired, notes } = await store.load()
      expect([feeds, repaired, notes ?? []]).toEqual([[], [], []])
      expect(await store.loadSnapshot()).toEqual(undefined)
      await store.close()
    })

    check('gives back every record and head in order after a restart', async place => {
      const store = await place.open()
      await store.load()
      await store.append(batch(ONE, 1, 3))
      await store.append(batch(TWO, 1, 1))
      await store.append(batch(ONE, 4, 2))
      await store.close()
      const again = await place.open()
      const { feeds } = await again.load()
      expect(feeds.map(({ feed, records, heads }) => [feed, records.map(bytes => [...bytes]), heads.map(head => head.seq)]).sort()).toEqual([
        [ONE, [...batch(ONE, 1, 3).records, ...batch(ONE, 4, 2).records].map(bytes => [...bytes]), [3, 5]],
        [TWO, batch(TWO, 1, 1).records.map(bytes => [...bytes]), [1]],
      ])
      expect(feeds.flatMap(({ heads }) => heads.map(head => [head.hash.length, head.signature.length]))).toEqual([[32, 64], [32, 64], [32, 64]])
      await again.append(batch(ONE, 6, 1))
      await again.close()
    })

    check('refuses a batch that does not continue its feed, and goes on', async place => {
      const store = await place.open()
      await store.load()
      await store.append(batch(ONE, 1, 2))
      await expect(store.append(batch(ONE, 2, 1))).rejects.toMatchObject({ code: 'NOT_NEXT' })
      await expect(store.append(batch(ONE, 4, 1))).rejects.toMatchObject({ code: 'NOT_NEXT' })
      await store.append(batch(ONE, 3, 1))
      await store.close()
    })

    check('takes many appends at once', async place => {
      const store = await place.open()
      await store.load()
      await Promise.all(Array.from({ length: 50 }, (_, i) => store.append(batch(i % 2 === 0 ? ONE : TWO, Math.floor(i / 2) + 1, 1))))
      await store.close()
      const { feeds } = await (await place.open()).load()
      expect(feeds.map(({ records }) => records.length)).toEqual([25, 25])
    })

    check('keeps evidence and the latest snapshot', async place => {
      const store = await place.open()
      await store.load()
      await store.note(ONE, new Uint8Array([1]))
      await store.note(ONE, new Uint8Array([2]))
      await store.saveSnapshot(new Uint8Array([3]))
      await store.saveSnapshot(new Uint8Array([4, 5]))
      await store.close()
      const again = await place.open()
      const { notes } = await again.load()
      expect(notes?.map(({ feed, evidence }) => [feed, [...evidence]])).toEqual([[ONE, [1]], [ONE, [2]]])
      expect([...await again.loadSnapshot() ?? []]).toEqual([4, 5])
      await again.close()
    })

    check('reads again what was acknowledged, and changes nothing', async place => {
      const store = await place.open()
      await store.load()
      await store.append(batch(ONE, 1, 3))
      await store.note(ONE, new Uint8Array([1]))
      for (let round = 0; round < 2; round++) {
        const { feeds, damaged, notes } = await store.reread()
        expect(feeds.map(({ feed, records, heads }) => [feed, records.map(bytes => [...bytes]), heads.map(head => head.seq)])).toEqual([[ONE, batch(ONE, 1, 3).records.map(bytes => [...bytes]), [3]]])
        expect([damaged, notes.map(({ evidence }) => [...evidence])]).toEqual([[], [[1]]])
      }
      await store.append(batch(ONE, 4, 1))
      expect((await store.reread()).feeds.map(({ records }) => records.length)).toEqual([4])
      await store.close()
    })

    check('refuses everything after close', async place => {
      const store = await place.open()
      await store.load()
      await store.close()
      await expect(store.append(batch(ONE, 1, 1))).rejects.toMatchObject({ code: 'CLOSED' })
    })
  })
}
