/** Holding many names against globs without holding up everything else. */
import { setImmediate as turn } from 'node:timers/promises'
import type { GlobsAt, OutputGlobs } from '@elder-node/protocol'

/** Work between two turns of the event loop, in steps of the matcher: about five milliseconds. */
const STEPS_PER_TURN = 250_000
/** What a name costs besides its comparison. */
const NAME_STEPS = 1_000

export class GlobTurns {
  readonly globs: OutputGlobs
  readonly #signal: AbortSignal
  #names = 0
  #turnAt = STEPS_PER_TURN

  constructor (globs: OutputGlobs, signal: AbortSignal) {
    this.globs = globs
    this.#signal = signal
  }

  /** Compares the next name of a path, and gives others a turn when enough was done. @throws the signal's reason */
  async next (at: GlobsAt, name: string): Promise<GlobsAt> {
    const work = this.globs.steps + ++this.#names * NAME_STEPS
    if (work > this.#turnAt) {
      this.#turnAt = work + STEPS_PER_TURN
      await turn()
    }
    this.#signal.throwIfAborted()
    return this.globs.next(at, name)
  }

  /** True for what is meant, and for what lies below it. @throws the signal's reason */
  async match (path: string): Promise<boolean> {
    let at = this.globs.start
    for (const name of path.split('/')) {
      at = await this.next(at, name)
      if (at.length === 0) return false
    }
    return this.globs.hits(at).length > 0
  }
}
