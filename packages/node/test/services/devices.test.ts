/** What `status` and `devices` say of a device, from what the services know. */
import { expect, test } from 'vitest'
import type { Peer } from '../../src/ports/mesh.ts'
import { StatusService, type StatusComponents } from '../../src/services/status.ts'

const ADVERT = { cores: 4, load: 0, memory: { totalBytes: 2, freeBytes: 1 }, disk: { totalBytes: 2, freeBytes: 1 }, slots: { total: 1, free: 1 }, engine: null, platform: 'linux/x64', version: '0.1.0' }

function service (peers: Peer[]): StatusService {
  return new StatusService({
    membership: { roster: { members: new Map(['self', 'near', 'far', 'gone'].map(id => [id, {}])) }, role: () => 'member', ref: (id: string) => ({ id, name: id }) },
    mesh: { self: 'self', on: () => () => {}, peers: () => peers },
    resources: { own: () => ADVERT, table: { get: () => ({ advert: ADVERT }) } },
    clock: { wallMs: () => 0, monotonicMs: () => 0 },
  } as unknown as StatusComponents, { dir: '/d', version: '0', engineNote: () => '', http: null })
}

test('this device, then the nearest, then who is away; a suspect is told, nobody else is', () => {
  const peer = (device: string, rttMs: number, more: Partial<Peer> = {}): Peer => ({ device: device as Peer['device'], path: 'direct', rttMs, address: '', ...more })
  const devices = service([peer('far', 20, { suspect: true }), peer('near', 2, { suspect: false })]).devices()
  expect(devices.map(({ id, online, suspect }) => [id, online, suspect])).toEqual([['self', true, undefined], ['near', true, undefined], ['far', true, true], ['gone', false, undefined]])
  expect(devices.filter(device => 'suspect' in device)).toHaveLength(1)
})
