import { expect, test } from 'vitest'
import type { StackStatus } from '../../src/api.ts'
import { StatusService, type StatusComponents } from '../../src/services/status.ts'

const STACK: StackStatus = { name: 'my-repo', entries: 3, copies: 1, mirrors: [], archived: false }
const SAMPLE = { load: 0, pressure: undefined, memoryFreeBytes: 1, diskFreeBytes: 50, diskTotalBytes: 100, onBattery: false }

/** Only what `problems` reads. */
function problems (stacks: StackStatus[], diskFreeBytes = 50, { members = 0, peers = 0, addresses = [] as string[] } = {}): string[] {
  const components = {
    membership: { meshId: 'm', meshName: 'home', roster: { members: new Map(Array.from({ length: members }, (_, i) => [`d${i}`, {}])) }, role: () => 'member', nameOf: () => 'laptop' },
    mesh: { self: 's', on: () => () => {}, peers: () => Array.from({ length: peers }, (_, i) => ({ device: `d${i}`, path: 'direct' })), addresses: () => addresses, reach: () => ({ reachable: 'unknown', through: [], relays: false }) },
    resources: { sample: { ...SAMPLE, diskFreeBytes }, table: { get: () => undefined } },
    clock: { wallMs: () => 0, monotonicMs: () => 0 }, builds: () => [], stacks: () => stacks, problems: () => [],
  } as unknown as StatusComponents
  return new StatusService(components, { dir: '/d', version: '0', engineNote: '' }).status().problems.map(({ code }) => code)
}

test.each([
  ['a stack that is nowhere else', STACK, ['ONLY_COPY']],
  ['one with a second copy', { ...STACK, copies: 2 }, []],
  ['one that a remote holds in full', { ...STACK, mirrors: [{ url: 'u', state: 'ok', lastPush: null, message: null }] }, []],
  ['one whose remote is behind', { ...STACK, mirrors: [{ url: 'u', state: 'behind', lastPush: null, message: null }] }, ['ONLY_COPY']],
  ['an empty one', { ...STACK, entries: 0 }, []],
] satisfies Array<[string, StackStatus, string[]]>)('%s', (_what, stack, codes) => {
  expect(problems([stack])).toEqual(codes)
})

test('a disk that is nearly full', () => {
  expect(problems([], 9)).toEqual(['DISK_LOW'])
})

test('no network: only when there are others, none is here, and nothing but loopback is left', () => {
  const loopback = ['/ip4/127.0.0.1/tcp/1', '/ip6/::1/tcp/1']
  expect(problems([], 50, { members: 2, addresses: loopback })).toEqual(['NO_NETWORK'])
  expect(problems([], 50, { members: 1, addresses: loopback })).toEqual([])
  expect(problems([], 50, { members: 2, peers: 1, addresses: loopback })).toEqual([])
  expect(problems([], 50, { members: 2, addresses: [...loopback, '/ip6/fd99::1/tcp/1'] })).toEqual([])
})
