import { LIMITS, encode, formatTicket, openMemberRecord, parseTicket, signMemberRecord, toBase32, toHex, type MemberRecord, type StackId, type Value } from '@elder-node/protocol'
import * as fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { nodeCrypto, signerFromSeed } from '../../src/adapters/crypto.ts'
import { idOf, MeshBook } from '../../../protocol/test/support/mesh-book.ts'
import { RecordBook, ROSTER_LOG } from '../../src/services/membership/record-book.ts'
import { TestMesh, type TestNode } from '../support/membership.ts'
import { MemoryFiles } from '../support/memory-files.ts'
import { eventually } from '../support/eventually.ts'

const { signal } = new AbortController()
const throwing = (code: string): Error => expect.objectContaining({ code }) as Error
const names = ({ membership }: TestNode): string[] => [...membership.roster.members.values()].map(({ name }) => name).sort()
const converged = (...nodes: TestNode[]): Promise<void> => eventually(() => {
  for (const node of nodes) expect(node.membership.roster.members).toEqual(nodes[0]?.membership.roster.members)
  expect(new Set(nodes.map(({ membership }) => membership.roster.revoked.size)).size).toBe(1)
})

describe('founding and joining', () => {
  test('the founder is admin; a ticket lets a device in at the first dial, and both know both', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('Mini.local', { meshName: 'home' })
    expect(founder.recoverySecret).toMatch(/^elder-recovery1/)
    const pi = await mesh.joined(founder, 'pi')
    expect(names(pi)).toEqual(['mini.local', 'pi'])
    expect(pi.membership.me).toMatchObject({ name: 'pi', role: 'builder' })
    expect(founder.membership.role(pi.device)).toBe('builder')
    expect(mesh.network.linked(founder.device, pi.device)).toBe(true)
    expect(pi.membership.meshName).toBe('home')
  })

  test('after a restart each is what it was, from disk alone; its addresses too', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.joined(founder, 'pi')
    pi.membership.stop()
    const again = await mesh.node('other-name', { seed: 2, files: pi.files })
    expect(names(again)).toEqual(['mini', 'pi'])
    expect(again.membership.members()).toEqual([{ device: founder.device, addresses: founder.mesh.addresses() }])
    await again.membership.joined({ signal })
  })

  test('joining again with the used ticket is idempotent for the member, and refused in another mesh\'s directory', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const { ticket } = founder.membership.invite({})
    const pi = await mesh.node('pi', { ticket })
    await mesh.connect(pi, founder)
    mesh.clock.pass(86_400_000)
    const again = await mesh.node('pi', { ticket, seed: 2, files: pi.files })
    expect(again.membership.me?.name).toBe('pi')
    const stranger = await mesh.node('stranger')
    await expect(mesh.node('stranger', { ticket, seed: 3, files: stranger.files })).rejects.toThrow(throwing('WRONG_MESH'))
  })

  test('any member carries a ticket to its issuer', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.joined(founder, 'pi')
    const laptop = await mesh.joined(founder, 'laptop', { via: pi })
    expect(mesh.network.linked(laptop.device, founder.device)).toBe(false)
    await converged(founder, pi, laptop)
    expect(names(founder)).toEqual(['laptop', 'mini', 'pi'])
  })

  test('a carrier without a way to the issuer says so, and a later try gets in', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.joined(founder, 'pi')
    const { ticket } = founder.membership.invite({})
    mesh.network.disconnect(pi.device, founder.device)
    const laptop = await mesh.node('laptop', { ticket })
    await expect(mesh.connect(laptop, pi)).rejects.toThrow('refused:issuer-unreachable')
    await expect(laptop.membership.joined({ signal: AbortSignal.abort() })).rejects.toThrow(expect.objectContaining({ code: 'ADMISSION_TIMEOUT', message: expect.stringContaining('/memory/') }) as Error)
    await mesh.connect(pi, founder)
    await mesh.connect(laptop, pi)
    await laptop.membership.joined({ signal })
  })

  test('three racers with one ticket through two doors: exactly one gets in, and it may ask again', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.joined(founder, 'pi')
    const { ticket } = founder.membership.invite({})
    const racers = await Promise.all(['a', 'b', 'c'].map(name => mesh.node(name, { ticket })))
    const dials = await Promise.allSettled(racers.map((racer, i) => mesh.connect(racer, i === 1 ? pi : founder)))
    expect(dials.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    const winner = dials.findIndex(({ status }) => status === 'fulfilled')
    for (const [i, racer] of racers.entries()) {
      if (i !== winner) await expect(racer.membership.joined({ signal })).rejects.toThrow(throwing('TICKET_USED'))
    }
    expect(founder.membership.roster.members.size).toBe(3)
    const retry = await mesh.node('same-device', { ticket, seed: 3 + winner })
    await mesh.connect(retry, pi)
    await retry.membership.joined({ signal })
    expect(founder.membership.roster.members.size).toBe(3)
  })

  test('a crash before the member record is on disk admits nobody and leaves the ticket unused', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const { ticket } = founder.membership.invite({})
    founder.files.failure = new Error('disk')
    const pi = await mesh.node('pi', { ticket })
    await expect(mesh.connect(pi, founder)).rejects.toThrow('refused:busy')
    expect(founder.membership.roster.members.size).toBe(1)
    founder.files.failure = undefined
    await mesh.connect(pi, founder)
    await pi.membership.joined({ signal })
  })

  test('a joiner whose own disk is full gets in once there is space', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.node('pi', { ticket: founder.membership.invite().ticket })
    pi.files.failure = new Error('disk')
    await expect(mesh.connect(pi, founder)).rejects.toThrow('disk')
    expect(pi.files.contents.size).toBe(0)
    pi.files.failure = undefined
    await mesh.connect(pi, founder)
    await pi.membership.joined({ signal })
    expect([...pi.files.contents.keys()].sort()).toEqual(['mesh.cbor', ROSTER_LOG])
  })
})

describe('tickets that do not let in', () => {
  const crypto = nodeCrypto()

  test('expired at the joiner, expired at the issuer, garbage', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const { ticket, expiresMs } = founder.membership.invite({ expiresMs: 60_000 })
    const pi = await mesh.node('pi', { ticket })
    mesh.clock.set(expiresMs + 1)
    await expect(mesh.connect(pi, founder)).rejects.toThrow('refused:expired')
    await expect(pi.membership.joined({ signal })).rejects.toThrow(throwing('TICKET_EXPIRED'))
    await expect(mesh.node('late', { ticket })).rejects.toThrow(throwing('TICKET_EXPIRED'))
    await expect(mesh.node('typo', { ticket: ticket.slice(0, -3) })).rejects.toThrow(throwing('TICKET_MALFORMED'))
  })

  test('self-made tickets: signed by a stranger, or by a plain member', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.joined(founder, 'pi')
    const real = parseTicket(founder.membership.invite({}).ticket, mesh.clock.wallMs(), crypto)
    for (const seed of [9, 2]) {
      const signer = signerFromSeed(crypto.sha256(Uint8Array.of(seed)))
      const grant = pi.membership.me?.grant ?? ''
      const record = signMemberRecord({ mesh: real.mesh, seq: 1, at: mesh.clock.wallMs(), grant, prev: [], content: { type: 'ticket', ticketKey: signerFromSeed(real.seed).publicKey, role: 'admin', expiresMs: mesh.clock.wallMs() + 1e6 } }, signer, crypto)
      const forger = await mesh.node('forger', { ticket: formatTicket({ ...real, record }, crypto) })
      await expect(mesh.connect(forger, founder)).rejects.toThrow('refused:not-issuer')
      await expect(mesh.connect(forger, pi)).rejects.toThrow('refused:not-issuer')
      await expect(forger.membership.joined({ signal })).rejects.toThrow(throwing('ISSUER_GONE'))
    }
    expect(names(founder)).toEqual(['mini', 'pi'])
  })

  test('a redemption overheard is useless to another device', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.node('pi', { ticket: founder.membership.invite().ticket })
    const thief = await mesh.node('thief')
    expect(await founder.membership.decide(thief.device, pi.membership.hello(), { signal })).toEqual({ ok: false, code: 'forged' })
  })

  test('another mesh at the address is WRONG_MESH; a stranger is not a member', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const other = await mesh.node('other')
    const pi = await mesh.node('pi', { ticket: founder.membership.invite().ticket })
    await expect(mesh.connect(pi, other)).rejects.toThrow('refused:wrong-mesh')
    await expect(pi.membership.joined({ signal })).rejects.toThrow(throwing('WRONG_MESH'))
    const hello = { v: 1, mesh: (founder.membership.hello() as { mesh: Uint8Array }).mesh, proof: [] }
    expect(await founder.membership.decide(other.device, hello, { signal })).toEqual({ ok: false, code: 'not-a-member' })
    expect(await founder.membership.decide(other.device, founder.membership.hello(), { signal })).toEqual({ ok: false, code: 'not-a-member' })
    expect(await founder.membership.decide(other.device, { ...hello, v: 2 }, { signal })).toEqual({ ok: false, code: 'version' })
    expect(await founder.membership.decide(other.device, { ...hello, proof: Array.from({ length: 9 }, () => new Uint8Array(1)) }, { signal })).toEqual({ ok: false, code: 'proof' })
  })

  test('no hello makes the door throw, and none of them lets in', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.node('pi', { ticket: founder.membership.invite().ticket })
    const good = pi.membership.hello() as Record<string, Value>
    const bent = fc.tuple(fc.constantFrom('v', 'mesh', 'ticket', 'redeem', 'name', 'proof'), fc.anything()).map(([key, value]) => ({ ...good, [key]: value }))
    await fc.assert(fc.asyncProperty(fc.oneof(fc.anything(), bent), async value => {
      const verdict = await founder.membership.decide(pi.device, wireOr(value, good['mesh'] as Value), { signal })
      if (verdict.ok) expect(value).toMatchObject({ ticket: good['ticket'], redeem: good['redeem'] })
    }), { numRuns: 300 })
  })
})

/** Only what CBOR can carry reaches the door. */
function wireOr (value: unknown, otherwise: Value): Value {
  try {
    encode(value)
    return value as Value
  } catch {
    return otherwise
  }
}

describe('evicting', () => {
  async function three (): Promise<{ mesh: TestMesh, founder: TestNode, pi: TestNode, laptop: TestNode }> {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.joined(founder, 'pi')
    const laptop = await mesh.joined(founder, 'laptop')
    await mesh.connect(laptop, pi)
    await converged(founder, pi, laptop)
    return { mesh, founder, pi, laptop }
  }

  test('only an admin may; not itself; only whom there is', async () => {
    const { founder, pi } = await three()
    await expect(pi.membership.evict('laptop')).rejects.toThrow(throwing('NOT_ADMIN'))
    expect(() => pi.membership.invite({})).toThrow(throwing('NOT_ADMIN'))
    await expect(founder.membership.evict('mini')).rejects.toThrow(throwing('SELF'))
    await expect(founder.membership.evict('nobody')).rejects.toThrow(throwing('NO_SUCH_DEVICE'))
    expect(founder.membership.find(pi.device.slice(0, 6)).name).toBe('pi')
  })

  test('closes its connections everywhere at once, is final, and tells the evicted with proof', async () => {
    const { mesh, founder, pi, laptop } = await three()
    const removed = vi.fn()
    pi.membership.onRemoved(removed)
    await founder.membership.evict('laptop')
    expect(mesh.network.linked(founder.device, laptop.device)).toBe(false)
    await eventually(() => { expect(mesh.network.linked(pi.device, laptop.device)).toBe(false) })
    expect(removed).toHaveBeenCalledExactlyOnceWith(laptop.device, false)
    expect(names(pi)).toEqual(['mini', 'pi'])
    await mesh.connect(laptop, pi).catch(() => {})
    expect((await laptop.membership.evicted).code).toBe('EVICTED')
    await expect(mesh.node('laptop', { seed: 3, files: laptop.files })).rejects.toThrow(throwing('EVICTED'))
    const { ticket } = founder.membership.invite({})
    const again = await mesh.node('laptop', { seed: 3, ticket })
    await expect(mesh.connect(again, founder)).rejects.toThrow('refused:revoked')
    await expect(again.membership.joined({ signal })).rejects.toThrow(throwing('EVICTED'))
  })

  test('asks everybody for the heads of the device first, and cuts there; who does not answer is left out', async () => {
    const { mesh, founder, pi, laptop } = await three()
    founder.membership.promote('pi')
    await converged(founder, pi, laptop)
    const [stack, other] = [1, 2].map(byte => toBase32(new Uint8Array(16).fill(byte))) as [StackId, StackId]
    const [old, newer] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
    founder.heads.set(laptop.device, new Map([[stack, [old]]]))
    pi.heads.set(laptop.device, new Map([[other, [old]], [stack, [newer]]]))
    // An admin that is there and cannot answer.
    const mute = await mesh.joined(founder, 'mute', { role: 'admin' })
    mute.heads.get = () => { throw new Error('a full disk') }
    await founder.membership.evict('laptop')
    await converged(founder, pi, mute)
    expect(pi.membership.roster.revoked.get(laptop.device)).toMatchObject({ cuts: new Map([[stack, new Set([toHex(old), toHex(newer)])], [other, new Set([toHex(old)])]]), undo: false })
    await expect(laptop.mesh.request(founder.device, 'heads', {}, { signal })).rejects.toThrow()
  })

  test('cuts that fill more than one record are written together, and 64 heads of a stack at most', async () => {
    const { founder, pi, laptop } = await three()
    const many = new Map(Array.from({ length: 150 }, (_, i) => [toBase32(new Uint8Array(16).fill(i)) as StackId, [new Uint8Array(32).fill(i)]]))
    const [first] = many.keys()
    many.set(first as StackId, Array.from({ length: 70 }, (_, i) => new Uint8Array(32).fill(i)))
    founder.heads.set(laptop.device, many)
    await founder.membership.evict('laptop')
    await converged(founder, pi)
    const cuts = pi.membership.roster.revoked.get(laptop.device)?.cuts
    expect([cuts?.size, cuts?.get(first as StackId)?.size]).toEqual([150, 64])
  })

  test('a member that answers with thousands of stacks and heads keeps neither the eviction nor the heads of others out', async () => {
    const { founder, pi, laptop } = await three()
    founder.membership.promote('pi')
    await converged(founder, pi, laptop)
    const key = (n: number): StackId => toBase32(Uint8Array.from([n >> 8, n & 255, ...new Uint8Array(14)])) as StackId
    const hash = (n: number): Uint8Array => new Uint8Array(32).fill(n)
    founder.heads.set(laptop.device, new Map([[key(0), [hash(1), hash(2)]]]))
    pi.heads.set(laptop.device, new Map(Array.from({ length: 5000 }, (_, n) => [key(n), Array.from({ length: n === 0 ? 64 : 1 }, (_, i) => hash(100 + i))])))
    await founder.membership.evict('laptop')
    const cuts = founder.membership.roster.revoked.get(laptop.device)?.cuts
    expect(cuts?.size).toBe(257)
    expect([...cuts?.get(key(0)) ?? []]).toEqual(expect.arrayContaining([hash(1), hash(2), hash(100)].map(toHex)) as string[])
  })

  test('--undo takes back what a member wrote, and what one wrote that was evicted before', async () => {
    const { mesh, founder, pi, laptop } = await three()
    await founder.membership.evict('laptop')
    await expect(founder.membership.evict('laptop')).rejects.toThrow(throwing('NO_SUCH_DEVICE'))
    expect(founder.membership.roster.revoked.get(laptop.device)?.undo).toBe(false)
    expect(await founder.membership.evict('laptop', { undo: true })).toBe(laptop.device)
    await eventually(() => { expect(pi.membership.roster.revoked.get(laptop.device)?.undo).toBe(true) })
    // The name is now of two: each is meant by its id.
    const second = await mesh.joined(founder, 'laptop')
    expect(second.membership.me?.name).toBe('laptop')
    await founder.membership.evict(laptop.device.slice(0, 8), { undo: true })
    expect(founder.membership.roster.members.has(second.device)).toBe(true)
    expect(await founder.membership.evict(second.device.slice(0, 8), { undo: true })).toBe(second.device)
    expect(founder.membership.roster.revoked.get(second.device)?.undo).toBe(true)
  })

  test('--keep asks everybody for what lies beyond the cut, and adds it to the cuts on every device', async () => {
    const { mesh, founder, pi, laptop } = await three()
    const stack = toBase32(new Uint8Array(16).fill(1)) as StackId
    const hash = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)
    const [cut, aside, elsewhere] = [hash(1), hash(2), hash(3)]
    founder.heads.set(laptop.device, new Map([[stack, [cut]]]))
    await expect(founder.membership.keep('laptop')).rejects.toThrow(throwing('NOT_EVICTED'))
    await expect(founder.membership.keep('nobody')).rejects.toThrow(throwing('NO_SUCH_DEVICE'))
    await founder.membership.evict('laptop')
    // What the cuts name already is nothing that comes back.
    pi.beyond.set(laptop.device, new Map([[stack, [cut]]]))
    await expect(founder.membership.keep('laptop')).rejects.toThrow(throwing('NOTHING_ASIDE'))
    await expect(pi.membership.keep('laptop')).rejects.toThrow(throwing('NOT_ADMIN'))
    founder.beyond.set(laptop.device, new Map([[stack, [aside]]]))
    pi.beyond.set(laptop.device, new Map([[stack, [cut, elsewhere]]]))
    const { cuts } = await founder.membership.beyond('laptop')
    expect(cuts).toEqual([{ stack, heads: [toHex(aside), toHex(elsewhere)] }])
    expect(await founder.membership.keep(laptop.device.slice(0, 8))).toBe(laptop.device)
    const whole = { cuts: new Map([[stack, new Set([cut, aside, elsewhere].map(toHex))]]), undo: false }
    await eventually(() => { expect(pi.membership.roster.revoked.get(laptop.device)).toMatchObject(whole) })
    // Who comes in later knows it from the records; what it wrote stays out of the mesh as before.
    const late = await mesh.joined(founder, 'late')
    await eventually(() => { expect(late.membership.roster.revoked.get(laptop.device)).toMatchObject(whole) })
    expect(names(late)).toEqual(['late', 'mini', 'pi'])
    await founder.membership.evict('laptop', { undo: true })
    await expect(founder.membership.keep('laptop')).rejects.toThrow(throwing('TAKEN_BACK'))
  })

  test('--keep is not for a device that left by its own word: nothing of it was cut', async () => {
    const { founder, laptop } = await three()
    await laptop.membership.leave()
    founder.beyond.set(laptop.device, new Map([[toBase32(new Uint8Array(16)) as StackId, [new Uint8Array(32)]]]))
    await eventually(() => { expect(founder.membership.isRevoked(laptop.device)).toBe(true) })
    await expect(founder.membership.keep('laptop')).rejects.toThrow(throwing('NOT_EVICTED'))
    expect(founder.membership.cutsOf(toBase32(new Uint8Array(16)) as StackId).size).toBe(0)
  })

  test('the same command again hits nobody else: who is here keeps its name, and one that an evicted device had asks for the id', async () => {
    const { mesh, founder, laptop } = await three()
    const second = await mesh.joined(founder, 'laptop')
    expect(await founder.membership.evict('laptop')).toBe(laptop.device)
    await expect(founder.membership.evict('laptop')).rejects.toMatchObject({ code: 'NO_SUCH_DEVICE' })
    expect(second.membership.me?.name).toBe('laptop-2')
    const third = await mesh.joined(founder, 'laptop')
    const [old, now] = [laptop.device.slice(0, 12), third.device.slice(0, 12)]
    const both = { code: 'AMBIGUOUS', message: expect.stringMatching(new RegExp(`${now} \\(a member\\), ${old} \\(evicted\\)`)) as string }
    await expect(founder.membership.evict('laptop')).rejects.toMatchObject({ ...both, fix: `elder-node evict ${now}` })
    const lines = `elder-node evict ${now} --undo   or   elder-node evict ${old} --undo`
    await expect(founder.membership.evict('laptop', { undo: true })).rejects.toMatchObject({ ...both, fix: lines })
    expect(founder.membership.roster.members.size).toBe(4)
    expect(await founder.membership.evict(old, { undo: true })).toBe(laptop.device)
    // Twice gone under one name.
    await founder.membership.evict(now)
    await expect(founder.membership.evict('laptop', { undo: true })).rejects.toMatchObject({ code: 'AMBIGUOUS' })
    await expect(founder.membership.evict('laptop')).rejects.toMatchObject({ code: 'NO_SUCH_DEVICE' })
  })

  test('a name that a device left by its own word is the next one\'s, unless what was written is taken back', async () => {
    const { mesh, founder, laptop } = await three()
    await laptop.membership.leave()
    const second = await mesh.joined(founder, 'laptop')
    await expect(founder.membership.evict('laptop', { undo: true })).rejects.toMatchObject({ code: 'AMBIGUOUS' })
    expect(await founder.membership.evict('laptop')).toBe(second.device)
  })

  test('a refusal without proof, or with a false one, evicts nobody', async () => {
    const { founder, laptop } = await three()
    laptop.membership.refused(founder.device, 'revoked', undefined)
    laptop.membership.refused(founder.device, 'revoked', { proof: [new Uint8Array(40)] })
    laptop.membership.refused(founder.device, 'revoked', founder.membership.hello())
    expect(laptop.membership.me?.name).toBe('laptop')
    const told = await Promise.race([laptop.membership.evicted, new Promise(resolve => { setImmediate(resolve, 'not told') })])
    expect(told).toBe('not told')
  })

  test('a member that slept through it hears at the first meeting, before it could be fooled', async () => {
    const { mesh, founder, pi, laptop } = await three()
    for (const [a, b] of [[pi, founder], [pi, laptop]] as const) mesh.network.disconnect(a.device, b.device)
    await founder.membership.evict('laptop')
    await mesh.connect(laptop, pi)
    await mesh.connect(pi, founder)
    await eventually(() => { expect(mesh.network.linked(pi.device, laptop.device)).toBe(false) })
    await converged(founder, pi)
  })

  test('a lost device frees its name, and may return with a new ticket', async () => {
    const { mesh, founder, pi } = await three()
    const second = await mesh.joined(founder, 'laptop')
    expect(second.membership.me?.name).toBe('laptop-2')
    founder.membership.markLost('laptop')
    await converged(founder, pi, second)
    expect(second.membership.me?.name).toBe('laptop')
    const back = await mesh.joined(founder, 'laptop', { seed: 3 })
    expect(back.membership.me?.name).toBe('laptop')
    expect(founder.membership.find('laptop-2').device).toBe(second.device)
  })

  test('a lost device that missed what came after its loss may return, too', async () => {
    const { mesh, founder, laptop } = await three()
    founder.membership.markLost('laptop')
    await expect(mesh.connect(laptop, founder)).rejects.toThrow('refused:not-a-member')
    await laptop.membership.evicted
    await mesh.joined(founder, 'between')
    const { ticket } = founder.membership.invite()
    const back = await mesh.node('laptop', { ticket, seed: 3, files: laptop.files })
    await mesh.connect(back, founder)
    await back.membership.joined({ signal })
    expect(names(back)).toEqual(['between', 'laptop', 'mini', 'pi'])
  })

  test.each([['promoted', 10], ['invited as an admin', 7]] as const)('each device lets the next one in and makes it an admin, %s, %i times: newcomers see the whole chain', async (how, times) => {
    const mesh = new TestMesh()
    let last = await mesh.node('mini')
    for (let n = 0; n < times; n++) {
      const next = await mesh.joined(last, `d${n}`, how === 'promoted' ? {} : { role: 'admin' })
      if (how === 'promoted') last.membership.promote(`d${n}`)
      await eventually(() => { expect(next.membership.me?.role).toBe('admin') })
      last = next
    }
    const tablet = await mesh.joined(last, 'tablet')
    expect(tablet.membership.roster.genesis).not.toBeNull()
    const hello = tablet.membership.hello() as { proof: Uint8Array[] }
    expect(encode(hello).length).toBeLessThan(LIMITS.doorBytesMax)
    expect(hello.proof.length).toBeGreaterThan(times)
  })

  test('a promoted member invites and evicts; its own invitations survive in a chain that newcomers can check', async () => {
    const { mesh, founder, pi, laptop } = await three()
    founder.membership.promote('pi')
    await converged(founder, pi, laptop)
    mesh.network.disconnect(pi.device, founder.device)
    const tablet = await mesh.joined(pi, 'tablet')
    await mesh.connect(tablet, founder)
    await converged(founder, pi, laptop, tablet)
    await pi.membership.evict('laptop')
    await converged(founder, pi, tablet)
    expect(names(tablet)).toEqual(['mini', 'pi', 'tablet'])
  })
})

describe('two admins that evict each other, and neither knows', () => {
  async function apart (role: 'admin' | 'builder', how: 'evicted' | 'lost' = 'evicted'): Promise<{ mesh: TestMesh, mini: TestNode, laptop: TestNode, pi: TestNode, tablet: TestNode }> {
    const mesh = new TestMesh()
    const mini = await mesh.node('mini')
    const laptop = await mesh.joined(mini, 'laptop', { role: 'admin' })
    const pi = await mesh.joined(mini, 'pi', { role })
    const tablet = await mesh.joined(mini, 'tablet')
    await mesh.connect(tablet, laptop)
    await converged(mini, laptop, pi, tablet)
    for (const [a, b] of [[mini, laptop], [mini, tablet]] as const) mesh.network.disconnect(a.device, b.device)
    if (how === 'lost') mini.membership.markLost('laptop')
    else await mini.membership.evict('laptop')
    await laptop.membership.evict('mini')
    await eventually(() => { expect([names(pi), names(tablet)]).toEqual([['mini', 'pi', 'tablet'], ['laptop', 'pi', 'tablet']]) })
    return { mesh, mini, laptop, pi, tablet }
  }

  test('are both out once their sides meet, and see it in their status; another admin lets each in as a new device', async () => {
    const { mesh, mini, laptop, pi, tablet } = await apart('admin')
    await mesh.connect(pi, tablet)
    await eventually(() => { expect([names(pi), names(tablet)]).toEqual([['pi', 'tablet'], ['pi', 'tablet']]) })
    for (const [node, other] of [[mini, 'laptop'], [laptop, 'mini']] as const) {
      for (const peer of [pi, tablet]) await expect(mesh.connect(node, peer)).rejects.toThrow('refused:revoked')
      const message = `${other}, which is evicted here, has evicted this device or marked it as lost: pi, tablet went by that and let this device in no more.`
      expect(node.membership.problems()).toMatchObject([{ code: 'EVICTION_DISPUTED', message, fix: expect.stringContaining('elder-node leave --force') as string }])
    }
    expect(pi.membership.problems()).toEqual([])
    expect(names(await mesh.joined(pi, 'mini'))).toEqual(['mini', 'pi', 'tablet'])
  })

  test('leave a mesh without an admin when they were the only two: the others are told, and what is left to do', async () => {
    const { mesh, pi, tablet } = await apart('builder')
    expect(pi.membership.problems()).toEqual([])
    await mesh.connect(pi, tablet)
    await eventually(() => { expect([names(pi), names(tablet)]).toEqual([['pi', 'tablet'], ['pi', 'tablet']]) })
    const fix = expect.stringContaining('found a new one') as string
    for (const { membership } of [pi, tablet]) expect(membership.problems()).toMatchObject([{ code: 'NO_ADMIN', fix }])
    expect(() => pi.membership.invite()).toThrow(expect.objectContaining({ code: 'NOT_ADMIN', fix }) as Error)
  })

  test.each(['evicted', 'lost'] as const)('see in their status who went by the other one: %s', async how => {
    const { mesh, laptop, pi } = await apart('builder', how)
    expect(laptop.membership.problems()).toEqual([])
    await expect(mesh.connect(laptop, pi)).rejects.toThrow(how === 'lost' ? 'refused:not-a-member' : 'refused:revoked')
    expect(laptop.membership.me?.name).toBe('laptop')
    expect(laptop.membership.problems()).toMatchObject([{ code: 'EVICTION_DISPUTED', message: expect.stringMatching(/^mini, which is evicted here, has evicted this device or marked it as lost: pi went by that and lets/) as string }])
  })
})

describe('leaving', () => {
  test('whoever is connected hears before it returns, whatever the role; the key never comes back', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.joined(founder, 'pi', { role: 'observer' })
    const laptop = await mesh.joined(founder, 'laptop')
    await converged(founder, pi, laptop)
    const told = await pi.membership.leave()
    expect(told).toEqual([founder.device])
    expect(founder.membership.role(pi.device)).toBeUndefined()
    expect(founder.membership.roster.revoked.get(pi.device)?.left).toBe(true)
    expect([founder.membership.isRevoked(pi.device), founder.membership.isEvicted(pi.device)]).toEqual([true, false])
    expect(() => founder.membership.find('pi')).toThrow(/"pi" left this mesh/)
    // Who was not connected to it hears from those who were.
    await converged(founder, laptop)
    expect(names(laptop)).toEqual(['laptop', 'mini'])
    const heard = await Promise.race([pi.membership.evicted, new Promise(resolve => { setImmediate(resolve, 'silent') })])
    expect(heard).toBe('silent')
    await expect(pi.membership.leave()).rejects.toThrow(throwing('NOT_A_MEMBER'))
    await expect(mesh.node('pi', { seed: 2, files: pi.files })).rejects.toThrow(/left the mesh/)
    const again = await mesh.node('pi', { seed: 2, ticket: founder.membership.invite({}).ticket })
    await expect(mesh.connect(again, founder)).rejects.toThrow('refused:revoked')
  })

  test('with nobody connected nobody is told; a full disk leaves the member what it was', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.joined(founder, 'pi')
    pi.files.failure = new Error('full')
    await expect(pi.membership.leave()).rejects.toThrow('full')
    expect(pi.membership.me?.name).toBe('pi')
    pi.files.failure = undefined
    mesh.network.disconnect(pi.device, founder.device)
    expect(await pi.membership.leave()).toEqual([])
    expect(founder.membership.role(pi.device)).toBe('builder')
  })

  test('a member that writes leaves without end fills nobody\'s records', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.joined(founder, 'pi')
    await converged(founder, pi)
    const signer = signerFromSeed(nodeCrypto().sha256(Uint8Array.of(2)))
    const before = founder.membership.records().length
    const leaves = Array.from({ length: 20 }, (_, i) => signMemberRecord({ mesh: founder.membership.meshId, seq: 100 + i, at: i, grant: pi.membership.me?.grant ?? null, prev: [], content: { type: 'leave' } }, signer, nodeCrypto()).bytes)
    founder.membership.receive(leaves)
    founder.membership.receive(leaves)
    expect(founder.membership.records().length - before).toBe(LIMITS.leavesPerDeviceMax)
  })
})

describe('the records', () => {
  test('partitions heal: what two halves wrote is exchanged when they meet, in two requests, and silence costs one', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.joined(founder, 'pi')
    await converged(founder, pi)
    mesh.network.disconnect(founder.device, pi.device)
    for (const name of ['a', 'b', 'c']) await mesh.joined(founder, name)
    founder.mesh.served.clear()
    pi.mesh.served.clear()
    await mesh.connect(pi, founder)
    await converged(founder, pi)
    expect(names(pi)).toEqual(['a', 'b', 'c', 'mini', 'pi'])
    await eventually(() => { expect(founder.mesh.served.get('roster')).toBeGreaterThanOrEqual(2) })
    // On a busy machine a request of the meeting before is still under way and counted: then they meet once more.
    await eventually(async () => {
      mesh.network.disconnect(founder.device, pi.device)
      for (const { mesh: { served } } of [founder, pi]) served.clear()
      await mesh.connect(pi, founder)
      const counts = (): Array<number | undefined> => [founder, pi].map(node => node.mesh.served.get('roster'))
      await eventually(() => { expect(counts()).not.toContain(undefined) })
      expect(counts()).toEqual([1, 1])
    })
  })

  test('who missed a push notices at the next one, and asks for the rest', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.joined(founder, 'pi')
    await converged(founder, pi)
    pi.files.failure = new Error('disk')
    const { ticket } = founder.membership.invite({})
    await eventually(() => { expect(pi.mesh.served.get('roster')).toBeGreaterThan(1) })
    pi.files.failure = undefined
    const laptop = await mesh.node('laptop', { ticket })
    await mesh.connect(laptop, founder)
    await eventually(() => { expect(names(pi)).toEqual(['laptop', 'mini', 'pi']) })
  })

  test('a torn log is cut and a damaged one kept aside, and what is missing comes back from the peers', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.joined(founder, 'pi')
    const late = await mesh.joined(founder, 'laptop')
    await converged(founder, pi, late)
    mesh.network.disconnect(pi.device, founder.device)
    const whole = pi.files.contents.get(ROSTER_LOG) as Uint8Array
    const flipped = whole.map((byte, i) => i === 40 ? byte ^ 1 : byte)
    for (const damaged of [whole.slice(0, -7), Uint8Array.from([...whole, 0, 0, 1, 200, 1, 2]), Uint8Array.from([...whole, 0, 0, 0, 0]), flipped, new Uint8Array()]) {
      const files = new MemoryFiles()
      for (const [name, bytes] of pi.files.contents) files.contents.set(name, bytes)
      files.contents.set(ROSTER_LOG, damaged)
      const again = await mesh.node('pi', { seed: 2, files })
      const isTorn = damaged !== flipped && damaged.length > 0
      expect(again.membership.problems().map(({ code }) => code)).toEqual(isTorn ? [] : ['ROSTER_DAMAGED'])
      const aside = [...files.contents].find(([name]) => name.startsWith(`${ROSTER_LOG}.damaged`))?.[1]
      expect(aside).toEqual(isTorn ? undefined : damaged)
      await mesh.connect(again, founder)
      await converged(again, founder)
      await eventually(() => { expect(again.membership.problems()).toEqual([]) })
      expect(files.readLog(ROSTER_LOG)).toMatchObject({ isTorn: false, isDamaged: false })
      mesh.network.disconnect(again.device, founder.device)
    }
  })

  test('what was damaged stays told over restarts, until another device holds the same records or a person says that there is none', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const pi = await mesh.joined(founder, 'pi')
    await converged(founder, pi)
    mesh.network.disconnect(pi.device, founder.device)
    const codes = (node: typeof pi): string[] => node.membership.problems().map(({ code }) => code)
    const start = async (files: MemoryFiles): Promise<typeof pi> => await mesh.node('pi', { seed: 2, files })
    for (const damage of ['missing', 'empty', 'damaged'] as const) {
      const files = new MemoryFiles()
      for (const [name, bytes] of pi.files.contents) files.contents.set(name, bytes)
      const whole = files.contents.get(ROSTER_LOG) as Uint8Array
      files.contents.set(ROSTER_LOG, damage === 'empty' ? new Uint8Array() : whole.map((byte, i) => i === 40 ? byte ^ 1 : byte))
      if (damage === 'missing') files.contents.delete(ROSTER_LOG)
      await start(files)
      const [problem] = (await start(files)).membership.problems()
      expect(problem).toMatchObject({ code: 'ROSTER_DAMAGED', message: expect.stringContaining(`${files.path(ROSTER_LOG)} was ${damage}`) as string })
      const alone = new MemoryFiles()
      for (const [name, bytes] of files.contents) alone.contents.set(name, bytes)
      const abandoned = await start(alone)
      alone.remove(/rm \/memory\/(\S+)$/.exec(problem?.fix ?? '')?.[1] ?? '')
      expect([codes(abandoned), codes(await start(alone))]).toEqual([[], []])
      const healed = await start(files)
      await mesh.connect(healed, founder)
      await eventually(() => { expect(codes(healed)).toEqual([]) })
      mesh.network.disconnect(healed.device, founder.device)
      expect(codes(await start(files))).toEqual([])
    }
  })
})

describe('a device that only a removed device let in', () => {
  test('stays when that one leaves at their first meeting, before it has heard what the leaver knew', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const host = await mesh.joined(founder, 'laptop', { role: 'admin' })
    const pi = await mesh.joined(host, 'pi')
    await converged(founder, host, pi)
    mesh.network.disconnect(host.device, pi.device)
    await mesh.joined(founder, 'between')
    await converged(founder, host)
    await mesh.connect(host, pi)
    expect(await host.membership.leave()).toContain(pi.device)
    expect(pi.membership.roster.revoked.get(host.device)?.left).toBe(true)
    expect(names(pi)).toEqual(['between', 'mini', 'pi'])
  })

  test('stays when a mirror shows that one\'s leave, and leaves out what the leaver knew', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const host = await mesh.joined(founder, 'laptop', { role: 'admin' })
    const pi = await mesh.joined(host, 'pi')
    await converged(founder, host, pi)
    for (const other of [founder, host]) mesh.network.disconnect(other.device, pi.device)
    const known = new Set(pi.membership.records().map(toHex))
    await mesh.joined(founder, 'between')
    await converged(founder, host)
    await host.membership.leave()
    await eventually(() => { expect(founder.membership.roster.revoked.has(host.device)).toBe(true) })
    const records = founder.membership.records()
    const leave = records.filter(bytes => openMemberRecord(bytes, nodeCrypto()).content.type === 'leave')
    pi.membership.receive(leave)
    expect(names(pi)).toEqual(['laptop', 'mini', 'pi'])
    pi.membership.receive(records.filter(bytes => !known.has(toHex(bytes))))
    expect(names(pi)).toEqual(['between', 'mini', 'pi'])
  })

  test('learns at the next door that it is out, with the records that prove it, and may be invited again', async () => {
    const mesh = new TestMesh()
    const founder = await mesh.node('mini')
    const evictor = await mesh.joined(founder, 'laptop', { role: 'admin' })
    await mesh.joined(founder, 'between')
    await converged(founder, evictor)
    mesh.network.disconnect(founder.device, evictor.device)
    await evictor.membership.evict('mini')
    // The founder has not heard, and lets a device in that believes it.
    const pi = await mesh.joined(founder, 'pi')
    expect(pi.membership.me?.name).toBe('pi')
    await expect(mesh.connect(pi, evictor)).rejects.toThrow('refused:not-a-member')
    await expect(pi.membership.evicted).resolves.toMatchObject({ code: 'EVICTED', message: expect.stringContaining('let this one in') as string })
    expect(pi.membership.me).toBeUndefined()
    const { ticket } = evictor.membership.invite()
    const again = await mesh.node('pi', { ticket, seed: 4, files: pi.files })
    await mesh.connect(again, evictor)
    await again.membership.joined({ signal })
    expect(names(evictor)).toContain('pi')
  })

  test('does not believe so of a removal of which it cannot see what it knew: that may have seen its admission', () => {
    const records = new MeshBook()
    const evictor = records.admit(0, 1, 'admin', 'laptop')
    const pi = records.admit(0, 2, 'builder', 'pi')
    const between = records.admit(1, 3, 'builder', 'between')
    const removal = records.revoke(1, 0)
    const unaware = records.revoke(1, 0, { prev: [evictor.hash] })
    const told = (...shown: MemberRecord[]): boolean => {
      const book = new RecordBook({ crypto: nodeCrypto(), files: new MemoryFiles() }, records.mesh)
      book.admit([records.genesis, evictor, pi].map(({ bytes }) => bytes), [idOf(1), idOf(2)])
      expect(book.roster.members.has(idOf(2))).toBe(true)
      book.admitRemoval(shown.map(({ bytes }) => bytes), idOf(2), idOf(1))
      return !book.roster.members.has(idOf(2))
    }
    expect([told(removal), told(removal, between), told(unaware)]).toEqual([false, false, true])
  })
})
