/**
 * Which repository a stack is of: the address of its `origin`, written in one way however it was cloned, and the names
 * that a stack of it may have. Devices compare these texts, so all of them must write one.
 */
import { LIMITS } from './limits.ts'

const SCP = /^(?:[^@/\s]+@)?([^@:/\\\s]+):(?!\/\/)(.+)$/
const LOCAL = /^(?:file:\/\/)?(\/.*)$/
/** A path of Windows. */
const DRIVE = /^([A-Za-z]):[\\/](.*)$/
/** Scheme, host, port and path; whoever stands before an @ is left out. */
const ADDRESS = /^([a-z][a-z+.-]*):\/\/(?:[^/]*@)?([^@:/?#\s]+|\[[0-9a-f:.]+\])(?::(\d+))?(\/[^?#]*)/i
const WEB_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443' }
/** Printable and without blanks: it is shown on the terminals of other devices. */
const PRINTABLE = /^[!-~\p{L}\p{M}\p{N}]+$/u

/**
 * `git@host:me/API.git` and `https://user:token@host/me/api` are both `host/me/api`. Without credentials and `.git`; in
 * lower case, since the hosts of repositories ignore case and the names of stacks have none. Of ssh without its port,
 * which is another one than that of https. A path on this machine stays a path. Undefined for what is no address.
 */
export function originOf (url: string): string | undefined {
  const text = url.trim().replace(DRIVE, (_, drive: string, path: string) => `/${drive}/${path.replaceAll('\\', '/')}`)
  const local = LOCAL.exec(text)?.[1]
  const found = local === undefined ? remote(text) : { host: '', path: local }
  const parts = found?.path.split('/').filter(part => part !== '' && part !== '.')
  const path = parts?.join('/').replace(/\.git$/i, '').replaceAll(' ', '%20')
  if (found === undefined || path === undefined || path === '') return undefined
  const origin = `${found.host}/${path}`.toLowerCase()
  return origin.length <= LIMITS.originCharsMax && PRINTABLE.test(origin) ? origin : undefined
}

function remote (text: string): { host: string, path: string } | undefined {
  const [, scheme = '', name, port, rest] = ADDRESS.exec(text) ?? []
  const standard = WEB_PORTS[scheme.toLowerCase()]
  const isUsual = standard === undefined || port === undefined || port === standard
  if (name !== undefined && rest !== undefined) return { host: isUsual ? name : `${name}:${port}`, path: rest }
  const [, host, path] = SCP.exec(text) ?? []
  return host === undefined || path === undefined ? undefined : { host, path }
}

/**
 * What a stack of this repository may be called, best first: `api`, then `owner-api`, then longer ones. Empty when
 * nothing fits.
 */
export function stackNamesOf (origin: string): string[] {
  const words = origin.replaceAll('%20', '-').split('/').map(part => part.replace(/[^a-z0-9._-]+/g, '-'))
  const parts = words.filter(word => word !== '')
  const names = parts.map((_, i) => parts.slice(parts.length - 1 - i).join('-'))
  const fitting = names.map(name => name.replace(/^[^a-z0-9]+/, '').slice(0, NAME_CHARS))
  return [...new Set(fitting)].filter(name => name !== '')
}

const NAME_CHARS = 64
