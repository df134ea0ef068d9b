/** A build that waits for a builder: as long as it was told, and never after its end. */
import { expect, test } from 'vitest'
import { BuildMachine, parseSpec, SlotMachine, type BuildEffect, type BuildId, type BuildInit, type BuildInput, type DeviceId, type SlotEffect } from '../../src/index.ts'

const build = 'a'.repeat(26) as BuildId
const mini = 'mini' as DeviceId
const kinds = (effects: BuildEffect[]): string[] => effects.map(effect => effect.type === 'send' ? effect.word.type : effect.type === 'ended' ? effect.failure.code : effect.type)
const begin = (init: Partial<BuildInit> = {}): BuildMachine => {
  const machine = new BuildMachine({ build, needs: { memoryBytes: null, cpus: null }, ...init })
  expect(kinds(machine.handle({ type: 'start' }, 0))).toEqual(['elect'])
  return machine
}
const nobody: BuildInput = { type: 'ranked', order: [] }
const one: BuildInput = { type: 'ranked', order: [{ device: mini, rttMs: 1 }] }

test('without a wait the end comes at once', () => {
  expect(kinds(begin().handle(nobody, 10))).toEqual(['NO_CANDIDATE'])
})

test('it looks every 5 s, half a second after news, and asks who appears', () => {
  const machine = begin({ waitMs: 60_000 })
  expect(kinds(machine.handle(nobody, 0))).toEqual(['await'])
  expect([machine.state, machine.deadline()]).toEqual(['queued', 5_000])
  expect(machine.handle({ type: 'tick' }, 4_999)).toEqual([])
  expect(kinds(machine.handle({ type: 'tick' }, 5_000))).toEqual(['elect'])
  expect(machine.state).toBe('electing')
  expect(kinds(machine.handle(nobody, 5_100))).toEqual(['await'])
  expect(machine.handle({ type: 'news' }, 5_200)).toEqual([])
  expect(machine.deadline()).toBe(5_600)
  expect(kinds(machine.handle({ type: 'tick' }, 5_600))).toEqual(['elect'])
  expect(kinds(machine.handle(one, 5_700))).toEqual(['claim'])
  expect(machine.handle({ type: 'news' }, 5_800)).toEqual([])
})

test('who said no may say yes later', () => {
  const machine = begin({ waitMs: 60_000 })
  const [claim] = machine.handle(one, 0)
  const fence = claim?.type === 'send' ? claim.word.fence : 0
  expect(kinds(machine.handle({ type: 'word', from: mini, word: { type: 'no', build, fence, reason: 'not yet' } }, 10))).toEqual(['release', 'await'])
  expect(kinds(machine.handle({ type: 'news' }, 1_000))).toEqual(['elect'])
  expect(kinds(machine.handle(one, 1_000))).toEqual(['claim'])
})

test('its time is over, it is cancelled, or its deadline comes first', () => {
  const machine = begin({ waitMs: 6_000 })
  machine.handle(nobody, 0)
  machine.handle({ type: 'tick' }, 5_000)
  machine.handle(nobody, 5_500)
  expect(machine.deadline()).toBe(6_000)
  machine.handle({ type: 'tick' }, 6_000)
  expect(kinds(machine.handle(nobody, 6_100))).toEqual(['NO_CANDIDATE'])
  const cancelled = begin({ waitMs: 60_000 })
  cancelled.handle(nobody, 0)
  expect(kinds(cancelled.handle({ type: 'cancel' }, 1))).toEqual(['CANCELLED'])
  expect([cancelled.deadline(), cancelled.handle({ type: 'news' }, 9_000)]).toEqual([undefined, []])
  const short = begin({ waitMs: 60_000, deadlineMs: 3_000 })
  short.handle(nobody, 0)
  expect(short.deadline()).toBe(3_000)
  expect(kinds(short.handle({ type: 'tick' }, 3_000))).toEqual(['DEADLINE'])
})

test('this device first, when it may build: then the wait', () => {
  const machine = begin({ waitMs: 60_000, localFallback: true })
  expect(machine.handle(nobody, 0)).toMatchObject([{ type: 'elect', localOnly: true }])
  expect(kinds(machine.handle(nobody, 1))).toEqual(['await'])
})

test('an image is a name, never an option or a line', () => {
  const spec = (image: string): unknown => parseSpec({
    build, source: { commit: 'c'.repeat(40), project: 'p', cwd: '.' }, command: ['make'], prepare: null, outputs: [], env: {}, memoryBytes: null, cpus: null, deadlineMs: null, sealed: false, image, agent: null, traceparent: null,
  })
  for (const image of ['node:24', 'registry.example/owner/name:Tag', `[::1]:5000/x/y@sha256:${'a'.repeat(64)}`, 'localhost:5000/a_b', 'node']) expect(spec(image)).toMatchObject({ image })
  for (const image of ['', '-v/:/host', '--privileged', 'a b', 'a\nb', 'a;b', '$(x)', 'a'.repeat(256), 'Node:24', 'registry.example/Owner/name', 'x@sha256:ab', 'node:24:', 'a//b']) expect(() => spec(image)).toThrow(/image/)
})

test('a slot was given while the line was cut, and lapsed: once the two hear each other, the build gets the next one there', () => {
  const builder = new SlotMachine({ slots: 1, epoch: 1, rttMs: () => 1 })
  builder.handle({ type: 'swept' }, 0)
  builder.handle({ type: 'word', from: 'other' as DeviceId, word: { type: 'claim', build: 'b'.repeat(26) as BuildId, fence: 1, needs: { memoryBytes: null, cpus: null } } }, 0)
  const [lease] = builder.leases()
  const machine = begin()
  const said: string[] = []
  /** Passes words on until nobody has one left; `isCut`: those of the builder are lost. */
  const pass = (effects: Array<BuildEffect | SlotEffect>, now: number, isCut: boolean): void => {
    for (const effect of effects) {
      if (effect.type === 'open') said.push('open')
      if (effect.type !== 'send') continue
      const { to, word } = effect
      said.push(word.type)
      if (to === mini) pass(builder.handle({ type: 'word', from: 'me' as DeviceId, word }, now), now, isCut)
      else if (!isCut) pass(machine.handle({ type: 'word', from: mini, word }, now), now, isCut)
    }
  }
  pass(machine.handle(one, 0), 0, false)
  expect([machine.state, builder.queue]).toEqual(['queued', 1])
  const bind = builder.handle({ type: 'finished', lease: lease?.id ?? '' }, 10)
  pass(bind.flatMap(effect => effect.type === 'send' ? machine.handle({ type: 'word', from: mini, word: effect.word }, 10) : []), 10, true)
  expect([builder.leases().map(({ state }) => state), machine.state]).toEqual([['held'], 'queued'])
  builder.handle({ type: 'tick' }, 11_000)
  expect(builder.leases()).toEqual([])
  said.length = 0
  pass(machine.handle({ type: 'tick' }, 12_000), 12_000, false)
  expect(said).toContain('no')
  expect([machine.state, said.includes('open')]).toEqual(['sending', true])
})

test('a builder that says no while it starts, and then at once that it has a slot, is asked again a moment later', () => {
  const two = 'two' as DeviceId
  const machine = begin()
  const word = (from: DeviceId, word: Record<string, unknown>, now: number): string[] => kinds(machine.handle({ type: 'word', from, word: { build, ...word } as never }, now))
  machine.handle({ type: 'ranked', order: [{ device: mini, rttMs: 1 }, { device: two, rttMs: 1 }] }, 0)
  word(mini, { type: 'busy', fence: 1, queue: 0, expectedWaitS: 0 }, 1)
  word(two, { type: 'busy', fence: 2, queue: 0, expectedWaitS: 0 }, 1)
  word(mini, { type: 'reserved', fence: 3, position: 0 }, 2)
  // The advert overtakes the no, which was said before.
  expect(machine.handle({ type: 'free', device: two }, 100)).toEqual([])
  expect(word(two, { type: 'no', fence: 3, reason: 'starting' }, 120)).toEqual([])
  const at = machine.deadline() as number
  expect(at).toBeLessThan(300)
  expect(machine.handle({ type: 'tick' }, at)).toMatchObject([{ type: 'send', to: two, word: { type: 'reserve' } }])
  // One that has the reservation asks by itself.
  expect(machine.handle({ type: 'free', device: mini }, at - 100)).toEqual([])
})
