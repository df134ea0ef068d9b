/**
 * The HTTP client that isomorphic-git is given: one deadline, one bound on bytes, no redirects, and answers that are whole.
 *
 * isomorphic-git reads a body in loops that nobody awaits; a connection that broke there would end the process as an unhandled
 * rejection. So the body is read here, where it can fail in peace. (It keeps whole packs in memory anyway.)
 */
import { ElderError } from '@elder-node/protocol'
import type { GitHttpRequest, GitHttpResponse, HttpClient } from 'isomorphic-git'
import { redact } from './failure.ts'

export interface HttpClientInit {
  /** Ends every request. */
  signal: AbortSignal
  /** Bytes of one answer, unpacked. */
  answerBytesMax: number
}

/** Ends every answer of git: without it, half a list of refs looks like a list without our branch. */
const FLUSH = Buffer.from('0000')

/** @throws ElderError `GIT_UNREACHABLE`; on an abort, the signal's reason. */
export function createHttpClient (init: HttpClientInit): HttpClient {
  return { request: async request => await send(request, init) }
}

async function send ({ url, method = 'GET', headers = {}, body }: GitHttpRequest, { signal, answerBytesMax }: HttpClientInit): Promise<GitHttpResponse> {
  const sent = body === undefined ? undefined : await joined(body)
  try {
    const response = await fetch(url, { method, headers: { ...headers, 'user-agent': 'git/elder-node' }, redirect: 'manual', signal, ...(sent === undefined ? {} : { body: sent }) })
    if (response.status >= 300 && response.status < 400) throw moved(url, response.headers.get('location'))
    const answer = await bounded(response, answerBytesMax, url)
    if (response.headers.get('content-type')?.startsWith('application/x-git-') && !FLUSH.equals(answer.subarray(-4))) throw unreachable(url, 'the answer broke off')
    return { url, method, statusCode: response.status, statusMessage: response.statusText, headers: Object.fromEntries(response.headers), body: each([answer]) }
  } catch (error) {
    signal.throwIfAborted()
    throw error instanceof ElderError ? error : unreachable(url, causeOf(error))
  }
}

async function bounded (response: Response, bytesMax: number, url: string): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > bytesMax) throw new ElderError('GIT_UNREACHABLE', `${hostOf(url)} answered with more than ${bytesMax} bytes, too much for a device without git`, 'Install git on this device, or let another device of the mesh mirror to it.')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

export async function joined (body: AsyncIterable<Uint8Array>): Promise<Buffer<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export async function * each (chunks: Uint8Array[]): AsyncGenerator<Uint8Array> { yield * chunks }

export function unreachable (url: string, why: string): ElderError {
  return new ElderError('GIT_UNREACHABLE', `${redact(url)} did not answer as a git repository: ${redact(why).slice(0, 400)}`, 'Check the URL and the network of this device.')
}

/** Following would send credentials to a host that the owner did not name. */
function moved (url: string, location: string | null): ElderError {
  return new ElderError('GIT_UNREACHABLE', `${hostOf(url)} says that the repository is now at ${redact(location ?? 'another place')}`, 'If that is where it should be, use that URL as the remote (up to ".git").')
}

function hostOf (url: string): string { return new URL(url).host }

/** fetch says "fetch failed" and hides the reason one or two causes deep. */
function causeOf (error: unknown): string {
  let at = error as { message?: string, code?: string, cause?: unknown } | undefined
  while (at?.cause !== undefined) at = at.cause as typeof at
  return [at?.code, at?.message].filter(text => text !== undefined && text !== '').join(': ') || 'no reason given'
}
