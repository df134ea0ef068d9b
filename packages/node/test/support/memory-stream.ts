/**
 * The two ends of one stream of {@link MemoryNetwork}: bounded frames in order, back-pressure, half-close and reset, as the
 * port promises and as the streams over libp2p do. The acceptance suite of the Mesh port holds both to the same text.
 */
import { ElderError, LIMITS, type DeviceId } from '@elder-node/protocol'
import type { FrameStream } from '../../src/ports/mesh.ts'

/** Bytes that may be on their way and unread before the sender waits: the read-ahead of a real stream. */
const WINDOW_BYTES = 1_048_576

/** Takes something to the other end; keeps the order. */
export type Carry = (deliver: () => void) => void

/** `there` carries from the first end to the second, `back` from the second to the first. */
export function streamPair (toDevice: DeviceId, fromDevice: DeviceId, there: Carry, back: Carry): [MemoryStream, MemoryStream] {
  const dialer = new MemoryStream(toDevice, there)
  const listener = new MemoryStream(fromDevice, back)
  dialer.peer = listener
  listener.peer = dialer
  return [dialer, listener]
}

export class MemoryStream implements FrameStream {
  readonly device: DeviceId
  peer: MemoryStream | undefined
  readonly #carry: Carry
  readonly #closed = new AbortController()
  readonly #frames: Uint8Array[] = []
  #unreadBytes = 0
  #failure: Error | undefined
  #sentEnd = false
  #gotEnd = false
  #wakeReader: () => void = () => {}
  #wakeSenders: Array<() => void> = []

  constructor (device: DeviceId, carry: Carry) {
    this.device = device
    this.#carry = carry
  }

  /** Fires once, when no frame can be sent or received any more. */
  get closed (): AbortSignal { return this.#closed.signal }

  /** What broke it here. */
  get failure (): Error | undefined { return this.#failure }

  async send (frame: Uint8Array): Promise<void> {
    if (frame.length > LIMITS.frameBytesMax) throw new ElderError('TOO_LARGE', `a frame of ${frame.length} bytes exceeds the bound`)
    if (this.#failure !== undefined) throw this.#failure
    if (this.#sentEnd || this.#closed.signal.aborted) throw reset('it is closed')
    const copy = frame.slice()
    this.#unreadBytes += copy.length
    this.#carry(() => { this.peer?.arrive(copy) })
    while (this.#unreadBytes > WINDOW_BYTES && !this.#closed.signal.aborted) {
      await new Promise<void>(resolve => { this.#wakeSenders.push(resolve) })
    }
    if (this.#failure !== undefined) throw this.#failure
  }

  async close (): Promise<void> {
    if (this.#sentEnd || this.#closed.signal.aborted) return
    this.#sentEnd = true
    this.#carry(() => { this.peer?.arriveEnd() })
    this.#closeWhenBothEnded()
  }

  abort (reason: Error): void {
    if (this.#closed.signal.aborted) return
    this.break(reason)
    // Why does not travel: a reset carries no words.
    this.#carry(() => { this.peer?.break(reset('the peer reset it')) })
  }

  async * [Symbol.asyncIterator] (): AsyncGenerator<Uint8Array> {
    for (let frame = await this.#next(); frame !== undefined; frame = await this.#next()) yield frame
  }

  // --- what the other end and the network do to this one

  arrive (frame: Uint8Array): void {
    if (this.#failure !== undefined) return
    this.#frames.push(frame)
    this.#wakeReader()
  }

  arriveEnd (): void {
    this.#gotEnd = true
    this.#closeWhenBothEnded()
    this.#wakeReader()
  }

  /** The peer read so many bytes. */
  taken (bytes: number): void {
    this.#unreadBytes -= bytes
    this.#wake()
  }

  /** What arrived whole before stays readable; what is missing is an error, never a silent end. */
  break (reason: Error): void {
    if (!this.#closed.signal.aborted) this.#failure ??= reason
    this.#closed.abort()
    this.#wakeReader()
    this.#wake()
  }

  async #next (): Promise<Uint8Array | undefined> {
    while (this.#frames.length === 0) {
      if (this.#failure !== undefined) throw this.#failure
      if (this.#gotEnd) return undefined
      await new Promise<void>(resolve => { this.#wakeReader = resolve })
    }
    const frame = this.#frames.shift() as Uint8Array
    if (!this.#closed.signal.aborted) this.#carry(() => { this.peer?.taken(frame.length) })
    return frame
  }

  #closeWhenBothEnded (): void { if (this.#sentEnd && this.#gotEnd) this.#closed.abort() }

  #wake (): void { for (const wake of this.#wakeSenders.splice(0)) wake() }
}

export function reset (why: string): ElderError { return new ElderError('STREAM_RESET', `the stream broke: ${why}`) }
