import { expect, test } from 'vitest'
import type { StackStatus } from '../../src/api.ts'
import { ALERT_CODES } from '../../src/services/alerts/catalogue.ts'
import { findingsOf, type World } from '../../src/services/alerts/conditions.ts'
import { device, MINI, SELF } from '../support/fake-node.ts'

const HOUR = 3_600_000
const NOW = Date.parse('2026-11-21T12:00:00Z')
const FINE: World = {
  devices: [device(SELF), device(MINI)], self: SELF.id, addresses: ['/ip4/127.0.0.1/tcp/1', '/ip4/192.168.1.2/tcp/1'], expected: new Set([MINI.id]), low: new Set(), waiting: [], stacks: [], found: [],
  version: '0.1.0', loopLagS: 0, crashesMs: [], wallMs: NOW,
}
const STACK: StackStatus = { name: 'my-repo', entries: 3, copies: 2, mirrors: [], archived: false }
const down = device(MINI, { online: false, path: 'none', cpu: null, memory: null, disk: null, slots: { total: 0, free: 0 } })
const waiting = { id: 'abcdefghij', candidates: [SELF.id, MINI.id] }
const mirror = (state: StackStatus['mirrors'][number]['state'], hoursAgo: number | null, message: string | null = null): StackStatus['mirrors'][number] =>
  ({ url: 'https://git/x', state, lastPush: null, message, ...(hoursAgo === null ? {} : { behindSince: new Date(NOW - hoursAgo * HOUR).toISOString() }) })
const lonely = (mirrors: StackStatus['mirrors']): Partial<World> => ({ stacks: [{ ...STACK, copies: 1, mirrors }] })
const mirrored = (mirrors: StackStatus['mirrors']): Partial<World> => ({ stacks: [{ ...STACK, mirrors }] })
const memory = (freeBytes: number): Partial<World> => ({ devices: [device(SELF), device(MINI, { memory: { totalBytes: 100, freeBytes } })] })
const disk = (freeBytes: number): Partial<World> => ({ devices: [device(SELF, { disk: { totalBytes: 100, freeBytes } })] })
const crashes = (count: number, agoMs: number): Partial<World> => ({ crashesMs: Array.from({ length: count }, () => NOW - agoMs) })

test.each<[string, Partial<World>, string[]]>([
  ['a mesh that is well', {}, []],
  ['a builder that is down', { devices: [device(SELF), down] }, ['DEVICE_DOWN']],
  ['a device without slots that is away', { devices: [device(SELF), down], expected: new Set() }, []],
  ['nobody connected, nothing but loopback: who is cut off blames nobody', { devices: [device(SELF), down], addresses: ['/ip4/127.0.0.1/tcp/1', '/ip6/::1/tcp/1'] }, ['NO_NETWORK']],
  ['alone, and it always was', { devices: [device(SELF)], addresses: ['/ip4/127.0.0.1/tcp/1'] }, []],
  ['nobody connected, with an address', { devices: [device(SELF), down], expected: new Set(), addresses: ['/ip4/127.0.0.1/tcp/1', '/ip6/fd99::1/tcp/1'] }, []],
  ['9 % of the disk free', disk(9), ['DISK_LOW']],
  ['10 % of the disk free', disk(10), []],
  ['11 % of a disk free that was low', { ...disk(11), low: new Set([SELF.id]) }, ['DISK_LOW']],
  ['12 % of a disk free that was low', { ...disk(12), low: new Set([SELF.id]) }, []],
  ['a disk of no size', { devices: [device(SELF, { disk: { totalBytes: 0, freeBytes: 0 } })] }, []],
  ['91 % of the memory of another used', memory(9), ['MEMORY_HIGH']],
  ['90 % of it', memory(10), []],
  ['a stall of 1.1 s', { loopLagS: 1.1 }, ['LOOP_BLOCKED']],
  ['a stall of 1 s', { loopLagS: 1 }, []],
  ['a build waits while a slot is free', { waiting: [waiting] }, ['QUEUE_STUCK']],
  ['a build waits, and all are busy', { waiting: [waiting], devices: [device(SELF, { slots: { total: 2, free: 0 } })] }, []],
  ['a build waits for one device, another is free', { waiting: [{ ...waiting, candidates: [MINI.id] }], devices: [device(SELF), device(MINI, { slots: { total: 2, free: 0 } })] }, []],
  ['four crashes in a quarter of an hour', crashes(4, 60_000), ['RESTART_LOOP']],
  ['three of them', crashes(3, 60_000), []],
  ['four, long ago', crashes(4, 16 * 60_000), []],
  ['another version', { devices: [device(SELF), device(MINI, { version: '0.2.0' })] }, ['VERSION_SKEW']],
  ['a stack that is nowhere else', lonely([]), ['ONLY_COPY']],
  ['one that a remote holds in full', lonely([mirror('ok', 9)]), []],
  ['one whose remote is behind', lonely([mirror('behind', 0)]), ['ONLY_COPY', 'MIRROR_STALE']],
  ['an empty one', { stacks: [{ ...STACK, copies: 1, entries: 0 }] }, []],
  ['a remote that says why it is behind', mirrored([mirror('failing', 5, 'no route')]), ['MIRROR_BEHIND', 'MIRROR_STALE']],
  ['a reason that the mirror explained itself', { ...mirrored([mirror('failing', 5, 'no route')]), found: [{ code: 'MIRROR_EDITED', message: 'no route', fix: '' }] }, ['MIRROR_EDITED', 'MIRROR_STALE']],
])('%s', (_what, over, codes) => {
  expect(findingsOf({ ...FINE, ...over }).map(({ code }) => code)).toEqual(codes)
})

test('every finding says what, about whom, and what to do; a name of another device stands in it', () => {
  const all = findingsOf({
    ...FINE, devices: [device(SELF, { disk: { totalBytes: 100, freeBytes: 1 }, slots: { total: 2, free: 1 } }), device(MINI, { disk: { totalBytes: 100, freeBytes: 1 }, memory: { totalBytes: 100, freeBytes: 1 }, version: '9' }), { ...down, id: 'c'.repeat(52), name: 'pi' }],
    expected: new Set(['c'.repeat(52)]), waiting: [waiting], stacks: [{ ...STACK, copies: 1, mirrors: [mirror('failing', 5, 'no route')] }], loopLagS: 2, crashesMs: Array.from({ length: 5 }, () => NOW),
    found: [{ code: 'RECORDS_WAIT', message: 'm.', fix: 'f' }],
  })
  const alone = findingsOf({ ...FINE, devices: [device(SELF), down], addresses: [] })
  expect(new Set([...all, ...alone].map(({ code }) => code))).toEqual(new Set(ALERT_CODES))
  for (const { message, fix } of all) expect([message, fix]).toEqual([expect.stringMatching(/\S/), expect.stringMatching(/\S/)])
  expect(all.filter(({ code }) => code === 'DISK_LOW').map(({ message }) => message)).toEqual(['This device has 1 % of its disk free.', 'mini has 1 % of its disk free.'])
})

test('a mirror is late from when it fell behind, if that is written down, else from when that is seen', () => {
  const held = (hoursAgo: number | null): number | undefined => findingsOf({ ...FINE, ...mirrored([mirror('behind', hoursAgo)]) })[0]?.heldMs
  expect([held(null), held(5)]).toEqual([0, 5 * HOUR])
})
