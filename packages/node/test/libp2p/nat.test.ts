import { createHash, randomBytes } from 'node:crypto'
import { noise } from '@libp2p/noise'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import type { PeerId } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { deviceOfAddress, peerIdOf } from '@elder-node/protocol'
import type { DeviceId } from '@elder-node/protocol'
import { gater } from '../../src/adapters/libp2p/gater.ts'
import { Porch } from '../../src/adapters/libp2p/porch.ts'
import { decodeAnswer, decodeQuestion, encodeAnswer, encodeQuestion } from '../../src/adapters/libp2p/nat/dial-back.ts'
import { relayServer, removeReservation } from '../../src/adapters/libp2p/nat/relay-link.ts'
import { Reachability } from '../../src/adapters/libp2p/nat/reachability.ts'
import { RELAYS_WANTED, Relays } from '../../src/adapters/libp2p/nat/relays.ts'
import { Upgrades } from '../../src/adapters/libp2p/nat/upgrades.ts'
import { deviceOfSeed, peerIdOf as libp2pId } from '../../src/adapters/libp2p/peer-id.ts'
import { TestMesh, introduce, soon, until } from './harness.ts'
import type { TestNode } from './harness.ts'

const [self, b, c, d] = [0, 1, 2, 3].map(n => deviceOfSeed(createHash('sha256').update(`nat ${n}`).digest())) as [DeviceId, DeviceId, DeviceId, DeviceId]
const at = (device: DeviceId, ip: string, port = 4707): string => `/ip4/${ip}/tcp/${port}/p2p/${peerIdOf(device)}`
const quiet = { debug () {}, info () {}, warn () {}, error () {} }

describe('the question "can you dial me?"', () => {
  test('is answered by dialling the asker where it was seen, on its own ports, and its public addresses: nobody and nothing else', () => {
    const question = encodeQuestion([at(self, '192.168.1.10'), at(self, '203.0.114.5', 9000), at(b, '203.0.114.6'), `${at(b, '198.51.101.7')}/p2p-circuit/p2p/${peerIdOf(self)}`])
    const dials = decodeQuestion(self, question, '/ip4/11.0.1.1/tcp/50123')
    expect(dials).toEqual([at(self, '11.0.1.1'), at(self, '11.0.1.1', 9000), at(self, '203.0.114.5', 9000)])
    expect(dials.every(address => deviceOfAddress(address) === self)).toBe(true)
  })

  test('over a relay names no place; malformed ones are refused', () => {
    expect(decodeQuestion(self, encodeQuestion([at(self, '192.168.1.10')]), `/ip4/1.2.3.4/tcp/1/p2p/${peerIdOf(b)}/p2p-circuit/p2p/${peerIdOf(self)}`)).toEqual([])
    for (const bad of [null, {}, { addresses: 'x' }, { addresses: Array(17).fill('/x') }]) expect(() => decodeQuestion(self, bad, '/ip4/1.2.3.4/tcp/1')).toThrow(expect.objectContaining({ code: 'MALFORMED' }) as Error)
    expect(decodeQuestion(self, { addresses: [7, null, '/ip4', 'x'.repeat(300)] }, '/ip4/1.2.3.4/tcp/1')).toEqual([])
  })

  test('the answer names an address of the asker, or none', () => {
    expect(decodeAnswer(self, encodeAnswer(at(self, '11.0.1.1')))).toBe(at(self, '11.0.1.1'))
    expect(decodeAnswer(self, encodeAnswer(undefined))).toBeUndefined()
    for (const bad of [null, {}, { reached: at(b, '11.0.1.1') }, { reached: 7 }, ...['/dns4/elsewhere.example/tcp/4707', '/ip4/11.0.1.1/tcp/99999', '/ip4/999.0.1.1/tcp/1', '/ip4/11.0.1.1/tcp/1/ws', '/ip4/11.0.1.1/tcp/1/\u001b[2J'].map(place => ({ reached: `${place}/p2p/${peerIdOf(self)}` }))]) expect(() => decodeAnswer(self, bad)).toThrow(expect.objectContaining({ code: 'MALFORMED' }) as Error)
  })
})

describe('with time standing still', () => {
  beforeEach(() => { vi.useFakeTimers() })
  afterEach(() => { vi.useRealTimers() })

  function reachability (answers: Map<DeviceId, string | undefined | Error>, own = [at(self, '192.168.1.10')]): { reachability: Reachability, changes: string[], asked: DeviceId[] } {
    const changes: string[] = []
    const asked: DeviceId[] = []
    const it: Reachability = new Reachability({
      log: quiet, random: () => 0.5, outside: () => [...answers.keys()], ownAddresses: () => own,
      ask: async device => {
        asked.push(device)
        const answer = answers.get(device)
        if (answer instanceof Error) throw answer
        return answer
      },
      changed: () => { changes.push(it.state) },
    })
    it.start()
    return { reachability: it, changes, asked }
  }

  test('reachability: one that reaches us is enough, nobody there or no answer is unknown, and a move forgets', async () => {
    const answers = new Map<DeviceId, string | undefined | Error>([[b, new Error('old release')]])
    const { reachability: it, changes, asked } = reachability(answers)
    it.met(b)
    await vi.advanceTimersByTimeAsync(1_000)
    expect([it.state, asked]).toEqual(['unknown', [b]])
    answers.set(c, undefined)
    it.met(c)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(it.state).toBe('private')
    it.met(c)
    await vi.advanceTimersByTimeAsync(2_000)
    expect(asked).toHaveLength(3)
    // A port was forwarded: noticed at the next look, and the address is news to us.
    answers.set(c, at(self, '11.0.1.1'))
    await vi.advanceTimersByTimeAsync(900_000)
    expect([it.state, it.found]).toEqual(['public', at(self, '11.0.1.1')])
    it.moved()
    expect([it.state, it.found]).toEqual(['unknown', undefined])
    expect(changes).toEqual(['private', 'public', 'unknown'])
    it.stop()
    await vi.advanceTimersByTimeAsync(3_600_000)
    expect(asked).toHaveLength(4)
  })

  test('an address that a liar makes up is not passed on: another port than ours', async () => {
    const { reachability: it } = reachability(new Map([[b, at(self, '11.0.1.1', 22)]]))
    await it.check()
    expect([it.state, it.found]).toEqual(['public', undefined])
    it.stop()
  })

  test('relays: two, the nearest first; another when one is lost or refuses; none when others reach us directly', async () => {
    const reserved = new Set<DeviceId>()
    const state = { wanted: true, peers: [b, c, d], refuses: c as DeviceId | undefined, changed: 0 }
    const rtts = new Map([[b, 30], [c, 10], [d, 20]])
    const clock = { wallMs: () => 0, monotonicMs: () => Date.now() }
    const relays = new Relays({
      self, clock, log: quiet, wanted: () => state.wanted, directPeers: () => state.peers, rttMs: device => rtts.get(device),
      reserve: async device => { if (device === state.refuses) throw new Error('full'); reserved.add(device) },
      isReserved: device => reserved.has(device), cancelAll: () => { reserved.clear() }, changed: () => { state.changed++ },
    })
    for (const device of [b, c, d]) relays.heard(device, { relay: true, addresses: [at(device, '10.0.0.9'), at(device, '198.51.101.7'), '/ip4/127.0.0.1/tcp/1', `${at(b, '1.1.1.1')}/p2p-circuit`] })
    await vi.advanceTimersByTimeAsync(0)
    // c was the nearest and is full.
    expect(relays.through()).toEqual([b, d])
    expect(relays.through()).toHaveLength(RELAYS_WANTED)
    expect(relays.addresses()).toEqual([b, d].flatMap(relay => ['198.51.101.7', '10.0.0.9'].map(ip => `${at(relay, ip)}/p2p-circuit/p2p/${peerIdOf(self)}`)))
    state.refuses = undefined
    reserved.delete(b)
    state.peers = [c, d]
    relays.forget(b)
    await vi.advanceTimersByTimeAsync(0)
    expect(relays.through()).toEqual([d])
    await vi.advanceTimersByTimeAsync(30_000)
    relays.step()
    await vi.advanceTimersByTimeAsync(0)
    expect(relays.through()).toEqual([c, d])
    relays.heard(c, { relay: false, addresses: [] })
    expect(relays.through()).toEqual([d])
    state.wanted = false
    relays.step()
    expect([relays.through(), relays.addresses()]).toEqual([[], []])
    expect(state.changed).toBeGreaterThan(3)
  })

  test('from relayed to direct: tried ever more slowly, at once when something changed', () => {
    let nowMs = 0
    const dials: number[] = []
    const upgrades = new Upgrades({ clock: { wallMs: () => 0, monotonicMs: () => nowMs }, random: () => 0.5, failed: error => { throw error }, relayed: () => [b], dialDirect: async () => { dials.push(nowMs) }, retire: () => {} })
    for (; nowMs < 700_000; nowMs += 1_000) upgrades.tick()
    expect(dials).toEqual([10_000, 30_000, 70_000, 150_000, 310_000, 610_000])
    upgrades.tryNow(b)
    expect(dials.at(-1)).toBe(700_000)
  })
})

test('a reservation ends with the membership of its device', async () => {
  const node = await createLibp2p({ transports: [tcp()], connectionEncrypters: [noise()], services: { identify: identify(), relay: relayServer() } })
  onTestFinished(() => node.stop())
  const [member, evicted] = [new TestMesh().node(), new TestMesh().node()]
  const { reservationStore } = node.services.relay as unknown as { reservationStore: { reserve (peer: PeerId, at: unknown): unknown } }
  for (const { id } of [member, evicted]) reservationStore.reserve(libp2pId(id), multiaddr('/ip4/10.0.0.1/tcp/4000'))
  removeReservation(node.services.relay, evicted.id)
  expect([...node.services.relay.reservations.keys()].map(String)).toEqual([libp2pId(member.id).toString()])
})

test('the gater: a reservation and a hop take a member at both ends, and a device that relays', () => {
  const mesh = new TestMesh()
  const [here, member, other, stranger] = [mesh.node(), mesh.node(), mesh.node(), new TestMesh().node()] as [TestNode, TestNode, TestNode, TestNode]
  for (const { id } of [member, other]) here.admission.admit(id, 'observer')
  let relays = true
  const { denyInboundRelayReservation: reserve, denyOutboundRelayedConnection: hop } = gater(here.admission, () => relays, new Porch())
  const verdicts = (): unknown[] => [
    reserve?.(libp2pId(member.id)), reserve?.(libp2pId(stranger.id)),
    hop?.(libp2pId(member.id), libp2pId(other.id)), hop?.(libp2pId(stranger.id), libp2pId(other.id)), hop?.(libp2pId(member.id), libp2pId(stranger.id)),
  ]
  expect(verdicts()).toEqual([false, true, false, true, true])
  relays = false
  expect(verdicts()).toEqual([true, true, true, true, true])
  relays = true
  here.admission.revoke(member.id)
  expect(verdicts()).toEqual([true, true, true, true, true])
})

describe('a relay between two that have no other way', () => {
  async function relayed (choice: 'on' | 'off'): Promise<{ a: TestNode, b: TestNode, relay: TestNode }> {
    const mesh = new TestMesh()
    // Without a listener nobody can dial them, as behind a router.
    const [a, b, relay] = [mesh.node({ listen: [] }), mesh.node({ listen: [] }), mesh.node({ relay: choice })] as [TestNode, TestNode, TestNode]
    for (const node of [a, b, relay]) {
      node.mesh.onRequest('claim', { role: 'member' }, (_from, message) => message)
      node.mesh.onStream('build', { role: 'member' }, async stream => {
        let bytes = 0
        for await (const frame of stream) bytes += frame.length
        await stream.send(Buffer.from(String(bytes)))
      })
      await node.mesh.start()
    }
    introduce([a, relay])
    introduce([b, relay])
    await until(() => a.mesh.peers().length === 1 && b.mesh.peers().length === 1, 30_000)
    return { a, b, relay }
  }

  test('carries requests, and 8 MiB where the library stops after 128 KiB; both see who passes it on; an eviction ends it', { timeout: 60_000 }, async () => {
    const { a, b, relay } = await relayed('on')
    await until(() => a.mesh.reach().through.length === 1, 30_000)
    expect(relay.mesh.reach()).toEqual({ reachable: 'unknown', through: [], relays: true })
    const ways = a.mesh.addresses().filter(address => address.includes('/p2p-circuit/'))
    expect(ways.length).toBeGreaterThan(0)
    a.admission.admit(b.id, 'builder')
    b.admission.admit(a.id, 'builder')
    b.admission.learned(a.id, ways)
    const seen = (node: TestNode, other: TestNode): unknown => node.mesh.peers().find(({ device }) => device === other.id)
    await until(() => seen(a, b) !== undefined && seen(b, a) !== undefined, 30_000)
    expect([seen(a, b), seen(b, a)]).toEqual([expect.objectContaining({ path: 'relay', relay: relay.id }), expect.objectContaining({ path: 'relay', relay: relay.id })])
    expect(await b.mesh.request(a.id, 'claim', 'through', soon(20_000))).toBe('through')
    const stream = await b.mesh.openStream(a.id, 'build', soon(20_000))
    for (let i = 0; i < 32; i++) await stream.send(randomBytes(262_144))
    await stream.close()
    const { value } = await stream[Symbol.asyncIterator]().next() as { value: Uint8Array }
    expect(Buffer.from(value).toString()).toBe(String(32 * 262_144))

    relay.admission.revoke(b.id)
    await until(() => a.mesh.peers().every(({ device }) => device !== b.id), 30_000)
  })

  test('is nobody who was not asked to be one', { timeout: 60_000 }, async () => {
    const { a, relay } = await relayed('off')
    expect(relay.mesh.reach().relays).toBe(false)
    expect(a.mesh.reach().through).toEqual([])
    expect(a.mesh.addresses().some(address => address.includes('/p2p-circuit'))).toBe(false)
  })
})
