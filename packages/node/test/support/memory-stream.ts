import { ElderError, type DeviceId } from '@elder-node/protocol'
import type { FrameStream } from '../../src/ports/mesh.ts'

/** The two ends of one stream: frames are copied, arrive in order, and wait until they are read. */
export function streamPair (toDevice: DeviceId, fromDevice: DeviceId): [FrameStream, FrameStream] {
  const there = new Pipe()
  const back = new Pipe()
  return [new MemoryStream(toDevice, there, back), new MemoryStream(fromDevice, back, there)]
}

class MemoryStream implements FrameStream {
  readonly device: DeviceId
  readonly #out: Pipe
  readonly #in: Pipe

  constructor (device: DeviceId, out: Pipe, input: Pipe) {
    this.device = device
    this.#out = out
    this.#in = input
  }

  async send (frame: Uint8Array): Promise<void> { this.#out.write(frame) }
  async close (): Promise<void> { this.#out.end() }

  abort (reason: Error): void {
    this.#out.fail(reason)
    this.#in.fail(reason)
  }

  [Symbol.asyncIterator] (): AsyncIterator<Uint8Array> { return this.#in.read() }
}

class Pipe {
  readonly #frames: Uint8Array[] = []
  #ended = false
  #error: Error | undefined
  #wake: () => void = () => {}

  write (frame: Uint8Array): void {
    if (this.#ended || this.#error !== undefined) throw new ElderError('CLOSED', 'the stream is closed')
    this.#frames.push(frame.slice())
    this.#wake()
  }

  end (): void {
    this.#ended = true
    this.#wake()
  }

  /** A reset after the end of both sides is no error any more. */
  fail (reason: Error): void {
    if (!this.#ended) this.#error ??= reason
    this.#wake()
  }

  async * read (): AsyncGenerator<Uint8Array> {
    while (true) {
      if (this.#error !== undefined) throw this.#error
      const frame = this.#frames.shift()
      if (frame !== undefined) yield frame
      else if (this.#ended) return
      else await new Promise<void>(resolve => { this.#wake = resolve })
    }
  }
}
