import { createConnection, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ElderError, TICK_MS, decodeProbeAnswer, encodeProbe, encodeProbeAnswer, toBase32 } from '@elder-node/protocol'
import type { DeviceId, Value } from '@elder-node/protocol'
import { DEAF_MS, GossipWatchdog } from '../../src/adapters/libp2p/gossip-watchdog.ts'
import { decodeHello, encodeHello } from '../../src/adapters/libp2p/hello.ts'
import type { Hello } from '../../src/adapters/libp2p/hello.ts'
import { Presence } from '../../src/adapters/libp2p/presence.ts'
import { Probes } from '../../src/adapters/libp2p/probes.ts'
import { deviceOfSeed, peerIdOf, relayOf } from '../../src/adapters/libp2p/peer-id.ts'
import { TestMesh, soon, until } from './harness.ts'

const b = deviceOfSeed(new Uint8Array(32).fill(1))
const c = deviceOfSeed(new Uint8Array(32).fill(2))

/** Probes whose clock and peers are the test's. */
class Bench {
  nowMs = 0
  readonly asked: DeviceId[] = []
  readonly lost: DeviceId[] = []
  readonly dead = new Set<DeviceId>()
  readonly probes = new Probes({
    self: deviceOfSeed(new Uint8Array(32).fill(3)),
    random: Math.random,
    failed: error => { throw error },
    clock: { wallMs: () => 1, monotonicMs: () => this.nowMs },
    ask: device => {
      this.asked.push(device)
      return this.dead.has(device) ? new Promise(() => {}) : Promise.resolve(encodeProbeAnswer({ incarnation: 1, rumours: [] }))
    },
    rtt: () => {},
    lost: device => {
      this.lost.push(device)
      this.probes.unwatch(device)
    },
  })

  /** Ticks as the real timer would. */
  async run (ms: number, each: () => void = () => {}): Promise<void> {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs;) {
      this.nowMs += TICK_MS
      each()
      this.probes.tick()
      await new Promise(resolve => { setImmediate(resolve) })
    }
  }
}

describe('the probes', () => {
  test('a peer that answers is asked once a second and never given up', async () => {
    const bench = new Bench()
    bench.probes.watch(b)
    await bench.run(60_000)
    expect(bench.lost).toEqual([])
    expect(bench.asked.length).toBeGreaterThanOrEqual(59)
    expect(bench.asked.length).toBeLessThanOrEqual(63)
    expect(bench.probes.estimate(b)?.minMs).toBeLessThan(1_000)
  })

  test('silence makes a suspect within a second and ends it within 4 s, not before 2.5 s', async () => {
    const bench = new Bench()
    bench.dead.add(b)
    bench.probes.watch(b)
    await bench.run(1_000)
    expect(bench.probes.isSuspect(b)).toBe(true)
    await bench.run(1_500)
    expect(bench.lost).toEqual([])
    await bench.run(1_500)
    expect(bench.lost).toEqual([b])
  })

  test('a peer that probes us is alive and is asked only for the round trip', async () => {
    const bench = new Bench()
    bench.probes.watch(b)
    await bench.run(60_000, () => { if (bench.nowMs % 1_000 === 0) void bench.probes.asked(b, encodeProbe({ incarnation: 1, rumours: [] })) })
    expect(bench.lost).toEqual([])
    expect(bench.asked.length).toBeLessThanOrEqual(12)
    expect(bench.asked.length).toBeGreaterThanOrEqual(5)
  })

  test('a stall of our own is nobody else\'s silence', async () => {
    const bench = new Bench()
    bench.dead.add(b)
    bench.probes.watch(b)
    await bench.run(2_000)
    bench.nowMs += 20_000
    bench.probes.tick()
    expect(bench.lost).toEqual([])
    await bench.run(4_000)
    expect(bench.lost).toEqual([b])
  })

  test('what is not watched any more is neither asked nor given up', async () => {
    const bench = new Bench()
    bench.dead.add(b)
    bench.probes.watch(b)
    await bench.run(2_000)
    bench.probes.unwatch(b)
    const asked = bench.asked.length
    await bench.run(10_000)
    expect([bench.lost, bench.asked.length]).toEqual([[], asked])
  })

  test('another is probed for whoever asks; who is no peer of ours is not reached', async () => {
    const bench = new Bench()
    bench.probes.watch(b)
    await bench.run(1_000)
    const ask = (): Promise<Value> => bench.probes.asked(c, encodeProbe({ incarnation: 1, rumours: [] }, b))
    expect(decodeProbeAnswer(await ask())).toMatchObject({ reached: true, word: { rumours: [{ device: b, incarnation: 1, by: undefined }] } })
    bench.dead.add(b)
    const unreached = ask()
    await bench.run(1_000)
    expect(decodeProbeAnswer(await unreached).reached).toBe(false)
    bench.probes.unwatch(b)
    expect(decodeProbeAnswer(await ask()).reached).toBe(false)
    await expect(bench.probes.asked(c, [1, 'rumours'])).rejects.toMatchObject({ code: 'MALFORMED' })
  })
})

describe('the gossip watchdog', () => {
  test('redials who is connected and carries no topic for 15 s; who comes and goes gets the whole time again', () => {
    let nowMs = 0
    let carriers = new Set<DeviceId>([c])
    const redialled: DeviceId[] = []
    const watchdog = new GossipWatchdog({
      clock: { wallMs: () => 0, monotonicMs: () => nowMs }, admitted: () => [b, c], carriers: () => carriers, redial: device => { redialled.push(device) }, failed: error => { throw error },
    })
    const run = (ms: number): void => { for (const endMs = nowMs + ms; nowMs < endMs; nowMs += 5_000) watchdog.tick() }
    run(DEAF_MS)
    expect(redialled).toEqual([])
    carriers = new Set([b, c])
    run(5_000)
    carriers = new Set([c])
    run(DEAF_MS)
    expect(redialled).toEqual([])
    run(5_000)
    expect(redialled).toEqual([b])
  })
})

describe('presence', () => {
  const hello = (epoch: string): Hello => ({ versions: [2], epoch, addresses: [], first: true, relay: false })

  function presence (answers: Array<Hello | Error>): { presence: Presence, events: string[] } {
    const events: string[] = []
    return {
      events,
      presence: new Presence({
        greet: () => {
          const answer = answers.shift() ?? new Error('nothing')
          return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
        },
        admitted: () => { events.push('admitted') },
        gone: () => { events.push('gone') },
        learned: () => {},
        failed: (_device, error) => { events.push(`failed ${error.message}`) },
      }),
    }
  }
  const settle = (): Promise<void> => new Promise(resolve => { setImmediate(resolve) })

  test('connected is not admitted; a second connection greets nobody twice', async () => {
    const { presence: here, events } = presence([hello('one')])
    here.connected(b)
    expect(here.isAdmitted(b)).toBe(false)
    here.connected(b)
    await settle()
    here.connected(b)
    await settle()
    expect([events, here.admitted()]).toEqual([['admitted'], [b]])
  })

  test('a new life of a device is a going and a coming, also when its old connection still looks alive', async () => {
    const { presence: here, events } = presence([hello('one'), hello('two')])
    here.connected(b)
    await settle()
    here.heard(b, hello('one'))
    here.heard(b, hello('two'))
    await settle()
    expect(events).toEqual(['admitted', 'gone', 'admitted'])
    here.disconnected(b)
    expect(events.at(-1)).toBe('gone')
  })

  test('a hello that fails is reported; an answer that comes after the connection is gone counts for nothing', async () => {
    const { presence: here, events } = presence([new Error('late'), hello('one')])
    here.connected(b)
    await settle()
    here.disconnected(b)
    here.connected(b)
    here.disconnected(b)
    await settle()
    expect(events).toEqual(['failed late'])
  })
})

describe('the hello', () => {
  const epoch = new Uint8Array(8).fill(7)
  const own = `/ip4/10.0.0.2/tcp/4707/p2p/${peerIdOf(b).toString()}`

  test('brings only addresses of its sender', () => {
    const foreign = `/ip4/10.0.0.3/tcp/4707/p2p/${peerIdOf(c).toString()}`
    expect(decodeHello(b, encodeHello(epoch, [own, foreign, '/ip4/10.0.0.4/tcp/1'], { first: true, relay: false }))).toEqual({ versions: [2], epoch: '0707070707070707', addresses: [own], first: true, relay: false })
  })

  test('says whether its sender relays; one of an earlier release does not', () => {
    expect(decodeHello(b, encodeHello(epoch, [], { first: false, relay: true })).relay).toBe(true)
    expect(decodeHello(b, { versions: [2], epoch, addresses: [], relay: 'yes' }).relay).toBe(false)
  })

  test('brings the ways through relays, of its sender only', () => {
    const relay = `/ip4/198.51.100.7/tcp/4707/p2p/${peerIdOf(c).toString()}/p2p-circuit/p2p/`
    const ways = [relay + peerIdOf(b).toString(), relay + peerIdOf(c).toString()]
    expect(decodeHello(b, encodeHello(epoch, ways, { first: true, relay: false })).addresses).toEqual(ways.slice(0, 1))
    expect(relayOf(ways[0] as string)).toBe(c)
    expect(relayOf(own)).toBeUndefined()
  })

  test('another version is named, and other shapes are malformed', () => {
    expect(() => decodeHello(b, { versions: [1, 3], epoch, addresses: [] })).toThrow(expect.objectContaining({ code: 'VERSION' }) as ElderError)
    for (const bad of [null, 7, [], {}, { versions: [2], epoch: toBase32(epoch), addresses: [] }, { versions: [2], epoch, addresses: Array(17).fill(own) }]) {
      expect(() => decodeHello(b, bad)).toThrow(expect.objectContaining({ code: 'MALFORMED' }) as ElderError)
    }
  })
})

/** A cable between two nodes that can be pulled: bytes stop, and no FIN or RST says so. */
async function cable (port: number): Promise<{ port: number, pull: () => void }> {
  const sockets: Socket[] = []
  let isPulled = false
  const server = createServer(near => {
    sockets.push(near)
    // Whoever dials again must not get through either: it would be back before the other end had missed it.
    if (isPulled) return
    const far = createConnection({ host: '127.0.0.1', port })
    sockets.push(far)
    near.pipe(far).on('error', () => {})
    far.pipe(near).on('error', () => {})
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, pull: () => { isPulled = true; for (const socket of sockets) socket.unpipe().pause() } }
}

describe('a real peer', () => {
  test('that falls silent without closing anything is suspected first, then gone on both sides; one that talks stays', async () => {
    const mesh = new TestMesh()
    const [a, steady] = [mesh.node(), mesh.node()]
    await a.mesh.start()
    await steady.mesh.start()
    const [address = ''] = a.mesh.addresses()
    const line = await cable(Number(/tcp\/(\d+)/.exec(address)?.[1]))
    const far = mesh.node({ listen: [], ticket: [address.replace(/tcp\/\d+/, `tcp/${line.port}`)] })
    await far.mesh.start()
    a.admission.admit(steady.id, 'builder')
    a.admission.learned(steady.id, steady.mesh.addresses())
    await until(() => a.mesh.peers().length === 2 && far.mesh.peers().length === 1)
    await far.mesh.probe(a.id, soon())
    const gone: string[] = []
    a.mesh.on('gone', device => { gone.push(device) })
    // It knows the address behind the cable too; its DHT would be back there before the other end had missed it.
    far.mesh.on('gone', device => {
      gone.push(device)
      void far.mesh.stop()
    })
    const startMs = performance.now()
    line.pull()
    // Lifeguard waits the longer the more this process itself is starved of its cores: how soon is the benchmark's to say.
    await until(() => gone.length === 2, 45_000)
    expect(performance.now() - startMs).toBeGreaterThan(2_500)
    expect(gone.sort()).toEqual([a.id, far.id].sort())
    expect(a.mesh.peers().map(peer => peer.device)).toEqual([steady.id])
  }, 60_000)
})
