/** Every decoder that bytes from outside reach, under seeded damage: it answers a value or a named refusal, soon and in little memory. */
import { describe, expect, it } from 'vitest'
import { codeOf, decodeCanonical, encode, LIMITS } from '../src/index.ts'
import { input, INPUTS_PER_TARGET, outcome, SEED, TARGETS } from './support/targets.ts'
import { seededRandom } from '../../../test/simulator/random.ts'

describe('hostile input', () => {
  it.each(TARGETS)('$name reads what is right and refuses by name what is not', target => {
    for (const sample of target.samples) expect(outcome(target, sample)).toBe('read')
    const random = seededRandom(SEED)
    const seen = new Map<string, number>()
    for (let i = 0; i < INPUTS_PER_TARGET; i++) {
      const what = outcome(target, input(random, target.samples))
      seen.set(what, (seen.get(what) ?? 0) + 1)
    }
    expect([...seen.keys()].filter(what => what !== 'read' && what !== 'refused')).toEqual([])
    if (target.name !== 'deviceOfAddress') expect(seen.get('refused')).toBeGreaterThan(INPUTS_PER_TARGET / 10)
  })
})

const filled = (head: number[], byte: number, length: number): Uint8Array => new Uint8Array(length).fill(byte).map((value, i) => head[i] ?? value)
const long = (major: number): number[] => [major + 27, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]
const SIZE = LIMITS.frameBytesMax
const BOMBS: Array<[string, Uint8Array]> = [
  ['arrays in arrays', filled([], 0x81, SIZE)],
  ['maps in maps', filled([], 0xa1, SIZE)],
  ['tags in tags', filled([], 0xc1, SIZE)],
  ['many empty arrays', filled([0x9a, 0, 4, 0xff, 0xfb], 0x80, SIZE)],
  ['many empty maps', filled([0x9a, 0, 4, 0xff, 0xfb], 0xa0, SIZE)],
  ['an array of four thousand million', filled(long(0x80), 0, SIZE)],
  ['a map of four thousand million', filled(long(0xa0), 0, SIZE)],
  ['bytes of four thousand million', Uint8Array.from(long(0x40))],
  ['a text of four thousand million', Uint8Array.from(long(0x60))],
  ['an array without an end', filled([0x9f], 0, SIZE)],
  ['a map of 60,000 keys', encode(Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [i.toString(36), 0])))],
  ['the deepest that is allowed', Uint8Array.from([...Array.from({ length: LIMITS.nestingMax }, () => 0x81), 0xf6])],
]

describe('bombs', () => {
  it.each(BOMBS)('%s: every decoder answers, soon and without large buffers', (_, bomb) => {
    const heap = process.memoryUsage()
    const started = performance.now()
    for (const target of TARGETS.filter(({ name }) => !name.endsWith('text') && name !== 'parseRecovery')) expect(['read', 'refused']).toContain(outcome(target, bomb))
    const after = process.memoryUsage()
    expect((performance.now() - started) / TARGETS.length).toBeLessThan(1000)
    expect(after.arrayBuffers - heap.arrayBuffers).toBeLessThan(67_108_864)
  })

  it('refuses one level more than the bound, the same way from a deep stack as from a flat one', () => {
    const nested = (levels: number): Uint8Array => Uint8Array.from([...Array.from({ length: levels }, () => 0x81), 0xf6])
    const below = (frames: number, run: () => string): string => frames === 0 ? run() : below(frames - 1, run)
    const tried = (levels: number) => (): string => {
      try {
        decodeCanonical(nested(levels), 1000)
        return 'read'
      } catch (error) {
        return codeOf(error)
      }
    }
    expect([0, 3000].map(frames => below(frames, tried(LIMITS.nestingMax)))).toEqual(['read', 'read'])
    expect([0, 3000].map(frames => below(frames, tried(LIMITS.nestingMax + 1)))).toEqual(['MALFORMED', 'MALFORMED'])
  })
})

