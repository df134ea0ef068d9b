/**
 * The framed log of one feed on disk.
 *
 * frame   := magic, length, crc32 of the length, crc32 of the payload, payload          4 bytes each but the last, big endian
 * payload := [from, [record bytes, ...], [seq, hash, signature]]     one batch, as CBOR
 *
 * The order of frames means nothing: a batch attaches to the record that its first `prev` names. So one flipped bit costs its own
 * frame and no other: the reader looks for the next magic from which a whole frame reads. The checksum is zlib's, which Node has
 * in native code. The length has one of its own: only a length that is true can say that the file ends too early.
 */
import { crc32 } from 'node:zlib'
import { decode, encode, headOf, headValue, type Batch, type FeedId } from '@elder-node/protocol'

const MAGIC = Buffer.from([0xe1, 0xde, 0x72, 0x02])
export const HEADER: number = MAGIC.length + 12
/** A batch and its envelope; a length beyond it is damage, not data. */
const PAYLOAD_MAX = 1_048_576

export interface Gap { at: number, bytes: number }
export interface ReadLog {
  batches: Batch[]
  /** Bytes between or behind frames that are no frame. */
  damaged: Gap[]
  /** The last frame when it was not written to its end: what a crash leaves of a write that nobody was told of. */
  torn: Gap | undefined
}

export function frameOf (batch: Batch): Uint8Array { return framed(encode([batch.from, batch.records, headValue(batch.head)])) }

export function framed (payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEADER + payload.length)
  const view = new DataView(frame.buffer)
  frame.set(MAGIC)
  view.setUint32(MAGIC.length, payload.length)
  view.setUint32(MAGIC.length + 4, crc32(frame.subarray(MAGIC.length, MAGIC.length + 4)))
  view.setUint32(MAGIC.length + 8, crc32(payload))
  frame.set(payload, HEADER)
  return frame
}

/** Everything that reads, wherever it stands. */
export function readLog (feed: FeedId, bytes: Buffer): ReadLog {
  const log: ReadLog = { batches: [], damaged: [], torn: undefined }
  for (let at = 0; at < bytes.length;) {
    const payload = payloadAt(bytes, at)
    const batch = payload === undefined ? undefined : batchOf(feed, payload)
    if (payload !== undefined && batch !== undefined) {
      log.batches.push(batch)
      at += HEADER + payload.length
      continue
    }
    const next = nextFrame(bytes, at + 1)
    if (next === bytes.length && isTorn(bytes, at)) log.torn = { at, bytes: next - at }
    else log.damaged.push({ at, bytes: next - at })
    at = next
  }
  return log
}

/** The payload of one whole frame, alone in its file; undefined when it does not read. */
export function unframed (bytes: Buffer): Uint8Array | undefined { return payloadAt(bytes, 0) }

function payloadAt (bytes: Buffer, at: number): Uint8Array | undefined {
  const length = lengthAt(bytes, at)
  if (length === undefined || at + HEADER + length > bytes.length) return undefined
  const payload = bytes.subarray(at + HEADER, at + HEADER + length)
  return crc32(payload) === bytes.readUInt32BE(at + MAGIC.length + 8) ? payload : undefined
}

/** What a whole header says; undefined when there is none or it does not read. */
function lengthAt (bytes: Buffer, at: number): number | undefined {
  if (at + HEADER > bytes.length || bytes.compare(MAGIC, 0, MAGIC.length, at, at + MAGIC.length) !== 0) return undefined
  const begin = at + MAGIC.length
  const length = bytes.readUInt32BE(begin)
  return length <= PAYLOAD_MAX && crc32(bytes.subarray(begin, begin + 4)) === bytes.readUInt32BE(begin + 4) ? length : undefined
}

function nextFrame (bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(MAGIC, from); at !== -1; at = bytes.indexOf(MAGIC, at + 1)) {
    if (payloadAt(bytes, at) !== undefined) return at
  }
  return bytes.length
}

/** Does a frame begin here and end beyond the file? */
function isTorn (bytes: Buffer, at: number): boolean {
  const head = bytes.subarray(at, at + MAGIC.length)
  if (head.compare(MAGIC, 0, head.length) !== 0) return false
  if (at + HEADER > bytes.length) return true
  const length = lengthAt(bytes, at)
  return length !== undefined && at + HEADER + length > bytes.length
}

function batchOf (feed: FeedId, payload: Uint8Array): Batch | undefined {
  try {
    const [from, records, head] = decode(payload, PAYLOAD_MAX) as [number, Uint8Array[], Parameters<typeof headOf>[0]]
    return { feed, from, records, head: headOf(head) }
  } catch {
    return undefined
  }
}
