/** Where a running node says what it does: JSON lines in node.log, or on stderr with -v. */
import { dirname } from 'node:path'
import { destination, pino } from 'pino'
import { makePrivateDir, storageError } from '../../adapters/files.ts'
import { LogFile } from '../../adapters/log-file.ts'
import type { Logger } from '../../ports/log.ts'

/** A line says what happened; what another device or a git host said about it may be megabytes. */
const LINE_CHARS_MAX = 16_384
const MESSAGE_CHARS_MAX = 2048

/** Secrets never get here by rule. These are the second wall: fields by their name, at the top and one level below, */
const NAMES = ['ticket', 'recovery', 'secret', 'seed', 'key', 'password', 'token', 'authorization', 'env']
const REDACT = NAMES.flatMap(name => [name, `*.${name}`])

/** and texts by their shape, wherever in a line they are: user and password of a URL, tickets, recovery texts, private keys. */
const SHAPES: ReadonlyArray<readonly [RegExp, string]> = [
  [/\b([a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/"]{1,4096}@/gi, '$1***@'],
  [/\b(elder1|elder-recovery1)[a-z2-7]{16,}/gi, '$1***'],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/gs, '[private key]'],
]

/** Secrets first: half of one has no shape any more. */
const SAFE = { redact: REDACT, hooks: { streamWrite: (line: string) => bounded(withoutSecrets(line)) } }

/** @throws ElderError `STORAGE` when the log cannot be opened */
export function openNodeLog (path: string, { verbose }: { verbose: boolean }): Logger {
  if (verbose) return pino({ level: 'debug', ...SAFE }, destination({ dest: 2, sync: true }))
  makePrivateDir(dirname(path))
  return pino({ level: 'info', ...SAFE }, openLog(path))
}

function openLog (path: string): LogFile {
  try {
    return new LogFile(path)
  } catch (error) {
    throw storageError(path, error)
  }
}

/** A line that is too long keeps when and where it was said, and the beginning of what. */
function bounded (line: string): string {
  if (line.length <= LINE_CHARS_MAX) return line
  const { level, time, pid, hostname, msg } = JSON.parse(line) as Record<string, unknown>
  const text = typeof msg === 'string' ? msg : line
  return `${JSON.stringify({ level, time, pid, hostname, cutFrom: line.length, msg: text.slice(0, MESSAGE_CHARS_MAX) })}\n`
}

/** One line of the log without what only looks like a secret by its shape. */
function withoutSecrets (line: string): string { return SHAPES.reduce((text, [shape, instead]) => text.replace(shape, instead), line) }
