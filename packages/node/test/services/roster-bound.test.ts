/** A roster of as many records as one may have: between two devices, and on disk beside an archived stack. */
import {
  decode, encode, LIMITS, stackId, stackKey, type DeviceId, type MemberRecord, type Value,
} from '@elder-node/protocol'
import { describe, expect, test } from 'vitest'
import { nodeCrypto } from '../../src/adapters/crypto.ts'
import type { Mesh } from '../../src/ports/mesh.ts'
import type { RecordBook } from '../../src/services/membership/record-book.ts'
import { RosterSync } from '../../src/services/membership/roster-sync.ts'
import { Shelf } from '../../src/services/stacks/shelf.ts'
import { MemoryFiles } from '../support/memory-files.ts'

const crypto = nodeCrypto()
const [A, B] = ['a'.repeat(52), 'b'.repeat(52)] as [DeviceId, DeviceId]

/** Takes what it is given: what is kept of a roster is for other tests. */
class Book {
  readonly held = new Map<string, MemberRecord>()
  readonly graph = {
    compare: (a: MemberRecord, b: MemberRecord): number => a.seq - b.seq, records: [] as MemberRecord[],
  }
  readonly roster = { members: new Map() }
  #digest: Uint8Array | undefined

  constructor (records: readonly Uint8Array[] = []) { this.add(records) }

  get digest (): Uint8Array { return this.#digest ??= crypto.sha256(Buffer.from([...this.held.keys()].sort().join())) }
  onChange (): () => void { return () => {} }
  has (bytes: Uint8Array): boolean { return this.held.has(Buffer.from(crypto.sha256(bytes)).toString('hex')) }

  add (batch: readonly Uint8Array[]): MemberRecord[] {
    const fresh = batch.filter(bytes => !this.has(bytes)).map(bytes => ({
      bytes, hash: Buffer.from(crypto.sha256(bytes)).toString('hex'), seq: Buffer.from(bytes).readUInt32BE(),
    }) as unknown as MemberRecord)
    for (const record of fresh) this.held.set(record.hash, record)
    this.graph.records = [...this.held.values()]
    this.#digest = undefined
    return fresh
  }
}

type Handler = (from: DeviceId, message: Value) => unknown

/** Every message passes as the frame that it is on the wire. */
function linked (...books: [Book, Book]): { syncs: RosterSync[], requests: () => number } {
  const handlers = new Map<DeviceId, Handler>()
  let requests = 0
  const wire = (value: Value): Value => decode(encode(value), LIMITS.frameBytesMax)
  const syncs = ([[A, books[0]], [B, books[1]]] as const).map(([self, book]) => new RosterSync({
    book: book as unknown as RecordBook, random: crypto.sha256,
    mesh: {
      onRequest: (_: string, _gate: object, handler: Handler) => { handlers.set(self, handler) },
      onGossip: () => {}, on: () => () => {}, peers: () => [],
      request: async (device: DeviceId, _: string, message: Value) => {
        requests++
        return wire(await handlers.get(device)?.(self, wire(message)) as Value)
      },
    } as unknown as Mesh,
  } as unknown as ConstructorParameters<typeof RosterSync>[0]))
  return { syncs, requests: () => requests }
}

/** No two alike, each of that many bytes. */
function recordsOf (count: number, bytes: number, from = 0): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const record = new Uint8Array(bytes)
    new DataView(record.buffer).setUint32(0, from + i)
    return record
  })
}

describe('a roster of LIMITS.rosterKeptMax records', () => {
  test('reaches a device that has none of it', async () => {
    const [full, empty] = [new Book(recordsOf(LIMITS.rosterKeptMax, 300)), new Book()]
    const { syncs, requests } = linked(empty, full)
    await syncs[0]?.exchange(B)
    expect(empty.held.size).toBe(LIMITS.rosterKeptMax)
    expect(empty.digest).toEqual(full.digest)
    expect(requests()).toBeLessThan(150)
  })

  test('is brought together from two parts, where hashes and records together would not fit a frame', async () => {
    const few = LIMITS.rosterKeptMax * 3 / 8
    const [mine, theirs] = [new Book(recordsOf(few, 800)), new Book(recordsOf(LIMITS.rosterKeptMax - few, 800, few))]
    const { syncs } = linked(mine, theirs)
    await syncs[0]?.exchange(B)
    expect(mine.held.size).toBe(LIMITS.rosterKeptMax)
    expect(mine.digest).toEqual(theirs.digest)
  })

  test('is read again from beside an archived stack, each record as long as one may be', () => {
    const files = new MemoryFiles()
    const records = recordsOf(LIMITS.rosterKeptMax, LIMITS.memberRecordBytesMax)
    const key = stackKey(stackId('notes', crypto))
    new Shelf({ files, crypto }).saveOrigin(key, records)
    const read = new Shelf({ files, crypto }).origin(key)
    expect(read).toHaveLength(records.length)
    expect(read.at(-1)).toEqual(records.at(-1))
  })
})
