/** `devices`: who is in the mesh, with roles and ids. */
import type { Command } from 'commander'
import { table } from '../../render/table.ts'
import { age, milliseconds, plain } from '../../render/units.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'

const COLUMNS = [{ title: 'DEVICE', flexible: true }, { title: 'ID' }, { title: 'ROLE' }, { title: 'ONLINE' }, { title: 'RTT', align: 'right' as const }, { title: 'PLATFORM', flexible: true }, { title: 'ENGINE' }, { title: 'SEEN', align: 'right' as const }]

export function register (command: Command, { act }: Kit): void {
  command.addHelpText('after', `
Examples:
  elder-node devices
  elder-node devices --json | jq -r '.devices[].id'`)
    .action(act(devices))
  command.command('list', { hidden: true }).description('the devices of the mesh').action(act(devices)).addHelpText('after', '\nExamples:\n  elder-node devices list')
  command.command('promote').description('make a member an admin: it may invite and evict').argument('<device>', 'name or id prefix').action(act(promote))
    .addHelpText('after', '\nExamples:\n  elder-node devices promote mini')
}

async function promote ({ client, output, signal }: Context, _options: object, [device = '']: string[]): Promise<void> {
  const admin = await client.call('promote', { device }, { signal })
  output.answer('devices-promote', { device: admin }, () => `${plain(admin.name)} (${admin.id.slice(0, 12)}) is an admin of this mesh.`)
}

async function devices ({ client, output, signal }: Context): Promise<void> {
  const all = await client.call('devices', {}, { signal })
  output.answer('devices', { devices: all }, () => output.quiet ? all.map(({ id }) => id).join('\n') : table(COLUMNS, all.map((device) => [
    device.name, device.id.slice(0, 12), device.role, device.online ? 'yes' : 'no', device.rttMs === null || device.path === 'self' ? '-' : milliseconds(device.rttMs).replace(' ', ''),
    device.platform ?? '-', device.engine ?? '-', device.suspect === true ? 'suspect' : device.online ? 'now' : age(device.lastSeen, Date.now()),
  ]), output.paint, output.width).join('\n'))
}
