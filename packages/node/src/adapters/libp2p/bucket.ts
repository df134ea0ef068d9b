/** Token buckets by name: so many at once, then so many a second. */
export interface Rate { burst: number, perSecond: number }

/** Buckets kept; those that were used longest ago are forgotten, which fills them. */
const BUCKETS_MAX = 4096

export class Buckets {
  readonly #nowMs: () => number
  readonly #buckets = new Map<string, { tokens: number, atMs: number }>()

  constructor (nowMs: () => number) { this.#nowMs = nowMs }

  /** Takes one token. @returns false when there is none */
  take (name: string, { burst, perSecond }: Rate): boolean {
    const nowMs = this.#nowMs()
    const { tokens, atMs } = this.#buckets.get(name) ?? { tokens: burst, atMs: nowMs }
    const filled = Math.min(burst, tokens + (nowMs - atMs) / 1000 * perSecond)
    this.#buckets.delete(name)
    this.#buckets.set(name, { tokens: filled < 1 ? filled : filled - 1, atMs: nowMs })
    const [oldest] = this.#buckets.keys()
    if (this.#buckets.size > BUCKETS_MAX && oldest !== undefined) this.#buckets.delete(oldest)
    return filled >= 1
  }
}
