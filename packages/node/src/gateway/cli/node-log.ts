/** Where a running node says what it does: JSON lines in node.log, or on stderr with -v. */
import { renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { destination, pino } from 'pino'
import { makePrivateDir } from '../../adapters/files.ts'
import type { Logger } from '../../ports/log.ts'

const KEPT_BYTES_MAX = 16 * 2 ** 20

/** Secrets never get here by rule. These are the second wall: fields by their name, at the top and one level below, */
const NAMES = ['ticket', 'recovery', 'secret', 'seed', 'key', 'password', 'token', 'authorization', 'env']
const REDACT = NAMES.flatMap(name => [name, `*.${name}`])

/** and texts by their shape, wherever in a line they are: user and password of a URL, tickets, recovery texts, private keys. */
const SHAPES: ReadonlyArray<readonly [RegExp, string]> = [
  [/\b([a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/"]{1,4096}@/gi, '$1***@'],
  [/\b(elder1|elder-recovery1)[a-z2-7]{16,}/gi, '$1***'],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/gs, '[private key]'],
]

const SAFE = { redact: REDACT, hooks: { streamWrite: withoutSecrets } }

/** Synchronous, so that the last lines before a SIGKILL are there to be read. */
export function openNodeLog (path: string, { verbose }: { verbose: boolean }): Logger {
  if (verbose) return pino({ level: 'debug', ...SAFE }, destination({ dest: 2, sync: true }))
  makePrivateDir(dirname(path))
  rotate(path)
  return pino({ level: 'info', ...SAFE }, destination({ dest: path, mode: 0o600, sync: true }))
}

/** One old log is kept. */
function rotate (path: string): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  if (size > KEPT_BYTES_MAX) renameSync(path, `${path}.1`)
}

/** One line of the log without what only looks like a secret by its shape. */
function withoutSecrets (line: string): string { return SHAPES.reduce((text, [shape, instead]) => text.replace(shape, instead), line) }
