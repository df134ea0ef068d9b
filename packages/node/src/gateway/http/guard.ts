/** Who is answered: programs on this machine that ask for this machine, and no web page. Pure. */
import type { IncomingHttpHeaders } from 'node:http'

export interface Asked { method: string | undefined, headers: IncomingHttpHeaders, /** Where the connection came in. */ localAddress: string | undefined }
export interface Refused { status: number, code: string, message: string }

const METHODS = new Set(['GET', 'HEAD'])
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/**
 * Undefined when the request is answered. A name that resolves to this machine is not enough (DNS rebinding): the host must be a loopback
 * name, the address that was dialled, or the one that the owner set.
 */
export function refusalOf ({ method, headers, localAddress }: Asked, listenHost: string): Refused | undefined {
  if (!METHODS.has(method ?? '')) return { status: 405, code: 'HTTP_METHOD', message: 'Only GET and HEAD are answered here.' }
  if (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0') return { status: 413, code: 'HTTP_BODY', message: 'No body is read here.' }
  const own = new Set([...LOOPBACK, bracketed(listenHost), ...(localAddress === undefined ? [] : [bracketed(localAddress.replace(/^::ffff:/, ''))])])
  if (!own.has(hostOf(headers.host))) return { status: 421, code: 'HTTP_HOST', message: 'This node is not called that. Ask for 127.0.0.1.' }
  const { origin } = headers
  const isForeign = origin !== undefined && !(URL.canParse(origin) && own.has(new URL(origin).hostname))
  return isForeign || headers['sec-fetch-site'] === 'cross-site' ? { status: 403, code: 'HTTP_ORIGIN', message: 'No web page is answered here.' } : undefined
}

/** Without the port, lower case; empty when there is none. */
function hostOf (header: string | undefined): string { return /^(\[[0-9a-f:.]+\]|[^:\s/@]+)(:\d{1,5})?$/i.exec(header ?? '')?.[1]?.toLowerCase() ?? '' }

function bracketed (host: string): string { return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host.toLowerCase() }
