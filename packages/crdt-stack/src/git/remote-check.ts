/** Can this device read that remote? One `git ls-remote`, without a prompt and with a deadline, and in words what stands against it. */
import { ElderError } from '@elder-node/protocol'
import { lastLine, redact } from './failure.ts'
import { MIRROR_BRANCH } from './port.ts'
import { isPathRemote, servingOptions } from './profiles.ts'
import { LIST_MEMORY_BYTES_MAX, runGit } from './run.ts'

interface Verdict { code: string, says: RegExp, what: string, fix: (url: string) => string }

const LS = (url: string): string => `git ls-remote ${url}`
const VERDICTS: Verdict[] = [
  { code: 'GIT_HOST_UNKNOWN', says: /could not resolve host|name or service not known|temporary failure in name resolution/i, what: 'there is no such host, or no name service', fix: url => `Check the address and this network: ${LS(url)}` },
  { code: 'GIT_HOST_KEY', says: /host key verification failed|host identification has changed/i, what: 'this device does not know the host\'s SSH key', fix: url => `Look at it once, as the user of the node: ${LS(url)}` },
  { code: 'GIT_SSH_KEY', says: /permission denied \(/i, what: 'the host takes no SSH key of this device', fix: () => 'Add this device\'s public key there: cat ~/.ssh/id_ed25519.pub   (make one with ssh-keygen -t ed25519)' },
  { code: 'GIT_FORBIDDEN', says: /returned error: 403|http 403|access denied|forbidden/i, what: 'the credential of this device may not read it (403)', fix: () => 'Give the token read and write on that repository.' },
  { code: 'GIT_AUTH', says: /returned error: 401|authentication failed|could not read (username|password)|terminal prompts disabled|invalid (username|credentials)/i, what: 'there is no valid credential here (401): none, or one that expired', fix: url => `Keep one for it: git credential approve, or a line in ~/.git-credentials; then ${LS(url)}` },
  { code: 'GIT_NOT_FOUND', says: /returned error: 404|not found|does not exist|does not appear to be a git repository|not a git repository/i, what: 'there is no such repository, or a private one that this device has no credential for', fix: url => `Make it, or check the address: ${LS(url)}` },
  { code: 'GIT_TLS', says: /certificate|ssl|tls/i, what: 'its certificate is not trusted here', fix: () => 'Let git know the authority: git config --global http.sslCAInfo <file>, or GIT_SSL_CAINFO' },
  { code: 'GIT_UNREACHABLE', says: /connection refused|failed to connect|couldn't connect|no route to host|network is unreachable/i, what: 'nobody answers at that address', fix: url => `Is the host up, and reachable from here? ${LS(url)}` },
]

/**
 * @param deadlineMs @default 10_000
 * @throws ElderError `GIT_HOST_UNKNOWN`, `GIT_HOST_KEY`, `GIT_SSH_KEY`, `GIT_FORBIDDEN`, `GIT_AUTH`, `GIT_NOT_FOUND`, `GIT_TLS`, `GIT_TIMEOUT`,
 * `GIT_UNREACHABLE`, `GIT_MISSING`
 */
export async function checkRemote (url: string, { signal, deadlineMs = 10_000 }: { signal: AbortSignal, deadlineMs?: number }): Promise<void> {
  const args = ['ls-remote', '--heads', ...servingOptions(url, 'upload-pack'), '--', url, MIRROR_BRANCH]
  const profile = isPathRemote(url) ? 'path' : 'network'
  const bounds = { deadlineMs, memoryBytesMax: LIST_MEMORY_BYTES_MAX }
  const { code, stderr, timedOut } = await runGit({ profile, args, signal, ...bounds })
  if (code !== 0) throw remoteFailure(url, stderr, timedOut ? deadlineMs : undefined)
}

/** What git's words mean. Exported for its table test. */
export function remoteFailure (url: string, stderr: string, timedOutMs?: number): ElderError {
  const where = redact(url)
  if (timedOutMs !== undefined) return new ElderError('GIT_TIMEOUT', `${where}: no answer within ${timedOutMs / 1000} s`, `Is the host up, and reachable from here? ${LS(where)}`)
  const verdict = VERDICTS.find(({ says }) => says.test(stderr))
  if (verdict === undefined) return new ElderError('GIT_UNREACHABLE', `${where}: ${lastLine(stderr)}`, LS(where))
  return new ElderError(verdict.code, `${where}: ${verdict.what}`, verdict.fix(where))
}
