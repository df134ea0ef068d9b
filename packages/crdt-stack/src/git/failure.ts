/** What git's stderr means, and how to say it without credentials. */
import { ElderError } from '@elder-node/protocol'

/** Hides the user info of every URL in a text. */
export function redact (text: string): string { return text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^/\s@]*@/gi, '$1') }

const AUTH = /authentication failed|could not read (username|password)|terminal prompts disabled|returned error: 40[13]|http 40[13]|permission denied|host key verification failed|access denied|invalid credentials/i
/** A redirect goes to a host that nobody named, and git would offer it the credential of the first. */
const MOVED = /returned error: 30[12378]\b/i
const LOCAL = /not a git repository|bad object|is corrupt|object file .* is empty|unable to read (tree|sha1|[0-9a-f]{40})|missing (blob|tree|commit)|no space left|index-pack failed|unpack-objects failed|bad signature|unable to (create|write)/i
const NETWORK = /unable to access|could not resolve|connection|timed out|early eof|hung up|returned error: 5|rpc failed|expected flush|protocol error/i

/** Network trouble first: a torn transfer also makes index-pack complain. */
export function gitFailure (action: string, url: string, stderr: string): ElderError {
  const why = lastLine(stderr)
  const where = redact(url)
  if (MOVED.test(stderr)) return new ElderError('GIT_UNREACHABLE', `${where} sends git on to another address, which is not followed: ${why}`, 'If the repository moved, use its new address as the remote.')
  if (AUTH.test(stderr)) return new ElderError('GIT_AUTH', `${where} refused the credentials of this device while git ${action}: ${why}`, `Give git on this device a credential for it, then check with: git ls-remote ${where}`)
  if (LOCAL.test(stderr) && !NETWORK.test(stderr)) return new ElderError('GIT_FAILED', `git could not ${action} in the local mirror: ${why}`, 'Check the free space of the data directory; the mirror is a cache and is rebuilt by itself.')
  return new ElderError('GIT_UNREACHABLE', `${where} did not answer git as a repository: ${why}`, `Check with: git ls-remote ${where}`)
}

/** Every dialect of "the branch moved while you pushed" (seen: git 2.39 over file, ssh and smart HTTP, and isomorphic-git). */
export const RACES: RegExp = /^\[rejected\]|cannot lock ref|reference already exists|failed to update ref|incorrect old value|failed to lock|stale info|non-fast-forward|fetch first/i

export function rejection (url: string, stderr: string, reason: string): ElderError {
  const said = stderr.split('\n').filter(line => line.startsWith('remote:')).map(line => line.slice(7).trim()).filter(line => line !== '').at(-1)
  return new ElderError('GIT_REJECTED', `${redact(url)} declined the push: ${redact(said ?? reason)}`, 'Allow pushes to the branch elder/memory on the host, or use another remote.')
}

/** The last line that says something: git ends with hints about access rights that hide the cause. */
export function lastLine (stderr: string): string {
  const lines = stderr.split('\n').map(line => line.trim()).filter(line => line !== '' && !/^(hint:|please make sure|and the repository exists)/i.test(line))
  return redact((lines.findLast(line => /^(fatal|error|remote):/.test(line)) ?? lines.at(-1) ?? 'no message').slice(0, 400))
}
