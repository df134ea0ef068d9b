/** Figures as people type them: durations, sizes, counts. Sizes are written as Docker writes them. */
import { ElderError, LIMITS } from '@elder-node/protocol'

const DURATION_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const SIZE_BYTES: Record<string, number> = { '': 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 }

/** `500ms`, `15s`, `10m`, `2h` to milliseconds. @throws ElderError `USAGE` */
export function parseDuration (text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)
  const ms = match === null ? 0 : Number(match[1]) * (DURATION_MS[match[2] ?? ''] ?? 0)
  if (ms > 0 && Number.isSafeInteger(Math.ceil(ms))) return Math.ceil(ms)
  throw new ElderError('USAGE', `"${text}" is not a duration`, 'Write it as 500ms, 15s or 10m.')
}

/** A duration that a timer waits for. @throws ElderError `USAGE` */
export function parseWait (text: string): number {
  const ms = parseDuration(text)
  if (ms > LIMITS.deadlineMsMax) throw new ElderError('USAGE', `"${text}" is longer than 24 days`, 'Leave it out, or give less.')
  return ms
}

/** `512m`, `2g` to bytes. @throws ElderError `USAGE` */
export function parseSize (text: string): number {
  const match = /^(\d+(?:\.\d+)?)([bkmgt]?)b?$/.exec(text.toLowerCase())
  const bytes = match === null ? 0 : Math.floor(Number(match[1]) * (SIZE_BYTES[match[2] ?? ''] ?? 0))
  if (bytes > 0 && Number.isSafeInteger(bytes)) return bytes
  throw new ElderError('USAGE', `"${text}" is not a size`, 'Write it as 512m or 2g.')
}

/** @throws ElderError `USAGE` unless the text is a number of the given kind. */
export function parseCount (text: string, { min, integer }: { min: number, integer: boolean }): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value) && value >= min && (!integer || Number.isSafeInteger(value))) return value
  throw new ElderError('USAGE', `"${text}" is not a ${integer ? 'whole number' : 'number'} of at least ${min}`, 'Write it as 2, for example.')
}
