/** What devices that are no members, or none any more, can do to the roster through a door, a mirror and a member that has not heard. */
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { deviceId, LIMITS, parseTicket, signMemberRecord, signRedemption, type DeviceId, type MemberContent, type Value } from '@elder-node/protocol'
import { nodeCrypto, signerFromSeed } from '../../src/adapters/crypto.ts'
import { Patience } from '../../src/services/membership/patience.ts'
import { RecordBook } from '../../src/services/membership/record-book.ts'
import { eventually } from '../support/eventually.ts'
import { TestMesh, type TestNode } from '../support/membership.ts'
import { MemoryFiles } from '../support/memory-files.ts'

const { signal } = new AbortController()
const crypto = nodeCrypto()
const signerOf = (seed: number): ReturnType<typeof signerFromSeed> => signerFromSeed(crypto.sha256(Uint8Array.of(seed)))

let mesh: TestMesh
let founder: TestNode
let pi: TestNode
let rogue: TestNode
/** The record that made the rogue an admin: what it makes up afterwards stands on this and knows nothing later. */
let grant: string
let seq = 0

beforeEach(async () => {
  mesh = new TestMesh()
  founder = await mesh.node('mini')
  pi = await mesh.joined(founder, 'pi')
  rogue = await mesh.joined(founder, 'rogue', { role: 'admin' })
  grant = rogue.membership.me?.grant as string
  await mesh.connect(rogue, pi)
  await eventually(() => { expect(pi.membership.roster.members.size).toBe(3) })
})

/** A record in the name of the rogue, as its owner signs it after the eviction. */
function forged (content: MemberContent, prev: string[] = [grant]): { bytes: Uint8Array, hash: string } {
  return signMemberRecord({ mesh: founder.membership.meshId, seq: 100 + seq++, at: 1, grant, prev, content }, signerOf(3), crypto)
}

const subject = (n: number): DeviceId => deviceId(crypto.sha256(Uint8Array.of(n & 255, n >> 8, 9)))
const admission = (of: DeviceId): MemberContent => ({ type: 'member', subject: of, role: 'admin', name: 'puppet', wire: 1, via: null })
const revocation = (of: DeviceId): MemberContent => ({ type: 'revoke', subject: of, cuts: [], undo: false })
const hello = (proof: Uint8Array[]): Value => ({ v: 1, mesh: (founder.membership.hello() as { mesh: Uint8Array }).mesh, proof })
const held = (node: TestNode): number => node.membership.records().length
const onDisk = (node: TestNode): number => [...node.files.contents.values()].reduce((sum, bytes) => sum + bytes.length, 0)

describe('after an admin was evicted', () => {
  test('hundreds of its dials and of its puppets\' leave not one record, and the mesh goes on', async () => {
    await founder.membership.evict('rogue')
    await eventually(() => { expect(held(pi)).toBe(held(founder)) })
    const before = [held(founder), onDisk(founder), held(pi)]
    let last = grant
    for (let dial = 0; dial < 120; dial++) {
      const chain = Array.from({ length: 7 }, (_, i) => forged(i % 2 === 0 ? admission(subject(dial * 8 + i)) : revocation(pi.device), [last]))
      last = chain.at(-1)?.hash as string
      const puppet = subject(10_000 + dial)
      const proof = [...chain.map(({ bytes }) => bytes), forged(admission(puppet)).bytes]
      for (const dialer of [rogue.device, puppet]) expect((await founder.membership.decide(dialer, hello(proof), { signal })).ok).toBe(false)
      founder.membership.refused(puppet, 'revoked', { proof: [forged(revocation(founder.device)).bytes] })
      expect(() => founder.membership.greeted(puppet, { v: 1, proof })).toThrow('no member')
    }
    expect([held(founder), onDisk(founder), held(pi)]).toEqual(before)
    const tablet = await mesh.joined(founder, 'tablet')
    expect(tablet.membership.me?.name).toBe('tablet')
  })

  test('a mirror that it can still write to brings nothing of it, and all of the others', async () => {
    await founder.membership.evict('rogue')
    await eventually(() => { expect(held(pi)).toBe(held(founder)) })
    mesh.network.disconnect(founder.device, pi.device)
    founder.membership.invite()
    const flood = Array.from({ length: 40 }, (_, n) => forged(n % 2 === 0 ? admission(subject(n)) : revocation(founder.device)).bytes)
    // And what is no record at all does not keep them out.
    pi.membership.receive([Uint8Array.of(1, 2, 3), ...flood, ...founder.membership.records().toReversed()])
    expect(pi.membership.records()).toEqual(founder.membership.records())
  })

  test('a member that has not heard carries its flood on: bounds hold, few are shut out, and an admin goes on inviting', async () => {
    const others = await Promise.all(Array.from({ length: 10 }, (_, n) => mesh.joined(founder, `d${n}`)))
    const asleep = await mesh.joined(founder, 'asleep')
    await eventually(() => { expect(held(asleep)).toBe(held(founder)) })
    mesh.network.disconnect(asleep.device, founder.device)
    for (const { device } of others) mesh.network.disconnect(device, founder.device)
    await mesh.connect(rogue, asleep)
    await founder.membership.evict('rogue')
    const removals = others.map(({ device }) => forged(revocation(device)).bytes)
    const gifts = Array.from({ length: LIMITS.recordsPerIssuerMax + 100 }, (_, n) => forged(admission(subject(n))).bytes)
    const flood = [...removals, ...gifts]
    for (let at = 0; at < flood.length; at += LIMITS.batchRecordsMax) await rogue.mesh.request(asleep.device, 'roster', { give: flood.slice(at, at + LIMITS.batchRecordsMax) }, { signal })
    await mesh.connect(asleep, founder)
    await eventually(() => {
      expect([held(asleep), founder.membership.isRevoked(rogue.device), asleep.membership.isRevoked(rogue.device)]).toEqual([held(founder), true, true])
    }, { intervalMs: 100 })
    expect(asleep.membership.records()).toEqual(founder.membership.records())
    const shutOut = others.filter(({ device }) => founder.membership.isRevoked(device))
    expect(shutOut.length).toBeLessThanOrEqual(LIMITS.unseenRemovalsMax)
    const records = founder.membership.roster
    expect([...records.members.values()].filter(({ name }) => name.startsWith('puppet'))).toEqual([])
    expect(held(founder)).toBeLessThan(LIMITS.recordsPerIssuerMax + 200)
    expect((await mesh.joined(founder, 'tablet')).membership.me?.name).toBe('tablet')
  }, 60_000)

  test('a ticket that it wrote before lets nobody in: not at a member\'s door, not at its own, not with a record that it signs', async () => {
    const { ticket } = rogue.membership.invite({ role: 'admin' })
    const written = parseTicket(ticket, 0, crypto)
    const friend = await mesh.node('friend', { ticket })
    await founder.membership.evict('rogue')
    await eventually(() => { expect(pi.membership.isRevoked(rogue.device)).toBe(true) })
    // It is told at the next door.
    await expect(mesh.connect(rogue, pi)).rejects.toThrow('refused:revoked')
    for (const door of [founder, pi]) await expect(mesh.connect(friend, door)).rejects.toThrow('refused:not-issuer')
    await expect(mesh.connect(friend, rogue)).rejects.toThrow('refused:busy')
    // Its owner signs what its node would not.
    const oneTime = signerFromSeed(written.seed)
    const via = { ticket: written.record.hash, ticketKey: oneTime.publicKey, redeem: signRedemption(written.mesh, written.record.hash, friend.device, oneTime) }
    const record = forged({ type: 'member', subject: friend.device, role: 'admin', name: 'friend', wire: 1, via }, [written.record.hash])
    const proof = [written.record.bytes, record.bytes]
    expect(await pi.membership.decide(friend.device, hello(proof), { signal })).toMatchObject({ ok: false })
    expect(pi.membership.roster.members.size).toBe(2)
  })

  test('a device that had been admitted by it, and that a member has not met, still comes in', async () => {
    const { ticket } = rogue.membership.invite()
    const tablet = await mesh.node('tablet', { ticket })
    await mesh.connect(tablet, rogue)
    await tablet.membership.joined({ signal })
    await eventually(() => { expect(founder.membership.roster.members.has(tablet.device)).toBe(true) })
    await founder.membership.evict('rogue')
    await eventually(() => { expect(held(pi)).toBe(held(founder)) })
    await mesh.connect(tablet, pi)
    expect(pi.membership.role(tablet.device)).toBe('builder')
  })
})

describe('signature checks at a door', () => {
  const counted = { ...crypto, verify: vi.fn(crypto.verify) }
  const bookOf = (): RecordBook => {
    const book = new RecordBook({ crypto: counted, files: new MemoryFiles() }, founder.membership.meshId)
    book.add(founder.membership.records())
    counted.verify.mockClear()
    return book
  }
  /** A chain of admins in the names of devices that the stranger made up; the first stands on the record of somebody else. */
  const chainOf = (first: string): Uint8Array[] => {
    let on = first
    return Array.from({ length: LIMITS.proofRecordsMax }, (_, n) => {
      const content = admission(deviceId(signerOf(n + 101).publicKey))
      const record = signMemberRecord({ mesh: founder.membership.meshId, seq: 1, at: 1, grant: on, prev: [on], content }, signerOf(n + 100), crypto)
      on = record.hash
      return record.bytes
    })
  }

  test('a stranger costs one at most, however many records it shows and signs', () => {
    const book = bookOf()
    book.admit(chainOf(grant), [subject(1)])
    book.admit(chainOf('ab'.repeat(32)), [subject(1)])
    expect(counted.verify).not.toHaveBeenCalled()
    // In the name of an admin, whose signature is the one thing it cannot make.
    const { bytes, hash } = forged(admission(deviceId(signerOf(100).publicKey)))
    const bent = bytes.slice()
    bent.set([(bytes.at(-1) ?? 0) ^ 1], bytes.length - 1)
    expect(() => { book.admit([...chainOf(hash).slice(1).toReversed(), bent], [subject(1)]) }).toThrow('signature')
    expect(counted.verify).toHaveBeenCalledTimes(1)
    expect(book.graph.records).toHaveLength(held(founder))
  })

  test('an admin that is evicted here costs none for what it made up, nor do its puppets', async () => {
    await founder.membership.evict('rogue')
    const book = bookOf()
    const puppet = forged(admission(deviceId(signerOf(100).publicKey)))
    book.admit([puppet.bytes, ...chainOf(puppet.hash)], [subject(1)])
    expect(counted.verify).not.toHaveBeenCalled()
  })
})

test('a roster that is full of what a live admin gives still takes that the admin is evicted', async () => {
  const bounds = LIMITS as { -readonly [Name in keyof typeof LIMITS]: number }
  const before = bounds.rosterRecordsMax
  onTestFinished(() => { bounds.rosterRecordsMax = before })
  bounds.rosterRecordsMax = held(pi) + 3
  const give = Array.from({ length: 20 }, (_, n) => forged(admission(subject(n))).bytes)
  await rogue.mesh.request(pi.device, 'roster', { give }, { signal })
  expect(held(pi)).toBe(bounds.rosterRecordsMax)
  await founder.membership.evict('rogue')
  await eventually(() => { expect(pi.membership.isRevoked(rogue.device)).toBe(true) })
})

describe('a dialer that is refused again and again', () => {
  const stranger = subject(7)
  const ask = async (who = stranger): Promise<string> => {
    const verdict = await founder.membership.decide(who, hello([]), { signal })
    return verdict.ok ? 'ok' : verdict.code
  }

  test('waits longer each time, until it may ask again', async () => {
    for (let n = 0; n < 5; n++) expect(await ask()).toBe('not-a-member')
    const waits: number[] = []
    for (let n = 0; n < 4; n++) {
      // The question that ends the wait is refused too, and begins the next.
      let waitedMs = 0
      for (; await ask() === 'busy'; waitedMs += 500) mesh.clock.pass(500)
      waits.push(waitedMs)
    }
    expect(waits).toEqual([...waits].sort((a, b) => a - b))
    expect(new Set(waits).size).toBe(waits.length)
    // Others do not wait for it, and the evicted is told why.
    await founder.membership.evict('rogue')
    expect(await ask(rogue.device)).toBe('revoked')
  })

  test('comes in at once when it has become a member meanwhile', async () => {
    const late = await mesh.node('late', { ticket: founder.membership.invite().ticket })
    for (let n = 0; n < 8; n++) await ask(late.device)
    expect(await ask(late.device)).toBe('busy')
    await mesh.connect(late, pi)
    await late.membership.joined({ signal })
    expect(await ask(late.device)).toBe('ok')
  })

  test('is one of a thousand that are remembered: the one refused longest ago is forgotten', () => {
    const patience = new Patience({ monotonicMs: () => 0 })
    for (let n = 0; n < 5; n++) patience.refused(stranger)
    for (let n = 0; n < 1023; n++) patience.refused(subject(20_000 + n))
    expect(patience.isOver(stranger)).toBe(true)
    patience.refused(subject(30_000))
    expect(patience.isOver(stranger)).toBe(false)
  })
})
