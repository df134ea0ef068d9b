import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keptOf, LIMITS, MembershipGraph, resolveRoster, type MemberContent, type MemberRecord } from '../../src/index.ts'
import { fairShare } from '../../src/membership/fair-share.ts'
import { MeshBook, idOf } from '../support/mesh-book.ts'

const kept = (book: MeshBook, records: readonly MemberRecord[] = book.records): MemberRecord[] => [...keptOf(new MembershipGraph(records, book.mesh)).records]

/** Unsigned stand-ins: what is kept does not depend on bytes, and thousands of signatures would only measure OpenSSL. */
function standIn (like: MemberRecord, n: number, content: MemberContent, over: Partial<MemberRecord> = {}): MemberRecord {
  return { ...like, hash: n.toString(16).padStart(64, '0'), seq: n + 1, content, ...over }
}

const OTHERS = idOf(1).slice(0, -6)
const device = (n: number): MemberRecord['issuer'] => `${OTHERS}${n.toString(32).padStart(6, 'z')}` as MemberRecord['issuer']
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
    expect(held.filter(({ issuer }) => issuer === idOf(1))).toHaveLength(LIMITS.recordsPerIssuerMax + LIMITS.adminsReserved)
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
  expect([held.length, held.filter(({ content }) => content.type === 'revoke').length]).toEqual([2 * LIMITS.recordsPerIssuerMax + LIMITS.adminsReserved, LIMITS.recordsPerIssuerMax])
})

test('beyond the bound of an issuer a few that make an admin are kept, the same however they arrive', () => {
  const book = new MeshBook()
  const contentOf = (n: number): MemberContent => n % 3 === 0
    ? { type: 'addAdmin', subject: device(n) } : { type: 'member', subject: device(n), role: n % 3 === 1 ? 'admin' : 'builder', name: 'd', wire: 1, via: null }
  const flood = Array.from({ length: LIMITS.recordsPerIssuerMax + 300 }, (_, n) => standIn(book.genesis, n, contentOf(n), { grant: book.genesis.hash, seq: n + 2 }))
  const late = flood.slice(LIMITS.recordsPerIssuerMax - 1)
  const reserved = [0, 1].flatMap(kind => late.filter(({ seq }) => (seq - 2) % 3 === kind).slice(0, LIMITS.adminsReserved))
  const expected = new Set([book.genesis, ...flood.slice(0, LIMITS.recordsPerIssuerMax - 1), ...reserved])
  expect(new Set(kept(book, [...book.records, ...flood]))).toEqual(expected)
  const backwards = kept(book, [...kept(book, [book.genesis, ...flood.slice(600)]), ...flood.slice(0, 600)])
  expect(new Set(backwards)).toEqual(expected)
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

describe('a set that holds more than a reader takes', () => {
  interface Flooded { book: MeshBook, honest: MemberRecord[], grants: MemberRecord[], flood: MemberRecord[] }

  /** A founder, an honest admin with a small mesh of its own, and a rogue that makes admins, each of which floods. */
  function flooded (admins: number, removals: number, invited: number): Flooded {
    const book = new MeshBook()
    const rogue = book.admit(0, 1, 'admin', 'rogue')
    const second = book.admit(0, 2, 'admin', 'second')
    for (let n = 0; n < invited; n++) book.admit(2, 10 + n, 'builder', 'd')
    book.revoke(2, 10)
    const grants = Array.from({ length: admins }, (_, n) => standIn(rogue, n, admits(n), { issuer: idOf(1), grant: rogue.hash, prev: [rogue.hash] }))
    const flood = grants.flatMap((grant, admin) => Array.from({ length: removals }, (_, i) =>
      standIn(grant, 1000 * (admin + 1) + i, { type: 'revoke', subject: device(1000 + i), cuts: [], undo: false }, { issuer: device(admin), grant: grant.hash, prev: [second.hash] })))
    return { book, honest: [...book.records], grants, flood }
  }

  test('is kept up to the bound: who floods through devices of its own takes nothing from others', () => {
    const { book, honest, grants, flood } = flooded(25, 680, 20)
    const held = kept(book, [...honest, ...grants, ...flood])
    expect(held.length).toBeLessThanOrEqual(LIMITS.rosterKeptMax)
    expect(held.length).toBeGreaterThan(LIMITS.rosterKeptMax - 100)
    expect([...honest, ...grants].filter(record => !held.includes(record))).toEqual([])
    expect(resolveRoster(held, book.mesh).members.has(idOf(2))).toBe(true)
  })

  const byHash = (a: MemberRecord, b: MemberRecord): number => a.hash < b.hash ? -1 : 1
  const share = (book: MeshBook, records: Iterable<MemberRecord>, max: number): MemberRecord[] =>
    [...fairShare(new MembershipGraph(records, book.mesh), max, byHash)].sort(byHash)

  test('is the same however it arrives, and each branch has an equal share of what the others leave', () => {
    const { book, honest, grants, flood } = flooded(6, 40, 12)
    const all = [...honest, ...grants, ...flood]
    fc.assert(fc.property(fc.infiniteStream(fc.nat()), fc.integer({ min: 20, max: 150 }), fc.integer({ min: 60, max: all.length }), (order, size, max) => {
      const expected = share(book, all, max)
      expect(expected).toHaveLength(max)
      expect([...honest, ...grants].filter(record => !expected.includes(record))).toEqual([])
      const each = grants.map((_, n) => expected.filter(({ issuer }) => issuer === device(n)).length)
      expect(Math.max(...each) - Math.min(...each)).toBeLessThanOrEqual(1)
      const shuffled = flood.map(record => ({ record, key: order.next().value as number })).sort((a, b) => a.key - b.key).map(({ record }) => record)
      let held = [...honest, ...grants]
      for (let at = 0; at < shuffled.length; at += size) held = share(book, [...held, ...shuffled.slice(at, at + size)], max)
      expect(held.sort(byHash)).toEqual(expected)
    }), { numRuns: 20 })
  })

  test('of one issuer loses removals that only add to earlier ones, before those of further devices', () => {
    const book = new MeshBook()
    const adding = Array.from({ length: 100 }, (_, n) => standIn(book.genesis, n, { type: 'revoke', subject: device(n % 10), cuts: [], undo: false }, { grant: book.genesis.hash }))
    const held = share(book, [book.genesis, ...adding], 31)
    expect(held).toHaveLength(31)
    expect(new Set(held.map(({ content }) => content.type === 'revoke' ? content.subject : '')).size).toBe(11)
  })

  test('takes no place from an admin that the one who floods makes an admin once more', () => {
    const { book, honest, grants, flood } = flooded(3, 40, 12)
    const again = standIn(book.genesis, 900, { type: 'addAdmin', subject: idOf(2) }, { issuer: idOf(1), grant: honest[1]?.hash as string })
    const later = standIn(book.genesis, 901, admits(901), { issuer: idOf(2), grant: again.hash })
    const held = share(book, [...honest, again, later, ...grants, ...flood], 60)
    expect(honest.filter(record => !held.includes(record))).toEqual([])
    expect(held).toContain(later)
  })

  test('a chain of admins, each made by the one before, needs no recursion', () => {
    const book = new MeshBook()
    const chain = [book.genesis]
    for (let n = 0; n < 12_000; n++) chain.push(standIn(book.genesis, n, admits(n + 1), { issuer: n === 0 ? book.genesis.issuer : device(n), grant: chain[n]?.hash as string }))
    expect(share(book, chain, 500)).toHaveLength(500)
  })
})
