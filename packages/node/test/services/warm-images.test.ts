import { createHash } from 'node:crypto'
import { decodeAdvert, deviceId, encodeAdvert, History, imageHint, type Advert, type DeviceId, type Needs } from '@elder-node/protocol'
import { expect, onTestFinished, test } from 'vitest'
import { fixFor } from '../../src/services/builds/outcome.ts'
import { electBuilder } from '../../src/services/builds/ranking.ts'
import { ResourceService } from '../../src/services/resources.ts'
import { ownAdvert } from '../../src/services/resources/own-advert.ts'
import { eventually } from '../support/eventually.ts'
import { MemorySensors } from '../support/memory-sensors.ts'

const GIB = 2 ** 30
const device = (name: string): DeviceId => deviceId(createHash('sha256').update(name).digest())
const advert = (images: string[], bare = false): Advert => decodeAdvert(encodeAdvert(ownAdvert({
  epoch: 1, seq: 1, version: '0.1.0', engine: 'docker', slots: 1, capacity: { free: 1, queue: 0, expectedWaitS: 0, projects: [], draining: false }, images, bare,
  facts: { platform: 'linux/x64', cores: 4, memoryTotalBytes: 8 * GIB, cpuModel: 'fake', hostname: 'fake' },
  sample: { load: 0, pressure: undefined, memoryFreeBytes: 4 * GIB, diskFreeBytes: GIB, diskTotalBytes: GIB, onBattery: false },
})))

test('an advert names the first images that fit, and stays within its bounds', () => {
  const long = Array.from({ length: 20 }, (_, i) => `registry.test/team/project-${i}/with-a-long-name:1.${i}`)
  const sent = advert(['node:24', 'x'.repeat(65), ...long]).images
  expect(sent.slice(0, 2)).toEqual(['node:24', long[0]])
  expect(sent.join('').length).toBeLessThanOrEqual(192)
  expect(advert([]).images).toEqual([])
})

test('one name for an image, however it is written', () => {
  const same = ['node', 'node:latest', 'library/node', 'docker.io/library/node:latest', 'localhost/node:latest']
  expect(new Set(same.map(imageHint))).toEqual(new Set(['node:latest']))
  expect(imageHint('localhost:5000/a')).toBe('localhost:5000/a:latest')
  expect(imageHint(`a@sha256:${'0'.repeat(64)}`)).toBe(`a@sha256:${'0'.repeat(64)}`)
})

test('a builder that has the image is predicted to start earlier, and wins', () => {
  const needs: Needs = { platform: null, image: 'docker.io/library/node:24', memoryBytes: null, cpus: null, sealed: false, local: 'never', on: null }
  const known = [['cold', []], ['warm', ['node:24']]] as const
  const { candidates, order } = electBuilder({
    known: known.map(([name, images]) => ({ device: device(name), self: false, role: 'builder' as const, online: true, advert: advert([...images]) })),
    needs, project: 'p', command: 'c', history: new History(), nowMs: 0, rttMs: () => 1, relayed: () => false,
    ref: of => ({ id: of, name: of === device('warm') ? 'warm' : 'cold' }), context: { recentBusy: false, explore: 0, random: () => 0.5 },
  })
  expect(order[0]?.device).toBe(device('warm'))
  const boot = Object.fromEntries(candidates.map(candidate => [candidate.device.name, candidate.terms['boot']]))
  expect(boot['cold']).toBeGreaterThan(10 * (boot['warm'] ?? Infinity))
})

test('a build that names no image is not asked of a builder without a default one, which says what to run', () => {
  const needs: Needs = { platform: null, image: null, memoryBytes: null, cpus: null, sealed: false, local: 'auto', on: null }
  const elect = (image: string | null): ReturnType<typeof electBuilder> => electBuilder({
    known: [['bare', true], ['stocked', false]].map(([name, bare]) => ({ device: device(String(name)), self: false, role: 'builder' as const, online: true, advert: advert([], bare === true) })),
    needs: { ...needs, image }, project: 'p', command: 'c', history: new History(), nowMs: 0, rttMs: of => of === device('bare') ? 1 : 50, relayed: () => false,
    ref: of => ({ id: of, name: of === device('bare') ? 'bare' : 'stocked' }), context: { recentBusy: false, explore: 0, random: () => 0.5 },
  })
  const { order, candidates } = elect(null)
  expect(order.map(ranked => ranked.device)).toEqual([device('stocked')])
  const refused = candidates.filter(candidate => candidate.device.name === 'bare')
  expect(refused[0]?.refused).toBe('no default image')
  expect(fixFor(refused)).toMatch(/^On bare: elder-node image build/)
  expect(elect('node:24').order[0]?.device).toBe(device('bare'))
})

test('an engine whose daemon does not answer, or whose check fails after a build, offers no slot until it works', async () => {
  let answers = true
  let lacks: string | undefined
  const why: Array<string | undefined> = []
  const slots: number[] = []
  const told: number[] = []
  const log = { debug () {}, info () {}, warn () {}, error () {} }
  const resources = new ResourceService({
    mesh: { self: device('self'), onGossip () {}, on: () => () => {}, peers: () => [], broadcast: async (_topic: string, message: unknown) => { why.push(decodeAdvert(message as never).lacks); return told.push(decodeAdvert(message as never).slots.total) } } as never,
    sensors: new MemorySensors(), clock: { wallMs: () => Date.now(), monotonicMs: () => performance.now() }, directory: undefined, role: () => 'builder', random: Math.random, log,
    lacks: async () => lacks,
    images: async () => { if (!answers) throw new Error('connect ECONNREFUSED'); return [] },
  }, { epoch: 1, version: '0.1.0', engine: 'docker', slots: 2, imagesMs: 20, coalesceMs: 1 })
  onTestFinished(() => resources.stop())
  await resources.measure()
  resources.onSlots(now => { slots.push(now) })
  await resources.start()
  answers = false
  await eventually(() => { expect(slots).toEqual([2, 0]); expect([told.at(-1), why.at(-1)]).toEqual([0, 'docker does not answer']) })
  answers = true
  await eventually(() => { expect(slots).toEqual([2, 0, 2]); expect([told.at(-1), why.at(-1)]).toEqual([2, undefined]) })
  lacks = 'no tools'
  await resources.lookAgain()
  await eventually(() => { expect(slots).toEqual([2, 0, 2, 0]); expect([told.at(-1), why.at(-1), resources.lacks]).toEqual([0, 'no tools', 'no tools']) })
  lacks = undefined
  await eventually(() => { expect(slots).toEqual([2, 0, 2, 0, 2]); expect(resources.lacks).toBeUndefined() })
})
