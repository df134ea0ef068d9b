import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  AdvertTable, decodeAdvert, encodeAdvert, History, LIMITS, parseSpec, rank, refusal, score, SlotMachine, tieS,
  type Advert, type BuildId, type ClaimWord, type DeviceId, type Known, type Needs, type Prospect,
} from '@elder-node/protocol'

const device = (n: number): DeviceId => `${'abcdefgh'[n % 8]}${n}` as DeviceId
const prospect = (n: number, more: Partial<Prospect> = {}): Prospect => ({
  device: device(n), rttMs: 1, bytesMissing: 0, bandwidthBytesPerS: 1e7, queueWaitS: 0, bootS: 0, runS: 30, speed: 1, success: 1, unusedMs: 0, ...more,
})
const calm = { recentBusy: false, explore: 0, random: () => 0.5 }
const advert: Advert = {
  epoch: 1_790_000_000_000, seq: 12, version: '0.1.0', platform: 'linux/x64', engine: 'docker', projects: ['aaaaaaaa', 'bbbbbbbb'], images: ['node:24'], cores: 8, load: 0.25, pressure: 0.031,
  memory: { totalBytes: 2 ** 34, freeBytes: 2 ** 33 }, disk: { totalBytes: 2 ** 39, freeBytes: 2 ** 38 }, slots: { total: 2, free: 1 }, queue: 3, expectedWaitS: 12.5, speed: 1.25, draining: false, coordinate: null,
}

describe('rank', () => {
  it('lets the nearest win a tie and says so', () => {
    const { order, why, deciding } = rank([prospect(1, { rttMs: 40 }), prospect(2, { rttMs: 2, runS: 31 }), prospect(3, { runS: 90 })], calm)
    expect(order.map(r => r.device)).toEqual([device(2), device(1), device(3)])
    expect(deciding).toBe('rtt')
    expect(why).toMatch(/nearest of 2/)
  })

  it('names the term that decided when there is no tie', () => {
    expect(rank([prospect(1, { queueWaitS: 20 }), prospect(2, { rttMs: 90 })], calm)).toMatchObject({ deciding: 'queue', order: [{ device: device(2) }, { device: device(1) }] })
  })

  it('samples a tie only after a BUSY, and explores only when drawn', () => {
    const two = [prospect(1), prospect(2, { rttMs: 3 })]
    const draws = (list: number[]) => (): number => list.shift() ?? 0.9
    expect(rank(two, { recentBusy: true, explore: 0, random: draws([0.9, 0.1]) }).order[0]?.device).toBe(device(2))
    const far = [prospect(1), prospect(2, { runS: 60, unusedMs: 700_000 })]
    expect(rank(far, { recentBusy: false, explore: 0.02, random: draws([0.01, 0]) })).toMatchObject({ deciding: 'explore', order: [{ device: device(2) }, {}] })
    expect(rank(far, { recentBusy: false, explore: 0.02, random: draws([0.5]) }).order[0]?.device).toBe(device(1))
  })

  it('puts first somebody within a tie of the best score, whatever the order of the input; terms add up', () => {
    const list = fc.uniqueArray(fc.record({ n: fc.nat(500), rttMs: fc.double({ min: 0, max: 400, noNaN: true }), queueWaitS: fc.double({ min: 0, max: 60, noNaN: true }), success: fc.double({ min: 0.2, max: 1, noNaN: true }) }), { selector: x => x.n, minLength: 1, maxLength: 20 })
    fc.assert(fc.property(list, items => {
      const prospects = items.map(({ n, ...more }) => prospect(n, more))
      const { order } = rank(prospects, calm)
      const best = Math.min(...prospects.map(p => score(p).score))
      expect((order[0]?.score ?? Infinity) - best).toBeLessThanOrEqual(tieS(best))
      expect(rank(prospects.toReversed(), calm).order).toEqual(order)
      for (const r of order) expect(Object.values(r.terms).reduce((a, b) => a + b)).toBeCloseTo(r.score, 6)
    }))
  })
})

describe('refusal', () => {
  const known: Known = { device: device(1), self: false, role: 'builder', online: true, advert }
  const needs: Needs = { platform: null, image: null, memoryBytes: null, cpus: null, sealed: false, local: 'auto', on: null }
  it.each<[string, Partial<Known>, Partial<Needs>, RegExp | null]>([
    ['fits', {}, {}, null],
    ['all slots busy is a matter of rank', { advert: { ...advert, slots: { total: 2, free: 0 } } }, {}, null],
    ['offline', { online: false }, {}, /^offline$/],
    ['role', { role: 'member' }, {}, /role member is not builder/],
    ['draining', { advert: { ...advert, draining: true } }, {}, /draining/],
    ['slots', { advert: { ...advert, slots: { total: 0, free: 0 } } }, {}, /^0 slots$/],
    ['slots that it would like to offer', { advert: { ...advert, slots: { total: 0, free: 0 }, lacks: 'no git' } }, {}, /^0 slots: no git$/],
    ['platform', {}, { platform: 'linux/arm64' }, /platform linux\/x64, this build needs linux\/arm64/],
    ['memory', {}, { memoryBytes: 2 ** 35 }, /memory 8 GB < 32 GB asked/],
    ['sealed', { advert: { ...advert, engine: 'process' } }, { sealed: true }, /process cannot seal/],
    ['no default image', { advert: { ...advert, engine: 'docker', bare: true } }, {}, /^no default image$/],
    ['no default image, and one is named', { advert: { ...advert, engine: 'docker', bare: true } }, { image: 'node:24' }, null],
    ['local never', { self: true }, { local: 'never' }, /local never/],
    ['local only', {}, { local: 'only' }, /local only/],
  ])('%s', (_name, k, n, reason) => {
    const answer = refusal({ ...known, ...k }, { ...needs, ...n })
    if (reason === null) expect(answer).toBeNull()
    else expect(answer).toMatch(reason)
  })
})

describe('adverts', () => {
  it('travel in less than 200 bytes and come back as they were', () => {
    const bytes = encodeAdvert(advert)
    expect(bytes.length).toBeLessThanOrEqual(200)
    expect(decodeAdvert(bytes)).toEqual({ ...advert, pressure: 0.031 })
  })

  it('say that there is no default image among the images, where older devices expect names', () => {
    const docker: Advert = { ...advert, engine: 'docker', images: Array.from({ length: 8 }, (_, i) => `image${i}:latest`), bare: true }
    expect(decodeAdvert(encodeAdvert(docker))).toMatchObject({ bare: true, images: docker.images.slice(0, 7) })
    expect(decodeAdvert(encodeAdvert({ ...advert, lacks: 'x'.repeat(99) })).lacks).toBe('x'.repeat(64))
    expect(decodeAdvert(encodeAdvert({ ...advert, images: ['node:24'] }))).not.toHaveProperty('bare')
  })

  it('never decode from foreign bytes to anything unbounded', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: LIMITS.advertBytesMax + 10 }), bytes => {
      try { decodeAdvert(bytes) } catch (error) { expect((error as { code: string }).code).toBe('MALFORMED') }
    }))
  })

  it('the latest (epoch, seq) wins in any order of arrival, and age is our own', () => {
    const versions = fc.array(fc.record({ epoch: fc.integer({ min: 1, max: 3 }), seq: fc.integer({ min: 1, max: 9 }) }), { minLength: 1 })
    fc.assert(fc.property(versions, list => {
      const table = new AdvertTable()
      for (const version of list) table.accept(device(1), { ...advert, ...version }, 0)
      const [epoch, seq] = list.map(v => [v.epoch, v.seq] as const).reduce((a, b) => b[0] > a[0] || (b[0] === a[0] && b[1] > a[1]) ? b : a)
      expect(table.get(device(1), 45_000)?.advert).toMatchObject({ epoch, seq })
      expect(table.get(device(1), 45_001)).toBeUndefined()
    }))
  })
})

describe('history', () => {
  it('halves a failure in an hour, never falls below 0.2, and learns the median run', () => {
    const history = new History()
    for (let i = 0; i < 50; i++) history.record({ device: device(1), project: 'p', command: 'c', ok: false, runS: null, atMs: 0 })
    expect(history.success(device(1), 0)).toBe(0.2)
    expect(history.success(device(1), 20 * 3_600_000)).toBeGreaterThan(0.95)
    expect(history.success(device(2), 0)).toBe(1)
    expect(history.runS('p', 'c')).toBe(30)
    for (const runS of [8, 10, 12]) history.record({ device: device(2), project: 'p', command: 'c', ok: true, runS, atMs: 0 })
    expect(history.runS('p', 'c')).toBeGreaterThan(7)
    expect(history.runS('p', 'c')).toBeLessThan(13)
  })
})

describe('a builder', () => {
  const build = 'a'.repeat(26) as BuildId
  const claim = (fence: number): ClaimWord => ({ type: 'claim', build, fence, needs: { memoryBytes: null, cpus: null } })

  it('binds a lease to its requester, its build and its fence', () => {
    const machine = new SlotMachine({ slots: 1, epoch: 1 })
    machine.handle({ type: 'swept' }, 0)
    machine.handle({ type: 'word', from: device(1), word: claim(1) }, 0)
    const attach = { type: 'attach' as const, from: device(1), lease: '1.1', build, fence: 1 }
    for (const wrong of [{ from: device(2) }, { fence: 2 }, { build: 'b'.repeat(26) as BuildId }, { lease: '1.2' }]) {
      expect(machine.handle({ ...attach, ...wrong }, 1).some(effect => effect.type === 'attached')).toBe(false)
    }
    expect(machine.handle(attach, 1).some(effect => effect.type === 'attached')).toBe(true)
    machine.handle({ type: 'word', from: device(2), word: { type: 'release', build, fence: 1 } }, 2)
    expect(machine.leases()[0]?.state).toBe('active')
  })
})

describe('a spec from outside', () => {
  const spec = { build: 'a'.repeat(26), source: { commit: 'c'.repeat(40), project: 'p', cwd: '.' }, command: ['make'], prepare: null, outputs: ['dist/**'], env: {}, memoryBytes: null, cpus: null, deadlineMs: null, sealed: false, image: null, agent: null, traceparent: null }
  it('is taken when it is sound', () => { expect(parseSpec(spec)).toEqual(spec) })
  it.each([
    { ...spec, outputs: ['../etc/passwd'] }, { ...spec, outputs: ['/etc'] }, { ...spec, outputs: ['.git/config'] }, { ...spec, source: { ...spec.source, cwd: '..' } },
    { ...spec, command: [] }, { ...spec, command: Array.from({ length: 300 }, () => 'x') }, { ...spec, env: { 'A=B': 'x' } }, { ...spec, source: { ...spec.source, commit: '--exec' } }, { ...spec, more: 1 },
  ])('is refused when it is not: %j', bad => { expect(() => parseSpec(bad as never)).toThrow(/not a build/) })
})
