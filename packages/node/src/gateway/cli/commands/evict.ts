/** `evict`: a device is no longer a member, for ever: its key never comes back. */
import type { Command } from 'commander'
import { plain } from '../../render/units.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'

export function register (command: Command, { act }: Kit): void {
  command
    .argument('<device>', 'name or id prefix')
    .option('--undo', 'also take back what it wrote')
    .addHelpText('after', `
Examples:
  elder-node evict old-laptop
  elder-node evict k3fz2q --undo`)
    .action(act(evict))
}

async function evict ({ client, output, signal }: Context, { undo }: { undo?: true }, [device = '']: string[]): Promise<void> {
  const gone = await client.call('evict', { device, ...(undo === true ? { undo } : {}) }, { signal })
  output.answer('evict', { device: gone }, () => `${plain(gone.name)} (${gone.id.slice(0, 12)}) is no longer a member of this mesh.`)
}
