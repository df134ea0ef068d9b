import { deviceId, ElderError, type DeviceId } from '@elder-node/protocol'
import { expect, test } from 'vitest'
import type { PingEvent, PingOptions } from '../../src/api.ts'
import type { Mesh, Peer } from '../../src/ports/mesh.ts'
import { ping } from '../../src/services/ping.ts'

const SELF = deviceId(new Uint8Array(32).fill(1))
const MINI = deviceId(new Uint8Array(32).fill(2))
const VPS = deviceId(new Uint8Array(32).fill(3))
const NAMES: Record<string, string> = { [MINI]: 'mini', [VPS]: 'vps' }

/** What each probe does in turn: a round trip, or the code it fails with; `peer` is the connection there is. */
async function play (probes: Array<number | string>, peer: Peer | undefined, options: PingOptions = {}, tried: Array<{ address: string, error: string | null }> = []): Promise<PingEvent[]> {
  let at = 0
  const mesh = {
    self: SELF, peers: () => peer === undefined ? [] : [peer],
    probe: async () => { const next = probes[at++ % probes.length]; if (typeof next === 'number') return next; throw new ElderError(next ?? '', 'no answer', '') },
  } as unknown as Mesh
  const events: PingEvent[] = []
  const find = (name: string): DeviceId => { if (name === 'self') return SELF; if (name === 'mini') return MINI; throw new ElderError('NO_SUCH_DEVICE', name, '') }
  for await (const event of ping({ mesh, find, ref: id => ({ id, name: NAMES[id] ?? 'x' }), lastSeen: () => '2026-11-21T10:00:00.000Z', tryAddresses: async () => tried }, options.count === -1 ? 'self' : 'mini', { intervalMs: 1, ...options })) events.push(event)
  return events
}

const direct: Peer = { device: MINI, path: 'direct', rttMs: 1, address: '/ip4/10.0.0.2/tcp/1' }

test('counts five unless told, each with the path and the address; a relay is named', async () => {
  const five = await play([0.61249], direct)
  expect(five.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5])
  expect(five[0]).toEqual({ event: 'pong', device: { id: MINI, name: 'mini' }, seq: 1, rttMs: 0.612, path: 'direct', relay: null, address: '/ip4/10.0.0.2/tcp/1' })
  const [relayed] = await play([8], { ...direct, path: 'relay', relay: VPS }, { count: 1 })
  expect(relayed).toMatchObject({ path: 'relay', relay: { id: VPS, name: 'vps' } })
})

test('a lost round trip of a connected device is said and the next one tried', async () => {
  expect((await play([1, 'TIMEOUT', 'UNREACHABLE', 2], direct, { count: 4 })).map(event => event.event === 'lost' ? event.code : event.rttMs)).toEqual([1, 'TIMEOUT', 'UNREACHABLE', 2])
})

test('a device that cannot be dialled: last seen, each address with its error, and a fix', async () => {
  const tried = [{ address: '/ip4/192.168.1.20/tcp/4707/p2p/x', error: 'connection refused: nothing listens there' }, { address: '/ip6/fd00::5/tcp/4707/p2p/x', error: 'no answer within 3 s' }]
  await expect(play(['UNREACHABLE'], undefined, {}, tried)).rejects.toMatchObject({
    code: 'UNREACHABLE', data: { device: MINI, lastSeen: '2026-11-21T10:00:00.000Z', tried },
    message: 'mini cannot be reached. Last seen: 2026-11-21T10:00:00.000Z\n  /ip4/192.168.1.20/tcp/4707: connection refused: nothing listens there\n  /ip6/fd00::5/tcp/4707: no answer within 3 s',
  })
  await expect(play(['UNREACHABLE'], undefined)).rejects.toThrow(/no address of it is known/)
})

test('this device is no target; a signal ends it between two round trips', async () => {
  await expect(play([1], direct, { count: -1 })).rejects.toMatchObject({ code: 'SELF' })
  const stop = new AbortController()
  stop.abort()
  expect(await play([1], direct, { signal: stop.signal })).toEqual([])
})
