/** The answering half of a request stream. */
import { ElderError, MalformedError } from '@elder-node/protocol'
import type { DeviceId } from '@elder-node/protocol'
import type { FrameStream, Gate, RequestHandler } from '../../ports/mesh.ts'
import type { Logger } from '../../ports/log.ts'
import { CONCURRENCY_MAX } from './gate.ts'
import type { Gatekeeper } from './gate.ts'
import { CALL, CANCEL, ERROR, REPLY, decodeRequestFrame, encodeRequestFrame, toWireError } from './request-wire.ts'
import type { RequestFrame } from './request-wire.ts'

const DEADLINE_MS = 10_000
/** Answers on their way, refusals included: a peer that asks and does not read is not read either. */
const ANSWERS_MAX = 2 * CONCURRENCY_MAX

export interface Served { name: string, gate: Gate, handler: RequestHandler }

/** Answers until the stream ends; aborts what still runs then. A frame that breaks a rule costs this stream and nothing else. */
export async function serveRequests (stream: FrameStream, served: Served, gatekeeper: Gatekeeper, log: Logger): Promise<void> {
  const running = new Map<number, AbortController>()
  const answers = new Set<Promise<void>>()
  try {
    for await (const bytes of stream) {
      const frame = decodeRequestFrame(bytes)
      if (frame.kind === CANCEL) running.get(frame.id)?.abort(new ElderError('ABORTED', 'the caller gave up'))
      else if (frame.kind === CALL && !running.has(frame.id)) track(answers, answer(stream, served, frame, running, gatekeeper, log))
      else throw new MalformedError('a request frame that a caller does not send')
      if (answers.size >= ANSWERS_MAX) await Promise.race(answers)
    }
    await stream.close()
  } catch (error) {
    stream.abort(error as Error)
  } finally {
    for (const controller of running.values()) controller.abort(new ElderError('UNREACHABLE', 'the caller is gone'))
  }
}

function track (answers: Set<Promise<void>>, answered: Promise<void>): void {
  answers.add(answered)
  void answered.finally(() => { answers.delete(answered) })
}

/** Never rejects. */
async function answer (
  stream: FrameStream, served: Served, frame: RequestFrame, running: Map<number, AbortController>, gatekeeper: Gatekeeper, log: Logger,
): Promise<void> {
  let leave: (() => void) | undefined
  let reply: Uint8Array
  try {
    leave = gatekeeper.enter(stream.device, served.name, served.gate)
    reply = encodeRequestFrame(frame.id, REPLY, await run(stream.device, served, frame, running))
  } catch (error) {
    if (!(error instanceof ElderError)) log.error({ err: error, service: served.name, device: stream.device }, 'a request handler failed')
    reply = encodeRequestFrame(frame.id, ERROR, toWireError(error))
  }
  // The place is given back only when the reply has left: a peer that does not read cannot pile replies up here.
  await stream.send(reply).catch(() => {})
  leave?.()
}

async function run (device: DeviceId, served: Served, frame: RequestFrame, running: Map<number, AbortController>): Promise<unknown> {
  const controller = new AbortController()
  const deadlineMs = served.gate.deadlineMs ?? DEADLINE_MS
  running.set(frame.id, controller)
  const late = new ElderError('TIMEOUT', `${served.name} took more than ${deadlineMs} ms`)
  const timer = setTimeout(() => { controller.abort(late) }, deadlineMs)
  try {
    return await Promise.race([served.handler(device, frame.body, { signal: controller.signal }), rejection(controller.signal)])
  } finally {
    clearTimeout(timer)
    running.delete(frame.id)
  }
}

function rejection (signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => { reject(signal.reason as Error) }, { once: true })
  })
}
