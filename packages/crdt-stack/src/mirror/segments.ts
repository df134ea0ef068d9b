/**
 * A segment: one window of one path of a feed as an immutable file.
 *
 * segment := frame*        in order, together the records from..to of one path; the last record of the last frame is its end
 * frame   := length(4 bytes, big endian) CBOR of a wire batch, at most LIMITS.frameBytesMax
 *
 * Frames, not one CBOR array: each batch is bounded before it is decoded, so a hostile file costs no more than a hostile message.
 * A frame attaches to a record of the frames before it: where the path leaves a batch that one signature covers, that batch may
 * stand there as a whole, and the path goes on behind it.
 */
import { batchOf, batchValue, decode, encode, LIMITS, MalformedError, toHex, verifyBatch, type Batch, type ChainedRecord, type Crypto, type StackId } from '@elder-node/protocol'
import { windowStart } from '../feeds/path.ts'
import { shortHash, type SegmentName } from './layout.ts'

/** Bytes of one segment: a window of the largest records with their frames. */
export const SEGMENT_BYTES_MAX: number = LIMITS.batchRecordsMax * LIMITS.frameBytesMax

export interface Segment { name: SegmentName, content: Uint8Array }

/** `batches` are the records of one window, from its start, without gaps. */
export function makeSegment (batches: Batch[]): Segment {
  const merged = mergeBatches(batches)
  const first = merged[0] as Batch
  const { head } = merged.at(-1) as Batch
  if (first.from !== windowStart(head.seq)) throw new MalformedError('a segment starts at its window')
  const frames = merged.map(batch => encode(batchValue(batch)))
  const content = new Uint8Array(frames.reduce((sum, frame) => sum + 4 + frame.length, 0))
  const view = new DataView(content.buffer)
  let at = 0
  for (const frame of frames) {
    view.setUint32(at, frame.length)
    content.set(frame, at + 4)
    at += 4 + frame.length
  }
  return { name: { feed: first.feed, from: first.from, to: head.seq, hash: shortHash(head.hash) }, content }
}

/** Joins neighbours while they fit one frame: the later signature covers the earlier records, so fewer are kept and checked. */
function mergeBatches (batches: Batch[]): Batch[] {
  const merged: Array<{ batch: Batch, bytes: number }> = []
  for (const batch of batches) {
    const bytes = batch.records.reduce((sum, record) => sum + record.length, 0)
    const last = merged.at(-1)
    if (last !== undefined && batch.from === last.batch.head.seq + 1 && last.bytes + bytes <= LIMITS.batchBytesMax) {
      last.batch = { ...last.batch, records: [...last.batch.records, ...batch.records], head: batch.head }
      last.bytes += bytes
    } else {
      merged.push({ batch, bytes })
    }
  }
  return merged.map(({ batch }) => batch)
}

/**
 * Reads a segment and checks all that it can show by itself: bounds, its name, the chain inside it and every signature. Where its
 * first record attaches is for the stack to find.
 *
 * @throws MalformedError
 */
export function parseSegment (stack: StackId, name: SegmentName, content: Uint8Array, crypto: Crypto): { batches: Batch[], records: ChainedRecord[] } {
  const batches = frames(content).map(frame => batchOf(decode(frame, LIMITS.frameBytesMax)))
  const records: ChainedRecord[] = []
  const seqs = new Map<string, number>()
  for (const batch of batches) {
    if (batch.feed !== name.feed || (records.length === 0 && batch.from !== name.from)) throw new MalformedError('the segment does not hold the records its name says')
    const more = verifyBatch(stack, batch, crypto)
    const { prev } = more[0] as ChainedRecord
    if (records.length > 0 && seqs.get(toHex(prev)) !== batch.from - 1) throw new MalformedError('the hash chain of the segment is broken')
    for (const { hash, seq } of more) seqs.set(toHex(hash), seq)
    records.push(...more)
  }
  const last = records.at(-1)
  if (last === undefined || last.seq !== name.to || shortHash(last.hash) !== name.hash) throw new MalformedError('the segment does not end where its name says')
  return { batches, records }
}

function frames (content: Uint8Array): Uint8Array[] {
  const out: Uint8Array[] = []
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength)
  for (let at = 0; at < content.length;) {
    const length = at + 4 <= content.length ? view.getUint32(at) : 0
    if (length === 0 || length > LIMITS.frameBytesMax || at + 4 + length > content.length || out.length >= LIMITS.batchRecordsMax) throw new MalformedError('the segment is torn')
    out.push(content.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return out
}
