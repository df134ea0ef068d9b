/** What a hostile device might sign: the accept rule gives one verdict in every order, and never throws but for the sender's fault. */
import { compareFeeds, decodeRecord, deviceId, feedId, LIMITS, MalformedError, utf8, type Batch, type EntryId, type FeedId, type Value } from '@elder-node/protocol'
import { describe, expect, it } from 'vitest'
import * as Y from 'yjs'
import type { Entry, Received, Stack } from '../src/index.ts'
import { baseClientId, clientIdOf } from '../src/client-id.ts'
import { Refusal } from '../src/refusal.ts'
import { scanText } from '../src/scanner.ts'
import { seededRandom } from '../../../test/simulator/world.ts'
import { converge, createDevice, createSigner, crypto, RawFeed, random, STACK } from './support.ts'

function hostile (incarnation: Uint8Array = random(8), seed?: Uint8Array): RawFeed {
  const signer = createSigner(seed)
  return new RawFeed(feedId(deviceId(signer.publicKey), incarnation), signer)
}

/** A dep on everything the stack holds: the hostile device has seen it all. */
const seen = (stack: Stack): Array<{ feed: FeedId, seq: number, hash: Uint8Array }> =>
  [...stack.vector()].sort(([a], [b]) => compareFeeds(a, b)).map(([feed, head]) => ({ feed, ...head }))

async function withVictim (body = 'one two three\n'): Promise<{ stack: Stack, entry: Entry }> {
  const stack = await createDevice().open()
  const { id } = await stack.add({ kind: 'note', title: 't', body: 'first\n' })
  return { stack, entry: await stack.edit(id, { body }) }
}

/** Sends one hostile text update and expects it to close its feed without a trace. */
async function refused (update: Uint8Array): Promise<Received> {
  const { stack, entry } = await withVictim()
  const before = stack.digest().digest
  const result = await stack.receive(hostile().write({ kind: 'text', deps: seen(stack), body: { id: entry.id, session: 0, format: 1, update } }))
  expect(result.accepted).toBe(0)
  expect(result.closed?.seq).toBe(1)
  expect(stack.digest().digest).toBe(before)
  await stack.edit(entry.id, { body: 'still writable\n' })
  expect(stack.entry(entry.id)?.body).toBe('still writable\n')
  await stack.close()
  return result
}

const varint = (value: number): number[] => value < 128 ? [value] : [value % 128 + 128, ...varint(Math.floor(value / 128))]

describe('poison', () => {
  it('refuses the 10-byte censor: a GC struct under the client of another', async () => {
    const update = Uint8Array.from([1, 1, ...varint(77), 0, 0, ...varint(1_000_000), 0, 0].slice(0, 10))
    expect((await refused(update)).closed?.why).toMatch(/other than text|exceeds/)
  })

  it('refuses the 11-byte wipe: a delete of everything there ever will be', async () => {
    const update = Uint8Array.from([0, 1, 5, 1, 0, ...varint(2 ** 40)])
    expect(update.length).toBe(11)
    expect((await refused(update)).closed?.why).toBe('text deletes something its author had not seen')
  })

  it('refuses zero lengths, skips, formats, embeds, other roots, trailing bytes, nothing', async () => {
    const block = (...struct: number[]): Uint8Array => Uint8Array.from([1, 1, 9, 0, ...struct, 0])
    const root = [1, 4, ...utf8('body')]
    const cases: Array<[Uint8Array, RegExp]> = [
      [block(4, ...root, 0), /empty item/],
      [block(0, 0), /other than text/],
      [block(10, 5), /other than text/],
      [block(6, ...root, 1, 98, 1, 49), /other than text/],
      [block(5, ...root, 1, 49), /other than text/],
      [block(0x24, ...root, 1, 97), /other than text/],
      [block(4, 1, 4, ...utf8('meta'), 1, 97), /another root/],
      [block(4, 0, 9, 0, 1, 97), /another root/],
      [block(4, ...root, 2, 0xc3, 0x28), /UTF-8/],
      [Uint8Array.from([...block(4, ...root, 1, 97), 0]), /trailing/],
      [Uint8Array.from([0, 0]), /empty/],
      [Uint8Array.from([0, 1, 0x85, 0, 1, 0, 1]), /minimal/],
      [Uint8Array.from([0, 1, 5, 0]), /empty/],
      [Uint8Array.from([0, 2, 5, 1, 0, 1, 6, 1, 0, 1]), /descend/],
      [Uint8Array.from([0, 1, 5, 2, 4, 2, 5, 1]), /overlap/],
    ]
    for (const [update, why] of cases) expect(() => scanText(update)).toThrow(why)
    for (const [update] of cases) await refused(update)
  })

  it('refuses text under the client of another feed', async () => {
    const { stack, entry } = await withVictim()
    const [victim] = [...stack.vector().keys()] as [FeedId]
    const doc = new Y.Doc({ gc: false })
    doc.clientID = clientIdOf(STACK, victim, entry.id, 0, crypto)
    doc.getText('body').insert(0, 'mine')
    const result = await stack.receive(hostile().write({ kind: 'text', deps: seen(stack), body: { id: entry.id, session: 0, format: 1, update: Y.encodeStateAsUpdate(doc) } }))
    expect(result.closed?.why).toBe('text is written under the client of another session')
    await stack.close()
  })
})

describe('field records', () => {
  const refusedRecord = async (kind: string, body: (entry: Entry) => Value, deps = true): Promise<string | undefined> => {
    const { stack, entry } = await withVictim()
    const result = await stack.receive(hostile().write({ kind, deps: deps ? seen(stack) : [], body: body(entry) }))
    await stack.close()
    return result.closed?.why
  }

  it('are refused by shape, by an id that is not derived, and by what their author had not seen', async () => {
    expect(await refusedRecord('set', entry => ({ id: entry.id, field: 'title' }))).toMatch(/is a map of/)
    expect(await refusedRecord('set', entry => ({ id: entry.id, field: 'kind', value: 'x' }))).toMatch(/cannot be set|not a field/)
    expect(await refusedRecord('set', entry => ({ id: entry.id, field: 'removed', value: true }))).toMatch(/not a field/)
    expect(await refusedRecord('remove', entry => ({ id: entry.id, extra: 1 }))).toMatch(/is a map of/)
    expect(await refusedRecord('new', entry => ({ id: entry.id, kind: 'note', fields: {}, body: 'stolen', v: 1 }))).toMatch(/not derived/)
    expect(await refusedRecord('set', entry => ({ id: entry.id, field: 'title', value: 'x' }), false)).toMatch(/had not seen/)
  })

  it('keep unknown kinds, kinds of entry and fields', async () => {
    const { stack, entry } = await withVictim()
    const feed = hostile()
    await stack.receive(feed.write({ kind: 'grant', deps: seen(stack), body: { anything: [1, null] } }))
    const result = await stack.receive(feed.write({ kind: 'set', body: { id: entry.id, field: 'priority', value: { p: 1 } } }))
    expect(result.accepted).toBe(1)
    await stack.receive(feed.write({ kind: 'set', body: { id: entry.id, field: '__proto__', value: 1 } }))
    expect(stack.entry(entry.id)?.extra['priority']).toEqual({ p: 1 })
    expect(Object.keys(stack.entry(entry.id)?.extra ?? {})).toContain('__proto__')
    await stack.close()
  })

  it('of an odd type are the reader\'s business', async () => {
    const { stack, entry } = await withVictim()
    await stack.receive(hostile().write({ kind: 'set', deps: seen(stack), body: { id: entry.id, field: 'title', value: [1, 2] } }))
    expect(stack.entry(entry.id)?.title).toBe('[1,2]')
    await stack.close()
  })
})

describe('the sender\'s fault', () => {
  it('is a broken chain, signature or bound: thrown, and the feed stays open', async () => {
    const stack = await createDevice().open()
    const feed = hostile()
    const good = feed.write({ kind: 'note', body: 1 })
    const other = hostile().write({ kind: 'note', body: 2 })
    for (const bad of [
      { ...good, head: { ...good.head, signature: new Uint8Array(64) } },
      { ...good, records: other.records },
      { ...good, feed: other.feed },
      { ...good, records: [] },
      { ...good, records: Array.from({ length: 300 }, () => good.records[0] as Uint8Array) },
    ] as Batch[]) await expect(stack.receive(bad)).rejects.toThrow(MalformedError)
    expect((await stack.receive(good)).accepted).toBe(1)
    await stack.close()
  })

  it('leaves nothing behind: invented feeds that do not verify take no place from real ones', async () => {
    const stack = await createDevice().open()
    const liar = hostile()
    for (let i = 0; i < LIMITS.feedsPerStackMax; i++) {
      const invented = new RawFeed(feedId(deviceId(liar.signer.publicKey), new Uint8Array(8).with(0, i >> 8).with(1, i & 255)), liar.signer)
      const batch = { feed: invented.feed, from: 1, records: [Uint8Array.of(0)], head: { seq: 1, hash: new Uint8Array(32), signature: new Uint8Array(64) } }
      await expect(stack.receive(batch)).rejects.toBeInstanceOf(MalformedError)
    }
    expect((await stack.receive(hostile().write({ kind: 'later', body: {} }))).refused).toBeUndefined()
    await stack.close()
  })

  it('is a nesting beyond the bound, on every device alike', async () => {
    const stack = await createDevice().open()
    const nested = (levels: number): Value => levels === 0 ? null : [nested(levels - 1)]
    const feed = hostile()
    expect((await stack.receive(feed.write({ kind: 'later', body: nested(LIMITS.nestingMax - 1) }))).accepted).toBe(1)
    await expect(stack.receive(feed.write({ kind: 'later', body: nested(LIMITS.nestingMax) }))).rejects.toBeInstanceOf(MalformedError)
    await stack.close()
  })

  it('is not a device that may not write: refused, and said', async () => {
    const stack = await createDevice().open({ mayWrite: () => false })
    expect(await stack.receive(hostile().write({ kind: 'note', body: 1 }))).toMatchObject({ accepted: 0, refused: 1 })
    await stack.close()
  })
})

describe('waiting', () => {
  it('records wait for their deps, say which, and are accepted when those come', async () => {
    const [a, b, c] = [await createDevice().open(), await createDevice().open(), await createDevice().open()]
    const { id } = await a.add({ kind: 'note', title: 't' })
    await converge([a, b])
    await b.edit(id, { title: 'u' })
    const [feedA, feedB] = [[...a.vector().keys()][0] as FeedId, [...b.vector().keys()].find(feed => !a.vector().has(feed)) as FeedId]
    const [batch] = b.batches({ feed: feedB, from: 1, to: 1 }) as [Batch]
    expect(await c.receive(batch)).toMatchObject({ accepted: 0, waiting: 1, missing: [{ feed: feedA, from: 1, to: 1 }] })
    expect(c.vector().size).toBe(0)
    const [dep] = a.batches({ feed: feedA, from: 1, to: 1 }) as [Batch]
    expect(await c.receive(dep)).toMatchObject({ accepted: 2, missing: [] })
    expect(c.digest()).toEqual(b.digest())
    for (const stack of [a, b, c]) await stack.close()
  })

  it('asks for what is missing before a batch', async () => {
    const [a, b] = [await createDevice().open(), await createDevice().open()]
    await a.add({ kind: 'note', title: '1' })
    await a.add({ kind: 'note', title: '2' })
    const [feed] = [...a.vector().keys()] as [FeedId]
    const [second] = a.batches({ feed, from: 2, to: 2 }) as [Batch]
    expect(await b.receive(second)).toMatchObject({ accepted: 0, missing: [{ feed, from: 1, to: 2 }] })
    for (const stack of [a, b]) await stack.close()
  })
})

// A longer run: FUZZ_SEED=1 FUZZ_ROUNDS=1000
const SEED = Number(process.env['FUZZ_SEED'] ?? 20261121)
const ROUNDS = Number(process.env['FUZZ_ROUNDS'] ?? 40)

describe('mutants', () => {
  it('of valid updates get one verdict in five orders, and honest records are never refused', async () => {
    const next = seededRandom(SEED)
    const pick = (n: number): number => Math.floor(next() * n)
    let judged = 0
    let accepted = 0
    for (let round = 0; round < ROUNDS; round++) {
      const honest = [await createDevice(1).open(), await createDevice(2).open()] as [Stack, Stack]
      const { id } = await honest[0].add({ kind: 'note', title: 't', body: 'the quick brown fox\njumps over 😀\n' })
      await converge(honest)
      for (let i = 0; i < 4; i++) {
        const stack = honest[pick(2)] as Stack
        const text = stack.entry(id)?.body ?? ''
        const at = pick(text.length + 1)
        const body = (text.slice(0, at) + 'abcdefgh'.slice(0, pick(8)) + text.slice(Math.min(text.length, at + pick(6)))).toWellFormed()
        await stack.edit(id, { body })
        if (pick(2) === 0) await converge(honest, 1)
      }
      // Hostile writers see one side or both, then sign mutants of a valid next update.
      const batches: Batch[] = []
      for (let writer = 0; writer < 6; writer++) {
        const view = honest[pick(2)] as Stack
        const feed = hostile(Uint8Array.from({ length: 8 }, () => pick(256)), new Uint8Array(32).fill(100 + writer))
        let first = true
        // A third of them name less than they saw: their references are then beyond their causal past.
        const named = seen(view).filter(() => writer % 3 > 0 || pick(2) === 0)
        const client = clientIdOf(STACK, feed.feed, id, 0, crypto)
        let doc = docOf(view, id, client)
        for (let n = 0; n < 8; n++) {
          const before = Y.encodeStateAsUpdate(doc)
          const update = edited(doc, pick)
          const mutant = pick(3) > 0 ? update : pick(2) === 0 ? crafted(doc, client, pick) : mutate(update, pick)
          batches.push(feed.write({ kind: 'text', deps: first ? named : [], body: { id, session: 0, format: 1, update: mutant } }))
          first = false
          if (mutant !== update) doc = continued(before, mutant, client)
        }
      }
      for (const stack of honest) for (const feed of stack.vector().keys()) batches.push(...stack.batches({ feed, from: 1, to: 1000 }))
      const results: string[] = []
      for (let order = 0; order < 5; order++) {
        const device = createDevice(3)
        let reader = await device.open()
        for (const [i, batch] of interleaved(batches, pick).entries()) {
          await reader.receive(batch)
          if (order === 4 && i === 10) {
            await reader.close()
            reader = await device.open()
          }
        }
        for (const stack of honest) for (const [feed, head] of stack.vector()) expect(reader.vector().get(feed)?.seq).toBeGreaterThanOrEqual(head.seq)
        results.push(JSON.stringify([reader.digest(), reader.closedFeeds().sort((a, b) => a.feed < b.feed ? -1 : 1), reader.entry(id)?.body]))
        if (order === 0) {
          judged += batches.length
          accepted += [...reader.vector().values()].reduce((sum, head) => sum + head.seq, 0)
        }
        await reader.close()
        const again = await device.open()
        expect(again.digest()).toEqual(reader.digest())
        await again.close()
      }
      expect(new Set(results).size, `round ${round}`).toBe(1)
      for (const stack of honest) await stack.close()
    }
    expect(judged).toBeGreaterThan(40 * ROUNDS)
    expect(accepted).toBeGreaterThan(10 * ROUNDS)
    if (ROUNDS > 40) console.log({ judged, accepted })
  }, 60_000 + 500 * ROUNDS)

  it('of bytes never make the scanner throw anything but a refusal', () => {
    const next = seededRandom(7)
    const doc = new Y.Doc({ gc: false })
    doc.getText('body').insert(0, 'hello')
    doc.getText('body').delete(1, 2)
    const update = Y.encodeStateAsUpdate(doc)
    for (let i = 0; i < 20_000; i++) {
      try {
        scanText(mutate(update, n => Math.floor(next() * n)))
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
      }
    }
  })
})

/** The document a hostile device would have of the stack's entry: its birth and every text record of it. */
function docOf (stack: Stack, id: EntryId, client: number): Y.Doc {
  const doc = new Y.Doc({ gc: false })
  const records = [...stack.vector().keys()].flatMap(feed => stack.batches({ feed, from: 1, to: 1000 })).flatMap(batch => batch.records.map(decodeRecord))
  doc.clientID = baseClientId(STACK, id, crypto)
  for (const { kind, body } of records) if (kind === 'new') doc.getText('body').insert(0, (body as { body: string }).body)
  for (const { kind, body } of records) if (kind === 'text') Y.applyUpdate(doc, (body as { update: Uint8Array }).update)
  expect(doc.getText('body').toString()).toBe(stack.entry(id)?.body)
  doc.clientID = client
  return doc
}

function edited (doc: Y.Doc, pick: (n: number) => number): Uint8Array {
  let update: Uint8Array = new Uint8Array()
  doc.once('update', (bytes: Uint8Array) => { update = bytes })
  const text = doc.getText('body')
  doc.transact(() => {
    const at = pick(text.length + 1)
    if (pick(3) === 0 && text.length > at) text.delete(at, Math.min(text.length - at, 1 + pick(3)))
    text.insert(pick(text.length + 1), 'WXYZ'.slice(0, 1 + pick(4)))
  })
  return update
}

/** The hostile device's own document after it wrote `update`; the one before when that leaves it unusable. */
function continued (before: Uint8Array, update: Uint8Array, client: number): Y.Doc {
  const load = (...updates: Uint8Array[]): Y.Doc => {
    const doc = new Y.Doc({ gc: false })
    doc.clientID = 0
    for (const bytes of updates) Y.applyUpdate(doc, bytes)
    doc.clientID = client
    return doc
  }
  try {
    const doc = load(before, update)
    return doc.store.pendingStructs === null && doc.store.pendingDs === null ? load(Y.encodeStateAsUpdate(doc)) : load(before)
  } catch {
    return load(before)
  }
}

/** A well-formed update of the right client and clock whose origins and deletes are any places of the document. */
function crafted (doc: Y.Doc, client: number, pick: (n: number) => number): Uint8Array {
  const clients = [...doc.store.clients].map(([id, structs]) => [id, structs.at(-1)] as const).flatMap(([id, last]) => last === undefined ? [] : [[id, last.id.clock + last.length] as const])
  const place = (): [number, number] => {
    const [id, end] = clients[pick(clients.length)] as readonly [number, number]
    return [id, pick(end)]
  }
  const own = clients.find(([id]) => id === client)?.[1] ?? 0
  // The document is ahead of the feed by the update that this one replaces.
  const clock = Math.max(0, own - (own > 0 ? pick(5) : 0))
  const structs = Array.from({ length: 1 + pick(2) }, () => {
    const [origin, right] = [pick(4) > 0 ? place() : undefined, pick(4) > 0 ? place() : undefined]
    const info = 4 | (origin === undefined ? 0 : 0x80) | (right === undefined ? 0 : 0x40)
    const root = origin === undefined && right === undefined ? [1, 4, ...utf8('body')] : []
    return [info, ...(origin ?? []).flatMap(varint), ...(right ?? []).flatMap(varint), ...root, 2, 72, 73]
  })
  const deletes = pick(2) === 0 ? [0] : ((): number[] => { const [id, at] = place(); return [1, ...varint(id), 1, ...varint(at), 1 + pick(3)] })()
  return Uint8Array.from([1, structs.length, ...varint(client), ...varint(clock), ...structs.flat(), ...deletes])
}

function mutate (update: Uint8Array, pick: (n: number) => number): Uint8Array {
  const bytes = [...update]
  for (let i = 1 + pick(2); i > 0; i--) {
    const at = pick(bytes.length)
    const kind = pick(4)
    if (kind === 0) bytes[at] = pick(256)
    else if (kind === 1) bytes[at] = ((bytes[at] ?? 0) + 255 + 2 * pick(2)) % 256
    else if (kind === 2) bytes.splice(at, 1)
    else bytes.splice(at, 0, pick(256))
  }
  return Uint8Array.from(bytes)
}

/** A random interleaving that keeps each feed's own order. */
function interleaved (batches: Batch[], pick: (n: number) => number): Batch[] {
  const queues = [...Map.groupBy(batches, batch => batch.feed).values()].map(queue => [...queue])
  const out: Batch[] = []
  while (out.length < batches.length) {
    const batch = queues[pick(queues.length)]?.shift()
    if (batch !== undefined) out.push(batch)
  }
  return out
}
