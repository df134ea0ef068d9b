/** kad-dht as a member meets it on the wire: what it answers, what it keeps of whom, and for how long. */
import { createHash, randomBytes } from 'node:crypto'
import { lpStream } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import { beforeEach, describe, expect, test } from 'vitest'
import { KadGuard, PROVIDER_VALID_MS } from '../../src/adapters/libp2p/kad-guard.ts'
import { deviceOfSeed, peerIdOf } from '../../src/adapters/libp2p/peer-id.ts'
import { TestMesh, soon, until } from './harness.ts'
import type { TestNode } from './harness.ts'
import { dial, idOf, memberProber } from './prober.ts'

const TYPE = { PUT_VALUE: 0, GET_VALUE: 1, ADD_PROVIDER: 2, GET_PROVIDERS: 3, FIND_NODE: 4, PING: 5 }
const PROVIDERS_FIELD = 9

let mesh: TestMesh
let node: TestNode
beforeEach(async () => {
  mesh = new TestMesh()
  node = mesh.node()
  await node.mesh.start()
})

const varint = (n: number): number[] => n < 128 ? [n] : [n & 127 | 128, ...varint(n >>> 7)]
const field = (number: number, bytes: Uint8Array): Uint8Array => Buffer.concat([Uint8Array.from([...varint(number << 3 | 2), ...varint(bytes.length)]), bytes])
const key = (n: number): Uint8Array => Buffer.concat([Uint8Array.of(0x12, 0x20), createHash('sha256').update(String(n)).digest()])

function message (type: keyof typeof TYPE, ...fields: Uint8Array[]): Uint8Array {
  return Buffer.concat([Uint8Array.of(8, TYPE[type]), ...fields])
}

function provides (of: Libp2p, at: Uint8Array, addresses = ['/ip4/10.1.2.3/tcp/4000']): Uint8Array {
  const info = Buffer.concat([field(1, of.peerId.toMultihash().bytes), ...addresses.map(text => field(2, multiaddr(text).bytes))])
  return message('ADD_PROVIDER', field(2, at), field(PROVIDERS_FIELD, info))
}

const member = async (): Promise<Libp2p> => {
  const libp2p = await memberProber(node, mesh)
  await dial(libp2p, node)
  return libp2p
}

/**
 * Sends on a stream of its own. A prober answers no hello and no probe, so on a busy machine its connection may be given up meanwhile: then once
 * more. @returns the first answer; `reset` when the node broke the stream off
 */
async function send (from: Libp2p, ...messages: Uint8Array[]): Promise<Uint8Array | 'reset'> {
  for (;;) {
    const connection = from.getConnections().find(({ status }) => status === 'open') ?? await dial(from, node)
    try {
      return await exchange(connection, messages)
    } catch {
      if (connection.status === 'open') return 'reset'
    }
  }
}

async function exchange (connection: Connection, messages: Uint8Array[]): Promise<Uint8Array> {
  const stream = await connection.newStream([`/elder/${mesh.id}/kad/1.0.0`], soon())
  try {
    const frames = lpStream(stream)
    for (const bytes of messages) await frames.write(bytes, soon())
    return (await frames.read(soon())).subarray()
  } finally {
    stream.abort(new Error('done'))
  }
}

/** What has no answer of its own is followed by a ping, which has. */
const taken = async (from: Libp2p, bytes: Uint8Array): Promise<boolean> => await send(from, bytes, message('PING')) !== 'reset'

/** How many providers the node names for the key; of a whole answer, field by field. */
async function providers (from: Libp2p, at: Uint8Array): Promise<number | 'reset'> {
  const answer = await send(from, message('GET_PROVIDERS', field(2, at)))
  if (!(answer instanceof Uint8Array)) return 'reset'
  let count = 0
  for (let i = 0; i < answer.length;) {
    const tag = answer[i++] as number
    if ((tag & 7) === 0) {
      while ((answer[i++] as number) > 127);
      continue
    }
    let length = 0
    for (let shift = 0, byte = 128; byte > 127; shift += 7) length += ((byte = answer[i++] as number) & 127) << shift
    i += length
    if (tag >> 3 === PROVIDERS_FIELD) count++
  }
  return count
}

describe('a member', () => {
  test('is one provider of what it says, and is forgotten when it is evicted; what others say of the same is still answered', async () => {
    const [one, two, asker] = [await member(), await member(), await member()]
    for (const device of [one, two]) expect(await taken(device, provides(device, key(1)))).toBe(true)
    expect(await providers(asker, key(1))).toBe(2)
    node.admission.revoke(idOf(one))
    await until(() => one.getConnections().length === 0)
    expect(await providers(asker, key(1))).toBe(1)
  })

  test('keeps a bounded number of records here, its newest; the others keep theirs', async () => {
    const [greedy, modest] = [await member(), await member()]
    await taken(modest, provides(modest, key(1)))
    for (let n = 1; n <= 100; n++) await taken(greedy, provides(greedy, key(n)))
    const counts = []
    for (const n of [1, 2, 36, 37, 99, 100]) counts.push(await providers(modest, key(n)))
    expect(counts).toEqual([1, 0, 0, 1, 1, 1])
  })

  test('cannot have large keys, values, other digests or other providers kept: the stream ends, and nothing grows', async () => {
    const libp2p = await member()
    const identity = (bytes: number): Uint8Array => Buffer.concat([Uint8Array.from([1, 0x55, 0, ...varint(bytes)]), randomBytes(bytes)])
    const stranger = await memberProber(node, mesh)
    const refused: Uint8Array[] = [
      provides(libp2p, identity(500_000)), provides(libp2p, identity(200)), provides(libp2p, key(1).slice(0, 33)), provides(libp2p, Buffer.concat([Uint8Array.of(1, 0x55), key(1)])),
      provides(libp2p, key(1), Array.from({ length: 2_000 }, (_, n) => `/ip4/10.1.${n >> 8}.${n & 255}/tcp/4000`)),
      provides(stranger, key(1)), message('ADD_PROVIDER', field(2, key(1))),
      message('PUT_VALUE', field(2, key(1)), field(3, randomBytes(9_000))), message('GET_VALUE', field(2, key(1))),
      message('FIND_NODE', field(2, randomBytes(5_000))), message('GET_PROVIDERS', field(2, identity(300))),
    ]
    for (const bytes of refused) expect(await taken(libp2p, bytes), Buffer.from(bytes.subarray(0, 8)).toString('hex')).toBe(false)
    // A flood of the largest that a stream takes.
    const before = process.memoryUsage().rss
    for (let n = 0; n < 60; n++) await taken(libp2p, provides(libp2p, identity(500_000)))
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20)
    expect(await providers(libp2p, key(1))).toBe(0)
    expect(await send(libp2p, message('PING'))).toBeInstanceOf(Uint8Array)
  })

  test('that asks without end is not answered for a while, and others are', async () => {
    const [busy, other] = [await member(), await member()]
    const answers = await Promise.all(Array.from({ length: 12 }, async () => {
      let last: unknown
      for (let n = 0; n < 40 && last !== 'reset'; n++) last = await send(busy, message('PING'))
      return last
    }))
    expect(answers).toContain('reset')
    expect(await send(other, message('PING'))).toBeInstanceOf(Uint8Array)
  })
})

describe('the guard of many devices', () => {
  /** The guard in front of a library that keeps nothing and answers everything. */
  function guarded (isMember = true): { guard: KadGuard, ask: (peer: PeerId, message: object) => Promise<unknown>, patched: number[], at: { nowMs: number } } {
    const at = { nowMs: 0 }
    const patched: number[] = []
    const rpc = { handleMessage: async (_peer: PeerId, _message: object): Promise<unknown> => 'answered' }
    const dht = { rpc, providers: { addProvider: async () => {}, removeProvider: async () => {} }, routingTable: { remove: async () => {} } }
    const peerStore = { get: async () => { throw new Error('not known') }, patch: async (_peer: PeerId, { multiaddrs }: { multiaddrs: unknown[] }) => { patched.push(multiaddrs.length) } }
    const guard = new KadGuard({ dht, peerStore, isMember: () => isMember, nowMs: () => at.nowMs } as unknown as ConstructorParameters<typeof KadGuard>[0])
    return { guard, ask: (peer, message) => rpc.handleMessage(peer, message), patched, at }
  }
  const peerOf = (n: number): PeerId => peerIdOf(deviceOfSeed(key(n).subarray(2)))
  const record = (peer: PeerId, n: number, multiaddrs: Uint8Array[] = []): object =>
    ({ type: 'ADD_PROVIDER', key: key(n), providers: [{ id: peer.toMultihash().bytes, multiaddrs }] })

  test('keeps four thousand records in all: nobody gives way to another, and there is room again when they have run out', async () => {
    const { guard, ask, at } = guarded()
    for (let device = 0; device < 64; device++) for (let n = 0; n < 64; n++) await ask(peerOf(device), record(peerOf(device), n))
    expect(guard.size).toBe(4096)
    await expect(ask(peerOf(64), record(peerOf(64), 0))).rejects.toThrow('no room')
    // A newer one of its own takes the place of its oldest.
    await ask(peerOf(0), record(peerOf(0), 100))
    expect(guard.size).toBe(4096)
    at.nowMs += PROVIDER_VALID_MS + 1
    await ask(peerOf(64), record(peerOf(64), 0))
    expect(guard.size).toBe(1)
  })

  test('answers nobody who is no member, whoever let the stream in', async () => {
    const { ask, guard } = guarded(false)
    await expect(ask(peerOf(1), record(peerOf(1), 0))).rejects.toThrow('not a member')
    await expect(ask(peerOf(1), { type: 'PING' })).rejects.toThrow('not a member')
    expect(guard.size).toBe(0)
    expect(await guarded().ask(peerOf(1), { type: 'PING' })).toBe('answered')
  })

  test('answers a device so often at once, then so often a second, and keys of one form only', async () => {
    const { ask, at } = guarded()
    const ping = (n: number): Promise<unknown> => ask(peerOf(n), { type: 'PING' })
    for (let n = 0; n < 256; n++) expect(await ping(1)).toBe('answered')
    await expect(ping(1)).rejects.toThrow('too many')
    expect(await ping(2)).toBe('answered')
    at.nowMs += 1_000
    expect(await ping(1)).toBe('answered')
    for (const odd of [Buffer.concat([key(1), Buffer.alloc(100)]), key(1).subarray(0, 33), Buffer.concat([Uint8Array.of(0x16, 0x20), key(1).subarray(2)])]) {
      await expect(ask(peerOf(2), { type: 'GET_PROVIDERS', key: odd })).rejects.toThrow('is not answered')
      await expect(ask(peerOf(2), { ...record(peerOf(2), 1), key: odd })).rejects.toThrow('sha2-256')
    }
  })

  test('takes eight addresses of one that it does not know', async () => {
    const { ask, patched } = guarded()
    await ask(peerOf(1), record(peerOf(1), 0, Array.from({ length: 40 }, (_, n) => multiaddr(`/ip4/10.1.2.${n}/tcp/4000`).bytes)))
    expect(patched).toEqual([8])
  })
})
