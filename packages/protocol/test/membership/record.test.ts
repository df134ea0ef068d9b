import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MalformedError, codeOf, encode, meshIdOf, openMemberRecord, signMemberRecord, stackId, toBase32, type Cut, type MemberContent } from '../../src/index.ts'
import { crypto, testSigner } from '../support/crypto.ts'
import { MeshBook, idOf } from '../support/mesh-book.ts'

const book = new MeshBook()
const ticket = book.ticket(0, 50)
const contents: MemberContent[] = [
  { type: 'lost', subject: idOf(1) },
  { type: 'revoke', subject: idOf(1), cuts: [{ stack: stackId('demo', crypto), heads: ['00'.repeat(32), 'ff'.repeat(32)] }], undo: true },
  { type: 'leave' },
  { type: 'addAdmin', subject: idOf(1) },
  { type: 'recover', subject: idOf(1), name: 'phoenix' },
  { type: 'unknown', name: 'from-the-future', fields: ['anything', 1] },
]

describe('membership records', () => {
  test('come back from their bytes as they were', () => {
    const records = [book.genesis, ticket, book.redeem(0, ticket, 50, 1, 'mini'), ...contents.map(content => book.write(0, content))]
    for (const record of records) expect(openMemberRecord(record.bytes, crypto)).toEqual(record)
  })

  test('the mesh id is the hash of the genesis record', () => {
    expect(book.mesh).toBe(meshIdOf(Uint8Array.from(Buffer.from(book.genesis.hash, 'hex'))))
  })

  test('a record signed by another key, or bent in one bit, is refused', () => {
    const [body] = [ticket.bytes.slice()]
    for (let i = 0; i < body.length; i++) {
      const bent = body.slice()
      bent[i] = (bent[i] as number) ^ 1
      expect(() => openMemberRecord(bent, crypto)).toThrow(MalformedError)
    }
  })

  test('a redemption for one device does not open for another', () => {
    const good = book.redeem(0, ticket, 50, 1, 'mini')
    const via = good.content.type === 'member' ? good.content.via : null
    const stolen = signMemberRecord.bind(null, { mesh: book.mesh, seq: 9, at: 9, grant: book.genesis.hash, prev: [], content: { type: 'member', subject: idOf(2), role: 'builder', name: 'thief', wire: 1, via } }, testSigner(0), crypto)
    expect(stolen).toThrow(/not redeemed for this device/)
  })

  test('a rekey needs the signature of the new key', () => {
    expect(() => book.write(0, { type: 'rekey', newKey: idOf(3), signature: new Uint8Array(64) })).toThrow(MalformedError)
  })

  test('cuts rise strictly, by stack and within one, and are bounded', () => {
    const stacks = [0, 1].map(byte => toBase32(new Uint8Array(16).fill(byte)))
    const [one = '', two = ''] = ['00'.repeat(32), 'ff'.repeat(32)]
    const bad: Cut[][] = [
      [{ stack: stacks[0] as never, heads: [two, one] }], [{ stack: stacks[0] as never, heads: [one, one] }],
      [{ stack: stacks[1] as never, heads: [] }, { stack: stacks[0] as never, heads: [] }],
      [{ stack: stacks[0] as never, heads: Array.from({ length: 65 }, (_, i) => i.toString(16).padStart(64, '0')) }],
      Array.from({ length: 65 }, (_, i) => ({ stack: toBase32(Uint8Array.from([i, ...new Uint8Array(15)])) as never, heads: [] })),
    ]
    for (const cuts of bad) expect(() => book.write(0, { type: 'revoke', subject: idOf(1), cuts, undo: false })).toThrow(MalformedError)
  })

  test('random and mutated bytes never throw anything but MalformedError', () => {
    const seeds = [book.genesis.bytes, ticket.bytes]
    const mutated = fc.tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), fc.nat(400))
      .map(([bytes, edits, cut]) => {
        const out = bytes.slice(0, Math.max(1, bytes.length - (cut < 200 ? 0 : cut - 200)))
        for (const [at, byte] of edits) out[at % out.length] = byte
        return out
      })
    const signed = fc.anything().map(value => { try { return encode([encode([value, value]), new Uint8Array(64)]) } catch { return new Uint8Array() } })
    fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), mutated, signed), bytes => {
      try {
        openMemberRecord(bytes, crypto)
      } catch (error) {
        expect(codeOf(error)).toBe('MALFORMED')
      }
    }), { numRuns: 1500 })
  })
})
