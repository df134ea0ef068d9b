/** The small rules of replication, one by one. */
import { describe, expect, it } from 'vitest'
import {
  AntiEntropy, batchOf, checkNamed, encode, decode, LIMITS, liveOf, liveValue, parseStackKey, SETTINGS_STACK, stackIdOf,
  stackKey, deviceId, type AntiEntropyEffect, type Batch, type DeviceId, type MeshId, type Value, type VectorEntry,
  type Want,
} from '../../src/index.ts'
import { Puller } from '../../src/sync/puller.ts'
import { serve } from '../../src/sync/serve.ts'
import { crypto, feedOf, keyOf, MapReplica, signerOf } from './support.ts'

const overWire = (value: Value): Value => decode(encode(value), LIMITS.gossipBytesMax)
const device = (name: string): DeviceId => deviceId(signerOf(name).publicKey)
const MESH = 'a'.repeat(26) as MeshId

describe('keys of stacks', () => {
  it('are a stack id, or one with the mesh it was archived from', () => {
    const id = stackIdOf('repo', crypto)
    expect(parseStackKey(stackKey(id))).toEqual({ key: id, id, archivedFrom: undefined })
    expect(parseStackKey(stackKey(id, MESH))).toEqual({ key: `${id}@${MESH}`, id, archivedFrom: MESH })
    for (const bad of ['', 'x', `${id}@`, `${id}@${MESH}@${MESH}`, id.toUpperCase(), `../${id.slice(3)}`, 7, null]) {
      expect(() => parseStackKey(bad)).toThrow('a stack key')
    }
  })

  it('belong to one name; the settings have one that nobody can choose', () => {
    expect(checkNamed(keyOf('repo'), 'repo', crypto)).toBe('repo')
    expect(checkNamed(keyOf(SETTINGS_STACK), SETTINGS_STACK, crypto)).toBe(SETTINGS_STACK)
    for (const name of ['repo2', '', 'No Name', 7, null]) {
      expect(() => checkNamed(keyOf('repo'), name, crypto)).toThrow('does not match')
    }
    expect(() => checkNamed(keyOf(SETTINGS_STACK, MESH), SETTINGS_STACK, crypto)).toThrow('do not travel')
  })
})

describe('gossip of a new record', () => {
  const { feed, batches } = feedOf('a', 'repo', [10, 10])
  const [first, second] = batches as [Batch, Batch]
  const live = (batch: Batch): ReturnType<typeof liveOf> => liveOf(
    overWire(liveValue(keyOf('repo'), 'repo', batch)), crypto
  )

  it('travels whole up to 16 KB, as a head notice beyond', () => {
    expect(live(first)).toMatchObject({ key: keyOf('repo'), head: { feed, seq: 1 }, batch: first })
    const large = feedOf('a', 'repo', [LIMITS.gossipRecordBytesMax]).batches[0] as Batch
    expect(live(large)).toMatchObject({ head: { feed, seq: 1 }, batch: undefined })
    expect(() => liveOf([keyOf('repo'), 'repo', (liveValueWhole(large))], crypto)).toThrow('head notice')
  })

  it('names the head of its batch', () => {
    const whole = { ...first, records: [first, second].flatMap(({ records }) => records), head: second.head }
    expect(live(whole).head).toEqual({ feed, seq: 2, hash: second.head.hash })
  })

  it('refuses nonsense and archived stacks', () => {
    const notice = liveValue(keyOf('repo'), 'repo', feedOf('a', 'repo', [20_000]).batches[0] as Batch) as Value[]
    for (
      const bad of [
        null, [], [keyOf('repo'), 'repo', null], [keyOf('repo'), 'other', notice[2] as Value],
        [keyOf('repo', MESH), 'repo', notice[2] as Value], [keyOf('repo'), 'repo', [1, 2, 3]],
      ]
    ) {
      expect(() => liveOf(bad, crypto)).toThrow()
    }
  })
})

const liveValueWhole = ({ feed, from, records, head }: Batch): Value => {
  const small = liveValue(keyOf('repo'), 'repo', feedOf('a', 'repo', [10]).batches[0] as Batch) as Value[]
  const [key] = small[2] as Value[]
  expect(batchOf([key as Value, from, records, [head.seq, head.hash, head.signature]]).feed).toBe(feed)
  return [key as Value, from, records, [head.seq, head.hash, head.signature]]
}

describe('when to exchange with whom', () => {
  const [low, high] = [device('a'), device('b')].sort() as [DeviceId, DeviceId]
  const make = (self: DeviceId, init = {}): AntiEntropy => new AntiEntropy({ self, random: () => 0.5 }, init)
  const to = (effects: AntiEntropyEffect[]): DeviceId[] => effects.map(({ device }) => device)

  it('the lower id opens when two devices meet; one exchange per peer at a time', () => {
    expect(to(make(high).handle({ type: 'admitted', device: low }, 0))).toEqual([])
    const machine = make(low)
    expect(to(machine.handle({ type: 'admitted', device: high }, 0))).toEqual([high])
    expect(to(machine.handle({ type: 'behind', device: high }, 1))).toEqual([])
    expect(to(machine.handle({ type: 'ended', device: high, ok: true }, 2))).toEqual([high])
    expect(to(machine.handle({ type: 'ended', device: high, ok: true }, 3))).toEqual([])
  })

  it('a failure is tried again after 1 s, 2 s, 4 s, ... and never after the peer is gone', () => {
    const machine = make(low)
    machine.handle({ type: 'admitted', device: high }, 0)
    let now = 0
    for (const delayMs of [1000, 2000, 4000]) {
      machine.handle({ type: 'ended', device: high, ok: false }, now)
      expect(machine.handle({ type: 'tick' }, now + delayMs - 1)).toEqual([])
      expect(to(machine.handle({ type: 'tick' }, now += delayMs))).toEqual([high])
    }
    machine.handle({ type: 'gone', device: high }, now)
    machine.handle({ type: 'ended', device: high, ok: false }, now)
    expect(machine.handle({ type: 'tick' }, now + 1_000_000)).toEqual([])
  })

  it('every interval one peer; a hint from a device that is not connected goes to another; bounded in all', () => {
    const [lowest, ...others] = ['a', 'b', 'c', 'd', 'e', 'f'].map(device).sort() as [DeviceId, ...DeviceId[]]
    const busy = make(lowest, { concurrentMax: 2 })
    expect(to(others.flatMap(peer => busy.handle({ type: 'admitted', device: peer }, 0)))).toEqual(others.slice(0, 2))
    expect(to(busy.handle({ type: 'ended', device: others[0] as DeviceId, ok: true }, 1))).toEqual(others.slice(2, 3))
    const idle = make(high)
    idle.handle({ type: 'admitted', device: low }, 0)
    expect(idle.handle({ type: 'tick' }, 0)).toEqual([])
    expect(idle.handle({ type: 'tick' }, 29_999)).toEqual([])
    expect(to(idle.handle({ type: 'tick' }, 30_000))).toEqual([low])
    idle.handle({ type: 'ended', device: low, ok: true }, 30_001)
    expect(to(idle.handle({ type: 'behind', device: device('nobody') }, 30_002))).toEqual([low])
  })
})

describe('asking and answering', () => {
  const want = (batch: Batch, from = 1): Want => ({ feed: batch.feed, from, to: batch.head.seq, hash: batch.head.hash })
  const head = ({ feed, head: { seq, hash } }: Batch): VectorEntry => ({ feed, seq, hash })
  const last = ({ batches }: { batches: Batch[] }): Batch => batches.at(-1) as Batch
  const key = keyOf('repo')
  const five = (writer: string): ReturnType<typeof feedOf> => feedOf(writer, 'repo', Array.from({ length: 5 }, () => 1))
  const asking = (view: MapReplica, heads: Batch[]): Puller => new Puller(
    view, [{ key, name: 'repo', vector: heads.map(head) }]
  )
  const answer = (puller: Puller, view: MapReplica, answers: Batch[][]): void => {
    puller.answered(key, answers)
    view.apply({ type: 'apply', key, name: 'repo', batches: answers.flat() })
    puller.applied()
  }

  it('what a stack waits for is asked before the rest', () => {
    const [a, b] = [five('a'), five('b')]
    const view = new MapReplica()
    const puller = asking(view, [last(a), last(b)])
    expect(puller.next()?.wants).toEqual([want(last(a)), want(last(b))])
    // The first answer begins in the middle: what is before it comes next.
    answer(puller, view, [a.batches.slice(2), b.batches.slice(0, 2)])
    expect(puller.next()?.wants.map(({ feed, to }) => [feed, to])).toEqual([[a.feed, 2], [b.feed, 5]])
  })

  it('the place of a fork is found by steps that double', () => {
    const trunk = feedOf('a', 'repo', Array.from({ length: 40 }, () => 1))
    const fork = feedOf('a', 'repo', Array.from({ length: 40 }, () => 2), [], trunk.batches[4])
    const view = new MapReplica().put('repo', { batches: [...trunk.batches] })
    const theirs = new MapReplica().put('repo', { batches: [...trunk.batches, ...fork.batches] })
    const puller = asking(view, [last(fork)])
    const asked: Want[] = []
    for (let ask = puller.next(); ask !== undefined; ask = puller.next()) {
      asked.push(...ask.wants)
      answer(puller, view, ask.wants.map(wanted => theirs.path(key, wanted)))
    }
    expect(view.vector(key)).toHaveLength(2)
    expect(asked.length).toBeLessThan(9)
    expect(asked.every(({ from, to }) => from >= 1 && to >= from)).toBe(true)
  })

  it('heads of devices that may not write are not asked for', () => {
    const view = Object.assign(new MapReplica(), { wants: () => false })
    expect(asking(view, [last(five('a'))]).next()).toBeUndefined()
  })

  it('an answer to another question is refused', () => {
    const [a, b] = [five('a'), five('b')]
    const puller = asking(new MapReplica(), [last(a)])
    puller.next()
    expect(() => { puller.answered(key, [b.batches]) }).toThrow('nobody asked')
    expect(() => { puller.answered(key, [a.batches, a.batches]) }).toThrow('nobody asked')
    expect(() => { puller.answered(keyOf('other'), [a.batches]) }).toThrow('nobody asked')
  })

  it('an answer holds whole batches up to a frame; a question without room is left for the next one', () => {
    const { feed, batches } = feedOf('a', 'repo', Array.from({ length: 600 }, () => 1000))
    const read: number[] = []
    const path = function * (wanted: Want): Generator<Batch> {
      for (const batch of batches.slice(wanted.from - 1, wanted.to)) {
        read.push(batch.from)
        yield batch
      }
    }
    const [first, ...more] = serve([want(last({ batches })), want(batches[0] as Batch)], path)
    expect(first?.length).toBeGreaterThan(200)
    expect(first?.length).toBeLessThan(600)
    expect(more).toEqual([])
    expect(read.length).toBe((first as Batch[]).length + 1)
    expect(
      serve([want(batches[0] as Batch), want(batches[1] as Batch, 2)], path)
    ).toEqual([batches.slice(0, 1), batches.slice(1, 2)])
    expect(feed).toBe(first?.[0]?.feed)
  })

  it('a path that nobody holds is an empty answer', () => {
    expect(serve([want(last(five('a')))], () => [])).toEqual([[]])
  })
})
