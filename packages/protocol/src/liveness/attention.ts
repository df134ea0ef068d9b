/**
 * How much this device may trust its own ears (Lifeguard, section 4.1: local health). Two measures:
 *
 * - **Attended time.** Silence counts only while our own loop ran: between two ticks at most two intervals. After a stall, a
 *   suspended laptop or a SIGSTOP, answers wait in our own socket buffers, and nobody is blamed for the time we did not listen.
 * - **Health.** Helpers that owe us an answer, or others suspecting us, hint at our own network: all times grow, up to double.
 */
export const TICK_MS = 250
const HEALTH_MAX = 4

export class Attention {
  readonly #isOn: boolean
  #attendedMs = 0
  #tickAtMs: number | undefined
  #ailing = 0

  /** @param isOn false: every moment counts and nothing grows (for the simulator's mutant) */
  constructor (isOn: boolean) { this.#isOn = isOn }

  tick (now: number): void {
    this.#attendedMs = this.at(now)
    this.#tickAtMs = now
  }

  /** Attended milliseconds. */
  at (now: number): number {
    const elapsedMs = now - (this.#tickAtMs ?? now)
    return this.#attendedMs + (this.#isOn ? Math.min(elapsedMs, 2 * TICK_MS) : elapsedMs)
  }

  worse (): void { this.#ailing = Math.min(HEALTH_MAX, this.#ailing + 1) }
  better (): void { this.#ailing = Math.max(0, this.#ailing - 1) }

  /** 1 to 2: what every time-out is multiplied by. */
  get factor (): number { return this.#isOn ? 1 + this.#ailing / HEALTH_MAX : 1 }
}
