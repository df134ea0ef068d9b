/** A table for a terminal: one line per row, the widest flexible column gives way first. */
import type { Format, Paint } from './style.ts'
import { plain } from './units.ts'
import { fitTo, widthOf } from './width.ts'

export interface Column {
  title: string
  /** @default 'left' */
  align?: 'left' | 'right'
  /** May be cut (with `…`) when the table is too wide. */
  flexible?: boolean
  /** Stays this wide while another flexible column can give way. @default 6 */
  wanted?: number
}

export interface Cell { text: string, format?: Format }

const GAP = 2
export const WIDTH = 80
const FLEXIBLE_MIN = 6

/** Lines without a trailing newline. Cell text is data: control characters are replaced. `width` in columns of the terminal. */
export function table (columns: Column[], rows: Array<Array<string | Cell>>, paint: Paint, width: number = WIDTH): string[] {
  const cells = rows.map((row) => row.map(cell))
  const widths = fit(columns, columns.map((column, i) => cells.reduce((widest, row) => Math.max(widest, widthOf(row[i]?.text ?? '')), column.title.length)), width)
  const head = line(columns, widths, columns.map((column) => ({ text: column.title, format: 'dim' })), paint)
  return [head, ...cells.map((row) => line(columns, widths, row, paint))]
}

/** One line, whatever stands in it. */
function cell (value: string | Cell): Cell {
  return typeof value === 'string' ? { text: plain(value) } : { ...value, text: plain(value.text) }
}

/** Takes what is too much from the widest flexible column, one character at a time. */
function fit (columns: Column[], natural: number[], width: number): number[] {
  const widths = [...natural]
  const total = (): number => widths.reduce((sum, next) => sum + next, GAP * (widths.length - 1))
  while (total() > width) {
    const widestAbove = (min: (column: Column) => number): number => columns.reduce((best, column, i) =>
      column.flexible === true && (widths[i] ?? 0) > min(column) && (widths[i] ?? 0) > (widths[best] ?? 0) ? i : best, -1)
    const preferred = widestAbove(({ wanted = FLEXIBLE_MIN }) => wanted)
    const widest = preferred < 0 ? widestAbove(() => FLEXIBLE_MIN) : preferred
    if (widest < 0) break
    widths[widest] = (widths[widest] ?? 0) - 1
  }
  return widths
}

function line (columns: Column[], widths: number[], row: Cell[], paint: Paint): string {
  return columns.map((column, i) => {
    const { text, format } = row[i] ?? { text: '' }
    const shown = fitTo(text, widths[i] ?? 0)
    const pad = ' '.repeat((widths[i] ?? 0) - widthOf(shown))
    const painted = format === undefined ? shown : paint(format, shown)
    return column.align === 'right' ? pad + painted : painted + pad
  }).join(' '.repeat(GAP)).trimEnd()
}
