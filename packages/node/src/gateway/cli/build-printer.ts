/** Prints a build as it goes: its own output on stdout and stderr, everything about it on stderr, or NDJSON on stdout. */
import type { BuildEvent } from '../../api.ts'
import { renderCandidates, renderEvent } from '../render/build.ts'
import { EXIT, printFailure } from './failure.ts'
import type { Output } from './output.ts'
import type { Progress } from './progress.ts'

export class BuildPrinter {
  /** Of the `result`; 125 until there is one. */
  exitCode: number = EXIT.buildImpossible
  readonly #output: Output
  readonly #explain: boolean
  readonly #progress: Progress | undefined

  constructor (output: Output, { explain }: { explain: boolean }) {
    this.#output = output
    this.#explain = explain
    this.#progress = output.steps()
  }

  print (event: BuildEvent): void {
    if (event.event === 'result') this.exitCode = event.exitCode
    if (this.#output.json) return this.#output.document('build', event)
    this.#progress?.clear()
    this.#goesOn(event)
    if (event.event === 'log') return event.stream === 'stdout' ? this.#output.raw(event.data) : this.#output.rawError(event.data)
    this.#people(event)
  }

  fail (error: unknown): void {
    this.#progress?.done()
    printFailure(this.#output, error)
  }

  /** Nothing more is to come. */
  close (): void { this.#progress?.done() }

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
