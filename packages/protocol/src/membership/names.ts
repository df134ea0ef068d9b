/** Names are labels for people: a device is its key. */

const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/

/** The form of device and mesh names on the wire: `[a-z0-9][a-z0-9._-]{0,62}`. */
export function isDeviceName (value: unknown): value is string { return typeof value === 'string' && NAME.test(value) }

/** The nearest name to any text, a hostname for instance; `fallback` when nothing of it is left. */
export function toDeviceName (text: string, fallback = 'device'): string {
  const name = text.toLowerCase().replace(/[^a-z0-9._-]+/g, '-').replace(/^[._-]+/, '').slice(0, 63).replace(/[._-]+$/, '')
  return NAME.test(name) ? name : fallback
}

/**
 * One distinct name for each wish, in order: the first to wish for `mini` is `mini`, the next `mini-2`, then `mini-3`.
 * A name that somebody wishes for literally is only given away when it is free at that point.
 */
export function assignNames (wishes: readonly string[]): string[] {
  const taken = new Set<string>()
  // Thousands may wish for one name: each goes on counting where the one before stopped.
  const last = new Map<string, number>()
  return wishes.map(wish => {
    let name = wish
    let n = last.get(wish) ?? 1
    while (taken.has(name)) name = `${wish}-${++n}`
    last.set(wish, n)
    taken.add(name)
    return name
  })
}
