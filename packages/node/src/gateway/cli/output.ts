/** Who reads what: results on stdout, progress and warnings on stderr; with --json stdout holds only JSON. */
import type { Io } from './io.ts'
import { painter } from '../render/style.ts'
import type { Paint } from '../render/style.ts'
import { WIDTH } from '../render/table.ts'
import { wrap } from '../render/width.ts'
import { Progress } from './progress.ts'

export interface OutputFlags { json: boolean, color: boolean, quiet: boolean, verbose: boolean }

/** A step that takes long, where no line can be painted over. */
const STEP_AGAIN_S = 10
/** Below it a table would be dots alone. */
const NARROWEST = 40

export class Output {
  readonly json: boolean
  readonly verbose: boolean
  /** No progress, and ids alone where there is a list. */
  readonly quiet: boolean
  /** True where a line can be painted over: a person looks at stdout. */
  readonly live: boolean
  /** Colours for stdout and for stderr. */
  readonly paint: Paint
  readonly paintError: Paint
  readonly #io: Io

  constructor (io: Io, flags: OutputFlags) {
    this.#io = io
    this.json = flags.json
    this.verbose = flags.verbose
    this.live = io.stdout.isTTY === true && io.env.TERM !== 'dumb' && !flags.json
    this.quiet = flags.quiet
    this.paint = painter(io.stdout, io.env, flags.color)
    this.paintError = painter(io.stderr, io.env, flags.color)
  }

  /** Columns of the terminal; 80 where there is none. */
  get width (): number {
    const { isTTY, columns } = this.#io.stdout
    return isTTY === true && columns !== undefined && columns >= NARROWEST ? columns : WIDTH
  }

  /** A sentence on stderr, broken between words where a person's window ends; elsewhere one line stays one line. */
  folded (text: string, indent: string): string {
    const { isTTY, columns } = this.#io.stderr
    if (isTTY !== true || columns === undefined || columns < NARROWEST || text.includes('\n')) return text
    return wrap(text, columns - indent.length).join(`\n${indent}`)
  }

  /** Says on stderr what is under way once it takes more than a second, until the returned function is called. Silent with -q. */
  progress (what: string): () => void {
    if (this.quiet) return () => {}
    const progress = new Progress(this.#io.stderr, this.#io.env)
    progress.show(what, seconds => progress.paints ? `${what} … ${seconds} s` : `${what} …`)
    return () => { progress.done() }
  }

  /** Of something with many steps. Undefined with --json, which tells them all, and with -q. */
  steps (): Progress | undefined {
    return this.json || this.quiet ? undefined : new Progress(this.#io.stderr, this.#io.env, { againS: STEP_AGAIN_S, paint: text => this.paintError('dim', text) })
  }

  /** One line of a result for people. */
  line (text: string): void { this.#io.stdout.write(`${text}\n`) }

  /** Bytes of a result as they are. */
  raw (text: string): void { this.#io.stdout.write(text) }

  /** Standard error of a build, as it is. */
  rawError (text: string): void { this.#io.stderr.write(text) }

  /** One JSON document; `name` is its schema without `elder/` and `.v1`. */
  document (name: string, value: object): void {
    this.#io.stdout.write(`${JSON.stringify({ schema: `elder/${name}.v1`, ...value })}\n`)
  }

  /** Either the document or the text, as the caller asked. */
  answer (name: string, value: object, text: () => string): void {
    if (this.json) return this.document(name, value)
    const shown = text()
    if (shown !== '') this.line(shown)
  }

  /** Progress: silent with -q. */
  note (text: string): void {
    if (!this.quiet) this.#io.stderr.write(`${text}\n`)
  }

  /** Warnings are never silent. */
  warn (text: string): void {
    this.#io.stderr.write(`${this.paintError('yellow', 'warning:')} ${this.folded(text, '         ')}\n`)
  }
}
