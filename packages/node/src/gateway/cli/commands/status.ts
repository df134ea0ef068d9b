/** `status`: is it fine? */
import { codeOf } from '@elder-node/protocol'
import type { Command } from 'commander'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Status } from '../../../api.ts'
import { renderProblems, renderStatus } from '../../render/status.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../failure.ts'
import { Repaint } from '../repaint.ts'

interface Options { check?: true, watch?: true }

const WATCH_MS = 1000

export function register (command: Command, { act }: Kit): void {
  command
    .option('--watch', 'every second until Ctrl-C, painted over on a terminal')
    .option('--check', 'exit 5 when something is wrong')
    .addHelpText('after', `
Examples:
  elder-node status
  elder-node status --watch
  elder-node status --check && echo fine
  elder-node status -q                               the problems alone
  elder-node status --json | jq '.devices[] | {name, rttMs, slots}'
  curl $(elder-node status --json | jq -r .self.http)/metrics`)
    .action(act(status))
}

async function status (context: Context, { check, watch: watched }: Options): Promise<number> {
  const { client, output, signal } = context
  const now = await client.call('status', {}, { signal })
  const last = watched === true ? await watch(context, now) : now
  if (watched !== true) output.answer('status', now, () => screen(context, now))
  return check === true && last.problems.length > 0 ? EXIT.degraded : EXIT.ok
}

function screen ({ output }: Context, now: Status): string {
  if (output.quiet) return renderProblems(now.problems, output.paint, output.width).join('\n')
  return renderStatus(now, output.paint, Date.now(), output)
}

/** Ctrl-C ends it. On a terminal it outlives the node: it says so, and goes on when the node is back. @returns the last status */
async function watch (context: Context, first: Status): Promise<Status> {
  const { io, client, output, signal } = context
  const stopping = new AbortController()
  context.takeInterrupts(() => { stopping.abort() })
  const ended = AbortSignal.any([signal, stopping.signal])
  const repaint = output.live ? new Repaint(io.stdout) : undefined
  let now = first
  try {
    for (let note = ''; !ended.aborted; note = await next()) show(context, repaint, now, note)
  } finally {
    repaint?.end()
  }
  signal.throwIfAborted()
  return now

  /** Waits, asks again. @returns why what is shown is old; empty when it is not */
  async function next (): Promise<string> {
    try {
      await sleep(WATCH_MS, undefined, { signal: ended })
      now = await client.call('status', {}, { signal: ended })
      return ''
    } catch (error) {
      if (ended.aborted) return ''
      if (repaint === undefined || codeOf(error) !== 'NOT_RUNNING') throw error
      return 'the node is not running: this is what it said last'
    }
  }
}

function show (context: Context, repaint: Repaint | undefined, now: Status, note: string): void {
  const { output } = context
  if (output.json) return output.document('status', now)
  const text = note === '' ? screen(context, now) : `${output.paint('yellow', `! ${note}`)}\n${screen(context, now)}`
  if (repaint !== undefined) repaint.frame(text)
  else output.line(`${text}\n`)
}
