/**
 * The bytes of small files, so that a changed, missing or added byte is seen when they are read. Pure.
 *
 * sealed := "elder" format (1 byte) length (4 bytes) crc32 (4 bytes) content
 * log    := (length (4 bytes) crc32 of entry (4 bytes) crc32 of both (4 bytes) entry)*
 *
 * Numbers are big endian. The crc32 of a sealed file covers its format, its length and its content. An entry's header has a
 * checksum of its own, so an append that was cut off (the header says more than there is) is told from a length that changed.
 */
import { crc32 } from 'node:zlib'
import type { StoredLog } from '../ports/files.ts'

/** The format of a data directory. Raise it when a file in it changes its meaning: older directories are then refused, not misread. */
export const STORE_FORMAT = 2

const MAGIC = Buffer.from('elder')
const SEAL_BYTES = MAGIC.length + 9
const HEADER_BYTES = 12
/** A longer entry is damage: the largest is a line of the build history with its candidates and the end of its log. */
const ENTRY_BYTES_MAX = 16 << 20

/** `damaged`: why these are not the bytes that were written. */
export type Unsealed = { format: number, content: Uint8Array } | { damaged: string }

export function seal (content: Uint8Array, format: number = STORE_FORMAT): Uint8Array {
  const head = Buffer.alloc(SEAL_BYTES)
  MAGIC.copy(head)
  head.writeUInt8(format, MAGIC.length)
  head.writeUInt32BE(content.length, MAGIC.length + 1)
  head.writeUInt32BE(checksum(head, content), MAGIC.length + 5)
  return new Uint8Array(Buffer.concat([head, content]))
}

/** Does it begin as a sealed file, whole or not? One changed byte of the beginning does not hide it. */
export function isSealed (bytes: Uint8Array): boolean {
  return MAGIC.filter((byte, i) => bytes[i] === byte).length >= MAGIC.length - 1
}

export function unseal (bytes: Uint8Array): Unsealed {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (file.length === 0) return { damaged: 'it is empty' }
  if (file.length < SEAL_BYTES) return { damaged: `it has ${file.length} bytes, which is too short` }
  if (!file.subarray(0, MAGIC.length).equals(MAGIC)) return { damaged: 'it does not begin as a file of a node' }
  const length = file.readUInt32BE(MAGIC.length + 1)
  const content = file.subarray(SEAL_BYTES)
  const isSame = checksum(file, content) === file.readUInt32BE(MAGIC.length + 5)
  if (content.length !== length) return { damaged: `it has ${file.length} bytes instead of ${SEAL_BYTES + length}` }
  return isSame ? { format: file.readUInt8(MAGIC.length), content: new Uint8Array(content) } : { damaged: 'its checksum is wrong' }
}

function checksum (head: Buffer, content: Uint8Array): number { return crc32(content, crc32(head.subarray(MAGIC.length, MAGIC.length + 5))) }

export function frame (entries: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(entries.flatMap(entry => {
    const head = Buffer.alloc(HEADER_BYTES)
    head.writeUInt32BE(entry.length)
    head.writeUInt32BE(crc32(entry), 4)
    head.writeUInt32BE(crc32(head.subarray(0, 8)), 8)
    return [head, entry]
  })))
}

/** Every whole entry, also those behind damage. */
export function unframe (bytes: Uint8Array): StoredLog {
  const log = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const found: StoredLog = { entries: [], isTorn: false, isDamaged: false }
  for (let at = 0; at < log.length;) {
    const head = headAt(log, at)
    const end = at + HEADER_BYTES + (head?.length ?? 0)
    if (head !== undefined && end > log.length) return { ...found, isTorn: true }
    if (head === undefined) {
      const next = nextHead(log, at + 1)
      if (next === undefined && isUnwritten(log.subarray(at))) return { ...found, isTorn: true }
      found.isDamaged = true
      at = next ?? log.length
    } else {
      const entry = log.subarray(at + HEADER_BYTES, end)
      if (crc32(entry) === head.crc) found.entries.push(new Uint8Array(entry))
      else found.isDamaged = true
      at = end
    }
  }
  return found
}

function headAt (log: Buffer, at: number): { length: number, crc: number } | undefined {
  if (at + HEADER_BYTES > log.length) return undefined
  const length = log.readUInt32BE(at)
  if (length === 0 || length > ENTRY_BYTES_MAX || crc32(log.subarray(at, at + 8)) !== log.readUInt32BE(at + 8)) return undefined
  return { length, crc: log.readUInt32BE(at + 4) }
}

function nextHead (log: Buffer, from: number): number | undefined {
  for (let at = from; at + HEADER_BYTES <= log.length; at++) if (headAt(log, at) !== undefined) return at
  return undefined
}

/** What a power cut leaves of an append: less than a header, or blocks that the file was given and that were never written. */
function isUnwritten (tail: Buffer): boolean { return tail.length < HEADER_BYTES || tail.every(byte => byte === 0) }
