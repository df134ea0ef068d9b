/** Something of this machine that is opened when it is first needed. What failed is tried again at the next call. */
export class Opening<T> {
  readonly #open: () => Promise<T>
  #opened: Promise<T> | undefined

  constructor (open: () => Promise<T>) { this.#open = open }

  get (): Promise<T> {
    this.#opened ??= this.#open().catch((error: unknown) => {
      this.#opened = undefined
      throw error
    })
    return this.#opened
  }

  /** What is open now, if it is; the next {@link get} opens anew. */
  async take (): Promise<T | undefined> {
    const opened = await this.#opened?.catch(() => undefined)
    this.#opened = undefined
    return opened
  }
}
