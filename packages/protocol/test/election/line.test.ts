/** The line in front of a builder: who is asked, when somebody else is asked too, and what a lost word costs. */
import { expect, test } from 'vitest'
import { SlotMachine, type BuildId, type ClaimWord, type DeviceId, type SlotEffect } from '../../src/index.ts'

const needs = { memoryBytes: null, cpus: null }
const build = (name: string): BuildId => name.padEnd(26, 'a') as BuildId
const RTT_MS = 20

/** One slot, which `first` holds until it is given back, and a line of the others. */
class Builder {
  readonly machine = new SlotMachine({ slots: 1, epoch: 1, rttMs: () => RTT_MS })
  now = 0
  #lease = ''

  constructor (line: Array<{ name: string, lagMs?: number }>) {
    this.machine.handle({ type: 'swept' }, 0)
    const [granted] = this.word('first', { type: 'claim', build: build('first'), fence: 1, needs })
    this.#lease = granted?.type === 'send' && granted.word.type === 'grant' ? granted.word.lease : ''
    for (const { name, lagMs = 0 } of line) this.word(name, { type: 'reserve', build: build(name), fence: 1, needs, lagMs })
  }

  word (from: string, word: ClaimWord): SlotEffect[] {
    return this.machine.handle({ type: 'word', from: from as DeviceId, word }, this.now)
  }

  say (from: string, type: 'yes' | 'gone' | 'later'): string[] {
    return told(this.word(from, { type, build: build(from), fence: 1 }))
  }

  free (): string[] { return told(this.machine.handle({ type: 'finished', lease: this.#lease }, this.now)) }
  unheard (to: string): string[] {
    return told(this.machine.handle({ type: 'unheard', to: to as DeviceId, build: build(to), fence: 1 }, this.now))
  }

  /** What is said by itself up to then. */
  until (ms: number): string[] {
    const all: string[] = []
    for (let at = this.machine.deadline(); at !== undefined && at <= ms; at = this.machine.deadline()) {
      this.now = at
      all.push(...told(this.machine.handle({ type: 'tick' }, at)).map(what => `${at} ${what}`))
    }
    this.now = ms
    return all
  }
}

function told (effects: SlotEffect[]): string[] {
  return effects.flatMap(effect => effect.type === 'send' ? [`${effect.word.type} ${effect.to}`] : [])
}

test('the first in line is asked; without an answer the second too, after a round trip and 50 ms; the first yes gets the slot', () => {
  const builder = new Builder([{ name: 'a' }, { name: 'b' }])
  expect(builder.free()).toEqual(['bind a'])
  expect(builder.until(RTT_MS + 49)).toEqual([])
  expect(builder.until(RTT_MS + 50)).toEqual(['70 bind b'])
  expect(builder.say('b', 'yes')).toEqual(['grant b'])
  expect([builder.say('a', 'yes'), builder.machine.queue]).toEqual([['gone a'], 1])
})

test('a lost question costs the place, never the reservation; a renewal is asked at once', () => {
  const builder = new Builder([{ name: 'a' }, { name: 'b' }])
  builder.free()
  expect(builder.unheard('a')).toEqual(['bind b'])
  expect([builder.say('b', 'gone'), builder.machine.queue]).toEqual([[], 1])
  expect(builder.word('a', { type: 'reserve', build: build('a'), fence: 1, needs, lagMs: 0 }).map(effect => told([effect])).flat()).toEqual(['reserved a', 'bind a'])
})

test('an answer counts for a second, four round trips, or as long as the requester says that it may be late', () => {
  const quick = new Builder([{ name: 'a' }])
  quick.free()
  expect(quick.until(1_000).at(-1)).toBe('1000 bind a')
  const late = new Builder([{ name: 'a', lagMs: 3_000 }])
  late.free()
  // Asked again meanwhile, each time after twice the time.
  expect(late.until(2_999)).toEqual(['70 bind a', '210 bind a', '490 bind a', '1050 bind a', '2170 bind a'])
  expect([late.machine.free, late.say('a', 'yes')]).toEqual([0, ['grant a']])
})

test('whoever did not answer holds no slot against newcomers, and is asked once in a while', () => {
  const builder = new Builder([{ name: 'a' }])
  builder.free()
  expect(builder.machine.free).toBe(0)
  builder.until(1_000)
  expect(builder.machine.free).toBe(1)
  expect(builder.until(3_000)).toEqual(['2000 bind a', '3000 bind a'])
  expect(told(builder.word('c', { type: 'claim', build: build('c'), fence: 1, needs }))).toEqual(['grant c'])
  expect([builder.say('a', 'yes'), builder.machine.queue]).toEqual([['gone a'], 1])
})

test('later: the others are asked, the place stays', () => {
  const builder = new Builder([{ name: 'a' }, { name: 'b' }])
  builder.free()
  expect(builder.say('a', 'later')).toEqual(['bind b'])
  expect(builder.say('b', 'gone')).toEqual([])
  expect(builder.until(1_000)).toEqual(['1000 bind a'])
})
