/** What the bin shim loads: the command line on this process. */
import { writeSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { EXIT } from './failure.ts'
import { processIo } from './io.ts'
import { runCli } from './main.ts'
import type { NodeFactory } from './node-factory.ts'

/** Loaded only by `join`: libp2p takes two seconds. */
async function nodeFactory (): Promise<NodeFactory> {
  // V8's space for new objects stays at 1 MB instead of growing to 32: a node at ready is 11 MB smaller. Not --optimize-for-size: 50 MB less after work, but twice the idle CPU.
  setFlagsFromString('--semi-space-growth-factor=1')
  const { createNode } = await import('../../node.ts')
  return createNode
}

/** Runs the command and ends the process with its code, once all output is written. */
export async function start (argv: string[]): Promise<void> {
  let unread: number = EXIT.ok
  for (const stream of [process.stdout, process.stderr]) stream.on('error', (error) => { leave(error, unread) })
  const code = await runCli(argv, processIo(nodeFactory, (code) => { unread = code }))
  process.exitCode = code
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise<void>((resolve) => { stream.write('', () => resolve()) })))
  process.exit(code)
}

/**
 * `elder-node builds logs x | head`: the reader has seen enough, and `unread` says what that means for the command.
 * Any other end of an output is an error, told where it can be.
 */
function leave (error: NodeJS.ErrnoException, unread: number): void {
  if (error.code === 'EPIPE') process.exit(unread)
  const why = error.code === 'ENOSPC' ? 'no space is left where it goes' : error.message
  try { writeSync(2, `error: the output cannot be written: ${why}\nfix: Free some disk space, or send it elsewhere.\n`) } catch { /* stderr is the one that failed */ }
  process.exit(EXIT.error)
}
