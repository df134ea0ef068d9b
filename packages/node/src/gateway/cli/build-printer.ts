/** Prints a build as it goes: its own output on stdout and stderr, everything about it on stderr, or NDJSON on stdout. */
import type { BuildEvent } from '../../api.ts'
import { renderCandidates, renderEvent } from '../render/build.ts'
import { TerminalText } from '../render/terminal-text.ts'
import { EXIT, printFailure } from './failure.ts'
import type { Io } from './io.ts'
import type { Output } from './output.ts'
import type { Progress } from './progress.ts'

export class BuildPrinter {
  /** Of the `result`; 125 until there is one. */
  exitCode: number = EXIT.buildImpossible
  readonly #output: Output
  readonly #explain: boolean
  readonly #progress: Progress | undefined
  /** Undefined for a stream that is no terminal. */
  readonly #screens: Record<'stdout' | 'stderr', TerminalText | undefined>

  constructor (output: Output, { explain, io }: { explain: boolean, io: Pick<Io, 'stdout' | 'stderr'> }) {
    this.#output = output
    this.#screens = { stdout: io.stdout.isTTY === true ? new TerminalText() : undefined, stderr: io.stderr.isTTY === true ? new TerminalText() : undefined }
    this.#explain = explain
    this.#progress = output.steps()
  }

  print (event: BuildEvent): void {
    if (event.event === 'result') this.exitCode = event.exitCode
    if (this.#output.json) return this.#output.document('build', event)
    this.#progress?.clear()
    this.#goesOn(event)
    if (event.event === 'log') return this.#log(event)
    this.#endColours()
    this.#people(event)
  }

  fail (error: unknown): void {
    this.#progress?.done()
    printFailure(this.#output, error)
  }

  /** Nothing more is to come. */
  close (): void {
    this.#progress?.done()
    this.#endColours()
  }

  #log ({ stream, data }: Extract<BuildEvent, { event: 'log' }>): void {
    const text = this.#screens[stream]?.take(data) ?? data
    if (stream === 'stdout') this.#output.raw(text)
    else this.#output.rawError(text)
  }

  #endColours (): void {
    const [out, err] = [this.#screens.stdout?.end() ?? '', this.#screens.stderr?.end() ?? '']
    if (out !== '') this.#output.raw(out)
    if (err !== '') this.#output.rawError(err)
  }

  /** A command that runs tells its own story. */
  #goesOn (event: BuildEvent): void {
    if (event.event === 'queued') this.#step(event.why === undefined ? 'elect' : 'wait', 'for a builder')
    else if (event.event === 'elected') this.#step('send', `to ${event.builder.name}`)
    else if (event.event === 'moved') this.#step('elect', 'for another builder')
    else if (event.event === 'result' || (event.event === 'progress' && event.phase === 'running')) this.#progress?.done()
    else if (event.event === 'progress') this.#step(WORDS[event.phase], event.message)
  }

  #step (label: string, detail: string): void {
    this.#progress?.show(label, seconds => `${label.padEnd(8)} ${detail === '' ? '' : `${detail}, `}${seconds} s`)
  }

  #people (event: Exclude<BuildEvent, { event: 'log' }>): void {
    const output = this.#output
    if (event.event === 'elected' && this.#explain) for (const row of renderCandidates(event.candidates, event.builder.id, output.paintError)) output.note(row)
    const line = renderEvent(event, output.paintError, output)
    if (line !== undefined) output.note(line)
    if (event.event === 'result' && event.error !== null && event.state !== 'cancelled') printFailure(output, event.error)
  }
}

const WORDS = { sending: 'send', preparing: 'prepare', running: 'run', returning: 'return' } as const
