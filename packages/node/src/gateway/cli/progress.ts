/** What is under way, said on stderr once it takes more than a second: one line that is painted over on a terminal, a plain line elsewhere. */
import { every } from '../../timers.ts'
import { WIDTH } from '../render/table.ts'
import { plain } from '../render/units.ts'
import { fitTo } from '../render/width.ts'
import type { Screen } from './io.ts'

export interface ProgressInit {
  /** Off a terminal: the line is said again after so many seconds. @default Infinity, which is once */
  againS?: number
  /** Colour of the painted line. */
  paint?: (text: string) => string
}

const TICK_MS = 1000
const CLEAR = '\r\u001b[K'

export class Progress {
  /** Is it a line that is painted over, every second? */
  readonly paints: boolean
  readonly #stderr: Screen
  readonly #againS: number
  readonly #paint: (text: string) => string
  #what: string | undefined
  #say: (seconds: number) => string = String
  #seconds = 0
  #painted = false
  #timer: NodeJS.Timeout | undefined

  constructor (stderr: Screen, env: NodeJS.ProcessEnv, { againS = Infinity, paint = text => text }: ProgressInit = {}) {
    this.#stderr = stderr
    this.paints = stderr.isTTY === true && env.TERM !== 'dumb'
    this.#againS = againS
    this.#paint = paint
  }

  /** From now on this goes on; `say` words it. The same `what` keeps its clock. Never keeps the process alive. */
  show (what: string, say: (seconds: number) => string): void {
    if (what !== this.#what) {
      this.done()
      this.#what = what
      this.#seconds = 0
      this.#timer = every(TICK_MS, () => { this.#tick() }, () => { this.done() }).unref()
    }
    this.#say = say
  }

  /** Something else is printed: the painted line makes room, and comes back within a second. */
  clear (): void {
    if (this.#painted) this.#stderr.write(CLEAR)
    this.#painted = false
  }

  /** Nothing goes on any more that is worth a line. */
  done (): void {
    clearInterval(this.#timer)
    this.#what = undefined
    this.clear()
  }

  #tick (): void {
    const text = plain(this.#say(++this.#seconds))
    if (!this.paints) return void ((this.#seconds - 1) % this.#againS === 0 && this.#stderr.write(`${text}\n`))
    this.#painted = true
    this.#stderr.write(`${CLEAR}${this.#paint(fitTo(text, (this.#stderr.columns ?? WIDTH) - 1))}`)
  }
}
