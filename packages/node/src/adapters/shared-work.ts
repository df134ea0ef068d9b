/** Work that several ask for and that is done once. It is aborted when everybody who waits for it has given up, not before. */
export class SharedWork<T> {
  readonly #controller = new AbortController()
  readonly #result: Promise<T>
  #waiting = 0

  constructor (work: (signal: AbortSignal) => Promise<T>) {
    this.#result = work(this.#controller.signal)
    this.#result.catch(() => undefined)
  }

  get abandoned (): boolean { return this.#controller.signal.aborted }

  /** @throws the signal's reason when it aborts first */
  async join (signal: AbortSignal): Promise<T> {
    signal.throwIfAborted()
    this.#waiting++
    const gaveUp = Promise.withResolvers<never>()
    const onAbort = (): void => {
      gaveUp.reject(signal.reason)
      if (--this.#waiting === 0) this.#controller.abort(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([this.#result, gaveUp.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}
