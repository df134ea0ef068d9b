/** `evict`: a device is no longer a member, for ever: its key never comes back. */
import type { Command } from 'commander'
import type { Evictee } from '../../../api.ts'
import { ago, plain } from '../../render/units.ts'
import type { Kit } from '../command.ts'
import { confirm } from '../confirm.ts'
import type { Context } from '../context.ts'

interface Options { undo?: true, yes?: true }

export function register (command: Command, { act }: Kit): void {
  command
    .argument('<device>', 'name or id prefix')
    .option('--undo', 'also take back what it wrote; it may be gone already')
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', `
Shows the device, and asks before it does anything; where nobody can be asked,
--yes is needed. The other devices are asked how far they know what it wrote: up
to there it stays in the memory.

Examples:
  elder-node evict old-laptop
  elder-node evict old-laptop --yes --json
  elder-node evict k3fz2q --undo`)
    .action(act(evict))
}

async function evict (context: Context, { undo, yes }: Options, [device = '']: string[]): Promise<void> {
  const { client, output, signal } = context
  const options = undo === true ? { undo } : {}
  const evictee = await client.call('evict.whom', { device, ...options }, { signal })
  await confirm(context, yes === true, { what: deed(evictee, undo === true), command: `elder-node evict ${evictee.id.slice(0, 12)}${undo === true ? ' --undo' : ''} --yes` })
  // By its id: a name may be another device's by now.
  const gone = await client.call('evict', { device: evictee.id, ...options }, { signal })
  const { remotes } = evictee
  output.answer('evict', { device: gone, remotes }, () => [done(evictee, undo === true), ...remotes.map(ended)].join('\n'))
}

function ended ({ stack, url }: Evictee['remotes'][number]): string {
  return `Nothing is pushed any more to its remote ${plain(url)}. To go on: elder-node stack remote add ${plain(stack)} ${plain(url)}`
}

function done ({ id, name, role }: Evictee, undo: boolean): string {
  const device = `${plain(name)} (${id.slice(0, 12)})`
  if (role === null) return `All that ${device} wrote is taken back.`
  return `${device} is no longer a member of this mesh${undo ? ', and all that it wrote is taken back' : ''}.`
}

function deed ({ id, name, role, lastSeen }: Evictee, undo: boolean): string {
  const shown = `${plain(name)} (id ${id.slice(0, 12)}, ${role ?? 'no member any more'}, last seen ${ago(lastSeen, Date.now())})`
  if (role === null) return `This takes back all that ${shown} wrote`
  return `This evicts ${shown} for ever: its key can never return${undo ? ', and all that it wrote is taken back' : ''}`
}
