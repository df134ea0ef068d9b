/** Runs asynchronous work one after the other, in the order it was asked for. */
export class Serial {
  #tail: Promise<unknown> = Promise.resolve()

  async run<T> (work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(work)
    this.#tail = turn.catch(() => undefined)
    return await turn
  }
}
