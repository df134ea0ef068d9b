/** `invite`: a ticket for another device, and the exact command to paste there. */
import { ElderError } from '@elder-node/protocol'
import type { Command } from 'commander'
import type { Role } from '../../../api.ts'
import { parseDuration } from '../../render/units.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'

interface Options { role?: string, expires?: string }
const ROLES: string[] = ['observer', 'member', 'builder', 'admin'] satisfies Role[]

export function register (command: Command, { act }: Kit): void {
  command
    .option('--role <role>', 'observer, member, builder or admin (default: builder)')
    .option('--expires <duration>', 'how long the ticket is good (default: 15m)')
    .addHelpText('after', `
Examples:
  elder-node invite
  elder-node invite --role member --expires 1h
  elder-node invite --json | jq -r .ticket > ticket.txt`)
    .action(act(invite))
}

async function invite ({ client, output, signal }: Context, { role, expires }: Options): Promise<void> {
  if (role !== undefined && !ROLES.includes(role)) throw new ElderError('USAGE', `"${role}" is not a role`, `Use one of: ${ROLES.join(', ')}.`)
  const made = await client.call('invite', {
    ...(role === undefined ? {} : { role: role as Role }), ...(expires === undefined ? {} : { expiresMs: parseDuration(expires) }),
  }, { signal })
  if (output.json) return output.document('invite', made)
  output.line(made.ticket)
  output.note(`\nThe ticket above lets one device in, as ${made.role}, until ${made.expires.slice(0, 16).replace('T', ' ')} UTC.\nOn that device run this, and paste the ticket when it asks:\n\n  ${made.command}\n`)
}
