/** Names are labels for people: a device is its key. */

const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/

/** The form of device and mesh names on the wire: `[a-z0-9][a-z0-9._-]{0,62}`. */
export function isDeviceName (value: unknown): value is string { return typeof value === 'string' && NAME.test(value) }

/** The nearest name to any text, a hostname for instance; `fallback` when nothing of it is left. */
export function toDeviceName (text: string, fallback = 'device'): string {
  const name = text.toLowerCase().replace(/[^a-z0-9._-]+/g, '-').replace(/^[._-]+/, '').slice(0, 63).replace(/[._-]+$/, '')
  return NAME.test(name) ? name : fallback
}

/** Distinct names, one for each wish: the first to wish for `mini` is `mini`, the next `mini-2`, then `mini-3`. */
export class Names {
  readonly #taken = new Set<string>()
  /** Thousands may wish for one name: each goes on counting where the one before stopped. */
  readonly #last = new Map<string, number>()

  give (wish: string): string {
    let name = wish
    let n = this.#last.get(wish) ?? 1
    while (this.#taken.has(name)) name = `${wish}-${++n}`
    this.#last.set(wish, n)
    this.#taken.add(name)
    return name
  }

  /** Its holder is gone: whoever comes later may have it, and who is here keeps its own. */
  free (name: string): void { this.#taken.delete(name) }
}
