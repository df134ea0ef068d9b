/**
 * A live node and those who mean it no good, at its real port: who knows nothing, who knows the secret of the mesh from a ticket,
 * and a member that has turned. Whatever they send, the node stays the same process, keeps its memory bounded and serves its mesh.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import type { Socket } from 'node:net'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { lpStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Connection, ConnectionEncrypter, Libp2p, MessageStream, SecureConnectionOptions } from '@libp2p/interface'
import type { NoiseComponents } from '@libp2p/noise'
import { LIMITS, decode, encode, meshKey, parseTicket, signRedemption } from '@elder-node/protocol'
import type { DeviceId, Ticket, Value } from '@elder-node/protocol'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { nodeCrypto, signerFromSeed } from '../../packages/node/src/adapters/crypto.ts'
import { DOOR_PROTOCOL } from '../../packages/node/src/adapters/libp2p/door.ts'
import { encodeFrame } from '../../packages/node/src/adapters/libp2p/frame-decoder.ts'
import { knock } from '../../packages/node/src/adapters/libp2p/knock.ts'
import { deviceOf } from '../../packages/node/src/adapters/libp2p/peer-id.ts'
import { requestProtocol, streamProtocol } from '../../packages/node/src/adapters/libp2p/services.ts'
import { Lab, must, project, until } from './support.ts'
import type { Node } from './support.ts'

/** Far below what was sent at it, above what a busy heap swings by. */
const GROWTH_BYTES_MAX = 96 * 2 ** 20

const crypto = nodeCrypto()
const lab = new Lab()
let host: Node
let friend: Node
let ticket: Ticket
let rssBytes: number
let digest: string
afterAll(() => lab[Symbol.asyncDispose]())
beforeAll(async () => {
  host = await lab.join('host', { slots: 1 })
  friend = await lab.admit('friend', host)
  await host.sees('friend', 'host')
  await host.note('kept', 'before they came')
  digest = must(await host.digest('kept'), 'the stack is there').digest
  ticket = parseTicket(await host.ticket(), 0, crypto)
  rssBytes = rssOf(host)
})

function rssOf ({ pid }: Node): number { return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024 }

/** The same process answers, holds what it held, and nobody new is in its mesh. */
async function isWell (...members: string[]): Promise<void> {
  expect(host.process.running).toBe(true)
  await host.sees('friend', 'host')
  expect((await host.status()).devices.map(({ name }) => name).sort()).toEqual(['friend', 'host', ...members].sort())
  expect((await host.digest('kept'))?.digest).toBe(digest)
  expect(rssOf(host) - rssBytes).toBeLessThan(GROWTH_BYTES_MAX)
}

const line = (text: string): Buffer => Buffer.concat([Buffer.of(text.length + 1), Buffer.from(`${text}\n`)])
const GREETING = Buffer.concat([line('/multistream/1.0.0'), line(DOOR_PROTOCOL)])

/** Sends to the port; answers what was said until the node closed. */
async function raw (...sends: Uint8Array[]): Promise<Buffer> {
  const said: Buffer[] = []
  const socket = createConnection({ host: '127.0.0.1', port: host.port })
  socket.on('error', () => undefined).on('data', chunk => { said.push(chunk) })
  onTestFinished(() => { socket.destroy() })
  for (const bytes of sends) socket.write(bytes)
  await until('the node has closed the socket', () => socket.closed, 15_000)
  return Buffer.concat(said)
}

describe('a stranger who knows nothing', () => {
  test('random, truncated and oversized bytes: each socket is closed, not one byte of the handshake is sent', async () => {
    const sends: Uint8Array[][] = [
      ...Array.from({ length: 10 }, (_, i) => [randomBytes(1 + i * 700)]),
      [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
      [Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), randomBytes(100)],
      [line('/multistream/1.0.0'), Buffer.of(0xff, 0xff, 0x7f), Buffer.alloc(2_000_000, 0x61)],
      [line('/multistream/1.0.0'), line('/noise')],
      [GREETING, randomBytes(31)],
      [GREETING, randomBytes(32), randomBytes(500)],
      [GREETING, ...Array.from({ length: 20 }, () => randomBytes(1_048_576))],
    ]
    for (const said of await Promise.all(sends.map(send => raw(...send)))) {
      // The name of the door, or that there is no other, is all that it says.
      expect(said.length).toBeLessThan(64)
      expect(said.toString('latin1').replaceAll(/\/multistream\/1\.0\.0\n|\/elder\/door\/1\n|na\n/g, '').length).toBeLessThanOrEqual(4)
    }
    await isWell()
  })

  test('two hundred silent sockets: a member still comes in', async () => {
    const sockets: Socket[] = []
    onTestFinished(() => { for (const socket of sockets) socket.destroy() })
    for (let n = 0; n < 200; n++) sockets.push(createConnection({ host: '127.0.0.1', port: host.port }).on('error', () => undefined))
    await friend.stop()
    await friend.start()
    await friend.sees('friend', 'host')
    await until('the silent ones are closed', () => sockets.every(socket => socket.closed), 20_000)
    await isWell()
  })
})

type Hostile = (secured: MessageStream, self: DeviceId) => Promise<void>

/** A libp2p that knocks with the secret of the mesh, shakes hands, and does then what it likes. */
async function prober (hostile: Hostile, services: Record<string, ReturnType<typeof identify>> = {}): Promise<Libp2p> {
  const encrypter = (components: NoiseComponents): ConnectionEncrypter => {
    const inner = noise()(components)
    return {
      protocol: DOOR_PROTOCOL,
      secureInbound: (connection, options) => inner.secureInbound(connection, options),
      secureOutbound: async (connection: MessageStream, options?: SecureConnectionOptions) => {
        connection.send(knock(ticket.meshSecret, host.id as DeviceId))
        const secured = await inner.secureOutbound(connection, options)
        await hostile(secured.connection, must(deviceOf(components.peerId), 'a prober has an Ed25519 key'))
        return secured
      },
    }
  }
  const node = await createLibp2p({ transports: [tcp()], streamMuxers: [yamux()], connectionEncrypters: [encrypter], connectionMonitor: { enabled: false }, services })
  onTestFinished(() => node.stop())
  return node
}

const dial = (from: Libp2p): Promise<Connection> => from.dial(multiaddr(must(host.ready.addresses[0], 'the host has an address')), { signal: AbortSignal.timeout(8_000) })
const bounded = (): { signal: AbortSignal } => ({ signal: AbortSignal.timeout(2_000) })

/** The first column of the table in docs/ARCHITECTURE.md; gossip is carried by what stands there as meshsub. */
function documented (): string[] {
  const text = readFileSync(new URL('../../docs/ARCHITECTURE.md', import.meta.url), 'utf8')
  const rows = /## What a peer can call\n.*?\n(\|.*?)\n\n/s.exec(text)?.[1]?.split('\n').slice(2) ?? []
  const names = rows.filter(row => !row.startsWith('| gossip')).flatMap(row => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name as string))
  return names.map(name => name.startsWith('/') ? name.replace('<mesh>', ticket.mesh) : `/elder/${ticket.mesh}/${name}/1`)
}

/** Every protocol that a member may open. */
function protocols (): string[] {
  const own = (['hello', 'dial-back', 'roster', 'join', 'heads', 'probe', 'claim', 'sync'] as const).map(service => requestProtocol(ticket.mesh, service))
  const streams = (['build', 'sync'] as const).map(service => streamProtocol(ticket.mesh, service))
  return [...own, ...streams, '/meshsub/1.2.0', '/ipfs/id/1.0.0', '/ipfs/ping/1.0.0', '/libp2p/circuit/relay/0.2.0/hop', '/libp2p/circuit/relay/0.2.0/stop', `/elder/${ticket.mesh}/kad/1.0.0`]
}

describe('who knows the secret of the mesh from a ticket, and is no member', () => {
  const hello = (rest: { [key: string]: Value }): Uint8Array => encode({ v: 1, mesh: meshKey(ticket.mesh), ...rest })
  const framed = (bytes: () => Uint8Array): Hostile => async secured => { await lpStream(secured).write(bytes()) }

  test.each<[string, Hostile]>([
    ['random bytes', framed(() => randomBytes(600))],
    ['a hello above the bound', framed(() => new Uint8Array(40_000))],
    ['a hello that stops short', async secured => { secured.send(Uint8Array.of(200, 1, 2, 3)); await secured.close() }],
    ['a hello that promises gigabytes', async secured => { secured.send(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f, 0x5b, 0xff, 0xff)) }],
    ['a flood', async secured => { for (let i = 0; i < 64; i++) secured.send(new Uint8Array(LIMITS.doorBytesMax * 4)) }],
    ['an empty proof', framed(() => hello({ proof: [] }))],
    ['a proof of junk', framed(() => hello({ proof: [randomBytes(200), randomBytes(64)] }))],
    ['somebody else\'s ticket without its key', framed(() => hello({ ticket: ticket.record.bytes, redeem: randomBytes(64), name: 'thief' }))],
    ['another version', framed(() => encode({ v: 99, mesh: meshKey(ticket.mesh), proof: [] }))],
  ])('%s: reaches no protocol and is cut off', async (_what, hostile) => {
    const connection = await dial(await prober(hostile)).catch(() => undefined)
    let opened = 0
    await Promise.all(protocols().map(protocol => connection?.newStream([protocol], { signal: AbortSignal.timeout(1_000) }).then(() => { opened++ }, () => undefined)))
    expect(opened).toBe(0)
    if (connection !== undefined) await until('it is cut off', () => connection.status !== 'open', 10_000)
    await isWell()
  })
})

describe('a member that has turned', () => {
  const payloads = (): Uint8Array[][] => [
    [randomBytes(1_000)],
    // A length above every bound, and one within it that never comes.
    [Uint8Array.of(0xff, 0xff, 0xff, 0xf0), randomBytes(70_000)],
    [Uint8Array.of(0, 4, 0, 0), randomBytes(10)],
    [encodeFrame(randomBytes(300))],
    // Well-formed CBOR of the wrong shape, and deeply nested.
    [encodeFrame(encode([1, 0, { nonsense: [randomBytes(40), -1, null] }]))],
    [encodeFrame(new Uint8Array(5_000).fill(0x81))],
    [encodeFrame(Uint8Array.of(0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))],
    Array.from({ length: 40 }, () => encodeFrame(randomBytes(60_000))),
  ]

  /** Comes in with a ticket, as any device does. */
  const redeemed: Hostile = async (secured, self) => {
    const frames = lpStream(secured)
    const redeem = signRedemption(ticket.mesh, ticket.record.hash, self, signerFromSeed(ticket.seed))
    await frames.write(encode({ v: 1, mesh: meshKey(ticket.mesh), ticket: ticket.record.bytes, redeem, name: 'rogue' }))
    expect(decode((await frames.read()).subarray(), LIMITS.doorBytesMax)).toHaveProperty('ok')
    frames.unwrap()
  }

  test('random, truncated and oversized frames on every protocol cost those streams and nothing else; then it is evicted', async () => {
    const rogue = await prober(redeemed, { identify: identify() })
    // It lets the hello wait, so that the connection lives on.
    await rogue.handle(requestProtocol(ticket.mesh, 'hello'), () => undefined)
    const opened = new Map<string, number>()
    let connection = await dial(rogue)
    const told = await until('it is told of the protocols', async () => {
      const { protocols } = await rogue.peerStore.get(connection.remotePeer).catch(() => ({ protocols: [] as string[] }))
      // Those that were opened are known before.
      return protocols.includes('/ipfs/ping/1.0.0') && protocols
    })
    expect(told.toSorted(), '"What a peer can call" lists every protocol that is registered, and no other').toEqual(documented().toSorted())
    expect(documented()).toEqual(expect.arrayContaining(protocols()) as string[])
    const send = async (protocol: string, payload: readonly Uint8Array[]): Promise<boolean> => {
      const stream = await connection.newStream([protocol], bounded()).catch(() => undefined)
      if (stream === undefined) return false
      opened.set(protocol, (opened.get(protocol) ?? 0) + 1)
      for (const bytes of payload) {
        if (stream.status !== 'open') break
        if (!stream.send(bytes)) await stream.onDrain(bounded()).catch(() => undefined)
      }
      await stream.close(bounded()).catch(() => undefined)
      return true
    }
    for (const payload of payloads()) {
      if (connection.status !== 'open') connection = await dial(rogue)
      const sent = await Promise.all(protocols().map(async protocol => ({ protocol, ok: await send(protocol, payload) })))
      // One payload may have cost the whole connection before another had its stream.
      for (const { protocol } of sent.filter(({ ok }) => !ok)) {
        if (connection.status !== 'open') connection = await dial(rogue)
        await send(protocol, payload)
      }
    }
    expect(Object.fromEntries(opened), 'every payload went to every protocol').toEqual(Object.fromEntries(protocols().map(protocol => [protocol, payloads().length])))
    await isWell('rogue')
    expect((await lab.run(friend.dir, ['build', project(lab, 'project', { a: 'a' }), '--', 'echo', 'served'])).code).toBe(0)

    await host.ask('evict', 'rogue', '--yes')
    await until('its connection is closed', () => rogue.getConnections().every(({ status }) => status !== 'open'), 6_000)
    await isWell()
  })
})
