/** A film as an asciicast of version 2 (https://docs.asciinema.org/manual/asciicast/v2/): rows that change are painted over. */
import { COLUMNS, moments, visible } from './film.ts'
import type { Film, Pane } from './film.ts'

export function castOf (film: Film): string {
  const height = film.panes.reduce((sum, { rows }) => sum + rows + 1, 0)
  const header = { version: 2, width: COLUMNS, height, title: 'elder-node: a build and a memory that outlive a device' }
  const events: Array<[number, 'o' | 'm', string]> = film.marks.map(({ at, text }) => [round(at), 'm', text])
  let screen: string[] = []
  for (const at of [0, ...moments(film), film.seconds]) {
    const next = film.panes.flatMap((pane) => rowsOf(pane, at))
    const painted = next.map((row, index) => row === screen[index] ? '' : `\x1b[${index + 1};1H${row}\x1b[K`).join('')
    if (painted !== '' || at === film.seconds) events.push([round(at), 'o', (screen.length === 0 ? '\x1b[2J\x1b[?25l' : '') + painted])
    screen = next
  }
  return [header, ...events.sort(([a], [b]) => a - b)].map((line) => JSON.stringify(line)).join('\n') + '\n'
}

function rowsOf ({ title, rows, lines }: Pane, at: number): string[] {
  const shown = lines.filter(({ from }) => from <= at).slice(-rows).map((line) => coloured(visible(line, at), line.prompt))
  return [`\x1b[7m ${title.padEnd(COLUMNS - 1)}\x1b[0m`, ...Array.from({ length: rows }, (_, index) => shown[index] ?? '')]
}

function coloured (text: string, prompt: number): string {
  return prompt === 0 ? text : `\x1b[32m${text.slice(0, prompt)}\x1b[0m\x1b[1m${text.slice(prompt)}\x1b[0m`
}

function round (seconds: number): number { return Math.round(seconds * 1000) / 1000 }
