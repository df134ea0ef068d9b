/** How the demo tells its story: readable on a terminal, one document per step with --json. */
import type { Output } from '../cli/output.ts'
import { failureJson } from '../cli/failure.ts'
import type { Paint } from '../render/style.ts'
import { milliseconds, plain } from '../render/units.ts'

export type StepName = 'join' | 'build' | 'move' | 'notes' | 'mirror' | 'restore' | 'rejoin'
export type Evidence = Record<string, unknown>
const STEPS: StepName[] = ['join', 'build', 'move', 'notes', 'mirror', 'restore', 'rejoin']

/** Figures of a step that a person compares; with -v all of them are shown. */
const SHOWN = new Set(['sha256', 'digest'])
/** A longer log is shown by its ends. */
const LOG_HEAD = 2
const LOG_TAIL = 3
const WIDTH = 80

export class Story {
  readonly #output: Output
  #logged: string[] = []
  #painted = false

  constructor (output: Output) { this.#output = output }

  /** A line of the story; with --json it goes to stderr. */
  say (text: string): void {
    this.#endLog()
    this.#write(text)
  }

  /** A detail below the step that runs. */
  detail (text: string): void { for (const line of wrap(plain(text), WIDTH - 2)) this.say(`  ${line}`) }

  /** A line as it is, painted already. */
  row (text: string): void { this.say(`  ${text}`) }

  /** Text that is to be read whole. */
  quote (text: string): void { for (const line of lines(text)) this.say(this.dim(`  | ${plain(line)}`.slice(0, WIDTH))) }

  /** What a build prints: the last line while it comes, the ends of it all afterwards. */
  log (text: string): void {
    this.#logged.push(...lines(text).filter((line) => line.trim() !== ''))
    const last = this.#logged.at(-1)
    if (!this.#output.live || last === undefined) return
    this.#output.raw(`\r\u001b[K${this.dim(cutLine(last))}`)
    this.#painted = true
  }

  paint: Paint = (format, text) => (this.#output.json ? this.#output.paintError : this.#output.paint)(format, text)
  dim (text: string): string { return this.paint('dim', text) }

  #write (text: string): void {
    if (this.#output.json) this.#output.note(text)
    else this.#output.line(text)
  }

  #endLog (): void {
    if (this.#painted) this.#output.raw('\r\u001b[K')
    this.#painted = false
    const all = this.#logged.splice(0)
    const between = all.length - LOG_HEAD - LOG_TAIL
    const shown = between <= 1 || this.#output.verbose ? all : [...all.slice(0, LOG_HEAD), `… ${between} lines …`, ...all.slice(-LOG_TAIL)]
    for (const line of shown) this.#write(this.dim(cutLine(line)))
  }

  /** Runs one step, prints its time and evidence. Rethrows what it threw. */
  async step (name: StepName, title: string, run: () => Promise<Evidence>): Promise<Evidence> {
    const paint = this.paint
    const started = performance.now()
    this.say(`\n${paint('bold', `${STEPS.indexOf(name) + 1}/${STEPS.length} ${name}`)}   ${title}`)
    try {
      const evidence = await run()
      const ms = Math.round(performance.now() - started)
      if (this.#output.json) this.#output.document('demo', { event: 'step', name, ok: true, ms, evidence })
      else this.#done(ms, evidence)
      return evidence
    } catch (error) {
      const ms = Math.round(performance.now() - started)
      if (this.#output.json) this.#output.document('demo', { event: 'step', name, ok: false, ms, evidence: { error: failureJson(error) } })
      else this.say(`  ${paint('red', 'failed')} after ${milliseconds(ms)}`)
      throw error
    }
  }

  #done (ms: number, evidence: Evidence): void {
    for (const [key, value] of Object.entries(evidence)) {
      if (typeof value === 'object' || (!SHOWN.has(key) && !this.#output.verbose)) continue
      this.say(this.dim(`  ${key.padEnd(6)} ${plain(String(value))}`))
    }
    this.say(`  ${this.paint('green', 'ok')} ${this.dim(milliseconds(ms))}`)
  }
}

function lines (text: string): string[] { return text.replace(/\n$/, '').split('\n') }

function cutLine (line: string): string {
  const text = `  | ${plain(line.replaceAll('\t', ' '))}`
  return text.length > WIDTH ? `${text.slice(0, WIDTH - 1)}…` : text
}

/** Breaks at blanks; a word longer than a line stays whole. */
function wrap (text: string, width: number): string[] {
  const wrapped: string[] = ['']
  for (const word of text.split(' ')) {
    const last = wrapped.at(-1) ?? ''
    if (last !== '' && last.length + 1 + word.length > width) wrapped.push(`  ${word}`)
    else wrapped[wrapped.length - 1] = last === '' ? word : `${last} ${word}`
  }
  return wrapped
}
