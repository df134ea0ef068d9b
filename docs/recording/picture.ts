/**
 * A film as an SVG that moves by CSS alone, for pages that run no scripts. Each line stands in its pane from the begin; it is shown when its
 * time comes, uncovered as it is typed, and the pane scrolls. Where nothing is animated the end is seen.
 */
import { COLUMNS } from './film.ts'
import type { Film, Line, Pane } from './film.ts'

const CELL = { width: 8.4, height: 18 }
const MARGIN = 12
const HOLD_S = 4

export function pictureOf (film: Film): string {
  const total = film.seconds + HOLD_S
  const percent = (at: number): string => `${(at / total * 100).toFixed(3)}%`
  const width = Math.ceil(COLUMNS * CELL.width) + 2 * MARGIN
  const styles: string[] = []
  let body = ''
  let top = MARGIN / 2
  for (const [index, pane] of film.panes.entries()) {
    const high = pane.rows * CELL.height
    const lines = pane.lines.map((line, row) => lineOf(line, row, `${'ab'[index]}${row}`, percent, styles)).join('\n')
    styles.push(scrollOf(pane, `s${index}`, percent))
    body += `<rect x="0" y="${top}" width="${width}" height="${CELL.height}" fill="#30363d"/><text x="${MARGIN}" y="${top + 13}" fill="#e6edf3" font-weight="bold">${pane.title}</text>
<svg x="${MARGIN}" y="${top + CELL.height + 4}" width="${width - MARGIN}" height="${high}"><g class="s${index}">
${lines}
</g></svg>
`
    top += CELL.height + high + 10
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top}" width="${width}" height="${top}" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14" role="img" aria-label="A terminal recording: two devices join, a build moves when its builder is killed, a note written on one is read on the other">
<style>text{white-space:pre}g>*,g{animation-duration:${total.toFixed(2)}s;animation-timing-function:step-end;animation-iteration-count:infinite}.p{fill:#7ee787}.c{fill:#fff;font-weight:bold}.y{fill:#f2cc60}.g{fill:#7ee787}
${styles.join('\n')}
</style>
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
${body}</svg>
`
}

function lineOf ({ text, from, typedUntil, prompt }: Line, row: number, id: string, percent: (at: number) => string, styles: string[]): string {
  if (text === '') return ''
  const y = row * CELL.height + 13
  const letters = text.length - prompt
  if (typedUntil > from) {
    // Uncovered from left to right, in as many steps as there are letters.
    const all = (COLUMNS * CELL.width).toFixed(0)
    styles.push(`@keyframes ${id}{0%{clip-path:inset(-4px ${all}px -8px 0);opacity:0}${percent(from)}{clip-path:inset(-4px 100% -8px 0);opacity:1;animation-timing-function:steps(${letters})}${percent(typedUntil)},100%{clip-path:inset(-4px 0 -8px 0);opacity:1}}.${id}{animation-name:${id}}`)
    const rest = `<text class="c ${id}" x="${(prompt * CELL.width).toFixed(1)}" y="${y}" ${sized(letters)}>${escape(text.slice(prompt))}</text>`
    styles.push(`@keyframes ${id}p{0%{opacity:0}${percent(from)},100%{opacity:1}}.${id}p{animation-name:${id}p}`)
    return `<text class="p ${id}p" x="0" y="${y}" ${sized(prompt - 1)}>${escape(text.slice(0, prompt).trimEnd())}</text>${rest}`
  }
  const name = `t${percent(from).replace('%', '').replace('.', '_')}`
  const rule = `@keyframes ${name}{0%{opacity:0}${percent(from)},100%{opacity:1}}.${name}{animation-name:${name}}`
  if (!styles.includes(rule)) styles.push(rule)
  const colour = /^ok\b|^back in|^joined|^founded/.test(text) ? 'g ' : /^moved|^warning/.test(text) ? 'y ' : ''
  return `<text class="${colour}${name}" x="0" y="${y}" fill="#c9d1d9" ${sized(text.length)}>${escape(text)}</text>`
}

/** Whatever font there is, columns stay columns. */
function sized (letters: number): string { return `textLength="${(letters * CELL.width).toFixed(1)}" lengthAdjust="spacingAndGlyphs" xml:space="preserve"` }

function scrollOf ({ lines, rows }: Pane, id: string, percent: (at: number) => string): string {
  const up = (line: number): string => `transform:translateY(${-Math.max(0, line + 1 - rows) * CELL.height}px)`
  const last = new Map<string, string>([['0%', up(0)]])
  for (const [row, { from }] of lines.entries()) last.set(percent(from), up(row))
  return `@keyframes ${id}{${[...last].map(([at, where]) => `${at}{${where}}`).join('')}100%{${up(lines.length - 1)}}}.${id}{animation-name:${id};${up(lines.length - 1)}}`
}

function escape (text: string): string { return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;') }
