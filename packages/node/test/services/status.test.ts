import { expect, test } from 'vitest'
import type { StackStatus } from '../../src/api.ts'
import { StatusService, type StatusComponents } from '../../src/services/status.ts'

const STACK: StackStatus = { name: 'my-repo', entries: 3, copies: 1, mirrors: [], archived: false }
const SAMPLE = { load: 0, pressure: undefined, memoryFreeBytes: 1, diskFreeBytes: 50, diskTotalBytes: 100, onBattery: false }

/** Only what `problems` reads: no device is known. */
function problems (stacks: StackStatus[], diskFreeBytes = 50): string[] {
  const components = {
    membership: { meshId: 'm', meshName: 'home', roster: { members: new Map() }, nameOf: () => 'laptop' },
    mesh: { self: 's', on: () => () => {}, peers: () => [], addresses: () => [] },
    resources: { sample: { ...SAMPLE, diskFreeBytes } },
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
