/** A typed emitter of plain calls. A listener that throws does not stop the others, and is never lost silently: it is reported as uncaught. */

export class Events<Map extends { [E in keyof Map]: (...args: never[]) => void }> {
  readonly #listeners: { [E in keyof Map]?: Set<Map[E]> } = {}

  on<E extends keyof Map> (event: E, listener: Map[E]): () => void {
    const listeners = this.#listeners[event] ??= new Set()
    listeners.add(listener)
    return () => { listeners.delete(listener) }
  }

  emit<E extends keyof Map> (event: E, ...args: Parameters<Map[E]>): void {
    for (const listener of this.#listeners[event] ?? []) {
      try {
        listener(...args)
      } catch (error) {
        queueMicrotask(() => { throw error })
      }
    }
  }
}
