/**
 * Bytes of a stream to frames. Pure.
 *
 *     stream := (length:uint32be bytes[length])* end      end := 0xffffffff
 *
 * The end is said in the stream itself: a FIN that overtakes its reader (data and close already buffered when reading starts)
 * makes libp2p's own iterator hang for ever, and a stream that was cut looks like one that ended.
 */
import { MalformedError } from '@elder-node/protocol'

const HEADER_BYTES = 4
const END = 0xffff_ffff

export function encodeFrame (frame: Uint8Array): Uint8Array {
  const out = new Uint8Array(HEADER_BYTES + frame.length)
  new DataView(out.buffer).setUint32(0, frame.length)
  out.set(frame, HEADER_BYTES)
  return out
}

export function encodeEnd (): Uint8Array { return Uint8Array.of(255, 255, 255, 255) }

export class FrameDecoder {
  readonly #frameBytesMax: number
  #chunks: Uint8Array[] = []
  #buffered = 0
  /** Length of the frame whose header was read. */
  #length: number | undefined
  #ended = false

  constructor (frameBytesMax: number) { this.#frameBytesMax = frameBytesMax }

  /** The peer said that nothing follows. */
  get ended (): boolean { return this.#ended }
  /** A frame has begun and is not complete. Memory held is what arrived, never what a header promised. */
  get partial (): boolean { return this.#buffered > 0 || this.#length !== undefined }

  /** @throws MalformedError on a frame above the bound and on bytes after the end. */
  push (bytes: Uint8Array): Uint8Array[] {
    if (this.#ended && bytes.length > 0) throw new MalformedError('bytes after the end of a stream')
    this.#chunks.push(bytes)
    this.#buffered += bytes.length
    const frames: Uint8Array[] = []
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) frames.push(frame)
    if (this.#ended && this.#buffered > 0) throw new MalformedError('bytes after the end of a stream')
    return frames
  }

  #next (): Uint8Array | undefined {
    if (this.#length === undefined) this.#readHeader()
    if (this.#ended || this.#length === undefined || this.#buffered < this.#length) return undefined
    const frame = this.#take(this.#length)
    this.#length = undefined
    return frame
  }

  #readHeader (): void {
    if (this.#ended || this.#buffered < HEADER_BYTES) return
    const header = this.#take(HEADER_BYTES)
    const length = new DataView(header.buffer, header.byteOffset, HEADER_BYTES).getUint32(0)
    if (length === END) this.#ended = true
    else if (length > this.#frameBytesMax) throw new MalformedError(`a frame of ${length} bytes exceeds the bound of ${this.#frameBytesMax}`)
    else this.#length = length
  }

  #take (count: number): Uint8Array {
    const joined = this.#chunks.length === 1 ? this.#chunks[0] as Uint8Array : Buffer.concat(this.#chunks, this.#buffered)
    const rest = joined.subarray(count)
    this.#chunks = rest.length > 0 ? [rest] : []
    this.#buffered = rest.length
    const taken = joined.subarray(0, count)
    // A small frame must not keep the whole read it came in alive.
    return count * 2 < joined.buffer.byteLength ? Uint8Array.from(taken) : taken
  }
}
