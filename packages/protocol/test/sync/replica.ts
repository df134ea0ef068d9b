/** What an exchange relies on of every replica: stacks as they ship, and the tree of records of these tests. */
import { describe, expect, test } from 'vitest'
import { vectorDigest, type Batch, type Replica, type StackKey, type VectorEntry } from '../../src/index.ts'
import { cheapCrypto } from '../support/cheap-crypto.ts'
import { feedOf } from './support.ts'

export const REPLICA_STACK = 'demo'

export interface ReplicaPlace {
  replica: Replica
  /** Of the stack `demo`. */
  key: StackKey
  give (batches: readonly Batch[]): Promise<void>
}

const headOf = ({ feed, head: { seq, hash } }: Batch): VectorEntry => ({ feed, seq, hash })

export function replicaAcceptance (name: string, make: () => Promise<ReplicaPlace>): void {
  const { feed, batches } = feedOf('writer', REPLICA_STACK, [10, 10, 10])
  const [first, second, third] = batches as [Batch, Batch, Batch]
  const [fork] = feedOf('writer', REPLICA_STACK, [20], [], first).batches as [Batch]
  /** How a path is cut into batches is free. */
  const recordsOf = (path: Iterable<Batch>): Uint8Array[] => [...path].flatMap(({ records }) => records)
  const sent = recordsOf(batches)

  describe(`${name}: a replica`, () => {
    test('wants what it has not, and holds nothing else', async () => {
      const { replica, key } = await make()
      expect([replica.vector(key), replica.missing(key)]).toEqual([[], []])
      expect([...replica.path(key, { ...headOf(third), from: 1, to: 3 })]).toEqual([])
      expect([replica.holds(key, third.head.hash), replica.longest(key, feed, 9)]).toEqual([false, 0])
      expect(replica.wants(key, headOf(third))).toBe(true)
    })

    test('tells the head of a feed, and the path to it from any record on', async () => {
      const { replica, key, give } = await make()
      await give(batches)
      expect(replica.vector(key)).toEqual([headOf(third)])
      expect(replica.stacks()).toEqual([{ key, name: REPLICA_STACK, digest: replica.digest(key) }])
      expect(replica.digest(key)).toEqual(vectorDigest([headOf(third)], new Map(), cheapCrypto))
      expect(recordsOf(replica.path(key, { ...headOf(third), from: 1, to: 3 }))).toEqual(sent)
      const [part] = replica.path(key, { ...headOf(second), from: 2, to: 2 })
      expect([part?.from, part?.records, part?.head.hash]).toEqual([2, [sent[1]], second.head.hash])
      expect([replica.has(key), replica.holds(key, second.head.hash)]).toEqual([true, true])
      expect(replica.wants(key, headOf(second))).toBe(false)
      expect([9, 3, 1].map(below => replica.longest(key, feed, below))).toEqual([3, 2, 0])
    })

    test('tells each head of a feed that forks, whatever came first', async () => {
      for (const given of [[...batches, fork], [first, fork, second, third]]) {
        const { replica, key, give } = await make()
        await give(given)
        const heads = [...replica.vector(key)].sort((a, b) => b.seq - a.seq)
        expect(heads).toEqual([headOf(third), headOf(fork)])
        expect(replica.digest(key)).toEqual(vectorDigest(heads, new Map(), cheapCrypto))
        expect(recordsOf(replica.path(key, { ...headOf(fork), from: 1, to: 2 }))).toEqual(recordsOf([first, fork]))
      }
    })

    test('says what is missing before what it cannot attach, and tells it when it can', async () => {
      const { replica, key, give } = await make()
      await give([third])
      await give([second])
      expect([replica.vector(key), replica.missing(key)]).toEqual([[], [headOf(first)]])
      expect([...replica.path(key, { ...headOf(third), from: 2, to: 3 })]).toEqual([])
      await give([first])
      expect([replica.vector(key), replica.missing(key)]).toEqual([[headOf(third)], []])
    })
  })
}
