/** What happened, as lines with times: the one thing that the cast and the picture are made of. Seconds from the begin. */
export interface Line { readonly text: string, readonly from: number, readonly typedUntil: number, readonly prompt: number }
export interface Pane { readonly title: string, readonly rows: number, readonly lines: Line[] }
export interface Film { readonly panes: Pane[], readonly marks: Array<{ at: number, text: string }>, seconds: number }

export const COLUMNS = 80
/** The screen is 80 x 24: two titles and 14 + 8 lines. */
export const ROWS = { laptop: 14, mini: 8 }
/** How a person who knows the command types. */
const CHARACTER_S = 0.028
/** Waiting is shown no longer than this. */
const WAIT_MAX_S = 1.05

export class Camera {
  readonly film: Film
  #real: number | undefined

  constructor () {
    this.film = { panes: (['laptop', 'mini'] as const).map((title) => ({ title, rows: ROWS[title], lines: [] })), marks: [], seconds: 0.4 }
  }

  /** A prompt, and the command typed after it. */
  type (pane: string, command: string): void {
    const prompt = `${pane}$ `
    this.film.marks.push({ at: this.film.seconds, text: prompt + command })
    const from = this.film.seconds
    this.film.seconds += command.length * CHARACTER_S
    for (const [index, text] of folded(prompt + command).entries()) this.#pane(pane).lines.push({ text, from: index === 0 ? from : this.film.seconds, typedUntil: this.film.seconds, prompt: index === 0 ? prompt.length : 0 })
    this.film.seconds += 0.25
    this.#real = performance.now()
  }

  /** Text as it is printed now; real waiting counts up to a bound. */
  print (pane: string, text: string): void {
    const now = performance.now()
    this.film.seconds += Math.min((now - (this.#real ?? now)) / 1000, WAIT_MAX_S)
    this.#real = now
    const at = this.film.seconds
    for (const line of text.split('\n').flatMap(folded)) this.#pane(pane).lines.push({ text: line, from: at, typedUntil: at, prompt: 0 })
  }

  rest (seconds: number): void { this.film.seconds += seconds; this.#real = performance.now() }

  #pane (title: string): Pane {
    const pane = this.film.panes.find((each) => each.title === title)
    if (pane === undefined) throw new Error(`no pane ${title}`)
    return pane
  }
}

/** As a terminal of 80 columns folds a long line; three rows of one line are enough. */
function folded (line: string): string[] {
  const rows = line.match(new RegExp(`.{1,${COLUMNS}}`, 'gu')) ?? ['']
  return rows.length > 3 ? [...rows.slice(0, 2), '…'] : rows
}

/** The moments at which something changes. */
export function moments (film: Film): number[] {
  const all = film.panes.flatMap(({ lines }) => lines.flatMap(({ text, from, typedUntil, prompt }) => {
    const steps = typedUntil > from ? Math.ceil((text.length - prompt) / 3) : 0
    return [from, ...Array.from({ length: steps }, (_, index) => from + (typedUntil - from) * (index + 1) / steps)]
  }))
  return [...new Set(all.map((at) => Math.round(at * 1000) / 1000))].sort((a, b) => a - b)
}

/** How much of a line is there at that time. */
export function visible ({ text, from, typedUntil, prompt }: Line, at: number): string {
  if (at >= typedUntil) return text
  return text.slice(0, prompt + Math.floor((text.length - prompt) * Math.max(0, at - from) / (typedUntil - from) + 1e-6))
}
