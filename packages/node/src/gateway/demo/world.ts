/** Everything the steps share. */
import { ElderError } from '@elder-node/protocol'
import type { Status } from '../../api.ts'
import type { Children } from './children.ts'
import type { DemoDevice } from './device.ts'
import { poll } from './poll.ts'
import type { Story } from './story.ts'

export const STACK = 'elder-demo'
export const STEP_MS = 60_000

export interface World {
  temp: string
  children: Children
  story: Story
  /** Aborts at Ctrl-C. */
  signal: AbortSignal
  /** Of the mesh that is alive now; the first one is where the person sits. */
  devices: DemoDevice[]
}

export function deviceAt (world: World, index: number): DemoDevice {
  const device = world.devices[index]
  if (device === undefined) throw new ElderError('DEMO_FAILED', `there is no device number ${index}`)
  return device
}

export function deviceById (world: World, id: string): DemoDevice {
  const device = world.devices.find(({ ready }) => ready?.device.id === id)
  if (device === undefined) throw new ElderError('DEMO_FAILED', `the builder ${id} is not a device of this demo`)
  return device
}

/** One public command on a device, in JSON. */
export async function ask<T> (world: World, device: DemoDevice, ...args: string[]): Promise<T> {
  return await world.children.run<T>(device.dir, args, { signal: world.signal })
}

/** Waits until the device's `status` shows as many devices online, and answers it. */
export async function untilOnline (world: World, device: DemoDevice, count: number): Promise<Status> {
  return await poll(async () => {
    const status = await ask<Status>(world, device, 'status')
    return status.devices.filter(({ online }) => online).length === count ? status : undefined
  }, { what: `${device.name} sees ${count} devices online`, deadlineMs: STEP_MS, signal: world.signal })
}

/** Waits until every device prints the same digest (and `expected`, when given), and answers it. */
export async function untilEqual (world: World, devices: DemoDevice[], stack: string, accept: (digest: string, entries: number) => boolean): Promise<{ digest: string, feeds: string, entries: number }> {
  return await poll(async () => {
    const seen = await Promise.all(devices.map((device) => digestOf(world, device, stack)))
    const first = seen[0]
    if (first === undefined || seen.some((one) => one?.digest !== first.digest || one.feeds !== first.feeds)) return undefined
    const { entries } = await ask<{ entries: unknown[] }>(world, devices[0] as DemoDevice, 'stack', 'show', stack)
    return accept(first.digest, entries.length) ? { ...first, entries: entries.length } : undefined
  }, { what: `the stack "${stack}" has one digest on ${devices.map(({ name }) => name).join(', ')}`, deadlineMs: STEP_MS, signal: world.signal })
}

/** Undefined while the stack has not arrived there. */
async function digestOf (world: World, device: DemoDevice, stack: string): Promise<{ digest: string, feeds: string } | undefined> {
  try {
    return await ask(world, device, 'stack', 'digest', stack)
  } catch (error) {
    if ((error as ElderError).code === 'NO_SUCH_STACK') return undefined
    throw error
  }
}
