/** `invite`: a ticket for another device, and the exact command to paste there. */
import { ElderError } from '@elder-node/protocol'
import type { Command } from 'commander'
import type { Role } from '../../../api.ts'
import { parseDuration } from '../../../quantities.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'

interface Options { role?: string, expires?: string, qr?: boolean }
const ROLES: string[] = ['observer', 'member', 'builder', 'admin'] satisfies Role[]

export function register (command: Command, { act }: Kit): void {
  command
    .option('--role <role>', 'observer, member, builder or admin (default: builder)')
    .option('--expires <duration>', 'how long the ticket is good (default: 15m)')
    .option('--qr', 'as a QR code too (default: on a terminal where it fits)').option('--no-qr', 'never as a QR code')
    .addHelpText('after', `
Examples:
  elder-node invite
  elder-node invite --role member --expires 1h
  elder-node invite --qr                for a camera; about 80 x 40 characters
  elder-node invite --json | jq -r .ticket > ticket.txt`)
    .action(act(invite))
}

async function invite (context: Context, { role, expires, qr }: Options): Promise<void> {
  const { client, output, signal } = context
  if (role !== undefined && !ROLES.includes(role)) throw new ElderError('USAGE', `"${role}" is not a role`, `Use one of: ${ROLES.join(', ')}.`)
  const made = await client.call('invite', {
    ...(role === undefined ? {} : { role: role as Role }), ...(expires === undefined ? {} : { expiresMs: parseDuration(expires) }),
  }, { signal })
  if (output.json) return output.document('invite', made)
  output.line(made.ticket)
  output.note(`\nThe ticket above lets one device in, as ${made.role}, until ${made.expires.slice(0, 16).replace('T', ' ')} UTC.\nOn that device run this, and paste the ticket when it asks:\n\n  ${made.command}\n`)
  if (qr !== false && !output.quiet) await showQr(context, made.ticket, qr === true)
}

/** Where it does not fit there is a line that says what would; half a code helps nobody. */
async function showQr ({ io: { stderr, env }, output }: Context, ticket: string, wanted: boolean): Promise<void> {
  if (stderr.isTTY !== true || env.TERM === 'dumb') {
    if (wanted) output.warn('a QR code needs a terminal: the ticket above is the same')
    return
  }
  const { ticketQr } = await import('../ticket-qr.ts')
  const found = await ticketQr(ticket, { columns: stderr.columns ?? 80, rows: (stderr.rows ?? 24) - 1 })
  if ('lines' in found) return output.note(`${found.lines.join('\n')}\n`)
  const size = `${found.needs.columns} x ${found.needs.rows + 1}`
  output.note(`As a QR code: elder-node invite --qr in a window of at least ${size} characters${wanted ? `; this one is ${stderr.columns ?? 80} x ${stderr.rows ?? 24}` : ''}`)
}
