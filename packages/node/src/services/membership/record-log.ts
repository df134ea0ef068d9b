/**
 * log := (length (4 bytes, big endian) payload)*
 *
 * No checksum: every payload is a signed record, and is verified when it is read.
 */
export function frame (payloads: readonly Uint8Array[]): Uint8Array {
  const parts: Uint8Array[] = []
  for (const payload of payloads) {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(payload.length)
    parts.push(length, payload)
  }
  return new Uint8Array(Buffer.concat(parts))
}

/** The whole frames from the start; `complete` is false when something follows them that is none. */
export function framesOf (log: Uint8Array, payloadBytesMax: number): { frames: Uint8Array[], complete: boolean } {
  const view = new DataView(log.buffer, log.byteOffset, log.byteLength)
  const frames: Uint8Array[] = []
  let at = 0
  while (at + 4 <= log.length) {
    const length = view.getUint32(at)
    if (length === 0 || length > payloadBytesMax || at + 4 + length > log.length) break
    frames.push(log.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return { frames, complete: at === log.length }
}
