/**
 * The framed log of one feed on disk.
 *
 * frame   := length (4 bytes, big endian), crc32 of payload (4 bytes, big endian), payload
 * payload := [from, [record bytes, ...], [seq, hash, signature]]     one batch, as CBOR
 */
import { crc32 } from 'node:zlib'
import { decode, encode, headOf, headValue, type Batch, type FeedId } from '@elder-node/protocol'
import type { StoredFeed } from '../types.ts'

const HEADER = 8
/** A batch and its envelope; a length beyond it is damage, not data. */
const PAYLOAD_MAX = 1_048_576

export function frameOf (batch: Batch): Uint8Array {
  return framed(encode([batch.from, batch.records, headValue(batch.head)]))
}

export function framed (payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEADER + payload.length)
  const view = new DataView(frame.buffer)
  view.setUint32(0, payload.length)
  view.setUint32(4, crc32(payload))
  frame.set(payload, HEADER)
  return frame
}

/** Payloads of the whole frames from the start, and where the first broken or unfinished one begins. */
export function unframed (bytes: Uint8Array, payloadMax: number = PAYLOAD_MAX): { payloads: Uint8Array[], end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const payloads: Uint8Array[] = []
  let at = 0
  while (at + HEADER <= bytes.length) {
    const length = view.getUint32(at)
    const payload = bytes.subarray(at + HEADER, at + HEADER + length)
    if (length > payloadMax || payload.length < length || crc32(payload) !== view.getUint32(at + 4)) break
    payloads.push(payload)
    at += HEADER + length
  }
  return { payloads, end: at }
}

/** The feed in a log's bytes, up to the first frame that is torn or does not continue it. */
export function feedOf (feed: FeedId, bytes: Uint8Array): { stored: StoredFeed, end: number } {
  const stored: StoredFeed = { feed, records: [], heads: [] }
  let end = 0
  for (const payload of unframed(bytes).payloads) {
    if (!take(stored, payload)) break
    end += HEADER + payload.length
  }
  return { stored, end }
}

function take (stored: StoredFeed, payload: Uint8Array): boolean {
  try {
    const [from, records, head] = decode(payload, PAYLOAD_MAX) as [number, Uint8Array[], Parameters<typeof headOf>[0]]
    if (from !== stored.records.length + 1) return false
    stored.records.push(...records)
    stored.heads.push(headOf(head))
    return true
  } catch {
    return false
  }
}
