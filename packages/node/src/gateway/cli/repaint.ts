/**
 * Text that is painted over in place: no alternate screen, so what was shown last stays when it ends.
 * A frame that is higher than the terminal ends in a line that says so; nothing scrolls away.
 */
import type { Screen } from './io.ts'
import { widthOf } from '../render/width.ts'

const HIDE_CURSOR = '\u001b[?25l'
const SHOW_CURSOR = '\u001b[?25h'
const CLEAR_BELOW = '\u001b[J'

export class Repaint {
  readonly #screen: Screen
  #shown: string[] | undefined

  constructor (screen: Screen) { this.#screen = screen }

  frame (text: string): void {
    const before = this.#shown === undefined ? HIDE_CURSOR : `\r${up(this.#rows(this.#shown))}${CLEAR_BELOW}`
    this.#shown = this.#fitting(text.split('\n'))
    this.#screen.write(`${before}${this.#shown.join('\n')}\n`)
  }

  /** Gives the cursor back. */
  end (): void {
    if (this.#shown !== undefined) this.#screen.write(SHOW_CURSOR)
  }

  #fitting (lines: string[]): string[] {
    const room = (this.#screen.rows ?? 24) - 1
    if (this.#rows(lines) <= room) return lines
    const kept: string[] = []
    for (const line of lines) {
      if (this.#rows([...kept, line]) > room - 1) break
      kept.push(line)
    }
    return [...kept, `… ${lines.length - kept.length} more lines: a higher window shows them`]
  }

  /** Of the terminal as it is now: it may have been resized since these lines were painted. */
  #rows (lines: string[]): number {
    const columns = this.#screen.columns ?? 80
    return lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(widthOf(line) / columns)), 0)
  }
}

function up (rows: number): string { return rows === 0 ? '' : `\u001b[${rows}A` }
