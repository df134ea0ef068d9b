/** The QR code of a ticket: only where it fits, with the addresses there is room for, and readable by whoever scans it. */
import { beforeAll, describe, expect, test } from 'vitest'
import { formatTicket, parseTicket } from '@elder-node/protocol'
import { nodeCrypto, randomBytes, signerFromSeed } from '../../src/adapters/crypto.ts'
import { findTicket } from '../../src/gateway/cli/ticket.ts'
import { ticketQr } from '../../src/gateway/cli/ticket-qr.ts'
import { Desk } from '../support/cli.ts'
import { MemoryFiles } from '../support/memory-files.ts'
import { openMembership } from '../../src/services/membership/open-membership.ts'

const crypto = nodeCrypto()
const PEER = '12D3KooWGdcibwW3gsicqhwz5H93ShuWVLMofrnogFf59kXzG1T2'
let ticket: string

beforeAll(() => {
  const signer = signerFromSeed(new Uint8Array(32).fill(5))
  const { membership } = openMembership({ crypto, signer, signerFromSeed, clock: { wallMs: () => Date.now(), monotonicMs: () => 0 }, random: randomBytes, files: new MemoryFiles() }, { deviceName: 'laptop' })
  const addresses = ['/ip4/127.0.0.1/tcp/4707', '/ip4/192.168.178.120/tcp/4707', '/ip4/10.11.12.13/tcp/4707', '/ip4/100.64.0.7/tcp/4707'].map((address) => `${address}/p2p/${PEER}`)
  membership.attach({ addresses: () => addresses, peers: () => [], on: () => () => {}, onRequest: () => {}, onStream: () => {}, onGossip: () => {}, broadcast: async () => 0 } as unknown as Parameters<typeof membership.attach>[0])
  const made = membership.invite({ role: 'builder' })
  ticket = formatTicket({ ...parseTicket(made.ticket, Date.now(), crypto), addresses }, crypto)
})

describe('as a QR code', () => {
  test('a wide window holds every address, 80 columns hold one, 80x24 holds none and says what it takes', async () => {
    const wide = await ticketQr(ticket, { columns: 200, rows: 80 })
    const narrow = await ticketQr(ticket, { columns: 80, rows: 45 })
    expect('lines' in wide && 'lines' in narrow && wide.lines.length > narrow.lines.length).toBe(true)
    expect(await ticketQr(ticket, { columns: 80, rows: 23 })).toEqual({ needs: { columns: 79, rows: 40 } })
  })

  test('what is scanned is upper case, and is a ticket all the same', () => {
    expect(findTicket(ticket.toUpperCase())).toBe(ticket)
    expect(parseTicket(findTicket(` ${ticket.toUpperCase()}\n`), Date.now(), crypto).addresses).toHaveLength(4)
  })
})

describe('invite', () => {
  test('shows it on a terminal that is large enough, after the ticket and the command', async () => {
    await using desk = await Desk.open()
    desk.node.ticket = ticket
    const large = await desk.run(['invite'], { tty: { columns: 120, rows: 60 } })
    expect(large.stdout).toBe(`${ticket}\n`)
    expect(large.stderr.indexOf('--ticket-file -')).toBeLessThan(large.stderr.indexOf('▀'))
    expect(large.stderr).toContain('▀')
    const small = await desk.run(['invite'], { tty: { columns: 80, rows: 24 } })
    expect(small.stderr).not.toContain('▀')
    expect(small.stderr).toContain('elder-node invite --qr in a window of at least 79 x 41 characters')
    expect((await desk.run(['invite', '--no-qr'], { tty: { columns: 120, rows: 60 } })).stderr).not.toMatch(/▀|QR/)
    expect((await desk.run(['invite'])).stderr).not.toMatch(/▀|QR/)
    expect((await desk.run(['invite', '--qr'])).stderr).toContain('needs a terminal')
  })
})
