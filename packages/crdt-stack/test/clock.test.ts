/** Hybrid clocks: causality shows in them, and a clock that is wrong dates its own records and nobody else's. */
import { describe, expect, it } from 'vitest'
import { converge, createDevice } from './support.ts'

const FAR_MS = 4_102_444_800_000

describe('the time of a record', () => {
  it('follows what was seen, from a clock a little ahead', async () => {
    const [ahead, behind] = [createDevice(1), createDevice(2)]
    ahead.clock.ms += 60_000
    const [a, b] = [await ahead.open(), await behind.open()]
    await a.add({ kind: 'note', title: 'first' })
    await converge([a, b])
    await b.add({ kind: 'note', title: 'answer' })
    expect(b.entries().map(({ title }) => title)).toEqual(['first', 'answer'])
    await Promise.all([a.close(), b.close()])
  })

  it('is not dragged along by a device whose clock stands in the year 2100', async () => {
    const [mad, sane] = [createDevice(1), createDevice(2)]
    mad.clock.ms = FAR_MS
    const [a, b] = [await mad.open(), await sane.open()]
    const { id } = await a.add({ kind: 'note', title: 'from 2100' })
    await converge([a, b])
    const { id: own, createdAt } = await b.add({ kind: 'note', title: 'from now' })
    expect(createdAt.slice(0, 4)).toBe('2025')
    expect((await b.edit(id, { title: 'corrected' })).title).toBe('corrected')
    await converge([a, b])
    expect([a.entry(id)?.title, a.entry(own)?.createdAt]).toEqual(['corrected', createdAt])
    expect(a.digest()).toEqual(b.digest())
    await Promise.all([a.close(), b.close()])
  })

  it('is one that every device reads, however far the clock is off', async () => {
    const [mad, sane] = [createDevice(1), createDevice(2)]
    const now = mad.clock.ms
    for (const years of [200, 300, 5_000]) {
      mad.clock.ms = now + years * 365 * 86_400_000
      const a = await mad.open()
      await a.add({ kind: 'note', title: `${years} years ahead` })
      await a.add({ kind: 'note', title: 'and another' })
      await a.close()
    }
    mad.clock.ms = now
    const [a, b] = [await mad.open(), await sane.open()]
    await a.add({ kind: 'note', title: 'today' })
    await converge([a, b])
    expect(a.entries()).toHaveLength(7)
    expect(b.entries()).toHaveLength(7)
    await Promise.all([a.close(), b.close()])
  })

  it('comes back when the own clock does', async () => {
    const device = createDevice(1)
    const stack = await device.open()
    const now = device.clock.ms
    device.clock.ms = FAR_MS
    await stack.add({ kind: 'note', title: 'wrong' })
    device.clock.ms = now
    const { createdAt, id } = await stack.add({ kind: 'note', title: 'right' })
    expect(createdAt.slice(0, 4)).toBe('2025')
    const times = [await stack.edit(id, { title: 'a' }), await stack.edit(id, { title: 'b' })].map(entry => entry.updatedAt)
    expect(times.toSorted()).toEqual(times)
    await stack.close()
  })
})
