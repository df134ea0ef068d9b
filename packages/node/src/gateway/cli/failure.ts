/** How a command fails: what happened, why, the command that fixes it, and an exit code that scripts can rely on. */
import { codeOf } from '@elder-node/protocol'
import type { ErrorJson } from '@elder-node/protocol'
import { plain } from '../render/units.ts'
import type { Output } from './output.ts'

/** The numbers of the contract. */
export const EXIT = { ok: 0, error: 1, usage: 2, noMesh: 3, notRunning: 4, degraded: 5, timeout: 6, buildDeadline: 124, buildImpossible: 125, cancelled: 130 } as const

const CODES: Record<string, number> = {
  USAGE: EXIT.usage, NEEDS_YES: EXIT.usage, NOT_IN_THIS_VERSION: EXIT.usage, BAD_REQUEST: EXIT.usage, SETTING_UNKNOWN: EXIT.usage, SETTING_VALUE: EXIT.usage,
  NO_MESH: EXIT.noMesh, NOT_RUNNING: EXIT.notRunning, TIMEOUT: EXIT.timeout, ADMISSION_TIMEOUT: EXIT.timeout, CANCELLED: EXIT.cancelled,
}

export function exitCodeOf (error: unknown): number {
  return CODES[codeOf(error)] ?? EXIT.error
}

/** Prints an error: JSON on stdout with --json, else for people on stderr. */
export function printFailure (output: Output, error: unknown): void {
  const json = failureJson(error)
  if (output.json) return output.document('error', { error: json })
  output.rawError(`${output.paintError('red', 'error:')} ${output.folded(plain(json.message, { lines: true }), '       ')}\n`)
  if (json.fix !== '') output.rawError(`${output.paintError('bold', 'fix:')} ${isCommand(json.fix) ? plain(json.fix) : output.folded(plain(json.fix, { lines: true }), '     ')}\n`)
  // Ours, as opposed to an error of the system.
  if (output.verbose && typeof (error as Partial<ErrorJson> | null)?.fix === 'string') output.rawError(`${output.paintError('dim', `more: elder-node help ${json.code}`)}\n`)
  if (output.verbose && exitCodeOf(error) !== EXIT.usage && error instanceof Error && error.stack !== undefined) output.rawError(`${output.paintError('dim', plain(error.stack, { lines: true }))}\n`)
}

/** It is there to be copied, so it is never broken. */
function isCommand (fix: string): boolean { return /^(npx |sudo )?(elder-node|git|kill|rm|chmod) /.test(fix) }

/** `{code, message, fix}` of anything thrown, system errors of Node included. */
export function failureJson (error: unknown): ErrorJson {
  const { code, message, fix, data } = (error ?? {}) as Partial<ErrorJson>
  return {
    code: typeof code === 'string' ? code : 'INTERNAL',
    message: typeof message === 'string' && message !== '' ? message : String(error),
    fix: typeof fix === 'string' ? fix : systemFix(code),
    ...(data === undefined || Object.keys(data).length === 0 ? {} : { data }),
  }
}

function systemFix (code: unknown): string {
  if (code === 'EACCES' || code === 'EPERM') return 'Check who owns that path, or choose another data directory with --dir.'
  if (code === 'EROFS') return 'That file system is read-only: choose another path.'
  if (code === 'ENOTDIR' || code === 'EEXIST' || code === 'EISDIR') return 'Something else is at that path: choose another.'
  if (code === 'ENOSPC') return 'Free some disk space and repeat the command.'
  if (code === 'ENOENT') return 'Check the path.'
  return 'Repeat with -v for the details; if it stays, report it with them.'
}
