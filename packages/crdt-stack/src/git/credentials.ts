/**
 * Where a device without git finds the credential of a remote. Read-only, looked up when the remote asks, never kept, never printed.
 *
 * In this order: the URL itself, the environment variable `ELDER_GIT_CREDENTIALS` and the file `~/.git-credentials` (both lines
 * of `https://user:password@host`, as git-credential-store(1) writes them), and for https the file `~/.netrc`. Each names its
 * host: a remote's URL may come from another device, and must not be able to ask for a credential that was meant for another host.
 */
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

export interface Credential { username: string, password: string }

/** Splits the user info from a URL of http or https. */
export function takeCredential (url: URL): { url: string, credential: Credential | undefined } {
  const bare = new URL(url)
  bare.username = bare.password = ''
  const credential = { username: decode(url.username), password: decode(url.password) }
  return { url: bare.href, credential: url.username === '' && url.password === '' ? undefined : credential }
}

/** `url` is without user info. */
export async function findCredential (url: URL, { env = process.env, home = homedir() }: { env?: NodeJS.ProcessEnv, home?: string } = {}): Promise<Credential | undefined> {
  const read = async (name: string): Promise<string> => await readFile(join(home, name), 'utf8').catch(() => '')
  return storedFor(url, env['ELDER_GIT_CREDENTIALS'] ?? '') ?? storedFor(url, await read('.git-credentials')) ?? (url.protocol === 'https:' ? netrcFor(url, await read('.netrc')) : undefined)
}

function storedFor (url: URL, text: string): Credential | undefined {
  for (const line of text.split(/\s+/)) {
    const stored = URL.parse(line)
    if (stored === null || stored.username === '' || stored.origin !== url.origin) continue
    if (stored.pathname === '/' || `${url.pathname}/`.startsWith(`${stored.pathname.replace(/\/$/, '')}/`)) return takeCredential(stored).credential
  }
  return undefined
}

/** The first `machine` of this name, else `default` (format: curl's netrc). */
function netrcFor (url: URL, text: string): Credential | undefined {
  const words = text.split('\n').filter(line => !line.trim().startsWith('#')).join(' ').split(/\s+/).filter(word => word !== '')
  const starts = words.flatMap((word, at) => word === 'default' || (word === 'machine' && words[at + 1] === url.hostname) ? [at] : [])
  for (const start of starts) {
    const end = words.findIndex((word, at) => at > start && (word === 'machine' || word === 'default'))
    const entry = words.slice(start, end < 0 ? undefined : end)
    const [username, password] = ['login', 'password'].map(name => entry.includes(name) ? entry[entry.indexOf(name) + 1] : undefined)
    if (username !== undefined && password !== undefined) return { username, password }
  }
  return undefined
}

function decode (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
