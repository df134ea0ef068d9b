/**
 * What every {@link FeedStore}, and every git behind a mirror, must do. Free of a test runner: pass in its `describe`,
 * `it` and `expect`.
 *
 * @packageDocumentation
 */
import { feedId, type Batch, type DeviceId, type FeedId } from '@elder-node/protocol'
import type { FeedStore } from '../feeds/store.ts'

export { gitMirrorAcceptance, type GitFixture, type GitSuite } from './git.ts'

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

/** Batches as plain values, in one order. */
function seen (batches: readonly Batch[]): unknown[] {
  return batches.map(({ feed, from, records, head }) => [feed, from, records.map(bytes => [...bytes]), head.seq, [...head.hash], [...head.signature]])
    .sort((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)
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
      expect(await store.load()).toEqual({ batches: [], damaged: [], cleanEnd: undefined })
      await store.close()
    })

    check('gives back every batch after a restart', async place => {
      const store = await place.open()
      await store.load()
      await store.append([batch(ONE, 1, 3)])
      await store.append([batch(TWO, 1, 1)])
      await store.append([batch(ONE, 4, 2), batch(ONE, 6, 1)])
      await store.close()
      const again = await place.open()
      expect(seen((await again.load()).batches)).toEqual(seen([batch(ONE, 1, 3), batch(ONE, 4, 2), batch(ONE, 6, 1), batch(TWO, 1, 1)]))
      await again.append([batch(ONE, 7, 1)])
      await again.close()
    })

    check('keeps two strands of one feed', async place => {
      const store = await place.open()
      await store.load()
      await store.append([batch(ONE, 1, 3)])
      await store.append([batch(ONE, 2, 1)])
      await store.close()
      expect(seen((await (await place.open()).load()).batches)).toEqual(seen([batch(ONE, 1, 3), batch(ONE, 2, 1)]))
    })

    check('takes many appends at once', async place => {
      const store = await place.open()
      await store.load()
      await Promise.all(Array.from({ length: 50 }, (_, i) => store.append([batch(i % 2 === 0 ? ONE : TWO, Math.floor(i / 2) + 1, 1)])))
      await store.close()
      expect((await (await place.open()).load()).batches.length).toEqual(50)
    })

    check('knows a clean end, until it is forgotten', async place => {
      const store = await place.open()
      await store.load()
      await store.append([batch(ONE, 1, 1)])
      await store.close({ feed: ONE, name: 'ab'.repeat(32) })
      for (let life = 0; life < 2; life++) {
        const again = await place.open()
        expect((await again.load()).cleanEnd).toEqual({ feed: ONE, name: 'ab'.repeat(32) })
        if (life === 1) await again.forgetCleanEnd()
        await again.close()
      }
      expect((await (await place.open()).load()).cleanEnd).toEqual(undefined)
    })

    check('reads again what was acknowledged, and changes nothing', async place => {
      const store = await place.open()
      await store.load()
      await store.append([batch(ONE, 1, 3)])
      for (let round = 0; round < 2; round++) {
        const { batches, damaged } = await store.reread()
        expect([seen(batches), damaged]).toEqual([seen([batch(ONE, 1, 3)]), []])
      }
      await store.append([batch(ONE, 4, 1)])
      expect((await store.reread()).batches.length).toEqual(2)
      await store.close()
    })

    check('ends what is being written before it is closed', async place => {
      const store = await place.open()
      await store.load()
      const batches = [1, 2, 3].map(from => batch(ONE, from, 1))
      const written = Promise.all(batches.map(one => store.append([one])))
      await store.close()
      expect(seen((await (await place.open()).load()).batches)).toEqual(seen(batches))
      await written
    })

    check('refuses everything after close, and closes once', async place => {
      const store = await place.open()
      await store.load()
      await store.append([batch(ONE, 1, 1)])
      await store.close()
      await store.close({ feed: ONE, name: 'ab'.repeat(32) })
      for (const call of [() => store.append([batch(ONE, 2, 1)]), () => store.reread(), () => store.forgetCleanEnd()]) {
        await expect(call()).rejects.toMatchObject({ code: 'CLOSED' })
      }
      expect((await (await place.open()).load()).cleanEnd).toEqual(undefined)
    })
  })
}
