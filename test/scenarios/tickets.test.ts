/** Tickets that open no door: each says what is wrong with it, admits nobody and leaves nothing behind. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { formatTicket, parseTicket, signMemberRecord } from '@elder-node/protocol'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { nodeCrypto, signerFromSeed } from '../../packages/node/src/adapters/crypto.ts'
import { Lab, expectRefusal, must, until } from './support.ts'
import type { Node } from './support.ts'

const crypto = nodeCrypto()
const lab = new Lab()
let founder: Node
let neighbour: Node
afterAll(() => lab[Symbol.asyncDispose]())
beforeAll(async () => { [founder, neighbour] = await Promise.all([lab.join('founder'), lab.join('neighbour')]) })

const members = async (): Promise<string[]> => (await founder.call('devices', {})).map(({ name }) => name).sort()
const joinedMesh = (name: string): boolean => existsSync(join(lab.temp, name, 'mesh', 'mesh.cbor'))

describe('a ticket', () => {
  let before: string[]
  beforeEach(async () => { before = await members() })

  const unchanged = async (name: string): Promise<void> => {
    expect(await members()).toEqual(before)
    expect(founder.process.running).toBe(true)
    expect(joinedMesh(name)).toBe(false)
    expect((await lab.run(join(lab.temp, name), ['status'])).last?.error?.code).toBe('NO_MESH')
  }

  test('that has expired', async () => {
    const ticket = await founder.ticket('--expires', '1ms')
    await until('it has expired', () => Date.now() > parseTicket(ticket, 0, crypto).expiresMs)
    expectRefusal(await lab.refused('late', { ticket }), 1, { code: 'TICKET_EXPIRED', names: /ticket expired/, fix: /elder-node invite/ })
    await unchanged('late')
  })

  test('that has let another device in; for that device it stays good', async () => {
    const ticket = await founder.ticket()
    const first = await lab.join('first', { ticket })
    before = await members()
    expectRefusal(await lab.refused('second', { ticket }), 1, { code: 'TICKET_USED', names: /already let another device in/, fix: /elder-node invite/ })
    await unchanged('second')
    await first.stop()
    await first.start({ ticket })
    expect(await members()).toEqual(before)
    await first.stop()
  })

  test('whose role was raised after it was signed', async () => {
    const ticket = parseTicket(await founder.ticket('--role', 'observer'), 0, crypto)
    const content = ticket.record.content
    if (content.type !== 'ticket') throw new Error('a ticket holds a ticket record')
    const thief = signerFromSeed(new Uint8Array(32).fill(7))
    const { seq, at, grant, prev } = ticket.record
    const record = signMemberRecord({ mesh: ticket.mesh, seq, at, grant, prev, content: { ...content, role: 'admin' } }, thief, crypto)
    // The founder's name with the thief's signature, and the thief's own name.
    const bytes = ticket.record.bytes.map((byte, i, all) => i === all.length - 1 ? byte ^ 1 : byte)
    expectRefusal(await lab.refused('bent', { ticket: formatTicket({ ...ticket, record: { ...ticket.record, bytes } }, crypto) }), 1, { code: 'TICKET_FORGED', names: /changed after it was signed/, fix: /elder-node invite/ })
    await unchanged('bent')
    expectRefusal(await lab.refused('thief', { ticket: formatTicket({ ...ticket, record }, crypto) }), 1, { code: 'ISSUER_GONE', names: /signed this ticket is no admin of this mesh/, fix: /elder-node invite/ })
    await unchanged('thief')
  })

  test.each<[string, (ticket: string) => string]>([
    ['at its end', ticket => ticket.slice(0, -20)],
    ['to a few letters', ticket => ticket.slice(0, 12)],
    ['in its middle', ticket => ticket.slice(0, 60) + ticket.slice(80)],
  ])('that was cut %s', async (how, cut) => {
    const name = `cut-${how.replaceAll(' ', '-')}`
    expectRefusal(await lab.refused(name, { ticket: cut(await founder.ticket()) }), 1, { code: 'TICKET_MALFORMED', names: /incomplete or mistyped/, fix: /Copy the whole ticket.*elder-node invite/ })
    await unchanged(name)
  })

  test('that is something else altogether', async () => {
    expectRefusal(await lab.refused('prose', { ticket: 'please let me in' }), 1, { code: 'TICKET_MALFORMED', names: /begins with elder1/, fix: /elder-node invite/ })
    await unchanged('prose')
  })

  test('of another mesh, on a device that has one', async () => {
    const id = neighbour.id
    await neighbour.stop()
    expectRefusal(await lab.refused('neighbour', { ticket: await founder.ticket() }), 1, { code: 'WRONG_MESH', names: /belongs to another mesh \("home"\) than the ticket/, fix: /a second --dir/ })
    await neighbour.start()
    expect(neighbour.id).toBe(id)
    expect(neighbour.ready.mesh.id).not.toBe(founder.ready.mesh.id)
    expect(await members()).toEqual(before)
  })

  /** Waits in vain: exit 6, and the address that was tried is named. */
  const unanswered = async (name: string, ticket: string, address: string | undefined): Promise<void> => {
    const refused = await lab.refused(name, { ticket, flags: ['--timeout', '1500ms'] })
    expectRefusal(refused, 6, { code: 'ADMISSION_TIMEOUT', names: must(address, 'there is an address'), fix: /running and reachable.*elder-node invite/ })
    await unchanged(name)
  }

  test('that leads to a device of another mesh: it answers nothing to who does not know its secret', async () => {
    const own = parseTicket(await founder.ticket(), 0, crypto)
    const there = parseTicket(await neighbour.ticket(), 0, crypto)
    await unanswered('astray', formatTicket({ ...own, addresses: there.addresses }, crypto), there.addresses[0])
    expect((await neighbour.status()).devices).toHaveLength(1)
  })

  test('whose issuer is away', async () => {
    const { addresses } = neighbour.ready
    const ticket = await neighbour.ticket()
    await neighbour.stop()
    await unanswered('waits', ticket, addresses[0])
    await neighbour.start()
  })
})
