/** The caller's side of the control socket. Loads no libp2p: a command answers in the time Node needs to start. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { once } from 'node:events'
import { CONTROL_LIMITS, CONTROL_SCHEMA, ElderError, codeOf, parseControlReply } from '@elder-node/protocol'
import type { ControlCall, ControlMethod, ControlMethods, ControlReply, ControlStream } from '@elder-node/protocol'
import type { ControlAnswers } from './control-handlers.ts'
import { readJsonLines } from './lines.ts'
import { hasMesh } from './location.ts'
import type { Location } from './location.ts'
import { demandOwnSocket, notYours } from './socket-owner.ts'

export interface ControlOptions { signal: AbortSignal }

/** Speaks to the node that runs on a data directory. */
export class ControlClient {
  readonly #location: Location

  constructor (location: Location) { this.#location = location }

  /** @throws ElderError `NO_MESH`, `NOT_RUNNING`, `EVICTED` when the node will not run again, or what the node answered */
  async call<M extends ControlCall> (method: M, params: ControlMethods[M], options: ControlOptions): Promise<ControlAnswers[M]> {
    for await (const reply of this.#replies(method, params, options.signal)) if ('result' in reply) return reply.result as ControlAnswers[M]
    throw await this.#broken()
  }

  /** Leaving the loop, or aborting `signal`, cancels the call. */
  async * stream<M extends ControlStream> (method: M, params: ControlMethods[M], options: ControlOptions): AsyncGenerator<ControlAnswers[M]> {
    for await (const reply of this.#replies(method, params, options.signal)) {
      if ('end' in reply) return
      if ('event' in reply) yield reply.event as ControlAnswers[M]
    }
    throw await this.#broken()
  }

  async * #replies (method: ControlMethod, params: unknown, signal: AbortSignal): AsyncGenerator<ControlReply> {
    const socket = await this.#connect(signal)
    const abort = (): void => { socket.destroy(signal.reason instanceof Error ? signal.reason : undefined) }
    signal.addEventListener('abort', abort, { once: true })
    try {
      socket.write(`${JSON.stringify({ schema: CONTROL_SCHEMA, method, params })}\n`)
      for await (const line of readJsonLines(socket, CONTROL_LIMITS.replyBytesMax)) yield parseControlReply(method, line)
    } catch (error) {
      if (signal.aborted) throw signal.reason
      throw ['ECONNRESET', 'EPIPE'].includes(codeOf(error)) ? await this.#broken() : error
    } finally {
      signal.removeEventListener('abort', abort)
      socket.destroy()
    }
  }

  async #connect (signal: AbortSignal): Promise<Socket> {
    signal.throwIfAborted()
    await demandOwnSocket(this.#location)
    const socket = connect(this.#location.socket)
    try {
      await once(socket, 'connect', { signal })
      return socket
    } catch (error) {
      socket.destroy()
      if (signal.aborted) throw signal.reason
      throw await this.#notRunning(error)
    }
  }

  async #notRunning (cause: unknown): Promise<ElderError> {
    const { dir, socket, flag } = this.#location
    if (codeOf(cause) === 'EACCES') return notYours(socket, cause)
    if (!hasMesh(dir)) return new ElderError('NO_MESH', `no mesh here yet: ${dir} belongs to no mesh`, `elder-node join${flag}   (founds one; with --ticket-file <path> it joins another device's)`, { dir })
    const fate = await this.#fate()
    if (fate !== undefined) return fate
    return new ElderError('NOT_RUNNING', `the node of ${dir} is not running`, `elder-node join${flag}`, { dir }, { cause })
  }

  /** It ended in the middle of a call. What put the device out stands on its disk by then, and says more than that. */
  async #broken (): Promise<ElderError> {
    return await this.#fate() ?? broken()
  }

  async #fate (): Promise<ElderError | undefined> {
    const { fateOfDir } = await import('./fate.ts')
    return fateOfDir(this.#location.dir)
  }
}

function broken (): ElderError {
  return new ElderError('NOT_RUNNING', 'the node went away before it answered', 'elder-node join   (and look at the end of node.log in the data directory)')
}
