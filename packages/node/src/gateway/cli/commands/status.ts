/** `status`: is it fine? */
import type { Command } from 'commander'
import { renderStatus } from '../../render/status.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../failure.ts'
import { addLaterOptions } from '../later.ts'

export function register (command: Command, { act }: Kit): void {
  command
    .option('--check', 'exit 5 when something is wrong')
    .addHelpText('after', `
Examples:
  elder-node status
  elder-node status --check && echo fine
  elder-node status --json | jq '.devices[] | {name, rttMs, slots}'`)
    .action(act(status))
  addLaterOptions(command, ['--watch'])
}

async function status ({ client, output, signal }: Context, { check }: { check?: true }): Promise<number> {
  const now = await client.call('status', {}, { signal })
  output.answer('status', now, () => renderStatus(now, output.paint, Date.now()))
  return check === true && now.problems.length > 0 ? EXIT.degraded : EXIT.ok
}
