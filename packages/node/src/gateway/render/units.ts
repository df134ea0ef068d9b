/** Figures as people read them. */

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

/** The same where a column is narrow: `now`, `40s`, `12m`, `3h`, `2d`. */
export function age (iso: string | null, nowMs: number): string {
  return iso === null ? 'never' : ago(iso, nowMs).replace(/ ago$/, '').replace(' min', 'm').replace(' ', '')
}

/** Marks on one character, as scripts need them; what a prank adds beyond is left out. */
const MARKS = /(\p{M}{4})\p{M}+/gu
const NOT_SHOWN = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]|(?![\u200c\u200d])\p{Cf}/gu
const NOT_SHOWN_IN_LINES = /(?![\n\t\u200c\u200d])[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Cf}]/gu

/** Text of a peer as data: no escape sequence reaches the terminal, nothing is invisible or turns the line around. Newlines and tabs stay where `lines` is set. */
export function plain (text: string, { lines = false }: { lines?: boolean } = {}): string {
  return text.replace(lines ? NOT_SHOWN_IN_LINES : NOT_SHOWN, '·').replace(MARKS, '$1')
}
