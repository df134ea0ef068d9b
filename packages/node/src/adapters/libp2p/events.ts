/** A typed emitter of plain calls. A listener that throws stops neither the others nor the node. */

export class Events<Map extends { [E in keyof Map]: (...args: never[]) => void }> {
  readonly #listeners: { [E in keyof Map]?: Set<Map[E]> } = {}
  readonly #failed: (error: unknown) => void

  constructor (failed: (error: unknown) => void) { this.#failed = failed }

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
        this.#failed(error)
      }
    }
  }
}
