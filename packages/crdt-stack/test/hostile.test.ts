/** What a hostile device might sign: the rules give one verdict in every order, and never throw but for the sender's fault. */
import {
  deviceId, feedDevice, feedId, LIMITS, MalformedError, toHex, utf8, verifyBatch, type Batch, type ChainedRecord,
  type EntryId, type FeedId, type Value, type VectorEntry,
} from '@elder-node/protocol'
import { describe, expect, it } from 'vitest'
import * as Y from 'yjs'
import type { Entry, Stack } from '../src/index.ts'
import { baseClientId, clientIdOf } from '../src/client-id.ts'
import { renderEntry } from '../src/mirror/render.ts'
import { Refusal } from '../src/refusal.ts'
import { scanText } from '../src/scanner.ts'
import { seededRandom } from '../../../test/simulator/world.ts'
import { converge, createDevice, createSigner, crypto, exchange, pull, RawFeed, random, STACK } from './support.ts'

function hostile (incarnation: Uint8Array = random(8), seed?: Uint8Array): RawFeed {
  const signer = createSigner(seed)
  return new RawFeed(feedId(deviceId(signer.publicKey), incarnation), signer)
}

/** A dep on every bare head that the stack holds: the hostile device has seen it all. */
const seen = (stack: Stack): VectorEntry[] => {
  const bare = new Set(stack.bareHeads())
  return stack.vector().filter(({ hash }) => bare.has(toHex(hash)))
}

/** The name of the stack's one entry: the hash of its `new` record. */
function nameOf (stack: Stack): Uint8Array {
  const born = recordsOf(stack).find(record => record.kind === 'new')
  return born?.hash as Uint8Array
}

function recordsOf (stack: Stack): ChainedRecord[] {
  return stack.windows().flatMap(want => [...stack.path(want)]).flatMap(
    batch => verifyBatch(STACK, batch, crypto)
  ).sort((a, b) => a.at - b.at)
}

const SESSION = new Uint8Array(8).fill(5)
const textBody = (
  entry: Uint8Array, update: Uint8Array, session: Uint8Array = SESSION
): Value => ({ entry, session, format: 1, update })
const whyVoid = (stack: Stack): string | undefined => stack.unshown().find(({ state }) => state === 'void')?.why

async function withVictim (body = 'one two three\n'): Promise<{ stack: Stack, entry: Entry }> {
  const stack = await createDevice().open()
  const { id } = await stack.add({ kind: 'note', title: 't', body: 'first\n' })
  return { stack, entry: await stack.edit(id, { body }) }
}

/** Sends one hostile text update: taken, void, and without a trace in what is shown. @returns why */
async function refused (update: Uint8Array): Promise<string> {
  const { stack, entry } = await withVictim()
  const before = stack.digest().digest
  const feed = hostile()
  const result = await stack.receive(
    feed.write({ kind: 'text', deps: seen(stack), body: textBody(nameOf(stack), update) })
  )
  expect(result.accepted).toBe(1)
  expect(stack.digest().digest).toBe(before)
  const [void1] = stack.unshown()
  expect(stack.unshown()).toMatchObject([{ feed: feed.feed, seq: 1, state: 'void', device: feedDevice(feed.feed) }])
  await stack.edit(entry.id, { body: 'still writable\n' })
  expect(stack.entry(entry.id)?.body).toBe('still writable\n')
  await stack.close()
  return void1?.why as string
}

const varint = (value: number): number[] => value < 128 ? [value] : [
  value % 128 + 128, ...varint(Math.floor(value / 128)),
]

describe('poison', () => {
  it('refuses the 10-byte censor: a GC struct under the client of another', async () => {
    const update = Uint8Array.from([1, 1, ...varint(77), 0, 0, ...varint(1_000_000), 0, 0].slice(0, 10))
    expect(await refused(update)).toMatch(/other than text|exceeds/)
  })

  it('refuses the 11-byte wipe: a delete of everything there ever will be', async () => {
    const update = Uint8Array.from([0, 1, 5, 1, 0, ...varint(2 ** 40)])
    expect(update.length).toBe(11)
    expect(await refused(update)).toBe('text deletes something its author had not seen')
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
    for (const [update, why] of cases) expect(await refused(update)).toMatch(why)
  })

  it('refuses text under the client of another feed', async () => {
    const { stack, entry } = await withVictim()
    const victim = recordsOf(stack).find(record => record.kind === 'text') as ChainedRecord
    const { session } = victim.body as { session: Uint8Array }
    const name = toHex(nameOf(stack))
    for (const client of [clientIdOf(STACK, victim.feed, name, session, crypto), baseClientId(STACK, name, crypto)]) {
      const doc = new Y.Doc({ gc: false })
      doc.clientID = client
      doc.getText('body').insert(0, 'mine')
      await stack.receive(
        hostile().write({
          kind: 'text', deps: seen(stack), body: textBody(nameOf(stack), Y.encodeStateAsUpdate(doc), session),
        })
      )
      expect(whyVoid(stack)).toBe('text is written under the client of another session')
    }
    expect(stack.entry(entry.id)?.body).toBe(entry.body)
    await stack.close()
  })
})

describe('field records', () => {
  const refusedRecord = async (
    kind: string, body: (entry: Uint8Array) => Value, deps = true
  ): Promise<string | undefined> => {
    const { stack } = await withVictim()
    const before = stack.digest().digest
    await stack.receive(hostile().write({ kind, deps: deps ? seen(stack) : [], body: body(nameOf(stack)) }))
    expect(stack.digest().digest).toBe(before)
    const why = whyVoid(stack)
    await stack.close()
    return why
  }

  it('are void by shape, and by what their author had not seen', async () => {
    expect(await refusedRecord('set', entry => ({ entry, field: 'title' }))).toMatch(/is a map of/)
    expect(
      await refusedRecord('set', entry => ({ entry, field: 'kind', value: 'x' }))
    ).toMatch(/cannot be set|not a field/)
    expect(await refusedRecord('set', entry => ({ entry, field: 'removed', value: true }))).toMatch(/not a field/)
    expect(await refusedRecord('remove', entry => ({ entry, extra: 1 }))).toMatch(/is a map of/)
    expect(await refusedRecord('remove', entry => ({ entry: entry.subarray(1) }))).toMatch(/named by the hash/)
    expect(
      await refusedRecord('new', entry => ({ entry, kind: 'note', fields: {}, body: 'stolen', v: 1 }))
    ).toMatch(/is a map of/)
    expect(
      await refusedRecord('new', () => ({ kind: 'note', fields: { id: 'stolen' }, body: '', v: 1 }))
    ).toMatch(/not a field/)
    expect(await refusedRecord('set', entry => ({ entry, field: 'title', value: 'x' }), false)).toMatch(/had not seen/)
    expect(await refusedRecord('remove', () => ({ entry: random(32) }))).toMatch(/had not seen/)
  })

  it('keep unknown kinds, kinds of entry and fields', async () => {
    const { stack, entry } = await withVictim()
    const feed = hostile()
    const name = nameOf(stack)
    await stack.receive(feed.write({ kind: 'grant', deps: seen(stack), body: { anything: [1, null] } }))
    const result = await stack.receive(
      feed.write({ kind: 'set', body: { entry: name, field: 'priority', value: { p: 1 } } })
    )
    expect(result.accepted).toBe(1)
    await stack.receive(feed.write({ kind: 'set', body: { entry: name, field: '__proto__', value: 1 } }))
    expect(stack.entry(entry.id)?.extra['priority']).toEqual({ p: 1 })
    expect(Object.keys(stack.entry(entry.id)?.extra ?? {})).toContain('__proto__')
    expect(stack.unshown()).toEqual([])
    await stack.close()
  })

  it('of an odd type are the reader\'s business', async () => {
    const { stack, entry } = await withVictim()
    await stack.receive(
      hostile().write({ kind: 'set', deps: seen(stack), body: { entry: nameOf(stack), field: 'title', value: [1, 2] } })
    )
    expect(stack.entry(entry.id)?.title).toBe('[1,2]')
    await stack.close()
  })
})

describe('a dep', () => {
  it('with another place than its record has, or known before, makes the record void and nobody else\'s', async () => {
    const { stack } = await withVictim()
    const other = hostile()
    await stack.receive(other.write({ kind: 'see', body: {} }))
    const [head] = seen(stack) as [VectorEntry]
    for (
      const wrong of [
        [{ ...head, seq: head.seq + 1 }], [{ ...head, feed: feedId(deviceId(createSigner().publicKey), random(8)) }],
      ]
    ) {
      const feed = hostile()
      await stack.receive(feed.write({ kind: 'see', deps: wrong, body: {} }))
      expect(stack.unshown().find(record => record.feed === feed.feed)?.why).toBe('a dep is not the record it says')
    }
    const twice = hostile()
    await stack.receive([
      twice.write({ kind: 'see', deps: [head], body: {} }), twice.write({ kind: 'see', deps: [head], body: {} }),
    ])
    expect(
      stack.unshown().find(record => record.feed === twice.feed)
    ).toMatchObject({ seq: 2, why: 'a dep was known before' })
    const { id } = await stack.add({ kind: 'note', title: 'above them all' })
    expect(stack.entry(id)?.title).toBe('above them all')
    await stack.close()
  })

  it('on the own feed, or out of order, is the sender\'s fault', async () => {
    const stack = await createDevice().open()
    const feed = hostile()
    await stack.receive(feed.write({ kind: 'see', body: {} }))
    const own = feed.write({ kind: 'see', deps: [{ feed: feed.feed, seq: 1, hash: feed.hash(1) }], body: {} })
    await expect(stack.receive(own)).rejects.toThrow(MalformedError)
    await stack.close()
  })
})

describe('the sender\'s fault', () => {
  it('is a broken chain, signature or bound: thrown, and the feed goes on', async () => {
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
    for (let i = 0; i < 300; i++) {
      const invented = new RawFeed(
        feedId(deviceId(liar.signer.publicKey), new Uint8Array(8).with(0, i >> 8).with(1, i & 255)), liar.signer
      )
      const batch = {
        feed: invented.feed, from: 1, records: [Uint8Array.of(0)],
        head: { seq: 1, hash: new Uint8Array(32), signature: new Uint8Array(64) },
      }
      await expect(stack.receive(batch)).rejects.toBeInstanceOf(MalformedError)
    }
    expect(stack.isEmpty).toBe(true)
    expect(await stack.receive(hostile().write({ kind: 'later', body: {} }))).toMatchObject({ accepted: 1, refused: 0 })
    await stack.close()
  })

  it('is a first record that does not follow the one it names, wherever that stands', async () => {
    const stack = await createDevice().open()
    const [one, other] = [hostile(), hostile()]
    await stack.receive([one.write({ kind: 'see', body: {} }), other.write({ kind: 'see', body: {} })])
    await expect(
      stack.receive(one.write({ kind: 'see', prev: other.hash(1), body: {} }))
    ).rejects.toThrow('does not follow')
    await expect(
      stack.receive(hostile().write({ kind: 'see', prev: other.hash(0), body: {} }))
    ).rejects.toThrow('chain is broken')
    await stack.close()
  })

  it('is a nesting beyond the bound, on every device alike', async () => {
    const stack = await createDevice().open()
    const nested = (levels: number): Value => levels === 0 ? null : [nested(levels - 1)]
    const feed = hostile()
    expect((await stack.receive(feed.write({ kind: 'later', body: nested(LIMITS.nestingMax - 1) }))).accepted).toBe(1)
    await expect(
      stack.receive(feed.write({ kind: 'later', body: nested(LIMITS.nestingMax) }))
    ).rejects.toBeInstanceOf(MalformedError)
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
    const [feedA, feedB] = [a, b].map((stack, i) => recordsOf(stack)[i]?.feed) as [FeedId, FeedId]
    const [headA, headB] = [feedA, feedB].map(
      feed => b.vector().find(head => head.feed === feed)
    ) as [VectorEntry, VectorEntry]
    const [batch] = [...b.path({ ...headB, from: 1, to: 1 })] as [Batch]
    expect(await c.receive(batch)).toMatchObject({ accepted: 0, waiting: 1, missing: [headA] })
    expect(c.vector()).toEqual([])
    expect(c.holds(headB.hash)).toBe(true)
    const [dep] = [...a.path({ ...headA, from: 1, to: 1 })] as [Batch]
    expect(await c.receive(dep)).toMatchObject({ accepted: 2, missing: [] })
    expect(c.digest()).toEqual(b.digest())
    for (const stack of [a, b, c]) await stack.close()
  })

  it('are not kept waiting by a lie about where the missing record stands, nor by a thousand that nobody has', async () => {
    const [a, b, c] = [await createDevice().open(), await createDevice().open(), await createDevice().open()]
    await a.add({ kind: 'note', title: 'wanted' })
    const [wanted] = a.vector() as [VectorEntry]
    await pull(b, a)
    await b.add({ kind: 'note', title: 'waits for it' })
    const liar = hostile()
    for (const lie of [{ ...wanted, seq: 7 }, { ...wanted, feed: liar.feed.replace(/.$/, 'f') as FeedId }]) {
      const raw = hostile()
      await c.receive(raw.write({ kind: 'see', deps: [lie], body: {} }))
    }
    for (let i = 0; i < 1000; i++) liar.write({ kind: 'see', deps: [{ ...wanted, hash: random(32) }], body: {} })
    for (let from = 1; from <= 1000; from += 256) await c.receive(liar.batch(from, Math.min(1000, from + 255)))
    const [head] = b.vector().filter(({ feed }) => feed !== wanted.feed) as [VectorEntry]
    await c.receive([...b.path({ ...head, from: 1, to: head.seq })])
    expect(c.missing().map(({ hash }) => toHex(hash))).toContain(toHex(wanted.hash))
    await exchange(c, b)
    expect(c.entries().map(({ title }) => title)).toEqual(['wanted', 'waits for it'])
    for (const stack of [a, b, c]) await stack.close()
  })

  it('asks for what is missing before a batch, and keeps the batch through a restart', async () => {
    const [a, device] = [await createDevice().open(), createDevice()]
    const b = await device.open()
    await a.add({ kind: 'note', title: '1' })
    await a.add({ kind: 'note', title: '2' })
    const [head] = a.vector() as [VectorEntry]
    const [second] = [...a.path({ ...head, from: 2, to: 2 })] as [Batch]
    expect(await b.receive(second)).toMatchObject({ accepted: 0, missing: [{ feed: head.feed, seq: 1 }] })
    await b.close()
    const again = await device.open()
    expect(again.missing()).toMatchObject([{ feed: head.feed, seq: 1 }])
    await again.receive([...a.path({ ...head, from: 1, to: 2 })].slice(0, 1))
    expect(again.digest()).toEqual(a.digest())
    for (const stack of [a, again]) await stack.close()
  })
})

// A longer run: FUZZ_SEED=1 FUZZ_ROUNDS=1000
const SEED = Number(process.env['FUZZ_SEED'] ?? 20261121)
const ROUNDS = Number(process.env['FUZZ_ROUNDS'] ?? 8)

describe('mutants', () => {
  it('of valid updates, in feeds that fork, get one verdict in five orders, and honest records are never refused', async () => {
    const next = seededRandom(SEED)
    const pick = (n: number): number => Math.floor(next() * n)
    const counts = { judged: 0, void: 0, skipped: 0, conflicts: 0, slowestMs: 0 }
    for (let round = 0; round < ROUNDS; round++) {
      const honest = [await createDevice(1).open(), await createDevice(2).open()] as [Stack, Stack]
      const { id } = await honest[0].add({ kind: 'note', title: 't', body: 'the quick brown fox\njumps over 😀\n' })
      await converge(honest)
      for (let i = 0; i < 4; i++) {
        const stack = honest[pick(2)] as Stack
        const text = stack.entry(id)?.body ?? ''
        const at = pick(text.length + 1)
        const body = (
          text.slice(0, at) + 'abcdefgh'.slice(0, pick(8)) + text.slice(Math.min(text.length, at + pick(6)))
        ).toWellFormed()
        await stack.edit(id, { body }, {}, { overwrite: true })
        if (pick(2) === 0) await converge(honest, 1)
      }
      // Hostile writers see one side or both, then sign mutants of a valid next update, on strands that leave each other.
      const name = nameOf(honest[0])
      const batches: Batch[] = []
      for (let writer = 0; writer < 6; writer++) {
        const view = honest[pick(2)] as Stack
        const feed = hostile(Uint8Array.from({ length: 8 }, () => pick(256)), new Uint8Array(32).fill(100 + writer))
        // A third of them name less than they saw: their references are then beyond their causal past.
        const named = seen(view).filter(() => writer % 3 > 0 || pick(2) === 0)
        const client = clientIdOf(STACK, feed.feed, toHex(name), SESSION, crypto)
        const strands = [{ feed, doc: docOf(view, toHex(name), id, client) }]
        for (let n = 0; n < 8; n++) {
          const strand = strands[pick(strands.length)] as typeof strands[0]
          const before = Y.encodeStateAsUpdate(strand.doc)
          if (pick(4) === 0) strands.push({
            feed: strand.feed.fork(), doc: continued(before, Uint8Array.of(0, 0), client),
          })
          const update = edited(strand.doc, pick)
          const mutant = pick(3) > 0 ? update : pick(2) === 0 ? crafted(strand.doc, client, pick) : mutate(update, pick)
          batches.push(
            strand.feed.write({ kind: 'text', deps: strand.feed.seq === 0 ? named : [], body: textBody(name, mutant) })
          )
          if (mutant !== update) strand.doc = continued(before, mutant, client)
        }
      }
      const written = honest.flatMap(recordsOf).map(({ hash }) => hash)
      for (const stack of honest) batches.push(...stack.windows().flatMap(want => [...stack.path(want)]))
      const results: string[] = []
      for (let order = 0; order < 5; order++) {
        const device = createDevice(3)
        let reader = await device.open({ readonly: true })
        for (const [i, batch] of interleaved(batches, pick).entries()) {
          const started = process.threadCpuUsage()
          await reader.receive(batch)
          counts.slowestMs = Math.max(counts.slowestMs, process.threadCpuUsage(started).user / 1000)
          if (order === 4 && i === 10) {
            await reader.close()
            reader = await device.open({ readonly: true })
          }
        }
        expect(reader.missing()).toEqual([])
        for (const hash of written) expect(reader.holds(hash)).toBe(true)
        const faults = reader.unshown()
        const authors = new Set(honest.flatMap(recordsOf).map(record => feedDevice(record.feed)))
        expect(
          faults.filter(
            ({ feed, device: blamed }) => authors.has(feedDevice(feed)) || (blamed !== undefined && authors.has(blamed))
          )
        ).toEqual([])
        results.push(JSON.stringify([reader.digest(), faults, reader.entry(id)?.body]))
        if (order === 0) {
          counts.judged += batches.length
          for (const { state } of faults) counts[state]++
          if (faults.some(({ why }) => why === 'its session was continued twice')) counts.conflicts++
        }
        await reader.close()
        const again = await device.open({ readonly: true })
        expect(again.digest()).toEqual(reader.digest())
        expect(again.unshown()).toEqual(faults)
        await again.close()
      }
      expect(new Set(results).size, `seed ${SEED} round ${round}`).toBe(1)
      for (const stack of honest) await stack.close()
    }
    expect(counts.judged).toBeGreaterThan(40 * ROUNDS)
    expect(counts.judged - counts.void - counts.skipped).toBeGreaterThan(10 * ROUNDS)
    expect(counts.conflicts).toBeGreaterThan(ROUNDS / 2)
    expect(counts.slowestMs).toBeLessThan(200)
    if (ROUNDS > 40) console.log(counts)
  }, 60_000 + 800 * ROUNDS)

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
function docOf (stack: Stack, name: string, id: EntryId, client: number): Y.Doc {
  const doc = new Y.Doc({ gc: false })
  const records = recordsOf(stack)
  doc.clientID = baseClientId(STACK, name, crypto)
  for (const { kind, body } of records) if (kind === 'new') doc.getText('body').insert(
    0, (body as { body: string }).body
  )
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
    return doc.store.pendingStructs === null && doc.store.pendingDs === null ? load(
      Y.encodeStateAsUpdate(doc)
    ) : load(before)
  } catch {
    return load(before)
  }
}

/** A well-formed update of the right client and clock whose origins and deletes are any places of the document. */
function crafted (doc: Y.Doc, client: number, pick: (n: number) => number): Uint8Array {
  const clients = [...doc.store.clients].map(([id, structs]) => [id, structs.at(-1)] as const).flatMap(
    ([id, last]) => last === undefined ? [] : [[id, last.id.clock + last.length] as const]
  )
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
  const deletes = pick(2) === 0 ? [0] : ((): number[] => {
    const [id, at] = place()
    return [1, ...varint(id), 1, ...varint(at), 1 + pick(3)]
  })()
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

describe('an entry with values without end', () => {
  const show = (stack: Stack): { shown: Entry, size: number } => {
    const [shown] = stack.entries() as [Entry]
    return { shown, size: JSON.stringify(shown).length + renderEntry(shown, crypto).length }
  }

  it.each([['many fields', 2000, 1], ['large fields', 30, 200_000]])('is listed within bounds, with what is left out counted: %s', async (_what, count, chars) => {
    const [stack, feed] = [await createDevice().open(), hostile()]
    await stack.add({ kind: 'note', title: 't' })
    const [entry, deps] = [nameOf(stack), seen(stack)]
    for (let n = 0; n < count; n++) await stack.receive(feed.write({ kind: 'set', ...(n === 0 ? { deps } : {}), body: { entry, field: `f${n}`, value: 'x'.repeat(chars) } }))
    const { shown, size } = show(stack)
    const kept = Object.keys(shown.extra).length
    expect(kept).toBe(chars === 1 ? 64 : 1)
    expect(shown.omitted).toBe(count - kept)
    expect(size).toBeLessThan(3 * LIMITS.recordBytesMax)
    expect(Buffer.from(renderEntry(shown, crypto)).toString()).toContain(`omitted: ${count - kept}\n`)
    expect(stack.documents()[0]).toMatchObject({ omitted: shown.omitted })
  })

  it('shows the rivals of what people read before those of fields that others made up', async () => {
    const stack = await createDevice().open()
    await stack.add({ kind: 'note', title: 't' })
    const [entry, deps] = [nameOf(stack), seen(stack)]
    for (let n = 0; n < 100; n++) {
      const feed = hostile()
      await stack.receive(feed.write({ kind: 'set', deps, body: { entry, field: 'aaa', value: n } }))
      if (n < 3) await stack.receive(feed.write({ kind: 'set', body: { entry, field: 'title', value: `${n}` } }))
    }
    const { shown } = show(stack)
    expect(shown.rivals['title']).toHaveLength(2)
    expect(shown.rivals['aaa']).toHaveLength(62)
    expect(shown.omitted).toBe(37)
  })

  it('says nothing of what is left out where nothing is', async () => {
    const stack = await createDevice().open()
    await stack.add({ kind: 'note', title: 't' })
    expect(stack.entries()[0]).not.toHaveProperty('omitted')
  })
})
