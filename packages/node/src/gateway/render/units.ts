/** Figures as people read them, and as they type them. */
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

/** `512m`, `2g` to bytes, as Docker writes them. @throws ElderError `USAGE` */
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

export function bytes (count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = count
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit++ }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

export function milliseconds (ms: number): string {
  if (ms < 1) return `${ms.toFixed(2)} ms`
  if (ms < 10) return `${ms.toFixed(1)} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60_000)} min ${Math.round(ms % 60_000 / 1000)} s`
}

export function percent (part: number, whole: number): string {
  return whole > 0 ? `${Math.round(100 * part / whole)}%` : '-'
}

/** Age of an ISO time: `now`, `40 s ago`, `3 h ago`. */
export function ago (iso: string | null, nowMs: number): string {
  if (iso === null) return 'never'
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(iso)) / 1000))
  if (Number.isNaN(seconds)) return '?'
  if (seconds < 3) return 'now'
  if (seconds < 90) return `${seconds} s ago`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`
  return seconds < 129_600 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86_400)} d ago`
}

/** `00:41` since an ISO time. */
export function clock (iso: string, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(iso)) / 1000)) || 0
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`
}

/** Text of a peer as data: no escape sequence reaches the terminal. Newlines and tabs stay where `lines` is set. */
export function plain (text: string, { lines = false }: { lines?: boolean } = {}): string {
  return text.replace(lines ? /(?![\n\t])[\p{Cc}\p{Bidi_Control}]/gu : /[\p{Cc}\p{Bidi_Control}]/gu, '·')
}
