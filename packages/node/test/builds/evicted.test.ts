/** What a device that was shut out has in the farm: nothing, at once. */
import { afterEach, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { Farm, waitScript } from './farm.ts'

let farm: Farm
afterEach(async () => { await farm.stop() })

test('its build ends on the builder at once, and not when the lease lapses; the builds of others go on', async () => {
  farm = new Farm()
  const mini = await farm.add('mini', { slots: 2, script: waitScript() })
  const [desk, laptop] = [await farm.add('desk', { slots: 0 }), await farm.add('laptop', { slots: 0 })]
  for (const device of [desk, laptop]) await device.builds.build({ command: ['make'] })
  await eventually(() => { expect(mini.running.now).toBe(2) })
  const started = performance.now()
  farm.evict(desk)
  await eventually(() => { expect(mini.running.now).toBe(1) })
  // A lease lapses after 10 s, and its builder waits 10 s for the requester to come back.
  expect(performance.now() - started).toBeLessThan(5_000)
  expect(mini.host.leases().map(({ requester }) => requester)).toEqual([laptop.id])
})

test('it is no candidate and has no queue, although its last advert is fresh', async () => {
  farm = new Farm()
  const [mini, desk] = [await farm.add('mini'), await farm.add('desk', { slots: 0 })]
  await eventually(() => { expect(desk.resources.known().map(({ advert }) => advert?.slots.free)).toEqual([0, 1]) })
  farm.evict(mini)
  expect(desk.resources.known().map(({ device }) => device)).toEqual([desk.id])
  expect([...desk.resources.queues().keys()]).toEqual([desk.id])
  const result = await (await desk.builds.build({ command: ['make'] })).result
  expect(result.error?.message).not.toContain('mini')
})
