/** Questions to a person at a terminal. */
import { createInterface } from 'node:readline/promises'
import { codeOf, ElderError } from '@elder-node/protocol'
import type { Context } from './context.ts'

/** Whether somebody sits there who can be asked. */
export function canAsk ({ io, globals, output }: Context): boolean {
  return io.stdin.isTTY === true && io.stderr.isTTY === true && globals.input && !output.json
}

/** Goes on after a yes. @throws ElderError `CANCELLED` after anything else */
export async function askYes ({ io, output, signal }: Context, question: string): Promise<void> {
  const asking = createInterface({ input: io.stdin, output: io.stderr })
  try {
    const answer = await asking.question(`${question} [y/N] `, { signal })
    if (!/^y(es)?$/i.test(answer.trim())) throw new ElderError('CANCELLED', 'nothing was done', '')
  } catch (error) {
    // Readline takes Ctrl-C for itself, and names it so.
    if (codeOf(error) !== 'ABORT_ERR') throw error
    output.rawError('\n')
    throw signal.aborted ? signal.reason as Error : new ElderError('CANCELLED', 'nothing was done', '')
  } finally {
    asking.close()
  }
}
