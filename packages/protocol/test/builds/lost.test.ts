/** A build whose builders are lost, or all fail: how often it is tried, and what it is called in the end. */
import { describe, expect, test } from 'vitest'
import { BuildMachine, type BuildEffect, type BuildId, type DeviceId } from '../../src/index.ts'

const build = 'a'.repeat(26) as BuildId

/** More than the silence that a builder is given. */
const LONG_MS = 12_000

/** Wins the slot of one builder after another, and lets each end as told. Answers the code of the end. */
function tried (end: (machine: BuildMachine, lease: string, now: number) => BuildEffect[]): { code: string | undefined, attempts: string[] } {
  const machine = new BuildMachine({ build, needs: { memoryBytes: null, cpus: null } })
  let now = 0
  let effects = machine.handle({ type: 'start' }, now)
  for (const name of ['one', 'two', 'three']) {
    expect(effects.map(({ type }) => type)).toContain('elect')
    const device = name as DeviceId
    const [claim] = machine.handle({ type: 'ranked', order: [{ device, rttMs: 1 }] }, now)
    const fence = claim?.type === 'send' ? claim.word.fence : 0
    machine.handle({ type: 'word', from: device, word: { type: 'grant', build, fence, lease: name, stamp: 0, ttlMs: 1 } }, now)
    effects = end(machine, name, now += LONG_MS)
  }
  const last = effects.find(effect => effect.type === 'ended')
  return { code: last?.failure.code, attempts: machine.attempts.map(({ outcome }) => outcome.split(':')[0] ?? '') }
}

test('three builders that fall silent: BUILDER_LOST', () => {
  expect(tried((machine, _lease, now) => machine.handle({ type: 'tick' }, now))).toEqual({ code: 'BUILDER_LOST', attempts: ['BUILDER_LOST', 'BUILDER_LOST', 'BUILDER_LOST'] })
})

test('a builder that cannot is not asked again, and its own word is the end; another may have it', () => {
  const machine = new BuildMachine({ build, needs: { memoryBytes: null, cpus: null } })
  const win = (name: string, order: string[]): void => {
    const [claim] = machine.handle({ type: 'ranked', order: order.map(device => ({ device: device as DeviceId, rttMs: 1 })) }, 0)
    machine.handle({ type: 'word', from: name as DeviceId, word: { type: 'grant', build, fence: claim?.type === 'send' ? claim.word.fence : 0, lease: name, stamp: 0, ttlMs: 1 } }, 0)
  }
  const failure = { code: 'IMAGE_UNAVAILABLE', message: 'the image x could not be pulled', fix: 'Is the name right?' }
  machine.handle({ type: 'start' }, 0)
  win('one', ['one', 'two'])
  expect(machine.handle({ type: 'failed', from: 'one' as DeviceId, lease: 'one', ...failure }, 0)).toContainEqual(expect.objectContaining({ type: 'elect' }))
  win('two', ['one', 'two'])
  machine.handle({ type: 'failed', from: 'two' as DeviceId, lease: 'two', ...failure }, 0)
  expect(machine.handle({ type: 'ranked', order: [{ device: 'one' as DeviceId, rttMs: 1 }, { device: 'two' as DeviceId, rttMs: 1 }] }, 0)).toContainEqual(expect.objectContaining({ type: 'ended', state: 'failed', failure }))
  expect(machine.attempts.map(({ device }) => device)).toEqual(['one', 'two'])
})

test.each(['SOURCE_INVALID', 'OUTPUT_INVALID', 'CWD_INVALID'])('%s is the end at once, in the words of the builder, who is not called lost', code => {
  const machine = new BuildMachine({ build, needs: { memoryBytes: null, cpus: null }, localFallback: true })
  const device = 'one' as DeviceId
  machine.handle({ type: 'start' }, 0)
  const [claim] = machine.handle({ type: 'ranked', order: [{ device, rttMs: 1 }] }, 0)
  machine.handle({ type: 'word', from: device, word: { type: 'grant', build, fence: claim?.type === 'send' ? claim.word.fence : 0, lease: 'l', stamp: 0, ttlMs: 1 } }, 0)
  const failure = { code, message: 'the symlink x leaves the tree', fix: 'Make it relative.' }
  const effects = machine.handle({ type: 'failed', from: device, lease: 'l', ...failure }, 0)
  expect(effects.map(({ type }) => type)).toEqual(['abandon', 'send', 'ended'])
  expect(effects.at(-1)).toMatchObject({ state: 'failed', failure })
  expect(machine.attempts.map(({ outcome }) => outcome)).toEqual([code])
})

test('three builders that fail in the same way: POISON; in different ways: the last one', () => {
  const failing = (codeOf: (lease: string) => string) => tried((machine, lease, now) => machine.handle({ type: 'failed', from: lease as DeviceId, lease, code: codeOf(lease), message: 'm', fix: '' }, now))
  expect(failing(() => 'ENGINE_FAILED')).toEqual({ code: 'POISON', attempts: ['ENGINE_FAILED', 'ENGINE_FAILED', 'ENGINE_FAILED'] })
  expect(failing(lease => lease === 'two' ? 'SOURCE_BROKEN' : 'ENGINE_FAILED').code).toBe('ENGINE_FAILED')
})

test('a lease that is gone before the build began is no attempt and no poison; a builder that never gives one is left alone in the end', () => {
  const machine = new BuildMachine({ build, needs: { memoryBytes: null, cpus: null } })
  const order = ['one', 'two'].map(name => ({ device: name as DeviceId, rttMs: 1 }))
  const gone = { code: 'LEASE_GONE', message: 'this lease has ended here', fix: '' }
  machine.handle({ type: 'start' }, 0)
  const round = (): { asked: string, effects: BuildEffect[] } => {
    const [claim] = machine.handle({ type: 'ranked', order }, 0)
    if (claim?.type !== 'send') return { asked: '', effects: claim === undefined ? [] : [claim] }
    const { to, word: { fence } } = claim
    machine.handle({ type: 'word', from: to, word: { type: 'grant', build, fence, lease: `${fence}`, stamp: 0, ttlMs: 1 } }, 0)
    expect(machine.attempt).toBe(1)
    return { asked: to, effects: machine.handle({ type: 'failed', from: to, lease: `${fence}`, ...gone }, 0) }
  }
  const rounds = Array.from({ length: 16 }, round)
  for (const { effects } of rounds) expect(effects.map(({ type }) => type)).toEqual(['abandon', 'send', 'again', 'elect'])
  // Whoever was asked before comes last, and then those that are left.
  expect(rounds.slice(0, 3).map(({ asked }) => asked)).toEqual(['one', 'two', 'one'])
  expect([machine.attempt, machine.attempts]).toEqual([0, []])
  expect(round().effects).toContainEqual(expect.objectContaining({ type: 'ended', failure: gone }))
})

test('a lease that lapsed while it ran costs an attempt, and three of them are no poison', () => {
  const lapsed = tried((machine, lease, now) => {
    machine.handle({ type: 'heard', from: lease as DeviceId, lease }, now)
    return machine.handle({ type: 'failed', from: lease as DeviceId, lease, code: 'LEASE_GONE', message: 'm', fix: '' }, now)
  })
  expect(lapsed).toEqual({ code: 'LEASE_GONE', attempts: ['LEASE_GONE', 'LEASE_GONE', 'LEASE_GONE'] })
})

describe('the only builder is lost', () => {
  const away = (init: { localFallback?: boolean } = {}): { machine: BuildMachine, lost: BuildEffect[], win: (now: number) => BuildEffect[] } => {
    const machine = new BuildMachine({ build, needs: { memoryBytes: null, cpus: null }, ...init })
    const device = 'pi' as DeviceId
    const win = (now: number): BuildEffect[] => {
      const [claim] = machine.handle({ type: 'ranked', order: [{ device, rttMs: 1 }] }, now)
      return machine.handle({ type: 'word', from: device, word: { type: 'grant', build, fence: claim?.type === 'send' ? claim.word.fence : 0, lease: `l${now}`, stamp: 0, ttlMs: 1 } }, now)
    }
    machine.handle({ type: 'start' }, 0)
    win(0)
    machine.handle({ type: 'reset', from: device, lease: 'l0', reason: 'reset' }, 0)
    machine.handle({ type: 'reset', from: device, lease: 'l0', reason: 'unreachable' }, 0)
    return { machine, lost: machine.handle({ type: 'ranked', order: [] }, 0), win }
  }

  test('it has the time of its lease to come back, and gets the build again', () => {
    const { machine, lost, win } = away()
    expect(lost).toEqual([{ type: 'await', refused: [], waitMs: 10_000 }])
    expect(machine.handle({ type: 'news' }, 4_000)).toMatchObject([{ type: 'elect', attempt: 2 }])
    expect(win(4_000)).toMatchObject([{ type: 'open', to: 'pi', fence: 2, attempt: 2, again: false }])
  })

  test('it does not come back: nobody took the build', () => {
    const { machine } = away()
    expect(machine.handle({ type: 'tick' }, 5_000)).toMatchObject([{ type: 'elect' }])
    expect(machine.handle({ type: 'ranked', order: [] }, 5_000)).toMatchObject([{ type: 'await', waitMs: 10_000 }])
    expect(machine.handle({ type: 'tick' }, 10_000)).toMatchObject([{ type: 'elect' }])
    expect(machine.handle({ type: 'ranked', order: [] }, 10_000)).toMatchObject([{ type: 'ended', failure: { code: 'NO_CANDIDATE' } }])
  })

  test('this device has the build at once, when it may', () => {
    expect(away({ localFallback: true }).lost).toMatchObject([{ type: 'elect', localOnly: true }])
  })
})
