import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Entitlement, MembershipGraph, hasRole, proofOf, resolveRoster, signMemberRecord, toBase32, type MemberRecord, type Role, type StackId } from '../../src/index.ts'
import { crypto, testSigner } from '../support/crypto.ts'
import { MeshBook, idOf } from '../support/mesh-book.ts'

describe('the roster', () => {
  test('the founder is admin; a ticket admits a device with its role and name', () => {
    const book = new MeshBook()
    book.redeem(0, book.ticket(0, 50), 50, 1, 'pi')
    const { members, mesh } = book.roster()
    expect(mesh.name).toBe('home')
    expect(members.get(idOf(0))).toMatchObject({ name: 'mini', role: 'admin' })
    expect(members.get(idOf(1))).toMatchObject({ name: 'pi', role: 'builder' })
  })

  test('roles are cumulative', () => {
    expect(hasRole('builder', 'member')).toBe(true)
    expect(hasRole('observer', 'member')).toBe(false)
    expect(hasRole(undefined, 'observer')).toBe(false)
  })

  test('only admins issue: a member, a stranger and a made-up grant admit nobody', () => {
    const book = new MeshBook()
    const granted = book.admit(0, 1, 'builder', 'b')
    book.admit(1, 2, 'builder', 'by-builder')
    book.admit(7, 3, 'admin', 'by-stranger')
    book.write(1, { type: 'member', subject: idOf(4), role: 'admin', name: 'x', wire: 1, via: null }, { grant: book.genesis.hash })
    book.write(1, { type: 'addAdmin', subject: idOf(1) }, { grant: granted.hash })
    book.revoke(1, 0)
    expect([...book.roster().members.keys()].sort()).toEqual([idOf(0), idOf(1)].sort())
    expect(book.roster().members.get(idOf(1))?.role).toBe('builder')
    expect(book.roster().revoked.size).toBe(0)
  })

  test('a revoke beats every later add of the same key', () => {
    const book = new MeshBook()
    book.admit(0, 1, 'builder', 'b')
    book.revoke(0, 1)
    book.admit(0, 1, 'admin', 'b')
    book.write(0, { type: 'addAdmin', subject: idOf(1) })
    expect(book.roster().members.has(idOf(1))).toBe(false)
    expect(book.roster().revoked.get(idOf(1))?.name).toBe('b')
  })

  test('the cuts of all revokes of a device count together, and one undo is enough; a revoke that does not count adds nothing', () => {
    const [a, b] = [0, 1].map(byte => toBase32(new Uint8Array(16).fill(byte))) as [StackId, StackId]
    const [x = '', y = '', z = ''] = ['1', '2', '3'].map(digit => digit.repeat(64))
    const book = new MeshBook()
    book.admit(0, 1, 'admin', 'second')
    book.admit(0, 2, 'builder', 'gone')
    book.revoke(0, 2, { cuts: [{ stack: a, heads: [x] }] })
    book.revoke(1, 2, { cuts: [{ stack: a, heads: [x, y] }, { stack: b, heads: [x] }] })
    book.revoke(7, 2, { cuts: [{ stack: b, heads: [z] }], undo: true })
    expect(book.roster().revoked.get(idOf(2))).toMatchObject({ cuts: new Map([[a, new Set([x, y])], [b, new Set([x])]]), undo: false })
    book.revoke(0, 2, { undo: true })
    expect(book.roster().revoked.get(idOf(2))).toMatchObject({ cuts: new Map([[a, new Set([x, y])], [b, new Set([x])]]), undo: true })
  })

  test('an evicted admin adds nothing to its own cuts, however it dates the record', () => {
    const stack = toBase32(new Uint8Array(16)) as StackId
    const [cut = '', beyond = ''] = ['1', '2'].map(digit => digit.repeat(64))
    const book = new MeshBook()
    const { hash } = book.admit(0, 1, 'admin', 'gone')
    book.revoke(0, 1, { cuts: [{ stack, heads: [cut] }] })
    // Not having heard of its eviction.
    const content = { type: 'revoke' as const, subject: idOf(1), cuts: [{ stack, heads: [beyond] }], undo: true }
    book.write(1, content, { grant: hash, prev: [hash] })
    expect(book.roster().revoked.get(idOf(1))).toMatchObject({ cuts: new Map([[stack, new Set([cut])]]), undo: false })
  })

  test('a ticket with another role, another issuer or past its time, or another key, admits nobody', () => {
    const book = new MeshBook()
    book.admit(0, 1, 'admin', 'second')
    book.redeem(0, book.ticket(0, 50, 'observer'), 50, 2, 'greedy', { role: 'admin' })
    book.redeem(1, book.ticket(0, 51), 51, 3, 'other-issuer')
    book.redeem(0, book.ticket(0, 52, 'builder', 10), 52, 4, 'late', { at: 11 })
    book.redeem(0, book.ticket(0, 53), 54, 5, 'other-key')
    expect(book.names()).toEqual(['mini', 'second'])
  })

  test('used-ticket race: exactly one device, the one with the smallest hash, whichever order', () => {
    const book = new MeshBook()
    const ticket = book.ticket(0, 50)
    const racers = [1, 2, 3].map(n => book.redeem(0, ticket, 50, n, `racer-${n}`, { prev: [ticket.hash] }))
    const winner = racers.map(racer => racer.hash).sort()[0]
    const members = [...book.roster().members.values()].filter(member => member.name !== 'mini')
    expect(members.map(member => member.grant)).toEqual([winner])
  })

  test('what an admin did before its removal stays; what it does after, or hides from it, does not', () => {
    const book = new MeshBook()
    book.admit(0, 1, 'admin', 'rogue')
    const before = book.admit(1, 2, 'builder', 'honest')
    book.revoke(0, 1)
    book.admit(1, 3, 'builder', 'after')
    book.admit(1, 4, 'builder', 'backdated', { prev: [before.hash] })
    book.revoke(1, 2)
    expect(book.names()).toEqual(['honest', 'mini'])
    expect([...book.roster().revoked.keys()]).toEqual([idOf(1)])
  })

  test('two admins who revoke each other unknowingly are both out; who knew, loses nothing', () => {
    const book = new MeshBook()
    book.admit(0, 1, 'admin', 'one')
    const two = book.admit(0, 2, 'admin', 'two')
    book.revoke(1, 2, { prev: [two.hash] })
    book.revoke(2, 1, { prev: [two.hash] })
    expect(book.names()).toEqual(['mini'])
    const other = new MeshBook()
    other.admit(0, 1, 'admin', 'one')
    other.admit(0, 2, 'admin', 'two')
    other.revoke(1, 2)
    other.revoke(2, 1)
    expect(other.names()).toEqual(['mini', 'one'])
  })

  test('an eviction that everybody heard stands when its issuer is evicted at the same moment, until an admin who knows says otherwise', () => {
    const book = new MeshBook()
    book.admit(0, 1, 'admin', 'one')
    book.admit(0, 2, 'admin', 'two')
    const thief = book.admit(0, 3, 'builder', 'thief')
    const heard = book.revoke(1, 3)
    book.revoke(2, 1, { prev: [thief.hash] })
    expect(book.names()).toEqual(['mini', 'two'])
    // Who has not seen it takes nothing back; who has, does.
    book.admit(0, 3, 'builder', 'thief', { prev: [thief.hash] })
    expect(book.names()).toEqual(['mini', 'two'])
    book.admit(0, 3, 'builder', 'friend')
    expect(book.names()).toEqual(['friend', 'mini', 'two'])
    // An eviction that the evictor of its issuer had seen is not in dispute.
    const other = new MeshBook()
    other.admit(0, 1, 'admin', 'one')
    other.admit(0, 3, 'builder', 'thief')
    other.revoke(1, 3)
    other.revoke(0, 1)
    other.admit(0, 3, 'builder', 'friend')
    expect(other.names()).toEqual(['mini'])
    expect(heard.content.type).toBe('revoke')
  })

  test('nobody takes its own eviction back: not the evicted, not whom it makes an admin for that', () => {
    const book = new MeshBook()
    book.admit(0, 1, 'admin', 'one')
    const victim = book.admit(0, 2, 'admin', 'victim')
    book.revoke(1, 2)
    book.revoke(0, 1, { prev: [victim.hash] })
    book.admit(2, 2, 'admin', 'again')
    book.admit(2, 3, 'admin', 'puppet')
    book.admit(3, 2, 'admin', 'back')
    expect(book.names()).toEqual(['mini'])
  })

  test('a device marked as lost by an admin that is evicted at the same moment stays lost until it is admitted again', () => {
    const book = new MeshBook()
    book.admit(0, 1, 'admin', 'one')
    const pi = book.admit(0, 2, 'builder', 'pi')
    book.write(1, { type: 'lost', subject: idOf(2) })
    book.revoke(0, 1, { prev: [pi.hash] })
    expect(book.names()).toEqual(['mini'])
    book.admit(0, 2, 'builder', 'pi')
    expect(book.names()).toEqual(['mini', 'pi'])
  })

  test('an evicted admin cannot answer with a puppet: its hidden grant falls, and the evictor stays', () => {
    const book = new MeshBook()
    book.admit(0, 1, 'admin', 'evictor')
    const rogue = book.admit(0, 2, 'admin', 'rogue')
    book.revoke(1, 2)
    const puppet = book.admit(2, 3, 'admin', 'puppet', { prev: [rogue.hash] })
    book.revoke(3, 1, { prev: [puppet.hash] })
    expect(book.names()).toEqual(['evictor', 'mini'])
  })

  test('the recovery key makes a new admin, whom the thief of the founder cannot revoke back', () => {
    const book = new MeshBook()
    const recovered = book.write(testSigner(999), { type: 'recover', subject: idOf(1), name: 'phoenix' }, { grant: null })
    book.revoke(1, 0)
    book.revoke(0, 1, { prev: [recovered.hash] })
    expect(book.names()).toEqual(['phoenix'])
    expect(book.roster().members.get(idOf(1))?.role).toBe('admin')
  })

  test('nobody but the recovery key recovers, not even an admin', () => {
    const book = new MeshBook()
    for (const issuer of [0, 7]) book.write(issuer, { type: 'recover', subject: idOf(1), name: 'phoenix' }, { grant: null })
    expect(book.names()).toEqual(['mini'])
  })

  test('a taken name becomes mini-2, and mini again when the first mini is lost', () => {
    const book = new MeshBook()
    book.admit(0, 1, 'builder', 'pi')
    book.admit(0, 2, 'builder', 'pi')
    expect(book.roster().members.get(idOf(2))?.name).toBe('pi-2')
    book.write(0, { type: 'lost', subject: idOf(1) })
    expect(book.roster().members.get(idOf(2))?.name).toBe('pi')
    expect(book.roster().lost.has(idOf(1))).toBe(true)
    book.admit(0, 1, 'builder', 'pi')
    expect([idOf(1), idOf(2)].map(id => book.roster().members.get(id)?.name)).toEqual(['pi', 'pi-2'])
  })

  test('who is here keeps its name when another goes; the name is free for the next', () => {
    const book = new MeshBook()
    for (const n of [1, 2]) book.admit(0, n, 'builder', 'pi')
    const name = (n: number): string | undefined => book.roster().members.get(idOf(n))?.name
    book.revoke(0, 1)
    expect(name(2)).toBe('pi-2')
    book.admit(0, 3, 'builder', 'pi')
    // Said again of the one that is gone.
    book.revoke(0, 1, { undo: true })
    book.admit(0, 4, 'builder', 'pi')
    expect([name(2), name(3), name(4)]).toEqual(['pi-2', 'pi', 'pi-3'])
    expect([1, 3].map(n => book.roster().revoked.get(idOf(n))?.name)).toEqual(['pi', undefined])
    // One that was lost holds none that its eviction could free.
    book.admit(0, 5, 'builder', 'ci')
    book.write(0, { type: 'lost', subject: idOf(5) })
    book.admit(0, 6, 'builder', 'ci')
    book.revoke(0, 5)
    book.admit(0, 7, 'builder', 'ci')
    expect([name(6), name(7)]).toEqual(['ci', 'ci-2'])
    book.revoke(0, 2)
    expect(book.roster().revoked.get(idOf(2))?.name).toBe('pi-2')
  })

  test('equal wishes are numbered in the order of admission, not of hashes', () => {
    const book = new MeshBook()
    for (let n = 1; n <= 6; n++) book.admit(0, n, 'builder', 'pi')
    expect([1, 2, 3, 4, 5, 6].map(n => book.roster().members.get(idOf(n))?.name)).toEqual(['pi', 'pi-2', 'pi-3', 'pi-4', 'pi-5', 'pi-6'])
  })

  test('any member leaves by its own word, for ever; nobody leaves for it', () => {
    const book = new MeshBook()
    book.admit(0, 1, 'observer', 'pi')
    book.admit(0, 2, 'builder', 'mini')
    book.leave(1)
    // Not by a grant of another, nor as somebody who never was a member.
    book.write(7, { type: 'leave' }, { grant: book.grantOf(idOf(2)) })
    book.write(0, { type: 'leave' }, { grant: book.grantOf(idOf(2)) })
    expect(book.names()).toEqual(['mini', 'mini-2'])
    expect(book.roster().revoked.get(idOf(1))).toMatchObject({ name: 'pi', left: true })
    book.admit(0, 1, 'admin', 'pi')
    expect(book.names()).toEqual(['mini', 'mini-2'])
  })

  test('what an admin granted before it left stays; what its key grants afterwards, or hides from its leaving, does not', () => {
    const book = new MeshBook()
    book.admit(0, 1, 'admin', 'second')
    const before = book.admit(1, 2, 'admin', 'granted')
    book.leave(1)
    book.admit(1, 3, 'builder', 'after')
    const hidden = book.admit(1, 4, 'admin', 'hidden', { prev: [before.hash] })
    book.revoke(4, 0, { prev: [hidden.hash] })
    book.revoke(1, 2, { prev: [before.hash] })
    expect(book.names()).toEqual(['granted', 'mini'])
  })

  test('an evicted admin cannot take down what it granted by a leave that pretends not to know of it', () => {
    const book = new MeshBook()
    const grant = book.admit(0, 1, 'admin', 'rogue')
    book.admit(1, 2, 'builder', 'honest')
    book.revoke(0, 1)
    book.leave(1, { prev: [grant.hash] })
    expect(book.names()).toEqual(['honest', 'mini'])
  })

  test('who left while it was evicted, twice, or by a grant that fell is out in every order', () => {
    const book = new MeshBook()
    const one = book.admit(0, 1, 'admin', 'one')
    const ghost = book.admit(1, 2, 'builder', 'ghost', { prev: [one.hash] })
    book.revoke(0, 1, { prev: [one.hash] })
    book.admit(0, 2, 'builder', 'ghost')
    book.write(2, { type: 'leave' }, { grant: ghost.hash })
    book.leave(1, { prev: [ghost.hash] })
    book.leave(1, { prev: [one.hash] })
    expect(book.names()).toEqual(['mini'])
  })

  test('records of another mesh say nothing, not even in the name of the same admin', () => {
    const home = new MeshBook()
    const genesis = signMemberRecord({ mesh: null, seq: 1, at: 2, grant: null, prev: [], content: { type: 'genesis', founderName: 'mini', recoveryKey: new Uint8Array(32), meshName: 'work', policy: {} } }, testSigner(0), crypto)
    const foreign = signMemberRecord({ mesh: genesis.mesh, seq: 2, at: 3, grant: home.genesis.hash, prev: [], content: { type: 'addAdmin', subject: idOf(1) } }, testSigner(0), crypto)
    const revoke = signMemberRecord({ mesh: genesis.mesh, seq: 3, at: 3, grant: home.genesis.hash, prev: [], content: { type: 'revoke', subject: idOf(2), cuts: [], undo: false } }, testSigner(0), crypto)
    home.admit(0, 1, 'builder', 'pi')
    home.admit(0, 2, 'builder', 'laptop')
    const roster = home.roster([...home.records, genesis, foreign, revoke])
    expect([...roster.members.values()].map(({ name, role }) => [name, role])).toEqual([['mini', 'admin'], ['pi', 'builder'], ['laptop', 'builder']])
  })

  test('a proof holds its chain: member, ticket, grants, genesis', () => {
    const book = new MeshBook()
    const admin = book.redeem(0, book.ticket(0, 50, 'admin'), 50, 1, 'second', { role: 'admin' })
    const member = book.redeem(1, book.ticket(1, 51), 51, 2, 'pi')
    const proof = proofOf(new MembershipGraph(book.records, book.mesh), [member.hash], 8)
    expect(proof).toHaveLength(5)
    expect(proof.map(({ hash }) => hash)).toContain(admin.hash)
    expect(resolveRoster(proof, book.mesh).members.has(idOf(2))).toBe(true)
  })
})

/** Any history: who acts, what it does, to whom, and how much of the past it knew. */
const step = fc.record({ issuer: fc.constantFrom(0, 0, 0, 1, 1, 2, 3), subject: fc.nat(5), act: fc.constantFrom('admit', 'admit', 'ticket', 'revoke', 'lost', 'leave', 'addAdmin', 'recover'), role: fc.constantFrom<Role>('observer', 'builder', 'admin', 'admin'), known: fc.nat(10) })

function play (steps: Array<typeof step extends fc.Arbitrary<infer T> ? T : never>): MeshBook {
  const book = new MeshBook()
  for (const { issuer, subject, act, role, known } of steps) {
    // What the issuer knew: a prefix of the history, not always the whole.
    const prev = new MembershipGraph(book.records.slice(0, Math.max(1, book.records.length - (known > 6 ? known - 6 : 0))), book.mesh).heads()
    if (act === 'admit') book.admit(issuer, subject, role, `d${subject % 3}`, { prev })
    if (act === 'revoke') book.revoke(issuer, subject, { prev })
    if (act === 'leave') book.leave(issuer, { prev })
    if (act === 'lost' || act === 'addAdmin') book.write(issuer, { type: act, subject: idOf(subject) }, { prev })
    if (act === 'recover') book.write(testSigner(known === 10 ? 999 : 0), { type: 'recover', subject: idOf(subject), name: 'r' }, { prev, grant: null })
    if (act === 'ticket') {
      const ticket = book.ticket(issuer, 50 + book.records.length, role)
      for (const racer of [subject, (subject + 1) % 6]) book.redeem(issuer, ticket, 50 + book.records.indexOf(ticket), racer, 't', { role, prev: [ticket.hash] })
    }
  }
  return book
}

const plain = (book: MeshBook, records: MemberRecord[]): unknown => {
  const { members, revoked, lost } = book.roster(records)
  return [[...members], [...revoked.keys()], [...lost]]
}

describe('for any history', () => {
  test('every merge order, with duplicates and in two halves, gives the same roster; no revoked key, one device a ticket, distinct names', () => {
    let revocations = 0
    let leaves = 0
    fc.assert(fc.property(fc.array(step, { maxLength: 14 }), fc.infiniteStream(fc.nat()), (steps, order) => {
      const book = play(steps)
      const shuffled = book.records.map(record => ({ record, key: order.next().value as number })).sort((a, b) => a.key - b.key).map(({ record }) => record)
      const expected = plain(book, book.records)
      expect(plain(book, shuffled)).toEqual(expected)
      expect(plain(book, [...shuffled.slice(shuffled.length / 2), ...shuffled, ...book.records])).toEqual(expected)
      const { members, revoked } = book.roster()
      revocations += revoked.size
      leaves += [...revoked.values()].filter(({ left }) => left).length
      for (const device of revoked.keys()) expect(members.has(device)).toBe(false)
      const everLeft = book.records.filter(record => record.content.type === 'leave' && new Entitlement(new MembershipGraph(book.records, book.mesh)).entitled(record))
      for (const { issuer } of everLeft) expect(members.has(issuer)).toBe(false)
      expect(new Set([...members.values()].map(({ name }) => name)).size).toBe(members.size)
      const tickets = [...members.values()].map(({ grant }) => book.records.find(({ hash }) => hash === grant)?.content).map(content => content?.type === 'member' ? content.via?.ticket : undefined).filter(ticket => ticket !== undefined)
      expect(new Set(tickets).size).toBe(tickets.length)
    }), { numRuns: 150 })
    expect(revocations).toBeGreaterThan(20)
    expect(leaves).toBeGreaterThan(10)
  })

  test('the founder\'s revoke holds against anything the evicted key writes or had written for it afterwards', () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 8 }), fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 6 }), (before, evicted, after) => {
      const book = play([])
      book.admit(0, evicted, 'admin', 'x')
      const calm = before.filter(({ act }) => act === 'admit')
      for (const { subject, role } of calm) book.admit(0, subject, role, 'c')
      book.revoke(0, evicted)
      for (const { act, subject, role } of after) {
        // Everybody but the founder's own revokes: adds from the founder, anything from the evicted.
        if (act === 'admit') book.admit(0, evicted, role, 'again')
        else if (act === 'revoke') book.revoke(evicted, subject === 0 ? 1 : subject)
        else book.admit(evicted, subject, role, 'puppet')
      }
      expect(book.roster().members.has(idOf(evicted))).toBe(false)
      expect(book.roster().members.has(idOf(0))).toBe(true)
    }), { numRuns: 100 })
  })
})

test('a chain of 4,096 records and 1,000 revocations resolves without deep recursion', () => {
  const records: MemberRecord[] = []
  const book = new MeshBook()
  let prev = book.genesis.hash
  records.push(book.genesis)
  // Unsigned stand-ins: the resolver never looks at bytes, and 4,096 signatures would only measure OpenSSL.
  for (let i = 1; i < 4096; i++) {
    const hash = i.toString(16).padStart(64, '0')
    const subject = `${idOf(1).slice(0, -6)}${i.toString(16).padStart(6, 'z')}` as typeof records[0]['issuer']
    const content = i % 4 === 0 ? { type: 'revoke' as const, subject, cuts: [], undo: false } : { type: 'member' as const, subject, role: 'admin' as const, name: 'd', wire: 1, via: null }
    records.push({ ...book.genesis, hash, prev: [prev], grant: book.genesis.hash, seq: i + 1, content })
    prev = hash
  }
  const started = process.cpuUsage()
  expect(resolveRoster(records, book.mesh).revoked.size).toBe(1023)
  // Of this process alone: whoever else is busy on the machine does not count.
  expect(process.cpuUsage(started).user / 1000).toBeLessThan(3000)
})
