/** The small rules of replication, one by one. */
import { describe, expect, it } from 'vitest'
import { AntiEntropy, batchOf, checkNamed, encode, feedId, decode, judgeLive, LIMITS, liveOf, liveValue, parseStackKey, SETTINGS_STACK, stackIdOf, stackKey, deviceId, type AntiEntropyEffect, type Batch, type DeviceId, type MeshId, type Range, type Value } from '../../src/index.ts'
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
    for (const bad of ['', 'x', `${id}@`, `${id}@${MESH}@${MESH}`, id.toUpperCase(), `../${id.slice(3)}`, 7, null]) expect(() => parseStackKey(bad)).toThrow('a stack key')
  })

  it('belong to one name; the settings have one that nobody can choose', () => {
    expect(checkNamed(keyOf('repo'), 'repo', crypto)).toBe('repo')
    expect(checkNamed(keyOf(SETTINGS_STACK), SETTINGS_STACK, crypto)).toBe(SETTINGS_STACK)
    for (const name of ['repo2', '', 'No Name', 7, null]) expect(() => checkNamed(keyOf('repo'), name, crypto)).toThrow('does not match')
    expect(() => checkNamed(keyOf(SETTINGS_STACK, MESH), SETTINGS_STACK, crypto)).toThrow('do not travel')
  })
})

describe('gossip of a new record', () => {
  const { feed, batches } = feedOf('a', 'repo', [10, 10, 10])
  const [first, second, third] = batches as [Batch, Batch, Batch]
  const live = (batch: Batch): ReturnType<typeof liveOf> => liveOf(overWire(liveValue(keyOf('repo'), 'repo', batch)), crypto)
  const at = (batch: Batch | undefined): Map<typeof feed, Batch['head']> => new Map(batch === undefined ? [] : [[feed, batch.head]])

  it('travels whole up to 16 KB, as a head notice beyond', () => {
    expect(live(first)).toMatchObject({ key: keyOf('repo'), feed, batch: first })
    const large = feedOf('a', 'repo', [LIMITS.gossipRecordBytesMax]).batches[0] as Batch
    expect(live(large)).toMatchObject({ feed, head: { seq: 1 }, batch: undefined })
    expect(() => liveOf([keyOf('repo'), 'repo', (liveValueWhole(large))], crypto)).toThrow('head notice')
  })

  it('applies only what continues the feed', () => {
    expect(judgeLive(at(undefined), live(first))).toBe('apply')
    expect(judgeLive(at(first), live(second))).toBe('apply')
    expect(judgeLive(at(first), live(third))).toBe('behind')
    expect(judgeLive(at(second), live(second))).toBe('known')
    expect(judgeLive(at(third), live(first))).toBe('known')
    expect(judgeLive(at(first), { ...live(second), batch: undefined })).toBe('behind')
  })

  it('takes another record at a place that is taken for what it is: a fork to be fetched', () => {
    const other = feedOf('a', 'repo', [10, 11]).batches[1] as Batch
    expect(judgeLive(at(second), live(other))).toBe('behind')
  })

  it('refuses nonsense and archived stacks', () => {
    const notice = liveValue(keyOf('repo'), 'repo', feedOf('a', 'repo', [20_000]).batches[0] as Batch) as Value[]
    for (const bad of [null, [], [keyOf('repo'), 'repo', null], [keyOf('repo'), 'other', notice[2] as Value], [keyOf('repo', MESH), 'repo', notice[2] as Value], [keyOf('repo'), 'repo', [1, 2, 3]]]) {
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
  const range = (feed: Range['feed'], from: number, to: number): Range => ({ feed, from, to })

  it('what a stack waits for is asked before the rest, once, and a feed that closed no more', () => {
    const a = feedOf('a', 'repo', Array.from({ length: 5 }, () => 1))
    const b = feedOf('b', 'repo', Array.from({ length: 5 }, () => 1))
    const [x, y] = [a, b].sort((p, q) => p.feed < q.feed ? -1 : 1) as [typeof a, typeof b]
    const theirs = new Map([a, b].map(({ feed, batches }) => [feed, (batches[4] as Batch).head]))
    const view = new MapReplica()
    const puller = new Puller(view, [{ key: keyOf('repo'), name: 'repo', vector: theirs }])
    expect(puller.next()?.ranges).toHaveLength(2)
    puller.answered(keyOf('repo'), x.batches.slice(0, 1))
    puller.applied([range(y.feed, 1, 3), range(y.feed, 2, 4)], [])
    expect(puller.next()?.ranges).toEqual([range(y.feed, 1, 4)])
    puller.answered(keyOf('repo'), y.batches.slice(0, 4))
    puller.applied([range(y.feed, 1, 3)], [y.feed])
    expect(puller.next()?.ranges).toEqual([range(x.feed, 2, 5)])
    puller.answered(keyOf('repo'), [])
    expect(puller.next()).toBeUndefined()
  })

  it('feeds of devices that may not write are not asked for', () => {
    const a = feedOf('a', 'repo', [1])
    const view = Object.assign(new MapReplica(), { accepts: () => false })
    expect(new Puller(view, [{ key: keyOf('repo'), name: 'repo', vector: new Map([[a.feed, (a.batches[0] as Batch).head]]) }]).next()).toBeUndefined()
  })

  it('an answer holds whole batches up to a frame, reads one block at a time, and survives the proof of a fork', () => {
    const { feed, batches } = feedOf('a', 'repo', Array.from({ length: 600 }, () => 1000))
    const asked: Range[] = []
    const read = (wanted: Range): Batch[] => {
      asked.push(wanted)
      return batches.slice(wanted.from - 1, wanted.to)
    }
    const answer = serve([range(feed, 1, 600)], read)
    expect(answer.length).toBeGreaterThan(200)
    expect(answer.length).toBeLessThan(600)
    expect(asked.map(({ from, to }) => [from, to])).toEqual([[1, 256], [257, 512]])
    const proof = batches.slice(0, 2)
    expect(serve([range(feed, 3, 300)], ({ from, to }) => [...batches.slice(from - 1, Math.min(to, 10)), ...proof]).length).toBeLessThan(20)
  })

  it('a feed nobody holds is an empty answer', () => {
    expect(serve([range(feedId(device('a'), new Uint8Array(8)), 1, 9)], () => [])).toEqual([])
  })
})
