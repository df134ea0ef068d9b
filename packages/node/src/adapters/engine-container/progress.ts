/** What a daemon tells while it pulls or builds, as text for a log. Pure. */

type Line = Record<string, unknown>

/** Steps of one layer that are worth a line; the byte counts between them are not. */
const STEPS = ['Pull complete', 'Already exists']
const LINE_CHARS_MAX = 2000
/** Colours that the classic builder puts around standard error. */
// oxlint-disable-next-line no-control-regex
const COLOURS = /\u001b\[[0-9;]*m/g
/** A failed step repeats its whole script, which its own line has shown. */
const STEP = /^The command '.*' returned/s

/** The daemon's reason when the line is a failure. */
export function failureOf (line: Line): string | undefined {
  const detail = line['errorDetail'] as { message?: unknown } | undefined
  const text = line['error'] ?? detail?.message
  return typeof text === 'string' ? text.replace(STEP, 'a step returned').slice(0, LINE_CHARS_MAX) : undefined
}

/** A line of a build, or of a pull inside of one; undefined for what is not worth a line. */
export function textOf (line: Line): string | undefined {
  const { stream, status, id } = line
  if (typeof stream === 'string') return stream.replace(COLOURS, '').slice(0, LINE_CHARS_MAX) || undefined
  if (typeof status !== 'string') return undefined
  if (typeof id !== 'string') return `${status}\n`
  return STEPS.includes(status) ? `${id.slice(0, 64)}: ${status}\n` : undefined
}
