import * as fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import {
  decodeSync, encode, encodeSync, equalBytes, LIMITS, SyncSession, type SessionEffect, type SyncMessage,
  type VectorEntry,
} from '../../src/index.ts'
import { crypto, exchange, feedOf, keyOf, MapReplica, signerOf } from './support.ts'

// Thousands of stacks and feeds: a second on an idle machine.
vi.setConfig({ testTimeout: 60_000 })

const types = (sent: Array<{ from: string, frame: Uint8Array }>): string[] => sent.map(
  ({ from, frame }) => `${from} ${decodeSync(frame, crypto).type}`
)
const equal = (a: MapReplica, b: MapReplica): boolean => {
  const bs = new Map(b.stacks().map(({ key, digest }) => [key, digest]))
  return a.stacks().length === bs.size && a.stacks().every(
    ({ key, digest }) => equalBytes(digest, bs.get(key) ?? new Uint8Array(0))
  )
}

const headsOf = ({ feed, batches }: ReturnType<typeof feedOf>): VectorEntry[] => batches.slice(-1).map(
  ({ head: { seq, hash } }) => ({ feed, seq, hash })
)

describe('an exchange of stacks', () => {
  it('costs one root each way when both are in sync', () => {
    const make = (): MapReplica => new MapReplica().put(
      'one', feedOf('a', 'one', [10, 10])
    ).put('two', feedOf('b', 'two', [10]))
    const { sent, ends } = exchange(make(), make())
    expect(types(sent)).toEqual(['I root', 'R root'])
    expect(sent.map(({ frame }) => frame.length)).toEqual([36, 36])
    expect(ends.map(({ reason, peer }) => [reason, peer.size])).toEqual([['done', 2], ['done', 2]])
  })

  it('knows what differs after two round trips, in 5,000 stacks too', () => {
    const same = feedOf('a', 'shared', [10])
    const [i, r] = [new MapReplica(), new MapReplica()]
    for (let n = 0; n < 5000; n++) for (const side of [i, r]) side.put(`stack-${n}`, same)
    i.put('stack-7', feedOf('b', 'stack-7', [10]))
    r.put('stack-9', feedOf('c', 'stack-9', [10])).put('only-here', feedOf('c', 'only-here', [10]))
    const { sent, ends } = exchange(i, r)
    expect(types(sent).slice(0, 4)).toEqual(['I root', 'R buckets', 'I stacks', 'R vectors'])
    expect(sent.slice(0, 4).reduce((sum, { frame }) => sum + frame.length, 0)).toBeLessThan(16_000)
    expect(equal(i, r)).toBe(true)
    expect(ends.map(({ reason }) => reason)).toEqual(['done', 'done'])
    for (const { peer } of ends) expect(
      i.stacks().every(({ key, digest }) => equalBytes(peer.get(key) ?? new Uint8Array(0), digest))
    ).toBe(true)
  })

  it('never has more than one question open per side, and every frame fits', () => {
    const [i, r] = [new MapReplica(), new MapReplica()]
    i.put('a', feedOf('a', 'a', Array.from({ length: 40 }, () => 50_000)))
    r.put('a', feedOf('b', 'a', Array.from({ length: 600 }, () => 10))).put('b', feedOf('b', 'b', [250_000, 250_000]))
    const { sent } = exchange(i, r)
    expect(equal(i, r)).toBe(true)
    const open = { I: 0, R: 0 }
    for (const { from, frame } of sent) {
      expect(frame.length).toBeLessThanOrEqual(LIMITS.frameBytesMax)
      const { type } = decodeSync(frame, crypto)
      if (type === 'want') expect(++open[from]).toBe(1)
      if (type === 'batches') open[from === 'I' ? 'R' : 'I']--
    }
  })

  it('lists and vectors larger than a frame go over several', () => {
    const [i, r] = [new MapReplica(), new MapReplica()]
    for (let n = 0; n < 1700; n++) i.put(
      `a-stack-with-quite-a-long-name-to-fill-frames-${n}`,
      feedOf('a', `a-stack-with-quite-a-long-name-to-fill-frames-${n}`, [1])
    )
    for (let n = 0; n < 3000; n++) r.put('wide', feedOf(`writer ${n}`, 'wide', [1]))
    const { sent } = exchange(i, r)
    expect(types(sent).filter(type => type === 'I stacks').length).toBeGreaterThan(1)
    expect(types(sent).filter(type => type === 'R vectors').length).toBeGreaterThan(1)
    expect(equal(i, r)).toBe(true)
  })

  it('an unknown archived stack shows its origin before its first batch; refused, it is left out and the rest goes on', () => {
    const origin = [Uint8Array.of(1, 2), Uint8Array.of(3)]
    const make = (): MapReplica => new MapReplica().put(
      'old', feedOf('x', 'old', [10, 10]), 'a'.repeat(26), origin
    ).put('new', feedOf('y', 'new', [10]))
    const accepted = new MapReplica()
    expect(types(exchange(accepted, make()).sent)).toContain('R origin')
    expect(accepted.origin(keyOf('old', 'a'.repeat(26)))).toEqual(origin)
    expect(equal(accepted, make())).toBe(true)
    const wary = new MapReplica()
    expect(exchange(wary, make(), { acceptOrigin: false }).ends.map(({ reason }) => reason)).toEqual(['done', 'done'])
    expect([...wary.held.values()].map(({ name }) => name)).toEqual(['new'])
  })

  it('an origin of as many membership records as a roster may have travels; one more does not', () => {
    const key = keyOf('old', 'a'.repeat(26))
    const originOf = (count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => Uint8Array.of(i >> 8, i))
    const heard = (origin: Uint8Array[]): Uint8Array[] => {
      const [i, r] = [new MapReplica(), new MapReplica().put('old', feedOf('x', 'old', [10]), 'a'.repeat(26), origin)]
      exchange(i, r)
      return i.origin(key)
    }
    const origin = originOf(LIMITS.rosterKeptMax)
    expect(heard(origin)).toEqual(origin)
    expect(heard(originOf(LIMITS.rosterKeptMax + 1))).toEqual([])
  })

  it('brings every strand of a forked feed, wherever it left the others, in few questions', () => {
    const trunk = feedOf('x', 'a', Array.from({ length: 300 }, () => 5))
    const fork = feedOf('x', 'a', Array.from({ length: 100 }, () => 6), [], trunk.batches[149])
    const [i, r] = [
      new MapReplica().put('a', trunk),
      new MapReplica().put('a', { batches: [...trunk.batches.slice(0, 150), ...fork.batches] }),
    ]
    const { sent, ends } = exchange(i, r)
    expect(ends.map(({ reason }) => reason)).toEqual(['done', 'done'])
    expect(equal(i, r)).toBe(true)
    expect(i.vector(keyOf('a')).map(({ seq }) => seq).sort()).toEqual([250, 300])
    // Ten steps back and forth find the place; each record travels a few times at most.
    expect(types(sent).filter(type => type.endsWith('want')).length).toBeLessThan(24)
  })

  it('ends with a peer that names what it cannot serve', () => {
    const whole = feedOf('x', 'a', [5, 5, 5])
    const liar = new MapReplica().put('a', whole)
    liar.path = () => []
    const { ends, sent } = exchange(new MapReplica(), liar)
    expect(ends.map(({ reason }) => reason)).toEqual(['done', 'done'])
    expect(types(sent).filter(type => type === 'I want')).toHaveLength(1)
  })

  it('asks twice at most for what a record waits for', () => {
    const whole = feedOf('x', 'a', [5, 5, 5, 5])
    const liar = new MapReplica().put('a', whole)
    const last = whole.batches.slice(3)
    liar.path = () => last
    const { ends, sent } = exchange(new MapReplica(), liar)
    expect(ends.some(({ reason }) => reason === 'done' || reason === 'malformed')).toBe(true)
    expect(types(sent).filter(type => type === 'I want').length).toBeLessThan(8)
  })

  it('whatever two devices hold, one exchange makes them equal', () => {
    const item = fc.record({
      stack: fc.constantFrom('a', 'b', 'c', 'd'), writer: fc.constantFrom('x', 'y', 'z'),
      length: fc.integer({ min: 1, max: 30 }), leaves: fc.integer({ min: 0, max: 12 }),
    })
    const side = fc.array(item, { maxLength: 12 })
    fc.assert(fc.property(side, side, (ours, theirs) => {
      const make = (items: typeof ours, salt: number): MapReplica => {
        const replica = new MapReplica()
        for (const { stack, writer, length, leaves } of items) {
          const feed = feedOf(writer, stack, Array.from({ length }, () => 5))
          const fork = leaves === 0 || leaves > length ? [] : feedOf(
            writer, stack, [leaves, salt, 3], [], feed.batches[leaves - 1]
          ).batches
          replica.put(stack, feed).put(stack, { batches: fork })
        }
        return replica
      }
      const [i, r] = [make(ours, 1), make(theirs, 2)]
      const { ends } = exchange(i, r)
      expect(ends.map(({ reason }) => reason)).toEqual(['done', 'done'])
      expect(equal(i, r)).toBe(true)
    }), { numRuns: 60 })
  })
})

describe('a session and a hostile or silent peer', () => {
  const pulling = (): { session: SyncSession, replica: MapReplica } => {
    const replica = new MapReplica()
    const session = new SyncSession({ replica, crypto }, { idleMsMax: 1000 })
    const [hello] = session.handle({ type: 'start' }, 0)
    expect(hello?.type).toBe('send')
    return { session, replica }
  }
  const send = (
    session: SyncSession, message: SyncMessage, now = 0
  ): SessionEffect[] => session.handle({ type: 'frame', frame: encodeSync(message) }, now)
  const reason = (effects: SessionEffect[]): string | undefined => effects.find(effect => effect.type === 'end')?.reason

  it('ends after a silence, but not while its own stack is at work', () => {
    const { session } = pulling()
    expect(session.handle({ type: 'tick' }, 999)).toEqual([])
    expect(reason(session.handle({ type: 'tick' }, 1000))).toBe('timeout')
    expect(session.handle({ type: 'tick' }, 9000)).toEqual([])
    const busy = pulling()
    const feed = feedOf('a', 'a', [1])
    send(busy.session, { type: 'buckets', packed: new Uint8Array(4096).fill(1) })
    send(busy.session, {
      type: 'vectors', vectors: [{ key: keyOf('a'), name: 'a', vector: headsOf(feed) }], more: false,
    })
    expect(send(busy.session, { type: 'batches', key: keyOf('a'), answers: [feed.batches] })[0]?.type).toBe('apply')
    expect(busy.session.handle({ type: 'tick' }, 100_000)).toEqual([])
  })

  it.each<[string, SyncMessage]>([
    ['a question before the vectors', { type: 'want', key: keyOf('a'), wants: [] }],
    ['batches that nobody asked for', { type: 'batches', key: keyOf('a'), answers: [feedOf('a', 'a', [1]).batches] }],
    ['a root that differs', { type: 'root', root: new Uint8Array(32) }],
    ['done before it began', { type: 'done', held: [], more: false }],
    [
      'stacks to the side that opened',
      { type: 'stacks', differing: new Uint8Array(32), stacks: [], more: false, traceparent: null },
    ],
  ])('ends with malformed on %s', (_what, message) => {
    expect(reason(send(pulling().session, message))).toBe('malformed')
  })

  it('takes no batch of another feed than it asked for', () => {
    const { session } = pulling()
    const feed = feedOf('a', 'a', [1])
    send(session, { type: 'buckets', packed: new Uint8Array(4096).fill(1) })
    send(session, { type: 'vectors', vectors: [{ key: keyOf('a'), name: 'a', vector: headsOf(feed) }], more: false })
    expect(
      reason(send(session, { type: 'batches', key: keyOf('a'), answers: [feedOf('b', 'a', [1]).batches] }))
    ).toBe('malformed')
  })

  it('a name that is not the key\'s ends it', () => {
    const session = new SyncSession({ replica: new MapReplica(), crypto })
    send(session, { type: 'root', root: new Uint8Array(32) })
    const frame = encode([2, new Uint8Array(32).fill(255), [[keyOf('a'), 'b', new Uint8Array(32)]], false])
    expect(reason(session.handle({ type: 'frame', frame }, 0))).toBe('malformed')
  })

  it('random, truncated and altered frames end it with malformed, or change nothing but the course of a valid exchange', () => {
    const script = (): Uint8Array[] => {
      const r = new MapReplica().put('a', feedOf('a', 'a', [5, 5])).put('b', feedOf('b', 'b', [5]))
      return exchange(
        new MapReplica().put('c', feedOf('c', 'c', [5])), r
      ).sent.filter(({ from }) => from === 'R').map(({ frame }) => frame)
    }
    const frames = script()
    fc.assert(fc.property(fc.nat(frames.length - 1), fc.nat(), fc.integer({ min: 0, max: 255 }), fc.boolean(), (at, place, byte, cut) => {
      const replica = new MapReplica().put('c', feedOf('c', 'c', [5]))
      const session = new SyncSession({ replica, crypto })
      const effects = session.handle({ type: 'start' }, 0)
      for (const [n, frame] of frames.entries()) {
        const altered = cut ? frame.slice(0, place % frame.length) : frame.slice()
        if (!cut) altered[place % frame.length] = byte
        for (const effect of session.handle({ type: 'frame', frame: n === at ? altered : frame }, 0)) {
          effects.push(effect)
          if (effect.type === 'apply') effects.push(...session.handle({ type: 'applied' }, 0))
        }
      }
      for (const effect of effects) if (effect.type === 'end') expect(['done', 'malformed']).toContain(effect.reason)
      expect(effects.filter(effect => effect.type === 'end').length).toBeLessThanOrEqual(1)
    }), { numRuns: 300 })
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), frame => {
      const session = new SyncSession({ replica: new MapReplica(), crypto })
      const effects = session.handle({ type: 'frame', frame }, 0)
      expect(
        effects.every(effect => effect.type === 'end' ? effect.reason === 'malformed' : effect.type === 'send')
      ).toBe(true)
    }), { numRuns: 300 })
    expect(
      reason(
        new SyncSession({ replica: new MapReplica(), crypto }).handle(
          { type: 'frame', frame: new Uint8Array(LIMITS.frameBytesMax + 1) }, 0
        )
      )
    ).toBe('malformed')
  })

  it('the crypto of these tests does refuse a wrong signature', () => {
    const signer = signerOf('a')
    expect(crypto.verify(signer.publicKey, signer.sign(Uint8Array.of(1)), Uint8Array.of(1))).toBe(true)
    expect(crypto.verify(signer.publicKey, signer.sign(Uint8Array.of(1)), Uint8Array.of(2))).toBe(false)
  })
})
