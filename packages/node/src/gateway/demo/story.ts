/** How the demo tells its story: readable on a terminal, one document per step with --json. */
import type { Output } from '../cli/output.ts'
import { failureJson } from '../cli/failure.ts'
import { milliseconds, plain } from '../render/units.ts'

export type StepName = 'join' | 'build' | 'move' | 'notes' | 'mirror' | 'restore' | 'rejoin'
export type Evidence = Record<string, unknown>
const STEPS: StepName[] = ['join', 'build', 'move', 'notes', 'mirror', 'restore', 'rejoin']

export class Story {
  readonly #output: Output

  constructor (output: Output) { this.#output = output }

  /** A line of the story; with --json it goes to stderr. */
  say (text: string): void {
    if (this.#output.json) this.#output.note(text)
    else this.#output.line(text)
  }

  /** A detail below the step that runs. */
  detail (text: string): void { this.say(`      ${plain(text)}`) }

  /** What a build prints. */
  log (text: string): void {
    for (const line of text.replace(/\n$/, '').split('\n')) this.say(this.#dim(`      | ${plain(line)}`))
  }

  dim (text: string): string { return this.#dim(text) }
  #dim (text: string): string { return (this.#output.json ? this.#output.paintError : this.#output.paint)('dim', text) }

  /** Runs one step, prints its time and evidence. Rethrows what it threw. */
  async step (name: StepName, title: string, run: () => Promise<Evidence>): Promise<Evidence> {
    const paint = this.#output.paint
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
      if (typeof value !== 'object' || value === null) this.say(this.#dim(`      ${key}: ${plain(String(value))}`))
    }
    this.say(`  ${this.#output.paint('green', 'ok')} ${milliseconds(ms)}`)
  }
}
