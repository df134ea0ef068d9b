/** Where a running node says what it does: JSON lines in node.log, or on stderr with -v. */
import { mkdirSync, renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { destination, pino } from 'pino'
import type { Logger } from '../../ports/log.ts'

const KEPT_BYTES_MAX = 16 * 2 ** 20

/** Secrets never get here by rule; these paths are the second wall. */
const REDACT = ['ticket', 'recovery', '*.ticket', '*.recovery', '*.secret']

/** Synchronous, so that the last lines before a SIGKILL are there to be read. */
export function openNodeLog (path: string, { verbose }: { verbose: boolean }): Logger {
  if (verbose) return pino({ level: 'debug', redact: REDACT }, destination({ dest: 2, sync: true }))
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  rotate(path)
  return pino({ level: 'info', redact: REDACT }, destination({ dest: path, mode: 0o600, sync: true }))
}

/** One old log is kept. */
function rotate (path: string): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  if (size > KEPT_BYTES_MAX) renameSync(path, `${path}.1`)
}
