/**
 * How deep an encoded value nests, before anything is built of it. Iterative: the decoder behind it recurses, and how far that
 * goes depends on who called it, so without this bound one device would take a record that another cannot read.
 */
import { MalformedError } from '../errors.ts'

const BYTES = 2
const TEXT = 3
const ARRAY = 4
const MAP = 5

/** @throws MalformedError when arrays and maps nest deeper than `max`. Whatever else is wrong with the bytes is left to the decoder. */
export function checkNesting (bytes: Uint8Array, max: number): void {
  // Items still to come at each open level.
  const open: number[] = []
  for (let at = 0; at < bytes.length;) {
    const major = (bytes[at] as number) >> 5
    const { value, next } = argument(bytes, at)
    at = next
    if (major === ARRAY || major === MAP) {
      if (open.length === max) throw new MalformedError(`a value nests deeper than ${max} levels`)
      open.push(major === MAP ? 2 * value : value)
    } else {
      if (major === BYTES || major === TEXT) at += value
      close(open)
    }
    while (open.at(-1) === 0) {
      open.pop()
      close(open)
    }
  }
}

/** One item of the innermost open level is complete. */
function close (open: number[]): void {
  if (open.length > 0) open[open.length - 1] = (open.at(-1) as number) - 1
}

/** The number in an item's head (RFC 8949, section 3) and where its content begins. */
function argument (bytes: Uint8Array, at: number): { value: number, next: number } {
  const info = (bytes[at] as number) & 31
  if (info < 24) return { value: info, next: at + 1 }
  const width = info > 27 ? 0 : 2 ** (info - 24)
  let value = 0
  for (let i = 1; i <= width; i++) value = value * 256 + (bytes[at + i] ?? 0)
  return { value, next: at + 1 + width }
}
