import { createConnection } from 'node:net'
import { randomBytes } from 'node:crypto'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { lpStream } from '@libp2p/utils'
import { createLibp2p } from 'libp2p'
import { describe, expect, onTestFinished, test } from 'vitest'
import { LIMITS, encode } from '@elder-node/protocol'
import { DOOR_PROTOCOL } from '../../src/adapters/libp2p/door.ts'
import { KNOCK_BYTES, knock, knows } from '../../src/adapters/libp2p/knock.ts'
import { refusal, refusalOf } from '../../src/adapters/libp2p/refusal.ts'
import { requestProtocol } from '../../src/adapters/libp2p/services.ts'
import { TestMesh, soon, startAll, until } from './harness.ts'
import type { TestNode } from './harness.ts'
import { dial, memberProber, prober } from './prober.ts'
import type { Hostile } from './prober.ts'

async function listener (): Promise<{ mesh: TestMesh, node: TestNode }> {
  const mesh = new TestMesh()
  const node = mesh.node()
  node.mesh.onRequest('claim', { role: 'observer' }, () => 'served')
  await node.mesh.start()
  return { mesh, node }
}

/** Everything the listener says to a raw socket until it closes it. */
async function raw (node: TestNode, ...sends: Uint8Array[]): Promise<Buffer> {
  const port = Number(/tcp\/(\d+)/.exec(node.mesh.addresses()[0] ?? '')?.[1])
  const socket = createConnection({ host: '127.0.0.1', port })
  const chunks: Buffer[] = []
  socket.on('data', chunk => { chunks.push(chunk) })
  socket.on('error', () => {})
  for (const bytes of sends) socket.write(bytes)
  await new Promise(resolve => { socket.once('close', resolve) })
  return Buffer.concat(chunks)
}

const line = (text: string): Buffer => Buffer.concat([Buffer.of(text.length + 1), Buffer.from(`${text}\n`)])

describe('the knock', () => {
  test('opens for one listener and one secret only', () => {
    const { id } = new TestMesh().node()
    const { id: other } = new TestMesh().node()
    const secret = randomBytes(32)
    const bytes = knock(secret, id)
    expect(bytes.length).toBe(KNOCK_BYTES)
    expect(knows(secret, id, bytes)).toBe(true)
    expect(knows(secret, other, bytes)).toBe(false)
    expect(knows(randomBytes(32), id, bytes)).toBe(false)
    expect(knows(secret, id, bytes.subarray(1))).toBe(false)
  })

  test('without it the listener sends the name of the door, and not one byte of Noise', async () => {
    const { node } = await listener()
    const said = await raw(node, line('/multistream/1.0.0'), line(DOOR_PROTOCOL), randomBytes(200))
    expect(said.toString()).toBe(line('/multistream/1.0.0').toString() + line(DOOR_PROTOCOL).toString())
  })

  test('junk instead of a greeting closes the socket', async () => {
    const { node } = await listener()
    expect((await raw(node, randomBytes(4_000))).length).toBeLessThan(64)
  })
})

describe('a stranger', () => {
  test('with plain libp2p finds no protocol in common', async () => {
    const { node } = await listener()
    const stranger = await createLibp2p({ transports: [tcp()], streamMuxers: [yamux()], connectionEncrypters: [noise()] })
    onTestFinished(() => stranger.stop())
    await expect(dial(stranger, node)).rejects.toThrow(/negotiate|selection/i)
  })

  test('who knows the secret but has no record is refused, and told so', async () => {
    const { mesh, node } = await listener()
    const stranger = mesh.node({ ticket: node.mesh.addresses() })
    stranger.admission.show = { proof: randomBytes(32) }
    await stranger.mesh.start()
    await until(() => stranger.refused.length > 0)
    expect(stranger.refused[0]).toBe('not-a-member')
    expect(stranger.mesh.attempts()[0]).toMatchObject({ device: node.id, addresses: node.mesh.addresses(), refusal: 'not-a-member' })
    expect(node.mesh.peers()).toEqual([])
  })

  test('who ignores the verdict and speaks Yamux at once reaches no protocol', async () => {
    const { mesh, node } = await listener()
    let opened = 0
    const hacker = await prober(node, mesh.secret, async secured => {
      await lpStream(secured).write(encode({ proof: randomBytes(32) }))
    })
    const connection = await dial(hacker, node).catch(() => undefined)
    for (const protocol of [requestProtocol(mesh.id, 'claim'), requestProtocol(mesh.id, 'hello'), '/ipfs/id/1.0.0', '/ipfs/ping/1.0.0', '/meshsub/1.2.0']) {
      await connection?.newStream([protocol], soon(500)).then(() => { opened++ }, () => {})
    }
    expect(opened).toBe(0)
    expect(node.mesh.peers()).toEqual([])
  })

  test.each<[string, Hostile]>([
    ['a frame above the bound', async secured => { await lpStream(secured).write(new Uint8Array(40_000)) }],
    ['no CBOR', async secured => { await lpStream(secured).write(randomBytes(500)) }],
    ['a frame that stops short', async secured => { secured.send(Uint8Array.of(200, 1, 2, 3)); await secured.close() }],
    ['a flood before the answer', async secured => { for (let i = 0; i < 8; i++) secured.send(new Uint8Array(LIMITS.doorBytesMax * 4)) }],
  ])('who sends %s is cut off, and the door stays open for members', async (_what, hostile) => {
    const { mesh, node } = await listener()
    const hacker = await prober(node, mesh.secret, hostile)
    const connection = await dial(hacker, node).catch(() => undefined)
    if (connection !== undefined) await until(() => connection.status !== 'open')
    const member = mesh.node({ ticket: node.mesh.addresses() })
    await member.mesh.start()
    await until(() => member.mesh.peers().length === 1 && node.mesh.peers().length === 1)
    expect(node.mesh.peers().map(peer => peer.device)).toEqual([member.id])
  })

  test('a listener that is no member is not spoken to: the joiner verifies first', async () => {
    const { mesh, node } = await listener()
    const joiner = mesh.node({ ticket: node.mesh.addresses() })
    joiner.admission.revoke(node.id)
    await joiner.mesh.start()
    await until(() => joiner.mesh.attempts().some(attempt => attempt.failures > 0))
    expect(joiner.mesh.peers()).toEqual([])
  })
})

describe('a member that turns bad', () => {
  test('random bytes on a request stream cost that stream and nothing else', async () => {
    const { mesh, node } = await listener()
    const member = mesh.node({ ticket: node.mesh.addresses() })
    await startAll([member])
    await until(() => member.mesh.peers().length === 1)
    expect(await member.mesh.request(node.id, 'claim', null, soon())).toBe('served')
    const bad = await memberProber(node, mesh)
    const connection = await dial(bad, node)
    const stream = await connection.newStream([requestProtocol(mesh.id, 'claim')], soon())
    stream.send(randomBytes(1_000))
    await until(() => stream.status !== 'open')
    expect(connection.status).toBe('open')
    expect(await member.mesh.request(node.id, 'claim', null, soon())).toBe('served')
  })
})

describe('a refusal', () => {
  test('is found in what libp2p throws, one address or several; other text is none', () => {
    expect(refusalOf(refusal('revoked'))).toBe('revoked')
    expect(refusalOf(new AggregateError([new Error('ECONNREFUSED'), refusal('used')]))).toBe('used')
    expect(refusalOf(new Error('refused:anything'))).toBeUndefined()
    expect(refusalOf(undefined)).toBeUndefined()
  })
})
