/**
 * What a build does while nothing else is printed, told once it takes more than a second: on a terminal one line that is painted over,
 * else a line now and then. Silent with --json and -q.
 */
import type { Output } from './output.ts'

const SAID_AFTER_MS = 1_000
const PAINT_MS = 1_000
const LINE_MS = 10_000
const COLUMNS = 79

export class BuildProgress {
  readonly #output: Output
  #label: string | undefined
  #detail = ''
  #sinceMs = 0
  #saidMs = -Infinity
  #painted = false
  #timer: NodeJS.Timeout | undefined

  constructor (output: Output) { this.#output = output }

  /** From now on this is what goes on; another detail of the same label keeps its clock. */
  show (label: string, detail = ''): void {
    if (this.#output.progressAs === 'none') return
    if (label !== this.#label) {
      this.done()
      this.#label = label
      this.#sinceMs = this.#output.nowMs()
      this.#saidMs = -Infinity
      this.#timer = setInterval(() => { this.#say() }, PAINT_MS)
      this.#timer.unref()
    }
    this.#detail = detail
  }

  /** Something else is printed: the painted line makes room, and comes back a second later. */
  clear (): void {
    if (!this.#painted) return
    this.#painted = false
    this.#output.paintOver('')
  }

  /** Nothing goes on any more that is worth a line. */
  done (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#label = undefined
    this.clear()
  }

  #say (): void {
    const nowMs = this.#output.nowMs()
    const paints = this.#output.progressAs === 'paint'
    if (nowMs - this.#sinceMs < SAID_AFTER_MS || (!paints && nowMs - this.#saidMs < LINE_MS)) return
    this.#saidMs = nowMs
    const text = `${this.#label?.padEnd(8)} ${[this.#detail, `${Math.round((nowMs - this.#sinceMs) / 1000)} s`].filter(part => part !== '').join(', ')}`
    if (!paints) return this.#output.note(text)
    this.#painted = true
    this.#output.paintOver(this.#output.paintError('dim', text.slice(0, COLUMNS)))
  }
}
