/** Frames on their way out: sent in order, apart from the reading loop, so that two full pipes never wait for each other. */
import type { FrameStream } from '../../ports/mesh.ts'

export class Outbox {
  readonly #stream: FrameStream
  readonly #frames: Uint8Array[] = []
  #bytes = 0
  #pumping: Promise<void> | undefined
  #failed = false

  constructor (stream: FrameStream) { this.#stream = stream }

  /** Bytes that wait. */
  get bytes (): number { return this.#bytes }

  push (frame: Uint8Array): void {
    if (this.#failed) return
    this.#frames.push(frame)
    this.#bytes += frame.length
    this.#pumping ??= this.#pump()
  }

  /** Resolves when nothing waits any more, sent or lost with the stream. */
  async flushed (): Promise<void> { await this.#pumping }

  async #pump (): Promise<void> {
    try {
      for (let frame = this.#frames.shift(); frame !== undefined; frame = this.#frames.shift()) {
        await this.#stream.send(frame)
        this.#bytes -= frame.length
      }
    } catch {
      // The reading loop sees the same break and ends the exchange.
      this.#failed = true
      this.#frames.length = 0
      this.#bytes = 0
    }
    this.#pumping = undefined
  }
}
