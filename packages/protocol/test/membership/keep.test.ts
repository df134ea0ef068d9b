import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keptOf, LIMITS, MembershipGraph, resolveRoster, type MemberContent, type MemberRecord } from '../../src/index.ts'
import { MeshBook, idOf } from '../support/mesh-book.ts'

const kept = (book: MeshBook, records: readonly MemberRecord[] = book.records): MemberRecord[] => [...keptOf(new MembershipGraph(records, book.mesh)).records]

/** Unsigned stand-ins: what is kept does not depend on bytes, and thousands of signatures would only measure OpenSSL. */
function standIn (like: MemberRecord, n: number, content: MemberContent, over: Partial<MemberRecord> = {}): MemberRecord {
  return { ...like, hash: n.toString(16).padStart(64, '0'), seq: n + 1, content, ...over }
}

const device = (n: number): MemberRecord['issuer'] => `${idOf(1).slice(0, -6)}${n.toString(32).padStart(6, 'z')}` as MemberRecord['issuer']
const admits = (n: number): MemberContent => ({ type: 'member', subject: device(n), role: 'admin', name: 'd', wire: 1, via: null })

/** An admin that the founder evicted, and the record that had made it one. */
function evicted (): { book: MeshBook, grant: MemberRecord, honest: MemberRecord } {
  const book = new MeshBook()
  const grant = book.admit(0, 1, 'admin', 'rogue')
  const honest = book.admit(1, 2, 'builder', 'honest')
  book.revoke(0, 1)
  return { book, grant, honest }
}

describe('an admin that was evicted', () => {
  test('makes removals at leisure: as many subjects as the bound are kept, the same in every order and however they arrive', () => {
    const { book, honest } = evicted()
    for (let n = 0; n < 20; n++) book.admit(0, 10 + n, 'builder', 'd')
    const forged = Array.from({ length: 20 }, (_, n) => book.revoke(1, 10 + n, { prev: [honest.hash] }))
    const expected = kept(book)
    expect(book.roster(expected).members.size).toBe(2 + 20 - LIMITS.unseenRemovalsMax)
    expect(expected.filter(record => forged.includes(record))).toHaveLength(LIMITS.unseenRemovalsMax)
    fc.assert(fc.property(fc.infiniteStream(fc.nat()), fc.integer({ min: 1, max: 7 }), (order, size) => {
      const shuffled = book.records.map(record => ({ record, key: order.next().value as number })).sort((a, b) => a.key - b.key).map(({ record }) => record)
      // The evictor's records are there; the others come in pieces.
      let held = kept(book, book.records.filter(record => !forged.includes(record)))
      for (let at = 0; at < shuffled.length; at += size) held = kept(book, [...held, ...shuffled.slice(at, at + size)])
      expect(held).toEqual(expected)
    }), { numRuns: 50 })
  })

  test('cannot make a live admin one that is cut by more of them, and lose what that admin gave', () => {
    const { book, honest } = evicted()
    book.admit(0, 30, 'admin', 'second')
    for (let n = 0; n < 12; n++) book.admit(30, 40 + n, 'builder', 'd')
    for (let n = 0; n < 12; n++) book.revoke(1, 20 + n, { prev: [honest.hash] })
    const before = kept(book)
    book.revoke(1, 30, { prev: [honest.hash] })
    expect(kept(book).filter(({ content }) => content.type === 'member')).toEqual(before.filter(({ content }) => content.type === 'member'))
  })

  test('does not push out whom it admitted before by thousands that it makes up afterwards', () => {
    const { book, grant, honest } = evicted()
    const flood = Array.from({ length: 3000 }, (_, n) => standIn(honest, n, admits(n), { prev: [grant.hash], seq: 1 }))
    const held = kept(book, [...book.records, ...flood])
    expect(held).toContain(honest)
    expect(held.filter(({ issuer }) => issuer === idOf(1))).toHaveLength(LIMITS.recordsPerIssuerMax)
    expect(resolveRoster(held, book.mesh).members.size).toBe(2)
  })
})

test('one revoke of one issuer and subject, unless a later one adds a head or an undo', () => {
  const book = new MeshBook()
  book.admit(0, 1, 'builder', 'pi')
  const cut = (head: string): { stack: never, heads: string[] } => ({ stack: 'a'.repeat(26) as never, heads: [head.repeat(64)] })
  const first = book.revoke(0, 1, { cuts: [cut('1')] })
  book.revoke(0, 1, { cuts: [cut('1')] })
  const adds = [book.revoke(0, 1, { cuts: [cut('2')] }), book.revoke(0, 1, { undo: true })]
  book.revoke(0, 1)
  expect(kept(book).filter(({ content }) => content.type === 'revoke').map(({ hash }) => hash).sort()).toEqual([first, ...adds].map(({ hash }) => hash).sort())
})

test('a live admin is bounded too: devices it admits, devices it removes', () => {
  const book = new MeshBook()
  const flood = Array.from({ length: 1500 }, (_, n) => standIn(book.genesis, n, admits(n), { grant: book.genesis.hash }))
  const removals = Array.from({ length: 1500 }, (_, n) => standIn(book.genesis, 2000 + n, { type: 'revoke', subject: device(n), cuts: [], undo: false }, { grant: book.genesis.hash }))
  const held = kept(book, [book.genesis, ...flood, ...removals])
  expect([held.length, held.filter(({ content }) => content.type === 'revoke').length]).toEqual([2 * LIMITS.recordsPerIssuerMax, LIMITS.recordsPerIssuerMax])
})

test.each<[string, number, (n: number) => MemberContent]>([
  ['revokes that each add a head', LIMITS.removalsPerSubjectMax, n => ({ type: 'revoke', subject: idOf(1), cuts: [{ stack: 'a'.repeat(26) as never, heads: [n.toString(16).padStart(64, '0')] }], undo: false })],
  ['losses', LIMITS.removalsPerSubjectMax, () => ({ type: 'lost', subject: idOf(1) })],
])('of one issuer and subject are kept as many %s as the bound, the earliest', (_name, bound, content) => {
  const book = new MeshBook()
  book.admit(0, 1, 'builder', 'pi')
  const flood = Array.from({ length: bound + 40 }, (_, n) => standIn(book.genesis, n, content(n), { grant: book.genesis.hash, seq: n + 2 }))
  const held = kept(book, [...book.records, ...flood.toReversed()]).filter(record => flood.includes(record))
  expect(held.map(({ seq }) => seq).sort((a, b) => a - b)).toEqual(flood.slice(0, bound).map(({ seq }) => seq))
})

test.each<[string, (n: number, before: string) => Partial<MemberRecord>]>([
  ['named one after the other', (_n, before) => ({ prev: [before] })],
  ['each granted by the one before', (n, before) => ({ prev: [before], grant: before, issuer: device(n - 1) })],
])('20,000 records %s: no recursion, and an answer soon', (_name, over) => {
  const book = new MeshBook()
  const start = book.admit(0, 1, 'admin', 'rogue')
  const chain: MemberRecord[] = [{ ...start, content: admits(0), hash: '0'.repeat(64) }]
  for (let n = 1; n < 20_000; n++) chain.push(standIn(start, n, admits(n), over(n, chain[n - 1]?.hash as string)))
  const graph = new MembershipGraph([book.genesis, ...chain], book.mesh)
  const last = chain.at(-1) as MemberRecord
  const started = process.cpuUsage()
  expect(graph.depth(last)).toBeGreaterThan(19_000)
  expect(resolveRoster(graph, book.mesh).members.size).toBeGreaterThan(1)
  expect(keptOf(graph).records.length).toBeGreaterThan(1)
  expect(process.cpuUsage(started).user / 1000).toBeLessThan(5000)
})
