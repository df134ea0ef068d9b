/** `doctor`: what is wrong here, and the command that fixes it. With a running node and without one. */
import type { Command } from 'commander'
import { examine, repair, repairsOf, summaryOf } from '../../doctor/doctor.ts'
import type { Diagnosed, Summary } from '../../doctor/doctor.ts'
import { readFacts } from '../../doctor/read.ts'
import type { Format } from '../../render/style.ts'
import { plain } from '../../render/units.ts'
import { wrap } from '../../render/width.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../failure.ts'
import { VERSION } from '../../../version.ts'

/** Below the name. */
const INDENT = '       '
const COLORS: Record<Diagnosed['status'], Format> = { ok: 'green', warn: 'yellow', fail: 'red', skip: 'dim' }

export function register (command: Command, { act }: Kit): void {
  command
    .option('--fix', 'repair what is safe: modes, stale lock and socket, missing folders')
    .addHelpText('after', `
Exit 5 when something fails, 0 otherwise; warnings are no failure.
A skipped check says why; -v shows each on its own line.

Examples:
  elder-node doctor
  elder-node doctor --fix
  elder-node doctor -q                                only what is wrong
  elder-node doctor --json | jq '.checks[] | select(.status == "fail")'`)
    .action(act(doctor))
}

async function doctor (context: Context, { fix }: { fix?: true }): Promise<number> {
  const { output, location, io, client, signal } = context
  const read = async (): ReturnType<typeof readFacts> => await readFacts({ dir: location.dir, env: io.env, client, version: VERSION, signal })
  const done = output.progress('looking at this device, its mesh and its remotes')
  let facts = await read().finally(done)
  const fixed = fix === true ? repairsOf(facts).map(repair) : []
  if (fixed.length > 0) facts = await read()
  const checks = examine(facts)
  const summary = summaryOf(checks)
  const running = facts.mesh !== null
  output.answer('doctor', { running, checks, summary, fixed }, () => [
    ...fixed.map(what => `${output.paint('cyan', '[done]')} ${plain(what)}`),
    ...(output.quiet ? checks.filter(({ status }) => status === 'warn' || status === 'fail') : output.verbose ? checks : gathered(checks)).flatMap(check => linesOf(check, context)),
    sentence(summary, { running, repairable: fix === true ? 0 : repairsOf(facts).length }),
  ].join('\n'))
  return summary.fail > 0 ? EXIT.degraded : EXIT.ok
}

/** Checks that were skipped for one reason are one line. */
function gathered (checks: Diagnosed[]): Diagnosed[] {
  const byReason = Map.groupBy(checks, ({ status, message }) => status === 'skip' ? message : undefined)
  const isLater = (one: Diagnosed): boolean => one.status === 'skip' && byReason.get(one.message)?.[0] !== one
  return checks.filter(one => !isLater(one)).map(one => one.status === 'skip' ? { ...one, name: byReason.get(one.message)?.map(({ name }) => name).join(', ') ?? one.name } : one)
}

function linesOf ({ name, status, message, code, fix }: Diagnosed, { output: { paint, width } }: Context): string[] {
  const mark = `[${status}]`.padEnd(6)
  // The message may break, a command to paste may not.
  const text = wrap(`${paint('bold', name)}: ${plain(message)}${code === null ? '' : ` ${paint('dim', `(${code})`)}`}`, width - INDENT.length)
  const head = text.map((line, i) => i === 0 ? `${paint(COLORS[status], mark)} ${line}` : INDENT + line)
  return fix === null ? head : [...head, ...fixOf(plain(fix), width)]
}

/** What does not fit goes below, alternative by alternative. */
function fixOf (fix: string, width: number): string[] {
  const line = `${INDENT}fix: ${fix}`
  return line.length <= width ? [line] : line.split(/(?<=;) /).map((part, i) => i === 0 ? part : `${INDENT}     ${part}`)
}

function sentence ({ ok, warn, fail, skip }: Summary, { running, repairable }: { running: boolean, repairable: number }): string {
  const counts = [`${ok} ok`, warn === 0 ? '' : `${warn} ${warn === 1 ? 'warning' : 'warnings'}`, fail === 0 ? '' : `${fail} ${fail === 1 ? 'failure' : 'failures'}`, skip === 0 ? '' : `${skip} skipped`].filter(text => text !== '').join(', ')
  return `${counts}; ${running ? 'with the running node' : 'no node runs here'}.${repairable === 0 ? '' : ` --fix does ${repairable} of them.`}`
}
