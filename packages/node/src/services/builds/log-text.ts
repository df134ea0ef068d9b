import type { BuilderFrame } from '@elder-node/protocol'

type LogFrame = Extract<BuilderFrame, { type: 'log' }>

/** The log of one attempt as text: frames come with offsets, some of them twice after a reattach, and cut characters in two. */
export class LogText {
  #offset = 0
  readonly #decoders: Record<LogFrame['stream'], TextDecoder> = { stdout: new TextDecoder(), stderr: new TextDecoder() }

  /** Bytes that arrived: where a new stream goes on. */
  get offset (): number { return this.#offset }

  /** `droppedBytes`: what its builder had no room to keep while the stream was broken. */
  take ({ offset, stream, data }: LogFrame): { text: string, droppedBytes: number } {
    const droppedBytes = Math.max(0, offset - this.#offset)
    const known = Math.max(0, this.#offset - offset)
    if (known >= data.length) return { text: '', droppedBytes }
    this.#offset = offset + data.length
    return { text: this.#decoders[stream].decode(data.subarray(known), { stream: true }), droppedBytes }
  }
}
