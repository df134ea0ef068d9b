/** HTTP over a Unix socket, as container daemons speak it: bounded replies, deadlines, lines, and the raw connection of an attach. */
import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Duplex, Readable } from 'node:stream'
import { ElderError } from '@elder-node/protocol'

/** A reply of the API; the longest (a list of images) is far below. */
const REPLY_BYTES_MAX = 16_777_216
const LINE_CHARS_MAX = 1_048_576
/** Far above the median of every call that is answered at once. */
const REPLY_MS = 30_000

export interface Call {
  /** Values are encoded here. */
  query?: Record<string, string | undefined>
  /** Sent as JSON. */
  json?: unknown
  /** Sent as it is. */
  body?: Readable | Uint8Array
  /** Ends the call. Alone: without one the call has 30 s. */
  signal?: AbortSignal
}

/** The daemon answered with an error status. */
export class DaemonError extends Error {
  readonly status: number

  constructor (status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** The daemon could not be reached or went away. `errno` is the system's name for it. */
export class UnreachableError extends Error {
  readonly errno: string

  constructor (errno: string, message: string) {
    super(message)
    this.errno = errno
  }
}

export class DaemonSocket {
  readonly path: string

  constructor (path: string) { this.path = path }

  /** One call and its whole reply; undefined for an empty one. @throws DaemonError, UnreachableError */
  async json<T> (method: string, path: string, call: Call = {}): Promise<T> {
    const text = await readAll(await this.#send(method, path, { signal: AbortSignal.timeout(REPLY_MS), ...call }))
    try {
      return (text === '' ? undefined : JSON.parse(text)) as T
    } catch (error) {
      throw new DaemonError(502, `the daemon's answer to ${method} ${path} is no JSON: ${(error as Error).message}`)
    }
  }

  /** The reply's lines of JSON as they come. Ends the call when the consumer leaves. */
  async * lines (method: string, path: string, call: Call & { signal: AbortSignal }): AsyncGenerator<Record<string, unknown>> {
    const reply = await this.#send(method, path, call)
    let text = ''
    try {
      for await (const chunk of reply.setEncoding('utf8') as AsyncIterable<string>) {
        text += chunk
        if (text.length > LINE_CHARS_MAX) throw new DaemonError(502, 'the daemon sent a line without end')
        const lines = text.split('\n')
        text = lines.pop() ?? ''
        for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as Record<string, unknown>
      }
      if (text.trim() !== '') yield JSON.parse(text) as Record<string, unknown>
    } finally {
      reply.destroy()
    }
  }

  /** Turns the call's connection into a raw one: what an attach is. */
  upgrade (path: string, call: Call = {}): Promise<Duplex> {
    const asked = this.#request('POST', path, call, { Connection: 'Upgrade', Upgrade: 'tcp' })
    // A signal of the request would end the raw connection too, long after its time.
    const late = setTimeout(() => { asked.destroy(new Error('no answer to an attach')) }, REPLY_MS)
    return new Promise<Duplex>((resolve, reject) => {
      asked.once('upgrade', (_reply, socket, head) => {
        socket.pause()
        if (head.length > 0) socket.unshift(head)
        resolve(socket)
      })
      asked.once('response', reply => { readError(reply).then(reject, reject) })
      asked.once('error', error => { reject(unreachable(this.path, error)) })
      asked.end()
    }).finally(() => { clearTimeout(late) })
  }

  #send (method: string, path: string, call: Call): Promise<IncomingMessage> {
    const asked = this.#request(method, path, call, {})
    return new Promise((resolve, reject) => {
      asked.once('response', reply => {
        if ((reply.statusCode ?? 500) < 400) resolve(reply)
        else readError(reply).then(reject, reject)
      })
      asked.once('error', error => { reject(unreachable(this.path, error)) })
      if (call.body === undefined) asked.end(call.json === undefined ? undefined : JSON.stringify(call.json))
      else if (call.body instanceof Uint8Array) asked.end(call.body)
      else call.body.pipe(asked)
    })
  }

  #request (method: string, path: string, { query = {}, json, body, signal }: Call, headers: Record<string, string>): ClientRequest {
    const words = Object.entries(query).flatMap(([name, value]) => value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`])
    const type = json !== undefined ? { 'Content-Type': 'application/json' } : body !== undefined ? { 'Content-Type': 'application/x-tar' } : {}
    return request({
      socketPath: this.path, method, path: words.length === 0 ? path : `${path}?${words.join('&')}`,
      headers: { Host: 'daemon', ...type, ...headers }, agent: false, ...(signal === undefined ? {} : { signal }),
    })
  }
}

async function readAll (reply: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of reply as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > REPLY_BYTES_MAX) throw new DaemonError(502, `the daemon's answer is longer than ${REPLY_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

async function readError (reply: IncomingMessage): Promise<DaemonError> {
  const text = await readAll(reply)
  let message = text.trim()
  try {
    message = (JSON.parse(text) as { message?: string }).message ?? message
  } catch {
    // Not every proxy in front of a daemon answers JSON.
  }
  return new DaemonError(reply.statusCode ?? 500, message.slice(0, 2000))
}

function unreachable (path: string, error: Error & { code?: string }): Error {
  return error.name === 'AbortError' || error.name === 'TimeoutError' ? error : new UnreachableError(error.code ?? 'UNKNOWN', `${path}: ${error.message}`)
}

/** What a user is told about a daemon that failed in the middle of something. */
export function daemonFailed (what: string, error: unknown): ElderError {
  if (error instanceof ElderError) return error
  const { message } = error as Error
  const fix = error instanceof UnreachableError ? 'Is the container daemon running on the builder? See: elder-node doctor' : 'See: elder-node doctor   (on the builder)'
  return new ElderError('ENGINE_FAILED', `${what}: ${message}`, fix, {}, { cause: error })
}
