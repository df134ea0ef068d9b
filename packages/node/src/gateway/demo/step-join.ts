/** Step 1: three devices, one mesh. The first founds it, the others come with a ticket each. */
import { renderDevices } from '../render/status.ts'
import type { World } from './world.ts'
import { ask, deviceAt, untilOnline } from './world.ts'
import type { Evidence } from './story.ts'
import type { DemoDevice } from './device.ts'

export async function joinStep (world: World): Promise<Evidence> {
  const [laptop, ...others] = [deviceAt(world, 0), ...world.devices.slice(1)]
  const { mesh, addresses } = await laptop.start({ signal: world.signal })
  world.story.detail(`${laptop.name} founded mesh ${mesh.name} at ${/\/ip4\/([^/]+)\/tcp\/(\d+)/.exec(addresses[0] ?? '')?.slice(1).join(':') ?? 'its address'}`)
  await Promise.all(others.map((device) => admit(world, laptop, device)))
  const status = await untilOnline(world, laptop, world.devices.length)
  for (const device of others) await untilOnline(world, device, world.devices.length)
  for (const row of renderDevices(status.devices, [], status.self.id, world.story.paint, Date.now())) world.story.row(row)
  return {
    mesh: mesh.id, online: world.devices.length, engine: 'process (no isolation)',
    devices: status.devices.map(({ id, name, rttMs, path, slots }) => ({ id, name, rttMs, path, slots: slots.total })),
  }
}

/** `invite` on one device, `join --ticket-file -` on the other. */
export async function admit (world: World, host: DemoDevice, device: DemoDevice): Promise<void> {
  const { ticket } = await ask<{ ticket: string }>(world, host, 'invite')
  const started = performance.now()
  await device.start({ ticket, signal: world.signal })
  world.story.detail(`${device.name} joined with a ticket from ${host.name} in ${((performance.now() - started) / 1000).toFixed(1)} s (${device.slots} build ${device.slots === 1 ? 'slot' : 'slots'})`)
}
