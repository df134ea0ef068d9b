/** Steps 6 and 7: every host is destroyed; the memory comes back from the remote alone, and reaches a second device. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { RestoredStack } from '../../api.ts'
import { DemoDevice } from './device.ts'
import { admit } from './step-join.ts'
import type { Evidence } from './story.ts'
import { STACK, ask, deviceAt, untilEqual, untilOnline } from './world.ts'
import type { World } from './world.ts'

export async function restoreStep (world: World, url: string, expected: string): Promise<Evidence> {
  const lost = world.devices
  await Promise.all(lost.map((device) => device.stop()))
  await Promise.all(lost.map((device) => device.destroy()))
  if (lost.some(({ dir }) => existsSync(dir))) throw new ElderError('DEMO_FAILED', 'a data directory is still there')
  world.story.detail(`${lost.map(({ name }) => name).join(', ')}: stopped, data directories deleted`)
  const root = join(world.temp, 'after')
  world.devices = [new DemoDevice(world.children, root, 'laptop', 0), new DemoDevice(world.children, root, 'mini', 2)]
  const laptop = deviceAt(world, 0)
  const { mesh } = await laptop.start({ signal: world.signal })
  world.story.detail(`a new machine founded a new mesh; stack restore ${url}`)
  const { stacks } = await ask<{ stacks: RestoredStack[] }>(world, laptop, 'stack', 'restore', url)
  const restored = stacks.find(({ name }) => name.split('@')[0] === STACK)
  if (restored === undefined) throw new ElderError('DEMO_FAILED', `the mirror gave ${stacks.length} stacks, none of them "${STACK}"`)
  const { digest, entries } = await untilEqual(world, [laptop], restored.name, () => true)
  if (restored.digest !== expected || digest !== expected) throw new ElderError('DEMO_FAILED', `the digest is ${digest}, it was ${expected} before`)
  world.story.detail(`${entries} entries are back, verified, with the digest of before`)
  return { stack: restored.name, archived: restored.archived, entries, digest, before: expected, mesh: mesh.id }
}

export async function rejoinStep (world: World, stack: string, expected: string): Promise<Evidence> {
  const [laptop, mini] = [deviceAt(world, 0), deviceAt(world, 1)]
  await admit(world, laptop, mini)
  await untilOnline(world, laptop, 2)
  const { digest, entries } = await untilEqual(world, world.devices, stack, (digest) => digest === expected)
  world.story.detail(`${mini.name} has them too, with the same digest`)
  return { device: mini.name, stack, entries, digest, before: expected }
}
