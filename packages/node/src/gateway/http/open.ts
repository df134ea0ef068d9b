/** Where the HTTP door listens: what the owner set, else loopback on a port that is kept. */
import { ElderError } from '@elder-node/protocol'
import { freePort } from '../../adapters/free-ports.ts'
import { portHolder } from '../../adapters/port-holder.ts'
import type { Problem } from '../../api.ts'
import { moved } from '../../services/moved-port.ts'
import type { Observed } from './pages.ts'
import { serveHttp, type HttpServer } from './server.ts'

/** `auto`: loopback, 4708 or a free port at the first start. */
export interface HttpAsked {
  listen: string
  /** The port of an earlier `auto`. */
  kept: number | undefined
}

export interface OpenedHttp {
  server: HttpServer | undefined
  /** It is not where it was. */
  problems: Problem[]
  /** What to remember for the next start. */
  keep: { http?: number }
}

const LOOPBACK = '127.0.0.1'
const DEFAULT_PORT = 4708
const HOST_PORT = /^(?<host>\[[0-9a-f:.]+\]|[^:\s]+):(?<port>\d{1,5})$/i

/**
 * Opens the door. A kept port that somebody else took is replaced, and `status` says so; one that the owner named ends the start.
 *
 * @param random uniform in [0, 1), to choose a port with
 * @throws ElderError `PORT_IN_USE`, `HTTP_LISTEN` for a place that was asked for and cannot be had
 */
export async function openHttp (node: Observed, { listen, kept }: HttpAsked, random: () => number): Promise<OpenedHttp> {
  if (listen === 'off') return { server: undefined, problems: [], keep: {} }
  if (listen !== 'auto') return { server: await atPlace(node, listen), problems: [], keep: {} }
  const wished = kept ?? DEFAULT_PORT
  try {
    return opened(await serveHttp(node, { host: LOOPBACK, port: wished }))
  } catch {
    const server = await atPlace(node, `${LOOPBACK}:${await freePort(LOOPBACK, random)}`)
    const problem = moved('/healthz, /readyz and /metrics', { from: wished, to: server.port, holder: await portHolder(wished) })
    return { ...opened(server), problems: kept === undefined ? [] : [problem] }
  }
}

function opened (server: HttpServer): OpenedHttp { return { server, problems: [], keep: { http: server.port } } }

async function atPlace (node: Observed, listen: string): Promise<HttpServer> {
  const { host = '', port = '' } = HOST_PORT.exec(listen)?.groups ?? {}
  if (host === '' || Number(port) > 65_535) throw new ElderError('HTTP_LISTEN', `"${listen}" is no place to listen on`, `Write it as ${LOOPBACK}:${DEFAULT_PORT}, or off.`)
  const bare = host.replace(/^\[|\]$/g, '')
  return await serveHttp(node, { host: bare, port: Number(port) }).catch(async (error: unknown) => { throw await refused(bare, Number(port), error) })
}

async function refused (host: string, port: number, error: unknown): Promise<ElderError> {
  const { code, message } = error as NodeJS.ErrnoException
  const fix = `elder-node config set http.listen ${LOOPBACK}:${port === 65_535 ? DEFAULT_PORT : port + 1}   (or: off), then start the node again`
  if (code !== 'EADDRINUSE') return new ElderError('HTTP_LISTEN', `${host}:${port} cannot be listened on: ${message}`, fix)
  const holder = await portHolder(port)
  return new ElderError('PORT_IN_USE', `port ${port} is held by ${holder === undefined ? 'another program' : `pid ${holder.pid} (${holder.name})`}`, fix)
}
