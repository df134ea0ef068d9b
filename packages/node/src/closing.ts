import type { Logger } from './ports/log.ts'

/** What was started, to be stopped in reverse. */
export class Closing {
  readonly #log: Logger
  readonly #steps: Array<{ name: string, stop: () => unknown }> = []
  #done: Promise<void> | undefined

  constructor (log: Logger) { this.#log = log }

  add (name: string, stop: () => unknown): void { this.#steps.push({ name, stop }) }

  /** Runs every step once, newest first; never rejects: a step that fails is logged and the next one runs. */
  run (): Promise<void> {
    this.#done ??= this.#run()
    return this.#done
  }

  async #run (): Promise<void> {
    for (const { name, stop } of this.#steps.toReversed()) {
      try {
        await stop()
      } catch (error) {
        this.#log.warn({ err: error, step: name }, 'stopping')
      }
    }
  }
}
