/** One lease's build on its builder: the stream to its requester, which may break and come back, and what must not be lost with it. */
import { encodeFrame, parseTraceparent, type BuilderFrame, type TraceContext, type BuildSpec, type DeviceId, type Lease, type RequestFrame } from '@elder-node/protocol'
import type { FrameStream } from '../../ports/mesh.ts'
import { LogRing } from './log-ring.ts'
import { Queue } from './queue.ts'

export class Job {
  readonly lease: Lease
  readonly spec: BuildSpec
  /** The requester's span; this build's is below it. */
  readonly trace: TraceContext | undefined
  readonly log: LogRing = new LogRing()
  /** Aborts when the build must end: cancel, lapse, deadline, shutdown. */
  readonly controller: AbortController = new AbortController()
  /** Source negotiation and pack, in order. */
  readonly source: Queue<RequestFrame> = new Queue()
  #stream: FrameStream | undefined
  #sentOffset = 0
  #pumping: Promise<void> = Promise.resolve()
  #received = false
  #wake: Array<() => void> = []

  constructor (lease: Lease, spec: BuildSpec) {
    this.lease = lease
    this.spec = spec
    this.trace = parseTraceparent(spec.traceparent)
    // A requester that takes nothing more must not hold what is being sent to it, and with it the slot.
    this.controller.signal.addEventListener('abort', () => {
      this.#stream?.abort(this.controller.signal.reason as Error)
      this.#notify()
    }, { once: true })
  }

  get requester (): DeviceId { return this.lease.requester }
  get stream (): FrameStream | undefined { return this.#stream }
  get received (): boolean { return this.#received }

  /** This stream is the one from now on; the log goes on at the offset that the requester has. */
  connect (stream: FrameStream, logOffset: number): void {
    this.#stream?.abort(new Error('a newer stream took over'))
    this.#stream = stream
    this.#sentOffset = logOffset
    this.#notify()
    this.#pump()
  }

  disconnected (stream: FrameStream): void {
    if (this.#stream !== stream) return
    this.#stream = undefined
    this.source.fail(new Error('the stream broke while the source was sent'))
    this.#notify()
  }

  acknowledge (): void {
    this.#received = true
    this.#notify()
  }

  /** Sends when there is a stream; false when there is none or it broke. */
  async send (frame: BuilderFrame): Promise<boolean> {
    const stream = this.#stream
    if (stream === undefined) return false
    return stream.send(encodeFrame(frame)).then(() => true, () => {
      this.disconnected(stream)
      return false
    })
  }

  write (stream: 'stdout' | 'stderr', data: Uint8Array): void {
    this.log.push(stream, data)
    this.#pump()
  }

  /** Resolves when the log so far is sent or the stream is gone. */
  async flushed (): Promise<void> {
    while (this.#stream !== undefined && this.#sentOffset < this.log.end) await this.#pumping
  }

  /** Resolves when the stream, the acknowledgement or the signal changes. */
  changed (): Promise<void> {
    return new Promise(resolve => {
      if (this.controller.signal.aborted) return resolve()
      this.#wake.push(resolve)
    })
  }

  #pump (): void { this.#pumping = this.#pumping.then(() => this.#drain()) }

  async #drain (): Promise<void> {
    const stream = this.#stream
    if (stream === undefined) return
    for (let piece = this.log.next(this.#sentOffset); piece !== undefined && this.#stream === stream; piece = this.log.next(this.#sentOffset)) {
      this.#sentOffset = piece.offset + piece.data.length
      if (!await this.send({ type: 'log', ...piece })) return
    }
  }

  #notify (): void {
    const wake = this.#wake
    this.#wake = []
    for (const resolve of wake) resolve()
  }
}
