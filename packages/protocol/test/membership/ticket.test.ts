import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LIMITS, codeOf, decode, deviceOfAddress, encode, formatTicket, fromBase32, parseTicket, peerIdOf, toBase32, toDeviceName, utf8, type Value } from '../../src/index.ts'
import { crypto } from '../support/crypto.ts'
import { MeshBook, idOf } from '../support/mesh-book.ts'

const book = new MeshBook()
const record = book.ticket(0, 50, 'builder', 1000)
const addresses = [`/ip4/192.168.1.20/tcp/4707/p2p/${peerIdOf(idOf(0))}`, `/dns4/vps.example/tcp/4707/p2p/${peerIdOf(idOf(1))}/p2p-circuit/p2p/${peerIdOf(idOf(0))}`]
const parts = { mesh: book.mesh, meshSecret: new Uint8Array(32).fill(7), addresses, seed: new Uint8Array(32).fill(9), record }
const text = formatTicket(parts, crypto)
const codeFor = (ticket: string, now = 0): string => {
  try {
    parseTicket(ticket, now, crypto)
    return 'OK'
  } catch (error) {
    return codeOf(error)
  }
}

/** A ticket as a forger would make it: any payload with a checksum that holds. */
function forge (change: (payload: Value[]) => void): string {
  const payload = decode((fromBase32(text.slice(6)) as Uint8Array).subarray(0, -4), 4096) as Value[]
  change(payload)
  const bytes = encode(payload)
  return 'elder1' + toBase32(Uint8Array.from([...bytes, ...crypto.sha256(utf8('elder/ticket/v1\0'), bytes).subarray(0, 4)]))
}

describe('tickets', () => {
  test('come back from their text, in capitals and broken over lines too', () => {
    expect(parseTicket(text, 0, crypto)).toEqual({ ...parts, issuer: idOf(0), role: 'builder', expiresMs: 1000 })
    expect(codeFor(` ${text.toUpperCase().replace(/(.{40})/g, '$1\n  ')}\n`)).toBe('OK')
    expect(text.length).toBeLessThan(LIMITS.ticketCharsMax)
  })

  test('long addresses are left out until the text can be read again', () => {
    const long = Array.from({ length: 12 }, (_, i) => `/dns4/${'x'.repeat(60)}${i}.example/tcp/4707/p2p/${peerIdOf(idOf(1))}/p2p-circuit/p2p/${peerIdOf(idOf(0))}`)
    const kept = parseTicket(formatTicket({ ...parts, addresses: long }, crypto), 0, crypto).addresses
    expect(kept.length).toBeGreaterThan(1)
    expect(kept).toEqual(long.slice(0, kept.length))
    expect(() => formatTicket({ ...parts, addresses: [] }, crypto)).toThrow(expect.objectContaining({ code: 'NO_ADDRESS' }) as Error)
  })

  test('a cut or a slip of one character is malformed, everywhere', () => {
    for (let i = 0; i < text.length; i += 7) {
      expect(codeFor(text.slice(0, i))).toBe('TICKET_MALFORMED')
      expect(codeFor(text.slice(0, i) + (text[i] === 'q' ? 'x' : 'q') + text.slice(i + 1))).toBe('TICKET_MALFORMED')
    }
  })

  test('a changed role, expiry or mesh with a good checksum is forged', () => {
    expect(codeFor(forge(payload => { payload[5] = replace(payload[5] as Uint8Array, 'builder', 'adminis') }))).toBe('TICKET_FORGED')
    expect(codeFor(forge(payload => { payload[1] = new Uint8Array(16) }))).toBe('TICKET_FORGED')
    expect(codeFor(forge(payload => { payload[5] = book.genesis.bytes }))).toBe('TICKET_FORGED')
    expect(codeFor(forge(() => {}))).toBe('OK')
  })

  test('expires after its last millisecond, and says what to do', () => {
    expect(codeFor(text, 1000)).toBe('OK')
    expect(() => parseTicket(text, 1001, crypto)).toThrow(expect.objectContaining({ code: 'TICKET_EXPIRED', fix: expect.stringContaining('elder-node invite') }) as Error)
  })

  test('an address without the key of its device is refused', () => {
    expect(codeFor(forge(payload => { payload[3] = ['/ip4/10.0.0.1/tcp/4707'] }))).toBe('TICKET_MALFORMED')
    expect(codeFor(forge(payload => { payload[3] = [] }))).toBe('TICKET_MALFORMED')
    expect(codeFor(forge(payload => { payload[0] = 2 }))).toBe('TICKET_MALFORMED')
  })

  test('no text throws anything but a ticket error', () => {
    const near = fc.tuple(fc.constant(text), fc.nat(), fc.string()).map(([ticket, at, junk]) => ticket.slice(0, at % ticket.length) + junk + ticket.slice(at % ticket.length))
    const checked = fc.anything().map(value => { try { return forge(payload => { payload.splice(0, 6, ...(Array.isArray(value) ? value as Value[] : [value as Value])) }) } catch { return '' } })
    fc.assert(fc.property(fc.oneof(fc.string(), near, checked), input => {
      expect(['OK', 'TICKET_MALFORMED', 'TICKET_FORGED', 'TICKET_EXPIRED']).toContain(codeFor(input))
    }), { numRuns: 1000 })
  })
})

describe('addresses and names', () => {
  test('lead to the device behind the last peer id', () => {
    expect(peerIdOf(idOf(0))).toMatch(/^12D3KooW/)
    expect(addresses.map(deviceOfAddress)).toEqual([idOf(0), idOf(0)])
    for (const bad of ['', '/ip4/1.2.3.4/tcp/1', '/p2p/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG', `/p2p/${'1'.repeat(60)}`, `x/p2p/${peerIdOf(idOf(0))}`, `/dns4/a\u001b[2J/tcp/1/p2p/${peerIdOf(idOf(0))}`, `/dns4/a b/tcp/1/p2p/${peerIdOf(idOf(0))}`]) expect(deviceOfAddress(bad)).toBeUndefined()
  })

  test('peer ids round-trip for every key', () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), key => {
      const device = toBase32(key) as ReturnType<typeof idOf>
      expect(deviceOfAddress(`/ip4/1.2.3.4/tcp/1/p2p/${peerIdOf(device)}`)).toBe(device)
    }))
  })

  test('any hostname becomes a name', () => {
    expect(toDeviceName('Björn\'s MacBook.local')).toBe('bj-rn-s-macbook.local')
    expect(toDeviceName('***')).toBe('device')
  })
})

function replace (bytes: Uint8Array, from: string, to: string): Uint8Array {
  return new Uint8Array(Buffer.from(Buffer.from(bytes).toString('latin1').replace(from, to), 'latin1'))
}
