/** The asking half: one long-lived stream per (device, service), opened on demand, many requests in flight. */
import { ElderError } from '@elder-node/protocol'
import type { DeviceId, Value } from '@elder-node/protocol'
import type { FrameStream } from '../../ports/mesh.ts'
import { CALL, CANCEL, ERROR, REPLY, decodeRequestFrame, encodeRequestFrame, fromWireError } from './request-wire.ts'

export interface RequestClientInit {
  /** Requests in flight; more wait here, in order. What the other side's gate allows. */
  concurrencyMax: number
}

const OPEN_MS = 10_000

/** A stream of requests: it says when nothing travels on it any more. */
export interface RequestStream extends FrameStream { readonly closed: AbortSignal }

interface Waiting { stream: RequestStream, resolve: (value: Value) => void, reject: (error: Error) => void }

export class RequestClient {
  readonly #device: DeviceId
  readonly #open: (signal: AbortSignal) => Promise<RequestStream>
  readonly #concurrencyMax: number
  readonly #waiting = new Map<number, Waiting>()
  readonly #queue: Array<() => void> = []
  #stream: Promise<RequestStream> | undefined
  #inFlight = 0
  #nextId = 0

  constructor (device: DeviceId, open: (signal: AbortSignal) => Promise<RequestStream>, init: RequestClientInit) {
    this.#device = device
    this.#open = open
    this.#concurrencyMax = init.concurrencyMax
  }

  /** @throws ElderError with the peer's code, or `UNREACHABLE`, `TIMEOUT`, `ABORTED`, `TOO_LARGE` */
  async request (message: unknown, signal: AbortSignal): Promise<Value> {
    const id = this.#nextId++
    const frame = encodeRequestFrame(id, CALL, message)
    if (signal.aborted) throw aborted(signal, this.#device)
    if (this.#inFlight >= this.#concurrencyMax) await this.#turn(signal)
    this.#inFlight++
    try {
      return await this.#exchange(id, frame, signal)
    } finally {
      this.#inFlight--
      this.#queue.shift()?.()
    }
  }

  /** There is a better connection: the next request opens its stream there, and those in flight are answered where they were asked. */
  renew (): void { this.#stream = undefined }

  /** Ends the stream; requests in flight reject. */
  close (): void {
    void this.#stream?.then(stream => { stream.abort(unreachable(this.#device, 'this node closed the connection')) }, () => {})
  }

  async #exchange (id: number, frame: Uint8Array, signal: AbortSignal): Promise<Value> {
    const stream = await raceAbort(this.#connected(), signal, this.#device)
    return await new Promise<Value>((resolve, reject) => {
      const onAbort = (): void => {
        settle()
        stream.send(encodeRequestFrame(id, CANCEL, undefined)).catch(() => {})
        reject(aborted(signal, this.#device))
      }
      const settle = (): void => {
        this.#waiting.delete(id)
        signal.removeEventListener('abort', onAbort)
      }
      this.#waiting.set(id, {
        stream,
        resolve: value => { settle(); resolve(value) },
        reject: error => { settle(); reject(error) },
      })
      signal.addEventListener('abort', onAbort)
      // A stream that broke rejects everything that waits: its reader does that.
      stream.send(frame).catch((error: Error) => { this.#waiting.get(id)?.reject(unreachable(this.#device, error.message)) })
    })
  }

  // Opened under a time of its own: the first caller may give up while others wait for the same stream.
  async #connected (): Promise<RequestStream> {
    const stream = await (this.#stream ?? this.#begin())
    if (!stream.closed.aborted) return stream
    return await (this.#stream ?? this.#begin())
  }

  #begin (): Promise<RequestStream> {
    const opened = this.#openAndRead(() => { if (this.#stream === opened) this.#stream = undefined })
    this.#stream = opened
    return opened
  }

  async #openAndRead (gone: () => void): Promise<RequestStream> {
    try {
      const stream = await this.#open(AbortSignal.timeout(OPEN_MS))
      void this.#read(stream)
      stream.closed.addEventListener('abort', gone)
      return stream
    } catch (error) {
      gone()
      throw error
    }
  }

  async #read (stream: RequestStream): Promise<void> {
    let why = new Error('the device closed the stream')
    try {
      for await (const frame of stream) this.#onReply(frame)
    } catch (error) {
      why = error as Error
    }
    stream.abort(why)
    for (const waiting of this.#waiting.values()) if (waiting.stream === stream) waiting.reject(unreachable(this.#device, why.message))
  }

  #onReply (bytes: Uint8Array): void {
    const { id, kind, body } = decodeRequestFrame(bytes)
    const waiting = this.#waiting.get(id)
    if (kind === REPLY) waiting?.resolve(body)
    if (kind === ERROR) waiting?.reject(fromWireError(body))
  }

  #turn (signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onTurn = (): void => { signal.removeEventListener('abort', onAbort); resolve() }
      const onAbort = (): void => {
        this.#queue.splice(this.#queue.indexOf(onTurn), 1)
        reject(aborted(signal, this.#device))
      }
      this.#queue.push(onTurn)
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }
}

export function unreachable (device: DeviceId, why: string): ElderError {
  return new ElderError('UNREACHABLE', `device ${device.slice(0, 8)} cannot be reached: ${why}`, 'elder-node status shows which devices are online.', { device })
}

/** The caller's signal as an error: its time was up, or it changed its mind. */
export function aborted (signal: AbortSignal, device: DeviceId): ElderError {
  const isTimeout = (signal.reason as Error | undefined)?.name === 'TimeoutError'
  return isTimeout
    ? new ElderError('TIMEOUT', `device ${device.slice(0, 8)} did not answer in time`, 'elder-node ping measures the way there.', { device })
    : new ElderError('ABORTED', 'the caller gave up', '', { device })
}

function raceAbort<T> (promise: Promise<T>, signal: AbortSignal, device: DeviceId): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => { reject(aborted(signal, device)) }
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => { signal.removeEventListener('abort', onAbort) })
  })
}
