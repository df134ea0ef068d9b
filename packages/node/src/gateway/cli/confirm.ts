/**
 * Asks a person before a command goes on. Where no person can be asked, a deed that nobody can take back demands
 * `--yes`.
 */
import { createInterface } from 'node:readline/promises'
import { codeOf, ElderError } from '@elder-node/protocol'
import type { Context } from './context.ts'

export interface Deed {
  /**
   * A sentence that names what is hit, without its full stop: `This evicts mini (k3fz2q…, builder, last seen 3 s ago),
   * for ever`.
   */
  what: string
  /** More of what is hit, a line each; shown to a person only. @default [] */
  details?: readonly string[]
  /** The command that does it without a question. */
  command: string
}

/**
 * Returns when the deed may be done: `yes` was given, or a person at a terminal said so.
 *
 * @throws ElderError `CANCELLED` when the person said no; `NEEDS_YES` when there is nobody to ask. Then nothing may
 * happen.
 */
export async function confirm (context: Context, yes: boolean, { what, details = [], command }: Deed): Promise<void> {
  if (yes) return
  const { output } = context
  if (!canAsk(context)) {
    throw new ElderError('NEEDS_YES', `${what}. Nothing was done: without a terminal nobody can be asked.`, command)
  }
  output.rawError([`${output.folded(`${what}.`, '')}`, ...details, ''].join('\n'))
  await askYes(context, 'Go on?')
}

/** Whether a person sits there who can be asked. */
export function canAsk ({ io, globals, output }: Context): boolean {
  return io.stdin.isTTY === true && io.stderr.isTTY === true && globals.input && !output.json
}

/** Returns after a yes. @throws ElderError `CANCELLED` after anything else */
export async function askYes (context: Context, question: string): Promise<void> {
  if (!/^y(es)?$/i.test((await ask(context, `${question} [y/N] `)).trim())) throw cancelled()
}

/** The line that was typed; Ctrl-C and the end of the input are a no. */
async function ask ({ io, output, signal }: Context, question: string): Promise<string> {
  const asking = createInterface({ input: io.stdin, output: io.stderr })
  try {
    return await asking.question(question, { signal })
  } catch (error) {
    // Readline takes Ctrl-C for itself, and names it so.
    if (codeOf(error) !== 'ABORT_ERR') throw error
    output.rawError('\n')
    throw signal.aborted ? signal.reason as Error : cancelled()
  } finally {
    asking.close()
  }
}

function cancelled (): ElderError { return new ElderError('CANCELLED', 'nothing was done', '') }
