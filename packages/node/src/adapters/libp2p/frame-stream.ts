/** The port's FrameStream over one libp2p stream: bounded frames, back-pressure both ways, an explicit end. */
import type { Stream } from '@libp2p/interface'
import { ElderError, LIMITS, MalformedError } from '@elder-node/protocol'
import type { DeviceId } from '@elder-node/protocol'
import type { FrameStream } from '../../ports/mesh.ts'
import { FrameDecoder, encodeEnd, encodeFrame } from './frame-decoder.ts'

export interface FrameStreamInit {
  /** @default LIMITS.frameBytesMax */
  frameBytesMax?: number
  /** A frame that has begun must be complete after this many milliseconds. @default 30_000 */
  frameDeadlineMs?: number
}

/** Read ahead this much, then let the peer's send window run dry. */
const READ_AHEAD_BYTES = 1_048_576
const CLOSE_MS = 10_000

export class Libp2pFrameStream implements FrameStream {
  readonly device: DeviceId
  readonly #stream: Stream
  readonly #frameBytesMax: number
  readonly #frameDeadlineMs: number
  readonly #decoder: FrameDecoder
  readonly #closed = new AbortController()
  readonly #frames: Uint8Array[] = []
  #queuedBytes = 0
  #failure: Error | undefined
  #wake: (() => void) | undefined
  #deadline: ReturnType<typeof setTimeout> | undefined
  #sentEnd = false
  #resuming = false

  /** Attach in the turn the stream is handed over: without a listener libp2p buffers 4 MiB, then resets it. */
  constructor (stream: Stream, device: DeviceId, init: FrameStreamInit = {}) {
    this.device = device
    this.#stream = stream
    this.#frameBytesMax = init.frameBytesMax ?? LIMITS.frameBytesMax
    this.#frameDeadlineMs = init.frameDeadlineMs ?? 30_000
    this.#decoder = new FrameDecoder(this.#frameBytesMax)
    stream.addEventListener('message', event => { this.#onBytes(event.data.subarray()) })
    // A FIN may ride on the last data frame and is announced before it: look again after this turn.
    stream.addEventListener('end', () => { queueMicrotask(() => { this.#onNoMore() }) })
    stream.addEventListener('close', event => { this.#onClose(event.error) })
    if (stream.status !== 'open') this.#onClose(undefined)
  }

  /** Fires once, when no frame can be sent or received any more. */
  get closed (): AbortSignal { return this.#closed.signal }

  async send (frame: Uint8Array): Promise<void> {
    if (frame.length > this.#frameBytesMax) throw new ElderError('TOO_LARGE', `a frame of ${frame.length} bytes exceeds the bound of ${this.#frameBytesMax}`)
    await this.#write(encodeFrame(frame))
  }

  async close (): Promise<void> {
    if (this.#sentEnd || this.#closed.signal.aborted) return
    this.#sentEnd = true
    try {
      this.#stream.send(encodeEnd())
      await this.#stream.close({ signal: AbortSignal.timeout(CLOSE_MS) })
    } catch (error) {
      this.abort(error as Error)
    }
  }

  abort (reason: Error): void {
    this.#fail(reason)
    this.#stream.abort(reason)
  }

  /** The next frame, undefined after the peer's end. One reader at a time. Throws what broke the stream. */
  async next (): Promise<Uint8Array | undefined> {
    while (this.#frames.length === 0) {
      if (this.#failure !== undefined) throw this.#failure
      if (this.#decoder.ended) return undefined
      await new Promise<void>(resolve => { this.#wake = resolve })
    }
    const frame = this.#frames.shift() as Uint8Array
    this.#queuedBytes -= frame.length
    if (this.#stream.readStatus === 'paused' && this.#queuedBytes < READ_AHEAD_BYTES / 2) this.#resume()
    return frame
  }

  /** Breaking out keeps the stream open and the rest of the frames: a header may be read first, then the rest. */
  async * [Symbol.asyncIterator] (): AsyncGenerator<Uint8Array> {
    for (let frame = await this.next(); frame !== undefined; frame = await this.next()) yield frame
  }

  async #write (bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#sentEnd || this.#closed.signal.aborted) throw reset('it is closed')
    try {
      if (this.#stream.send(bytes)) return
    } catch (error) {
      throw reset((error as Error).message)
    }
    await this.#drained()
  }

  // Not stream.onDrain(): in @libp2p/utils 7.4 its promise is made once, so from the second time on it resolves at once and
  // back-pressure is lost. The muxer may also say drain while this stream's own window is still empty: hence the loop.
  async #drained (): Promise<void> {
    while (this.#stream.writableNeedsDrain && !this.#closed.signal.aborted) {
      await new Promise<void>(resolve => {
        const done = (): void => {
          this.#stream.removeEventListener('drain', done)
          this.#closed.signal.removeEventListener('abort', done)
          resolve()
        }
        this.#stream.addEventListener('drain', done)
        this.#closed.signal.addEventListener('abort', done)
      })
    }
    if (this.#closed.signal.aborted) throw this.#failure ?? reset('the peer closed it')
  }

  #onBytes (bytes: Uint8Array): void {
    if (this.#failure !== undefined) return
    try {
      for (const frame of this.#decoder.push(bytes)) {
        this.#frames.push(frame)
        this.#queuedBytes += frame.length
      }
    } catch (error) {
      this.abort(error as Error)
      return
    }
    if (!this.#resuming) this.#pauseWhenAhead()
    this.#watchFrame()
    this.#wake?.()
  }

  // resume() hands over what was buffered and only then tells the muxer to go on: a pause() from within would be undone, the
  // peer would send into a reader that does not read, and libp2p resets a stream whose buffer overflows. So: pause after it.
  #resume (): void {
    this.#resuming = true
    this.#stream.resume()
    this.#resuming = false
    this.#pauseWhenAhead()
  }

  #pauseWhenAhead (): void {
    if (this.#queuedBytes > READ_AHEAD_BYTES && this.#stream.readStatus === 'readable') this.#stream.pause()
  }

  /** A paused reader is our own doing: its clock stands. */
  #watchFrame (): void {
    clearTimeout(this.#deadline)
    this.#deadline = undefined
    if (!this.#decoder.partial || this.#stream.readStatus === 'paused') return
    const late = new MalformedError(`a frame was not complete after ${this.#frameDeadlineMs} ms`)
    this.#deadline = setTimeout(() => { this.abort(late) }, this.#frameDeadlineMs)
  }

  #onNoMore (): void {
    if (!this.#decoder.ended) this.#fail(reset('it ended without saying so'))
  }

  #onClose (error: Error | undefined): void {
    // Everything the peer sent before a clean close is still to be read, also when we had paused it.
    if (error === undefined && this.#stream.readStatus === 'paused') this.#stream.resume()
    if (!this.#decoder.ended) this.#fail(reset(error?.message ?? 'the connection closed'))
    clearTimeout(this.#deadline)
    this.#closed.abort()
    this.#wake?.()
  }

  #fail (error: Error): void {
    this.#failure ??= error
    clearTimeout(this.#deadline)
    this.#closed.abort()
    this.#wake?.()
  }
}

function reset (why: string): ElderError {
  return new ElderError('STREAM_RESET', `the stream broke: ${why}`, 'Try again; elder-node status shows whether the device is online.')
}
