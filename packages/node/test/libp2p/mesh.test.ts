import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { ElderError, LIMITS } from '@elder-node/protocol'
import { TestMesh, introduce, soon, startAll, until } from './harness.ts'
import type { TestNode } from './harness.ts'

const MEMBER = { role: 'member' } as const

async function pair (prepare: (a: TestNode, b: TestNode) => void = () => {}): Promise<[TestNode, TestNode]> {
  const mesh = new TestMesh()
  const nodes: [TestNode, TestNode] = [mesh.node(), mesh.node()]
  prepare(...nodes)
  await startAll(nodes)
  return nodes
}

async function failure (promise: Promise<unknown>): Promise<ElderError> {
  const error: unknown = await promise.then(() => undefined, (error: unknown) => error)
  expect(error).toBeInstanceOf(ElderError)
  return error as ElderError
}

describe('presence', () => {
  test('two nodes admit each other, and say so once on both sides', async () => {
    const admitted: string[] = []
    const [a, b] = await pair((a, b) => {
      a.mesh.on('admitted', device => { admitted.push(`a:${device}`) })
      b.mesh.on('admitted', device => { admitted.push(`b:${device}`) })
    })
    expect(admitted.sort()).toEqual([`a:${b.id}`, `b:${a.id}`].sort())
    expect(a.mesh.peers()[0]).toMatchObject({ device: b.id, path: 'direct' })
    expect(a.mesh.addresses()[0]).toMatch(/^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\//)
  })

  test('a joiner knows only the addresses of its ticket; both sides learn where the other is', async () => {
    const mesh = new TestMesh()
    const founder = mesh.node()
    await founder.mesh.start()
    const joiner = mesh.node({ ticket: founder.mesh.addresses() })
    await joiner.mesh.start()
    await until(() => joiner.mesh.peers().length === 1 && founder.mesh.peers().length === 1)
    expect(founder.admission.members()).toEqual([{ device: joiner.id, addresses: joiner.mesh.addresses() }])
    expect(joiner.admission.members()).toEqual([{ device: founder.id, addresses: founder.mesh.addresses() }])
  })

  test('a stopped peer is gone at once, and comes back as the same device', async () => {
    const mesh = new TestMesh()
    const seed = randomBytes(32)
    const [a, b] = [mesh.node(), mesh.node({ seed })]
    const events: string[] = []
    a.mesh.on('gone', () => { events.push('gone') })
    a.mesh.on('admitted', () => { events.push('admitted') })
    await startAll([a, b])
    await b.mesh.stop()
    await until(() => events.length === 2)
    const again = mesh.node({ seed })
    await again.mesh.start()
    introduce([a, again])
    await until(() => a.mesh.peers().length === 1)
    expect(events).toEqual(['admitted', 'gone', 'admitted'])
  })

  test('measures the round trip, and reports it', async () => {
    const [a, b] = await pair()
    await until(() => a.mesh.peers()[0]?.rttMs !== undefined && b.mesh.peers()[0]?.rttMs !== undefined)
    const rttMs = await a.mesh.probe(b.id, soon())
    expect(rttMs).toBeGreaterThan(0)
    expect(a.mesh.peers()[0]?.rttMs).toBeLessThan(1_000)
  })

  test('a port that is taken is named, with its holder', async () => {
    const mesh = new TestMesh()
    const a = mesh.node()
    await a.mesh.start()
    const port = Number(/tcp\/(\d+)/.exec(a.mesh.addresses()[0] ?? '')?.[1])
    const error = await failure(mesh.node({ listen: [`/ip4/127.0.0.1/tcp/${port}`] }).mesh.start())
    expect(error).toMatchObject({ code: 'PORT_IN_USE', data: { port } })
    if (process.platform === 'linux') expect(error.data.pid).toBe(process.pid)
  })

  test('stop before start and twice does nothing and does not reject', async () => {
    const { mesh } = new TestMesh().node()
    await mesh.stop()
    await mesh.start()
    await mesh.stop()
    await mesh.stop()
    expect(mesh.addresses()).toEqual([])
  })
})

describe('requests', () => {
  test('an answer, from the device that asked', async () => {
    const [a, b] = await pair((_a, b) => { b.mesh.onRequest('claim', MEMBER, (from, message) => ({ from, message })) })
    expect(await a.mesh.request(b.id, 'claim', { slots: 2 }, soon())).toEqual({ from: a.id, message: { slots: 2 } })
  })

  test('are pipelined on one stream: a slow one holds up no other, and each answer finds its caller', async () => {
    const order: number[] = []
    let release = (): void => {}
    const [a, b] = await pair((_a, b) => {
      b.mesh.onRequest('claim', MEMBER, async (_from, message) => {
        if (message === 0) await new Promise<void>(resolve => { release = resolve })
        return message
      })
    })
    const all = Array.from({ length: 200 }, (_, i) => a.mesh.request(b.id, 'claim', i, soon()).then(value => { order.push(i); return value }))
    await Promise.all(all.slice(1))
    expect(order).not.toContain(0)
    release()
    expect(await Promise.all(all)).toEqual(Array.from({ length: 200 }, (_, i) => i))
  })

  test('errors keep code, message and fix; what is no ElderError says nothing of the inside', async () => {
    const [a, b] = await pair((_a, b) => {
      b.mesh.onRequest('claim', MEMBER, () => { throw new ElderError('NO_SLOT', 'all slots are taken', 'wait', { queue: 3 }) })
      b.mesh.onRequest('build', MEMBER, () => { throw new Error('/home/someone/secret') })
    })
    expect((await failure(a.mesh.request(b.id, 'claim', null, soon()))).toJSON()).toEqual({ code: 'NO_SLOT', message: 'all slots are taken', fix: 'wait', data: { queue: 3 } })
    const inner = await failure(a.mesh.request(b.id, 'build', null, soon()))
    expect(inner.code).toBe('INTERNAL')
    expect(inner.message).not.toContain('secret')
  })

  test('the gate: role, deadline, size; a service without a handler is not there', async () => {
    const [a, b] = await pair((_a, b) => {
      b.mesh.onRequest('roster', { role: 'admin' }, () => 1)
      b.mesh.onRequest('claim', { role: 'member', deadlineMs: 50 }, () => new Promise(() => {}))
      b.mesh.onRequest('sync', MEMBER, () => new Uint8Array(LIMITS.frameBytesMax + 1))
    })
    expect((await failure(a.mesh.request(b.id, 'roster', null, soon()))).code).toBe('FORBIDDEN')
    expect((await failure(a.mesh.request(b.id, 'claim', null, soon()))).code).toBe('TIMEOUT')
    expect((await failure(a.mesh.request(b.id, 'sync', null, soon()))).code).toBe('TOO_LARGE')
    expect((await failure(a.mesh.request(b.id, 'sync', new Uint8Array(LIMITS.frameBytesMax), soon()))).code).toBe('TOO_LARGE')
    expect((await failure(a.mesh.request(b.id, 'build', null, soon()))).code).toBe('UNREACHABLE')
  })

  test("the caller's signal ends the wait here and the work there", async () => {
    let seen: Error | undefined
    let begun = false
    const [a, b] = await pair((_a, b) => {
      b.mesh.onRequest('claim', MEMBER, (_from, _message, { signal }) => new Promise((_resolve, reject) => {
        begun = true
        signal.addEventListener('abort', () => { seen = signal.reason as Error; reject(seen) })
      }))
    })
    const caller = new AbortController()
    const wait = failure(a.mesh.request(b.id, 'claim', null, { signal: caller.signal }))
    await until(() => begun)
    caller.abort()
    expect((await wait).code).toBe('ABORTED')
    await until(() => (seen as ElderError | undefined)?.code === 'ABORTED')
    expect((await failure(a.mesh.request(b.id, 'claim', null, { signal: AbortSignal.timeout(50) }))).code).toBe('TIMEOUT')
  })

  test('to nobody: UNREACHABLE; to a known member that is not connected: dialled on demand', async () => {
    const mesh = new TestMesh()
    const [a, b] = [mesh.node(), mesh.node()]
    b.mesh.onRequest('claim', MEMBER, () => 'here')
    await a.mesh.start()
    expect((await failure(a.mesh.request(b.id, 'claim', null, soon()))).code).toBe('UNREACHABLE')
    await b.mesh.start()
    introduce([a, b])
    expect(await a.mesh.request(b.id, 'claim', null, soon())).toBe('here')
  })

  test('what waits when the peer dies rejects, and the next one works again', async () => {
    const [a, b] = await pair((_a, b) => { b.mesh.onRequest('claim', MEMBER, (_from, message) => message === 'hang' ? new Promise(() => {}) : 'here') })
    const hanging = failure(a.mesh.request(b.id, 'claim', 'hang', soon()))
    expect(await a.mesh.request(b.id, 'claim', null, soon())).toBe('here')
    await b.mesh.expel(a.id)
    expect((await hanging).code).toBe('UNREACHABLE')
    await until(() => a.mesh.peers().length === 0)
    expect(await a.mesh.request(b.id, 'claim', null, soon())).toBe('here')
  })
})

describe('gossip', () => {
  test('reaches every other node, with its author; a role below the gate is not heard', async () => {
    const mesh = new TestMesh()
    const nodes = [mesh.node(), mesh.node(), mesh.node(), mesh.node({ role: 'observer' })]
    const heard = nodes.map(() => [] as string[])
    nodes.forEach((node, i) => { node.mesh.onGossip('advert', MEMBER, (from, message) => { heard[i]?.push(`${from}:${JSON.stringify(message)}`) }) })
    await startAll(nodes)
    const [a, b, , observer] = nodes as [TestNode, TestNode, TestNode, TestNode]
    await untilGossips(a, heard)
    expect(heard.slice(1).every(messages => messages[0] === `${a.id}:{"n":1}`)).toBe(true)
    heard.forEach(messages => { messages.length = 0 })
    await observer.mesh.broadcast('advert', { n: 2 })
    expect(await b.mesh.broadcast('advert', { n: 3 })).toBeGreaterThan(0)
    await until(() => [0, 2, 3].every(i => heard[i]?.length === 1))
    expect(heard.flat().every(message => message === `${b.id}:{"n":3}`)).toBe(true)
    expect((await failure(a.mesh.broadcast('advert', new Uint8Array(LIMITS.gossipBytesMax)))).code).toBe('TOO_LARGE')
  })
})

/** Subscriptions travel after the hello: says it again until all have it. */
async function untilGossips (from: TestNode, heard: string[][]): Promise<void> {
  for (let i = 0; i < 100 && !heard.slice(1).every(messages => messages.length > 0); i++) {
    await from.mesh.broadcast('advert', { n: 1 })
    await new Promise(resolve => { setTimeout(resolve, 50) })
  }
}

describe('the directory', () => {
  test('finds who said so, each once; nothing and no exception when alone', async () => {
    const mesh = new TestMesh()
    const alone = mesh.node()
    await alone.mesh.start()
    await alone.mesh.directory.provide('builder/linux/x64', soon(1_000))
    const found: string[] = []
    for await (const device of alone.mesh.directory.find('builder/none', soon(1_000))) found.push(device)
    expect(found).toEqual([])
  })

  test('a capability provided on one node is found on another', async () => {
    const [a, b] = await pair()
    await until(() => [a, b].every(node => node.mesh.peers()[0]?.rttMs !== undefined))
    const found = new Set<string>()
    for (let i = 0; i < 50 && found.size === 0; i++) {
      await b.mesh.directory.provide('builder/linux/x64', soon(1_000))
      for await (const device of a.mesh.directory.find('builder/linux/x64', soon(500))) found.add(device)
    }
    expect([...found]).toEqual([b.id])
  })
})

describe('revocation', () => {
  test('closes live connections on hearing of it, and a redial is told why', async () => {
    const mesh = new TestMesh()
    const nodes = [mesh.node(), mesh.node(), mesh.node()] as [TestNode, TestNode, TestNode]
    await startAll(nodes)
    const [a, b, evicted] = nodes
    const startMs = performance.now()
    a.admission.revoke(evicted.id)
    b.admission.revoke(evicted.id)
    await until(() => evicted.mesh.peers().length === 0)
    expect(performance.now() - startMs).toBeLessThan(20_000)
    expect(a.mesh.peers().map(peer => peer.device)).toEqual([b.id])
    await until(() => evicted.refused.includes('revoked'))
    expect(evicted.admission.told).toContainEqual({ code: 'revoked', proof: 'the revocation' })
    expect((await failure(a.mesh.request(evicted.id, 'claim', null, soon()))).code).toBe('UNREACHABLE')
    expect(evicted.mesh.attempts().some(attempt => attempt.refusal === 'revoked')).toBe(true)
  })
})
