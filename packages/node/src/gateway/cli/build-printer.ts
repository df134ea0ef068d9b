/** Prints a build as it goes: its own output on stdout and stderr, everything about it on stderr, or NDJSON on stdout. */
import type { BuildEvent } from '../../api.ts'
import { renderCandidates, renderEvent } from '../render/build.ts'
import { EXIT, printFailure } from './failure.ts'
import type { Output } from './output.ts'

export class BuildPrinter {
  /** Of the `result`; 125 until there is one. */
  exitCode: number = EXIT.buildImpossible
  readonly #output: Output
  readonly #explain: boolean

  constructor (output: Output, { explain }: { explain: boolean }) {
    this.#output = output
    this.#explain = explain
  }

  print (event: BuildEvent): void {
    if (event.event === 'result') this.exitCode = event.exitCode
    if (this.#output.json) return this.#output.document('build', event)
    if (event.event === 'log') return event.stream === 'stdout' ? this.#output.raw(event.data) : this.#output.rawError(event.data)
    this.#people(event)
  }

  fail (error: unknown): void { printFailure(this.#output, error) }

  #people (event: Exclude<BuildEvent, { event: 'log' }>): void {
    const output = this.#output
    if (event.event === 'elected' && this.#explain) for (const row of renderCandidates(event.candidates, event.builder.id, output.paintError)) output.note(row)
    const line = renderEvent(event, output.paintError, output)
    if (line !== undefined) output.note(line)
    if (event.event === 'result' && event.error !== null && event.state !== 'cancelled') printFailure(output, event.error)
  }
}
