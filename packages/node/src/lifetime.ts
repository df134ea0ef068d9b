import type { Departure } from './api.ts'
import type { Logger } from './ports/log.ts'

/** One run of a node: what was started, to be stopped in reverse, and what kind of end it comes to. */
export class Lifetime {
  readonly #log: Logger
  readonly #steps: Array<{ name: string, stop: () => unknown }> = []
  readonly #left = Promise.withResolvers<Departure>()
  #ending: Promise<void> | undefined
  #isUnclean = false
  #hasLeft = false
  #isFounding = false

  constructor (log: Logger) { this.#log = log }

  /** The next start counts this life as a crash. */
  get isUnclean (): boolean { return this.#isUnclean }
  /** Gone from its mesh for ever: nothing of it is kept. */
  get hasLeft (): boolean { return this.#hasLeft }
  /** Its mesh is new, and nobody has been told of it: the recovery text is shown once, by a node that has started. */
  get isFounding (): boolean { return this.#isFounding }
  /** Resolves once this device has left, and every step has run. */
  get left (): Promise<Departure> { return this.#left.promise }

  founding (): void { this.#isFounding = true }
  started (): void { this.#isFounding = false }

  onStop (name: string, stop: () => unknown): void { this.#steps.push({ name, stop }) }

  /** Runs every step once, newest first; never rejects: a step that fails is logged and the next one runs. */
  stop ({ unclean = false }: { unclean?: boolean } = {}): Promise<void> {
    this.#isUnclean ||= unclean
    this.#ending ??= this.#run()
    return this.#ending
  }

  /** The last of a device that left: stops, and lets go of all it held of the mesh. */
  async leave (departure: Departure): Promise<Departure> {
    this.#hasLeft = true
    await this.stop()
    this.#left.resolve(departure)
    return departure
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
