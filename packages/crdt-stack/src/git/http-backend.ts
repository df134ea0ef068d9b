/** A git remote over HTTP on loopback for tests, demos and LANs: `git http-backend` behind node:http. Needs git, nothing else. */
import { timingSafeEqual } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import { runGit, startGit, type RunningGit } from './run.ts'

export interface GitServerInit {
  /** Folder of the bare repositories; `<root>/notes.git` is served as `<url>/notes.git`. */
  root: string
  /** @default 0: any free port */
  port?: number
  /** @default '127.0.0.1' */
  host?: string
  /** Demands this user and password of everyone. @default none: whoever reaches the port may read and push */
  auth?: { user: string, password: string }
  /** Asked before git: an HTTP status refuses the request, undefined lets it through. For faults and delays. */
  intercept?: (request: { method: string, path: string, query: string }) => Promise<number | undefined> | number | undefined
  /** Bytes of one push. @default 1_073_741_824 */
  bodyBytesMax?: number
  /** Requests served at once; more are answered 503. @default 32 */
  requestsMax?: number
}

export interface GitServer {
  /** `http://127.0.0.1:<port>`, without a slash at the end. */
  readonly url: string
  readonly port: number
  /** Makes an empty bare repository that accepts pushes and returns its URL. Does nothing to one that is there. */
  create (name: string): Promise<string>
  /** Drops every connection and ends. */
  close (): Promise<void>
}

/** One request, however large its push. */
const REQUEST_MS = 3_600_000
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/
const PATH = /^\/[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9._-]+)+$/

/** @throws ElderError `GIT_SERVER` when the port cannot be had. */
export async function serveGit (init: GitServerInit): Promise<GitServer> {
  // Loaded by those who serve: every node loads this module, and node:http weighs 9 MB.
  const { createServer } = await import('node:http')
  let active = 0
  const server = createServer((request, response) => {
    if (active >= (init.requestsMax ?? 32)) return void refuse(response, 503)
    active++
    response.once('close', () => { active-- })
    serve(init, request, response).catch(() => { refuse(response, 500) })
  })
  const host = init.host ?? '127.0.0.1'
  await listen(server, init.port ?? 0, host)
  const { port } = server.address() as AddressInfo
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  return { url, port, create: name => create(init.root, url, name), close: () => close(server) }
}

async function create (root: string, url: string, name: string): Promise<string> {
  if (!NAME.test(name)) throw new ElderError('GIT_SERVER', `"${name}" is not a repository name`)
  const dir = join(resolve(root), name)
  const signal = AbortSignal.timeout(30_000)
  await mkdir(dir, { recursive: true })
  await runGit({ profile: 'own', args: ['init', '--bare', '--quiet', dir], signal })
  await runGit({ profile: 'own', args: ['config', 'http.receivepack', 'true'], gitDir: dir, signal })
  return `${url}/${name}`
}

async function serve (init: GitServerInit, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path = '', query = ''] = (request.url ?? '').split('?', 2)
  const status = await init.intercept?.({ method: request.method ?? '', path, query })
  if (status !== undefined) return refuse(response, status)
  if (init.auth !== undefined && !authorized(init.auth, request.headers.authorization)) return refuse(response, 401)
  if (!PATH.test(path) || path.includes('..')) return refuse(response, 404)
  runBackend(init, path, query, request, response)
}

function runBackend (init: GitServerInit, path: string, query: string, request: IncomingMessage, response: ServerResponse): void {
  const header = (name: string): string => String(request.headers[name] ?? '')
  const gone = new AbortController()
  const git: RunningGit = startGit({
    profile: 'serve', args: ['http-backend'], signal: gone.signal, deadlineMs: REQUEST_MS,
    env: {
      GIT_PROJECT_ROOT: resolve(init.root), GIT_HTTP_EXPORT_ALL: '1', PATH_INFO: path, QUERY_STRING: query, REQUEST_METHOD: request.method ?? '',
      CONTENT_TYPE: header('content-type'), HTTP_CONTENT_ENCODING: header('content-encoding'), GIT_PROTOCOL: header('git-protocol'), REMOTE_ADDR: request.socket.remoteAddress ?? '',
      ...(request.headers['content-length'] === undefined ? {} : { CONTENT_LENGTH: header('content-length') }),
      ...(init.auth === undefined ? {} : { REMOTE_USER: init.auth.user }),
    },
  })
  let received = 0
  request.on('data', (chunk: Buffer) => {
    received += chunk.length
    if (received > (init.bodyBytesMax ?? 1_073_741_824)) request.destroy()
  })
  git.end.catch(() => { refuse(response, 500) })
  request.pipe(git.stdin)
  request.once('error', git.kill)
  response.once('close', () => { gone.abort() })
  relay(git.stdout, response)
}

/** Splits the CGI header from the body; what follows is piped. */
function relay (output: NodeJS.ReadableStream, response: ServerResponse): void {
  let head: Buffer = Buffer.alloc(0)
  const onData = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk])
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return
    output.removeListener('data', onData)
    const fields = head.toString('latin1', 0, end).split('\r\n').map(line => line.split(/:\s*/, 2) as [string, string])
    const status = Number(fields.find(([name]) => name.toLowerCase() === 'status')?.[1]?.slice(0, 3) ?? 200)
    response.writeHead(status, fields.filter(([name]) => name.toLowerCase() !== 'status').flat())
    response.write(head.subarray(end + 4))
    output.pipe(response)
  }
  output.on('data', onData)
  output.once('end', () => { refuse(response, 500) })
}

function refuse (response: ServerResponse, status: number): void {
  if (response.headersSent) return
  response.writeHead(status, { 'content-length': 0, connection: 'close', ...(status === 401 ? { 'www-authenticate': 'Basic realm="git"' } : {}) })
  response.end()
}

function authorized (auth: { user: string, password: string }, header: string | undefined): boolean {
  const given = Buffer.from(header ?? '')
  const wanted = Buffer.from(`Basic ${Buffer.from(`${auth.user}:${auth.password}`).toString('base64')}`)
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}

function listen (server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', error => { reject(new ElderError('GIT_SERVER', `cannot serve git on ${host}:${port}: ${error.message}`, 'Choose another port, or 0 for any free one.')) })
    server.listen(port, host, resolve)
  })
}

function close (server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => { resolve() })
    server.closeAllConnections()
  })
}
