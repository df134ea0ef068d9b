/** What changed between two texts, line by line, as `diff -u` shows it: for people and agents to read. Pure. */
import { difference } from './difference.ts'

/** Lines of the old text from `from` to `to` (excluded) became `lines`. */
interface Hunk { from: number, to: number, lines: string[] }

export interface UnifiedOptions {
  /** Lines around each change. @default 3 */
  context?: number
  /** Lines in all; what is left out is counted. @default 200 */
  linesMax?: number
}

/** Empty for equal texts. */
export function unified (before: string, after: string, { context = 3, linesMax = 200 }: UnifiedOptions = {}): string {
  const old = linesOf(before)
  const all: string[] = []
  let [shift, at] = [0, 0]
  const hunks = lineHunks(before, after, old)
  while (at < hunks.length) {
    const group = together(hunks, at, 2 * context)
    const [first, last] = [group[0] as Hunk, group.at(-1) as Hunk]
    const [from, to] = [Math.max(0, first.from - context), Math.min(old.length, last.to + context)]
    const lines = group.flatMap(({ from: start, to: end, lines }, i) => [
      ...old.slice(i === 0 ? from : (group[i - 1] as Hunk).to, start).map(line => ` ${line}`),
      ...old.slice(start, end).map(line => `-${line}`), ...lines.map(line => `+${line}`),
    ])
    lines.push(...old.slice(last.to, to).map(line => ` ${line}`))
    const added = group.reduce((sum, hunk) => sum + hunk.lines.length - (hunk.to - hunk.from), 0)
    all.push(`@@ -${place(from, to - from)} +${place(from + shift, to - from + added)} @@`, ...lines.flatMap(shown))
    shift += added
    at += group.length
  }
  const left = all.length - linesMax
  return (left <= 0 ? all : [...all.slice(0, linesMax), `… and ${left} lines more`]).join('\n')
}

const NO_NEWLINE = '\\ No newline at end of file'

function shown (line: string): string[] { return line.endsWith('\n') ? [line.slice(0, -1)] : [line, NO_NEWLINE] }

/** As diff counts: lines begin with 1, and of none the line before is named. */
function place (from: number, lines: number): string {
  return lines === 1 ? String(from + 1) : `${lines === 0 ? from : from + 1},${lines}`
}

/** Hunks so near that their surroundings touch. */
function together (hunks: Hunk[], at: number, gap: number): Hunk[] {
  let end = at + 1
  while (end < hunks.length && (hunks[end] as Hunk).from - (hunks[end - 1] as Hunk).to <= gap) end++
  return hunks.slice(at, end)
}

/** The edits, each widened to whole lines. */
function lineHunks (before: string, after: string, old: string[]): Hunk[] {
  const starts = startsOf(old)
  const hunks: Array<Hunk & { text: string }> = []
  // What is added behind a last line without a newline goes on with that line.
  const isOpen = old.at(-1)?.endsWith('\n') === false
  for (const { at, remove, insert } of difference(before, after)) {
    const from = Math.min(lineAt(starts, at), isOpen ? old.length - 1 : old.length)
    const last = hunks.at(-1)
    // An edit that ends inside a line takes that line in; one that begins where the last hunk stopped goes on with it.
    const to = Math.min(old.length, lineAt(starts, at + remove) + 1)
    if (last !== undefined && from < last.to) {
      const done = starts[last.to] as number
      const tail = done - at
      last.to = Math.max(to, last.to)
      const kept = last.text.slice(0, last.text.length - tail)
      last.text = kept + insert + rest(before, at + remove, starts[last.to] as number)
    } else {
      const text = before.slice(starts[from], at) + insert + rest(before, at + remove, starts[to] as number)
      hunks.push({ from, to, lines: [], text })
    }
  }
  return hunks.map(({ from, to, text }) => trimmed({ from, to, lines: linesOf(text) }, old))
}

function rest (text: string, from: number, to: number): string { return text.slice(from, Math.max(from, to)) }

/** Without the lines that are the same at both ends. */
function trimmed ({ from, to, lines }: Hunk, old: string[]): Hunk {
  let [head, tail] = [0, 0]
  const shorter = Math.min(lines.length, to - from)
  while (head < shorter && old[from + head] === lines[head]) head++
  while (tail < shorter - head && old[to - 1 - tail] === lines[lines.length - 1 - tail]) tail++
  return { from: from + head, to: to - tail, lines: lines.slice(head, lines.length - tail) }
}

function linesOf (text: string): string[] { return text.match(/[^\n]*\n|[^\n]+$/g) ?? [] }

/** Where each line begins, and the end of the text. */
function startsOf (lines: string[]): number[] {
  const starts = [0]
  for (const line of lines) starts.push((starts.at(-1) as number) + line.length)
  return starts
}

/** The line that holds this place; behind the last line for the end of the text. */
function lineAt (starts: number[], at: number): number {
  let [low, high] = [0, starts.length - 1]
  while (low < high) {
    const mid = (low + high + 1) >> 1
    if ((starts[mid] as number) <= at) low = mid
    else high = mid - 1
  }
  return low
}
