/** Who wants to hear of one kind of event. Plain calls, in the order of arrival. */
export class Listeners<Args extends unknown[]> {
  readonly #listeners = new Set<(...args: Args) => void>()

  /** Returns the unsubscriber. */
  add (listener: (...args: Args) => void): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  tell (...args: Args): void { for (const listener of this.#listeners) listener(...args) }
}
