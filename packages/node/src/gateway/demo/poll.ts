/** Waiting for a condition that a public command shows; never for a time. */
import { setTimeout as delay } from 'node:timers/promises'
import { ElderError } from '@elder-node/protocol'

export interface PollOptions {
  /** What is awaited, for the error. */
  what: string
  deadlineMs: number
  signal: AbortSignal
}

/** Asks until the answer is not undefined. @throws ElderError `DEMO_FAILED` */
export async function poll<T> (ask: () => Promise<T | undefined>, { what, deadlineMs, signal }: PollOptions): Promise<T> {
  const end = performance.now() + deadlineMs
  for (;;) {
    signal.throwIfAborted()
    const answer = await ask()
    if (answer !== undefined) return answer
    if (performance.now() > end) throw new ElderError('DEMO_FAILED', `${what}: not within ${Math.round(deadlineMs / 1000)} s`)
    // Leaves the two cores to the nodes between two questions.
    await delay(100, undefined, { signal })
  }
}
