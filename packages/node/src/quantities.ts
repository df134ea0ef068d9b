/** Figures as people type them, read and said back: durations, sizes, counts. Sizes are those of Docker: powers of two. */
import { ElderError, LIMITS } from '@elder-node/protocol'

const DURATION_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const MIB = 2 ** 20
const GIB = 2 ** 30
const SIZE_BYTES: Record<string, number> = { '': 1, b: 1, k: 2 ** 10, m: MIB, g: GIB, t: 2 ** 40 }

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

/** Milliseconds to `10 m`, `1.5 s`, `500 ms`: the largest unit that needs at most one decimal. */
export function durationText (ms: number): string {
  const [unit, size] = Object.entries(DURATION_MS).toReversed().find(([, unitMs]) => ms >= unitMs && Number.isInteger(10 * ms / unitMs)) ?? ['ms', 1]
  return `${Number((ms / size).toFixed(1))} ${unit}`
}

/** `512 MB`, `1.5 GB`: powers of two under the names that `--memory` and Docker give them. */
export function sizeText (bytes: number): string {
  return bytes >= GIB ? `${Number((bytes / GIB).toFixed(1))} GB` : `${Number((bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0))} MB`
}

/** As {@link parseSize} reads it: `2g`, `1536m`. */
export function formatSize (bytes: number): string { return bytes % GIB === 0 ? `${bytes / GIB}g` : `${Math.ceil(bytes / MIB)}m` }
