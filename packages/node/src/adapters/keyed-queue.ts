/** Runs the tasks of one key one after the other. */
export class KeyedQueue {
  readonly #tails = new Map<string, Promise<unknown>>()

  /** @param signal - Ends the wait for the turn; a task that has begun sees to it itself. @default nothing ends the wait */
  async run<T> (key: string, task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    const start = (): Promise<T> => {
      signal?.removeEventListener('abort', giveUp)
      signal?.throwIfAborted()
      return task()
    }
    const turn = (this.#tails.get(key) ?? Promise.resolve()).then(start, start)
    const tail = turn.then(() => undefined, () => undefined).then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    })
    this.#tails.set(key, tail)
    const gaveUp = Promise.withResolvers<never>()
    const giveUp = (): void => { gaveUp.reject(signal?.reason) }
    signal?.addEventListener('abort', giveUp, { once: true })
    return await Promise.race([turn, gaveUp.promise])
  }
}
