/**
 * A slot is given by a handshake: what is lost or late on the way costs time, never an attempt, and never the place of
 * who waits.
 */
import { afterEach, describe, expect, it } from 'vitest'
import { ElderError, type ClaimWord, type DeviceId } from '@elder-node/protocol'
import type { BuildEvent } from '../../src/api.ts'
import { eventually } from '../support/eventually.ts'
import { Farm, waitScript, type Device } from './farm.ts'

let farm: Farm
afterEach(async () => { await farm.stop() })

type Way = (deliver: () => Promise<unknown>, word: ClaimWord, to: DeviceId) => Promise<unknown>

/** What a device sends on the service `claim` takes another way. */
function detour ({ mesh }: Device, way: Way): void {
  const request = mesh.request.bind(mesh)
  mesh.request = (to, service, message, options) => {
    const deliver = (): ReturnType<typeof request> => request(to, service, message, options)
    return (service === 'claim' ? way(deliver, message as ClaimWord, to) : deliver()) as ReturnType<typeof request>
  }
}

/** A way that takes longer. */
const later = <T>(ms: number, act: () => Promise<T>): Promise<T> => new Promise(resolve => { setTimeout(() => { resolve(act()) }, ms) })
const lost = async (): Promise<never> => { throw new ElderError('UNREACHABLE', 'the connection broke') }

/** One slot that is taken until `free` is called, and a build that waits for it. */
async function fullBuilder (): Promise<{ laptop: Device, mini: Device, free: () => void, waits: Awaited<ReturnType<Device['builds']['build']>>, events: BuildEvent[] }> {
  farm = new Farm()
  const released = Promise.withResolvers<void>()
  const laptop = await farm.add('laptop', { slots: 0 })
  const mini = await farm.add('mini', { slots: 1, script: waitScript(released.promise) })
  await eventually(() => { expect(laptop.resources.known().some(({ device, advert }) => device === mini.id && advert?.slots.free === 1)).toBe(true) })
  await laptop.builds.build({ command: ['first'] })
  await eventually(() => { expect(mini.running.now === 1).toBe(true) })
  const waits = await laptop.builds.build({ command: ['second'] })
  const events: BuildEvent[] = []
  void (async () => { for await (const event of waits.events) events.push(event) })()
  await eventually(() => { expect(mini.resources.own().queue === 1).toBe(true) })
  return { laptop, mini, free: () => { released.resolve() }, waits, events }
}

describe('a slot that is freed', () => {
  it('is not lost on a requester whose answer takes longer than a second', async () => {
    const { laptop, mini, free, waits, events } = await fullBuilder()
    const way: Way = (deliver, word) => word.type === 'bind' ? later(1_300, deliver) : deliver()
    detour(mini, way)
    free()
    const result = await waits.result
    expect([result.state, result.exitCode, result.attempt]).toEqual(['done', 0, 1])
    expect(events.filter(({ event }) => event === 'moved')).toEqual([])
    expect((await laptop.builds.why(waits.id)).attempts.map(({ outcome }) => outcome)).toEqual(['done'])
  })

  it.each(['bind', 'yes'] as const)('is offered again when the word %s is lost, long before the reservation is renewed', async type => {
    const { laptop, mini, free, waits } = await fullBuilder()
    let words = 0
    const way: Way = (deliver, word) => word.type === type && words++ === 0 ? lost() : deliver()
    detour(mini, way)
    detour(laptop, way)
    const fromMs = performance.now()
    free()
    const result = await waits.result
    expect([result.state, result.attempt]).toEqual(['done', 1])
    expect(words).toBeGreaterThan(1)
    expect(performance.now() - fromMs).toBeLessThan(5_000)
  })
})

describe('a builder that says no while it starts', () => {
  it('and that it has a slot before the build waits, is asked as soon as it waits, and not at the next word of anybody', async () => {
    const { laptop, mini, waits } = await fullBuilder()
    await waits.cancel()
    const pi = await farm.add('pi', { slots: 1 })
    await eventually(() => { expect(laptop.resources.known().some(({ device, advert }) => device === pi.id && advert?.slots.free === 1)).toBe(true) })
    laptop.resources.nextAdvert = async () => await new Promise<never>(() => {})
    let noes = 0
    detour(laptop, async (deliver, { type, build, fence }, to) => type === 'claim' && to === pi.id && noes++ === 0 ? { type: 'no', build, fence, reason: 'starting' } : deliver())
    const fromMs = performance.now()
    const build = await laptop.builds.build({ command: ['make'] })
    expect(await build.result).toMatchObject({ state: 'done', builder: { id: pi.id }, attempt: 1 })
    expect([noes > 0, mini.running.now]).toEqual([true, 1])
    // A reservation is renewed after ten seconds.
    expect(performance.now() - fromMs).toBeLessThan(8_000)
  })
})

describe('a builder that stands still', () => {
  it('for a second is asked again before the build is given up', async () => {
    farm = new Farm()
    const laptop = await farm.add('laptop', { slots: 0 })
    await farm.add('mini', { slots: 1 })
    await eventually(() => { expect(laptop.resources.known().some(({ advert }) => advert?.slots.free === 1)).toBe(true) })
    const wakes = later(1_000, async () => {})
    detour(laptop, async deliver => { await wakes; return deliver() })
    const { result } = await laptop.builds.build({ command: ['make'] })
    expect(await result).toMatchObject({ state: 'done', exitCode: 0, attempt: 1 })
  })

  it('and answers both asks of a claim late: the second grant of one lease does not end the build', async () => {
    farm = new Farm()
    const released = Promise.withResolvers<void>()
    const laptop = await farm.add('laptop', { slots: 0 })
    const mini = await farm.add('mini', { slots: 1, script: waitScript(released.promise) })
    await eventually(() => { expect(laptop.resources.known().some(({ advert }) => advert?.slots.free === 1)).toBe(true) })
    const answered: string[] = []
    detour(laptop, async (deliver, { type }) => {
      const answer = type === 'claim' ? await later(300, deliver) : await deliver()
      answered.push(type)
      return answer
    })
    const build = await laptop.builds.build({ command: ['make'] })
    await eventually(() => { expect([answered.length, mini.running.now]).toEqual([2, 1]) })
    released.resolve()
    expect(await build.result).toMatchObject({ state: 'done', exitCode: 0, attempt: 1 })
    expect(answered).toEqual(['claim', 'claim'])
  })
})
