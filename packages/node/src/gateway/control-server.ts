/** The node's side of the control socket: one call per connection, for the owner of the data directory alone. */
import { chmod, lstat, mkdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { dirname } from 'node:path'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { CONTROL_LIMITS, ElderError, parseControlRequest } from '@elder-node/protocol'
import type { ControlMethod, ErrorJson } from '@elder-node/protocol'
import { descriptorBudget } from '../adapters/descriptors.ts'
import { refuseSecond } from '../adapters/live-socket.ts'
import type { ElderNode } from '../api.ts'
import type { Logger } from '../ports/log.ts'
import { handle } from './control-handlers.ts'
import { readJsonLines, writeJsonLine } from './lines.ts'
import { demandOwnFolder } from './socket-owner.ts'

export interface ControlServer {
  readonly socket: string
  /** Takes no more calls, gives those under way `graceMs` to end (default 0), ends them, and removes the socket. Never rejects. */
  close (options?: { graceMs?: number }): Promise<void>
}

export interface ControlServerInit {
  /** Somebody else than the owner may be speaking: verbs over who belongs to the mesh are refused. @default never */
  exposed?: () => boolean
  /** @default no log */
  log?: Logger
  /** Calls at once; more are told `BUSY`. @default 128, or what the descriptors of this process allow */
  connectionsMax?: number
}

const CALLS_MAX = 128

/**
 * Listens on the socket, mode 0600. A socket file that nobody answers (left by a SIGKILL) is replaced.
 *
 * @throws ElderError `LOCKED` when another node answers there
 */
export async function serveControl (node: ElderNode, socket: string, init: ControlServerInit = {}): Promise<ControlServer> {
  await prepareFolder(dirname(socket))
  await removeStale(socket)
  const open = new Set<Socket>()
  const { calls } = descriptorBudget()
  const callsMax = init.connectionsMax ?? Math.min(CALLS_MAX, calls)
  const server = createServer((connection) => {
    const busy = open.size >= callsMax
    open.add(connection)
    connection.on('close', () => open.delete(connection))
    if (busy) return turnAway(connection, callsMax)
    serveCall(node, connection, init.exposed).catch((error: unknown) => init.log?.debug({ error }, 'control call ended'))
  })
  // Beyond that not even a word: whoever does this is no person with a terminal.
  server.maxConnections = Math.min(8 * callsMax, calls)
  await listen(server, socket)
  // A connection that could not be accepted, for want of a descriptor for instance. The next one may.
  server.on('error', (error) => init.log?.warn({ err: error }, 'a command could not reach the node'))
  return { socket, close: ({ graceMs = 0 } = {}) => close(server, open, graceMs) }
}

function turnAway (connection: Socket, callsMax: number): void {
  const error = errorJson(new ElderError('BUSY', `this node answers ${callsMax} commands at once, its limit`, 'Repeat the command when some of them have ended.'))
  connection.on('error', () => connection.destroy()).setTimeout(CONTROL_LIMITS.requestMsMax, () => connection.destroy())
  connection.resume().end(`${JSON.stringify({ error })}\n`)
}

async function serveCall (node: ElderNode, connection: Socket, exposed: (() => boolean) | undefined): Promise<void> {
  const gone = new AbortController()
  const leave = (): void => gone.abort(new ElderError('CANCELLED', 'the caller went away'))
  connection.on('error', leave).on('close', leave)
  connection.setTimeout(CONTROL_LIMITS.requestMsMax, () => connection.destroy())
  try {
    const lines = readJsonLines(connection, CONTROL_LIMITS.requestBytesMax)
    const first = await lines.next()
    if (first.done === true) return
    connection.setTimeout(0)
    watchForEnd(lines, leave)
    await answer(node, connection, first.value, { signal: gone.signal, exposed })
  } catch (error) {
    if (!gone.signal.aborted) await writeJsonLine(connection, { error: errorJson(error) }, gone.signal)
  } finally {
    connection.destroySoon()
  }
}

/** The caller says nothing after its request: anything more, or its end, cancels the call. */
function watchForEnd (lines: AsyncGenerator<unknown>, leave: () => void): void {
  lines.next().then(leave, leave)
}

interface Caller { signal: AbortSignal, exposed: ControlServerInit['exposed'] }

/** Who belongs to the mesh: a build that speaks as this node's user must not decide that. */
const MEMBERSHIP: ReadonlySet<ControlMethod> = new Set(['invite', 'promote', 'evict', 'leave'])

async function answer (node: ElderNode, connection: Socket, request: unknown, { signal, exposed }: Caller): Promise<void> {
  const parsed = parseControlRequest(request)
  if (MEMBERSHIP.has(parsed.method) && exposed?.() === true) {
    throw new ElderError('PROCESS_RUNS', `a build runs here as the user of this node, and could be the one that asks: ${parsed.method} waits for its end`, 'Repeat the command when elder-node status shows no build here; an engine that isolates needs no wait.')
  }
  const work = handle(node, parsed, signal)
  if (!(Symbol.asyncIterator in work)) return await writeJsonLine(connection, { result: await work }, signal)
  for await (const event of work) await writeJsonLine(connection, { event }, signal)
  await writeJsonLine(connection, { end: true }, signal)
}

/** What the caller may see of anything thrown: never a stack trace. */
function errorJson (error: unknown): ErrorJson {
  const { code, message, fix, data } = (error ?? {}) as Partial<ErrorJson>
  if (typeof code !== 'string' || typeof fix !== 'string') {
    return { code: 'INTERNAL', message: `the node failed: ${String(message ?? error)}`, fix: 'Look at the end of node.log in the data directory.' }
  }
  return { code, message: String(message), fix, ...(data === undefined || Object.keys(data).length === 0 ? {} : { data }) }
}

/** In a shared temporary directory somebody else could have made it first. */
async function prepareFolder (folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await demandOwnFolder(folder)
}

async function removeStale (socket: string): Promise<void> {
  const there = await lstat(socket).catch(() => undefined)
  if (there === undefined) return
  await refuseSecond(socket)
  await rm(socket, { force: true })
}

async function listen (server: Server, socket: string): Promise<void> {
  // The file appears inside listen(): the mask closes the moment between its creation and the chmod.
  const mask = process.umask(0o177)
  try {
    server.listen(socket)
  } finally {
    process.umask(mask)
  }
  await once(server, 'listening')
  await chmod(socket, 0o600)
}

async function close (server: Server, open: Set<Socket>, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  if (graceMs > 0) await Promise.race([closed, sleep(graceMs, undefined, { ref: false })])
  for (const connection of open) connection.destroy()
  await closed
}
