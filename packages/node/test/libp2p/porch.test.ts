import { createConnection } from 'node:net'
import type { Socket } from 'node:net'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { DOOR_PROTOCOL } from '../../src/adapters/libp2p/door.ts'
import { knock } from '../../src/adapters/libp2p/knock.ts'
import { Porch } from '../../src/adapters/libp2p/porch.ts'
import { sourceOf } from '../../src/adapters/libp2p/source.ts'
import { TestMesh, until } from './harness.ts'

test.each([
  ['/ip4/192.0.2.7/tcp/4000', '192.0.2.7'],
  ['/ip6/2001:db8:1:2:3:4:5:6/tcp/4000', '2001:db8:1:2::/64'],
  ['/ip6/2001:db8:1:2::9/tcp/4000', '2001:db8:1:2::/64'],
  ['/ip6/2001:0db8::1/tcp/4000', '2001:db8:0:0::/64'],
  ['/ip6/::1/tcp/4000', '0:0:0:0::/64'],
  ['/ip6/fe80::1%eth0/tcp/4000', 'fe80:0:0:0::/64'],
  ['/ip6/::ffff:192.0.2.7/tcp/4000', '192.0.2.7'],
  ['/ip4/192.0.2.7/tcp/4000/p2p/12D3KooWRelay/p2p-circuit/p2p/12D3KooWOther', '/ip4/192.0.2.7/tcp/4000/p2p/12D3KooWRelay'],
])('%s counts as %s', (address, source) => { expect(sourceOf(address)).toBe(source) })

type Caller = Parameters<Porch['arrived']>[0]

function caller (address: string): { caller: Caller, aborted: () => boolean } {
  let aborted = false
  return { caller: { remoteAddr: { toString: () => address }, abort: () => { aborted = true }, addEventListener: () => {} } as unknown as Caller, aborted: () => aborted }
}

describe('the porch', () => {
  test('one address has sixteen silent callers, and the oldest gives way; one that knocked does not count', () => {
    const porch = new Porch()
    const all = Array.from({ length: 20 }, () => caller('/ip4/192.0.2.7/tcp/1'))
    all.slice(0, 2).forEach(({ caller }) => { porch.arrived(caller); porch.left(caller) })
    all.slice(2).forEach(({ caller }) => { porch.arrived(caller) })
    expect(all.map(({ aborted }) => aborted()).indexOf(true)).toBe(2)
    expect([all.filter(({ aborted }) => aborted()).length, porch.size]).toEqual([2, { silent: 16, knocked: 0 }])
    for (const { caller } of all) porch.left(caller)
    expect(porch.size).toEqual({ silent: 0, knocked: 0 })
  })

  test('who knocked has a place of another kind, and there the oldest of the address gives way too', () => {
    const porch = new Porch()
    const all = Array.from({ length: 70 }, () => caller('/ip4/192.0.2.7/tcp/1'))
    for (const { caller } of all) {
      porch.arrived(caller)
      porch.knocked(caller)
    }
    const silent = caller('/ip4/192.0.2.7/tcp/1')
    porch.arrived(silent.caller)
    expect(all.map(({ aborted }) => aborted())).toEqual(all.map((_, n) => n < 6))
    expect([silent.aborted(), porch.size]).toEqual([false, { silent: 1, knocked: 64 }])
    for (const { caller } of [silent, ...all]) porch.left(caller)
    // One that is gone does not come back by a knock that was under way.
    porch.knocked(silent.caller)
    expect(porch.size).toEqual({ silent: 0, knocked: 0 })
  })

  test('when all places are taken, one of the address with the most callers gives way, never the one that came alone', () => {
    const porch = new Porch()
    const alone = caller('/ip4/198.51.100.1/tcp/1')
    porch.arrived(alone.caller)
    const crowd = Array.from({ length: 40 * 12 }, (_, n) => caller(`/ip4/192.0.2.${n % 40}/tcp/1`))
    for (const { caller } of crowd) porch.arrived(caller)
    expect([porch.size, alone.aborted()]).toEqual([{ silent: 256, knocked: 0 }, false])
    for (const { caller } of [alone, ...crowd]) porch.left(caller)
  })

  test('who says nothing for a second is sent away; what arrived during a stall is read first', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => { vi.useRealTimers() })
    const porch = new Porch()
    const [silent, late] = [caller('/ip4/192.0.2.1/tcp/1'), caller('/ip4/192.0.2.2/tcp/1')]
    for (const { caller } of [silent, late]) porch.arrived(caller)
    vi.advanceTimersByTime(1_000)
    porch.left(late.caller)
    for (let turn = 0; turn < 4; turn++) await new Promise(resolve => { setImmediate(resolve) })
    expect(silent.aborted()).toBe(true)
    expect(late.aborted()).toBe(false)
  })
})

/** Keeps `count` sockets open from each address, opening a new one for each that is closed. They say `first`, and then nothing. */
function silence (port: number, addresses: string[], count: number, first: () => Uint8Array = () => new Uint8Array()): { opened: () => number } {
  const sockets = new Set<Socket>()
  let opened = 0
  let over = false
  const open = (localAddress: string): void => {
    if (over) return
    const socket = createConnection({ host: '127.0.0.1', port, localAddress })
    sockets.add(socket)
    opened++
    socket.write(first())
    socket.on('error', () => {}).on('data', () => {}).on('close', () => {
      sockets.delete(socket)
      setTimeout(() => { open(localAddress) }, 200)
    })
  }
  for (const address of addresses) for (let n = 0; n < count; n++) open(address)
  onTestFinished(() => {
    over = true
    for (const socket of sockets) socket.destroy()
  })
  return { opened: () => opened }
}

const line = (text: string): Buffer => Buffer.concat([Buffer.of(text.length + 1), Buffer.from(`${text}\n`)])

test.each([
  ['8 addresses keep 256 silent sockets', 8, 32, false], ['60 addresses keep 300 silent sockets', 60, 5, false],
  ['an evicted device keeps 480 from 8 addresses that knock, and say no more', 8, 60, true],
])('a newcomer is in within seconds while %s at the port', { timeout: 60_000 }, async (_name, addresses, each, knocks) => {
  const mesh = new TestMesh()
  const node = mesh.node()
  await node.mesh.start()
  const port = Number(/tcp\/(\d+)/.exec(node.mesh.addresses()[0] ?? '')?.[1])
  const attack = silence(
    port, Array.from({ length: addresses }, (_, n) => `127.0.${1 + (n >> 6)}.${2 + (n & 63)}`), each,
    () => knocks ? Buffer.concat([line('/multistream/1.0.0'), line(DOOR_PROTOCOL), knock(mesh.secret, node.id)]) : new Uint8Array(),
  )
  await until(() => attack.opened() > addresses * each)
  const newcomer = mesh.node({ ticket: node.mesh.addresses() })
  const started = performance.now()
  await newcomer.mesh.start()
  await until(() => newcomer.mesh.peers().length === 1)
  expect(performance.now() - started).toBeLessThan(8_000)
})
