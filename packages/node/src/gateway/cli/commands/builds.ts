/** `builds`: what was built, where, why there. */
import type { Command } from 'commander'
import type { BuildExplanation } from '../../../api.ts'
import { renderCandidates } from '../../render/build.ts'
import { table } from '../../render/table.ts'
import { age, plain } from '../../render/units.ts'
import { BuildPrinter } from '../build-printer.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'

const COLUMNS = [{ title: 'BUILD' }, { title: 'STATE' }, { title: 'BUILDER', flexible: true }, { title: 'TRY', align: 'right' as const }, { title: 'EXIT', align: 'right' as const }, { title: 'STARTED', align: 'right' as const }, { title: 'COMMAND', flexible: true }]
const help = (lines: string): string => `\nExamples:\n${lines}`

export function register (command: Command, { act }: Kit): void {
  command.action(act(list)).addHelpText('after', help('  elder-node builds\n  elder-node builds logs 7f3c2a\n  elder-node builds why 7f3c2a\n  elder-node builds --json | jq -r \'.builds[0].id\''))
  command.command('list', { hidden: true }).description('the builds this device knows').action(act(list)).addHelpText('after', help('  elder-node builds list'))
  command.command('logs').description('what a build printed so far').argument('<id>', 'id or unique prefix')
    .option('-f, --follow', 'then live, until it ends')
    .action(act(logs)).addHelpText('after', help('  elder-node builds logs 7f3c2a\n  elder-node builds logs 7f3c2a --follow\n  elder-node builds logs 7f3c2a --json'))
  command.command('attach').description('follow a build again: its output, its end, its exit code').argument('<id>', 'id or unique prefix')
    .action(act(attach)).addHelpText('after', help('  elder-node builds attach 7f3c2a'))
  command.command('cancel').description('stop a build, wherever it runs').argument('<id>', 'id or unique prefix')
    .action(act(cancel)).addHelpText('after', help('  elder-node builds cancel 7f3c2a'))
  command.command('why').description('the candidates, the terms, the attempts').argument('<id>', 'id or unique prefix')
    .action(act(why)).addHelpText('after', help('  elder-node builds why 7f3c2a'))
}

async function list ({ client, output, signal }: Context): Promise<void> {
  const builds = await client.call('builds.list', {}, { signal })
  output.answer('builds', { builds }, () => builds.length === 0 ? 'no builds yet: elder-node build . -- npm test' : output.quiet ? builds.map(({ id }) => id).join('\n') : table(COLUMNS, builds.map((build) => [
    build.id.slice(0, 8), build.state, build.builder?.name ?? '-', String(build.attempt), build.exitCode === null ? '-' : String(build.exitCode),
    age(build.startedAt, Date.now()), commandText(build.command),
  ]), output.paint, output.width).join('\n'))
}

/** A command line of `.elder.json` runs in a shell: the shell is no news. */
function commandText (command: string[]): string {
  const [program, flag, line] = command
  return program === '/bin/sh' && flag === '-c' && command.length === 3 ? line ?? '' : command.join(' ')
}

async function logs (context: Context, { follow = false }: { follow?: boolean }, [id = '']: string[]): Promise<void> {
  await print(context, { id, follow })
}

/** As if `build` had never been left: Ctrl-C leaves it running. */
async function attach (context: Context, _options: object, [id = '']: string[]): Promise<number> {
  return await print(context, { id })
}

/** Answers the exit code of the build; 125 while it has none. */
async function print ({ client, io, output, signal }: Context, params: { id: string, follow?: boolean }): Promise<number> {
  const printer = new BuildPrinter(output, { explain: false, io })
  try {
    for await (const event of client.stream('builds.events', params, { signal })) printer.print(event)
    return printer.exitCode
  } finally {
    printer.close()
  }
}

async function cancel ({ client, output, signal }: Context, _options: object, [id = '']: string[]): Promise<void> {
  const { build, state, cancelled } = await client.call('builds.cancel', { id }, { signal })
  output.answer('builds-cancel', { build, cancelled, state }, () => cancelled ? `build ${plain(build)} is cancelled.` : `build ${plain(build)} had ended before: ${state}.`)
}

async function why ({ client, output, signal }: Context, _options: object, [id = '']: string[]): Promise<void> {
  const reason = await client.call('builds.why', { id }, { signal })
  output.answer('builds-why', reason, () => [
    ...reason.candidates.length === 0 ? [] : renderCandidates(reason.candidates, reason.attempts.at(-1)?.builder.id, output.paint),
    plain(reason.why),
    ...reason.attempts.map(({ attempt, builder, outcome }) => `attempt ${attempt} on ${plain(builder.name)}: ${plain(outcome)}`),
    ...(reason.ended === undefined ? [] : ending(reason.ended)),
  ].join('\n'))
}

/** The command's own exit needs no explanation. */
function ending ({ state, exitCode, error }: NonNullable<BuildExplanation['ended']>): string[] {
  return error === null ? [`${state} with exit code ${exitCode}`] : [`${state} with exit code ${exitCode}: ${plain(error.message)}`, ...(error.fix === '' ? [] : [`Fix: ${plain(error.fix)}`])]
}
