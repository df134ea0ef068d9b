/**
 * Our own strict reader of a Yjs V1 update, before Yjs sees a byte: it builds no Yjs object and allocates only what it counted.
 *
 * update  := [] | [block] structs and deletes of one text        (wire of Yjs 13 "V1", restricted)
 * block   := count, client, clock, struct*                        at most one; all structs are String items of root `body`
 * struct  := info, origin?, rightOrigin?, (1, "body")?, text      parent only when there is neither origin nor rightOrigin
 * deletes := count, (client, count, (clock, length)*)*            clients strictly descending, ranges ascending and disjoint
 *
 * Varints are minimal, UTF-8 is fatal, every count is at most the bytes left, clocks end at or below LIMITS.clockMax.
 */
import { fromUtf8, LIMITS } from '@elder-node/protocol'
import { refuse } from './refusal.ts'

/** A place in a text: the `clock`-th UTF-16 unit written by `client`. */
export interface Place { client: number, clock: number }
export interface ScannedStruct { clock: number, length: number, origin: Place | undefined, right: Place | undefined }
export interface ScannedDelete { client: number, clock: number, length: number }
/** What an update claims. `block` is undefined when it only deletes. */
export interface ScannedText { block: { client: number, clock: number, end: number, structs: ScannedStruct[] } | undefined, deletes: ScannedDelete[],
  /** Where the deletes begin in the bytes. */
  deletesAt: number }

export const ROOT = 'body'
const STRING = 4
const ORIGIN = 0x80
const RIGHT = 0x40

class Reader {
  at = 0
  readonly bytes: Uint8Array
  constructor (bytes: Uint8Array) { this.bytes = bytes }

  get left (): number { return this.bytes.length - this.at }

  byte (): number {
    const byte = this.bytes[this.at++]
    if (byte === undefined) refuse('a text update ends too early')
    return byte
  }

  /** LEB128, minimal, at most 2^53 - 1. */
  uint (): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte()
      value += (byte & 127) * scale
      if (value > Number.MAX_SAFE_INTEGER) refuse('a number of a text update is too large')
      if (byte < 128) {
        if (byte === 0 && scale > 1) refuse('a number of a text update is not minimal')
        return value
      }
      if (scale > 2 ** 49) refuse('a number of a text update is too long')
    }
  }

  count (max: number): number {
    const count = this.uint()
    if (count > this.left || count > max) refuse('a count of a text update exceeds its bytes or its bound')
    return count
  }

  clock (): number {
    const clock = this.uint()
    if (clock > LIMITS.clockMax) refuse('a clock of a text update is out of bounds')
    return clock
  }

  text (): string {
    const length = this.count(this.left)
    const bytes = this.bytes.subarray(this.at, this.at + length)
    this.at += length
    try {
      return fromUtf8(bytes)
    } catch {
      return refuse('a text update holds invalid UTF-8')
    }
  }

  place (): Place { return { client: this.uint(), clock: this.clock() } }
}

/** @throws Refusal on any byte that an honest writer would not have written. */
export function scanText (update: Uint8Array): ScannedText {
  const reader = new Reader(update)
  const blocks = reader.count(1)
  const block = blocks === 1 ? scanBlock(reader) : undefined
  const deletesAt = reader.at
  const deletes = scanDeletes(reader)
  if (reader.left > 0) refuse('a text update has trailing bytes')
  if (block === undefined && deletes.length === 0) refuse('a text update is empty')
  return { block, deletes, deletesAt }
}

function scanBlock (reader: Reader): NonNullable<ScannedText['block']> {
  const count = reader.count(LIMITS.textStructsMax)
  if (count === 0) refuse('a text update has an empty block')
  const client = reader.uint()
  const clock = reader.clock()
  const structs: ScannedStruct[] = []
  let end = clock
  for (let i = 0; i < count; i++) {
    const struct = scanStruct(reader, end)
    structs.push(struct)
    end += struct.length
  }
  if (end > LIMITS.clockMax) refuse('a clock of a text update is out of bounds')
  return { client, clock, end, structs }
}

function scanStruct (reader: Reader, clock: number): ScannedStruct {
  const info = reader.byte()
  if ((info & ~(ORIGIN | RIGHT)) !== STRING) refuse('a text update holds something other than text')
  const origin = (info & ORIGIN) !== 0 ? reader.place() : undefined
  const right = (info & RIGHT) !== 0 ? reader.place() : undefined
  if (origin === undefined && right === undefined && (reader.uint() !== 1 || reader.text() !== ROOT)) refuse('a text update names another root')
  const length = reader.text().length
  if (length === 0) refuse('a text update holds an empty item')
  return { clock, length, origin, right }
}

function scanDeletes (reader: Reader): ScannedDelete[] {
  const deletes: ScannedDelete[] = []
  let above = Infinity
  for (let groups = reader.count(LIMITS.textDeletesMax); groups > 0; groups--) {
    const client = reader.uint()
    if (client >= above) refuse('deletes do not descend by client')
    above = client
    const ranges = reader.count(LIMITS.textDeletesMax - deletes.length)
    if (ranges === 0) refuse('a group of deletes is empty')
    scanRanges(reader, client, ranges, deletes)
  }
  return deletes
}

function scanRanges (reader: Reader, client: number, ranges: number, deletes: ScannedDelete[]): void {
  let from = 0
  for (let i = 0; i < ranges; i++) {
    const clock = reader.clock()
    const length = reader.clock()
    if (clock < from || length === 0 || clock + length > LIMITS.clockMax) refuse('deletes overlap, do not rise or are out of bounds')
    from = clock + length
    deletes.push({ client, clock, length })
  }
}
