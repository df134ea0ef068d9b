/**
 * `/healthz`, `/readyz` and `/metrics` for programs on this machine.
 *
 * node:http alone: three pages need no router, and a framework comes with the dashboard that does. Everything is bounded: connections,
 * header bytes, the time of a request and of a reader, requests per connection; what is costly to compute is computed once a second at most.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { refusalOf } from './guard.ts'
import { pageAt, refusalPage, type Observed, type Page } from './pages.ts'

export interface HttpServer {
  /** `http://127.0.0.1:4708`. */
  readonly url: string
  readonly port: number
  /** Ends every connection. Never rejects. */
  close (): Promise<void>
}

const CONNECTIONS_MAX = 32
const HEADER_BYTES_MAX = 8_192
const REQUEST_MS = 3_000
/** A connection on which nothing moves, a reader that does not read included. */
const IDLE_MS = 10_000
const REQUESTS_PER_CONNECTION = 1_000
const FRESH_MS = 1_000
const PATH_CHARS_MAX = 1_024

/** @throws the error of node:net, EADDRINUSE among them */
export async function serveHttp (node: Observed, { host, port }: { host: string, port: number }): Promise<HttpServer> {
  const pages = new PageMemory(node)
  const server = createServer({ maxHeaderSize: HEADER_BYTES_MAX, headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS, keepAliveTimeout: REQUEST_MS, connectionsCheckingInterval: 1_000 }, (request, response) => { answer(request, response, host, pages) })
  server.maxConnections = CONNECTIONS_MAX
  server.maxRequestsPerSocket = REQUESTS_PER_CONNECTION
  server.setTimeout(IDLE_MS, socket => { socket.destroy() })
  await listen(server, host, port)
  const actual = (server.address() as AddressInfo).port
  return { port: actual, url: `http://${host.includes(':') ? `[${host}]` : host}:${actual}`, close: () => close(server) }
}

function answer (request: IncomingMessage, response: ServerResponse, host: string, pages: PageMemory): void {
  const refused = refusalOf({ method: request.method, headers: request.headers, localAddress: request.socket.localAddress }, host)
  const [path = ''] = (request.url ?? '').slice(0, PATH_CHARS_MAX).split('?')
  const page = refused === undefined ? pages.at(path) : refusalPage(refused.status, refused.code, refused.message)
  // A request that is not wanted may go on with a body that nobody reads.
  if (refused !== undefined) response.setHeader('connection', 'close')
  response.writeHead(page.status, {
    'content-type': page.type, 'content-length': Buffer.byteLength(page.body), 'cache-control': 'no-store',
    'x-content-type-options': 'nosniff', 'cross-origin-resource-policy': 'same-origin', 'content-security-policy': "default-src 'none'", ...(page.status === 405 ? { allow: 'GET, HEAD' } : {}),
  })
  response.end(request.method === 'HEAD' ? undefined : page.body)
}

/** However often somebody asks, a page is made once a second. */
class PageMemory {
  readonly #node: Observed
  readonly #made = new Map<string, { atMs: number, page: Page }>()

  constructor (node: Observed) { this.#node = node }

  at (path: string): Page {
    const known = this.#made.get(path)
    if (known !== undefined && performance.now() - known.atMs < FRESH_MS) return known.page
    const page = this.#make(path)
    if (page.status !== 404) this.#made.set(path, { atMs: performance.now(), page })
    return page
  }

  #make (path: string): Page {
    try {
      return pageAt(path, this.#node)
    } catch (error) {
      return refusalPage(500, 'HTTP_FAILED', (error as Error).message)
    }
  }
}

function listen (server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', reject)
      // A connection that could not be accepted, for want of a descriptor for instance, is one page that nobody reads.
      server.on('error', () => {})
      resolve()
    })
  })
}

async function close (server: Server): Promise<void> {
  await new Promise<void>(resolve => {
    server.close(() => { resolve() })
    server.closeAllConnections()
  })
}
