/** The two output streams of a container on one connection: frames of [stream, 0, 0, 0, length (4 bytes, big endian), data]. */

const HEADER_BYTES = 8
/** Daemons send 32 KiB at a time; what claims more is no such stream. */
const FRAME_BYTES_MAX = 16_777_216

export interface Chunk { stream: 'stdout' | 'stderr', data: Uint8Array }

/**
 * Passes data on as it comes, before its frame is whole. Asks for more only when the consumer does, so a slow consumer is felt
 * by the container.
 *
 * @throws Error on bytes that are no frame.
 */
export async function * demultiplex (source: AsyncIterable<Uint8Array>): AsyncGenerator<Chunk> {
  let held: Buffer = Buffer.alloc(0)
  let stream: Chunk['stream'] = 'stdout'
  let left = 0
  for await (const bytes of source) {
    held = held.length === 0 ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) : Buffer.concat([held, bytes])
    while (held.length > 0) {
      if (left === 0) {
        if (held.length < HEADER_BYTES) break
        ;({ stream, left } = readHeader(held))
        held = held.subarray(HEADER_BYTES)
        continue
      }
      const data = held.subarray(0, left)
      held = held.subarray(data.length)
      left -= data.length
      yield { stream, data }
    }
  }
}

function readHeader (bytes: Buffer): { stream: Chunk['stream'], left: number } {
  const kind = bytes[0]
  const left = bytes.readUInt32BE(4)
  if ((kind !== 1 && kind !== 2) || bytes[1] !== 0 || bytes[2] !== 0 || bytes[3] !== 0 || left > FRAME_BYTES_MAX) throw new Error('the daemon sent something else than output frames')
  return { stream: kind === 1 ? 'stdout' : 'stderr', left }
}
