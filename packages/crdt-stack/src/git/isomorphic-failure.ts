/** What isomorphic-git's errors mean, in the words of the port. */
import { ElderError } from '@elder-node/protocol'
import { redact } from './failure.ts'
import { unreachable } from './http-client.ts'

/** The fields that tell its errors apart; the classes are not stable enough to import. */
interface LibraryError { code?: string, message?: string, data?: { statusCode?: number, result?: { ok?: boolean, error?: string, refs?: Record<string, { ok: boolean, error: string }> } } }

/** Said of its own files, never of a remote's answer; so is every error of the operating system. */
const LOCAL = new Set(['InternalError', 'NotFoundError', 'ObjectTypeError'])

export function isMissing (error: unknown): boolean { return (error as LibraryError).code === 'NotFoundError' }

/** `where` is what the work could fail at. The caller's abort has been told apart before. */
export function isomorphicFailure (action: string, url: string, error: unknown, where: 'network' | 'local'): unknown {
  const { code = '', message = '', data } = error as LibraryError
  if (error instanceof ElderError) return /^(?:GIT_|MIRROR_)/.test(error.code) ? error : damaged(action, message)
  if (where === 'local' || LOCAL.has(code) || /^E[A-Z]+$/.test(code)) return damaged(action, message)
  if (code === 'UserCanceledError' || data?.statusCode === 401 || data?.statusCode === 403) return refused(action, url, code === 'UserCanceledError' ? 'HTTP 401' : `HTTP ${data?.statusCode}`)
  return unreachable(url, message)
}

/** Why a push was declined, in the remote's words. @throws the error itself when it was not the remote that declined. */
export function pushVerdict (error: unknown, branch: string): string {
  const { code, data } = error as LibraryError
  if (code === 'PushRejectedError') return 'non-fast-forward'
  if (code !== 'GitPushError') throw error
  return data?.result?.refs?.[branch]?.error ?? data?.result?.error ?? 'no reason given'
}

function damaged (action: string, why: string): ElderError {
  return new ElderError('GIT_FAILED', `could not ${action} in the local mirror: ${redact(why).slice(0, 400)}`, 'Check the free space of the data directory; the mirror is a cache and is rebuilt by itself.')
}

function refused (action: string, url: string, why: string): ElderError {
  return new ElderError('GIT_AUTH', `${redact(url)} refused this device at a ${action}: ${why}`, 'Without git, credentials are read from ELDER_GIT_CREDENTIALS or ~/.git-credentials (a line https://user:password@host) and ~/.netrc. Or install git.')
}
