/** A bounded hand-over between a producer and one consumer: `push` resolves when there is room again. */
export class Queue<Item> implements AsyncIterable<Item> {
  readonly #items: Item[] = []
  readonly #max: number
  #error: Error | undefined
  #ended = false
  #wake: Array<() => void> = []

  constructor (max = 16) { this.#max = max }

  /** @throws the error of {@link fail}. Items after the end are dropped. */
  async push (item: Item): Promise<void> {
    while (this.#items.length >= this.#max && !this.#ended && this.#error === undefined) await this.#changed()
    if (this.#error !== undefined) throw this.#error
    if (!this.#ended) this.#items.push(item)
    this.#notify()
  }

  end (): void {
    this.#ended = true
    this.#notify()
  }

  fail (error: Error): void {
    this.#error ??= error
    this.#notify()
  }

  async * [Symbol.asyncIterator] (): AsyncGenerator<Item> {
    try {
      for (;;) {
        while (this.#items.length === 0) {
          if (this.#error !== undefined) throw this.#error
          if (this.#ended) return
          await this.#changed()
        }
        const item = this.#items.shift() as Item
        this.#notify()
        yield item
      }
    } finally {
      this.end()
    }
  }

  #changed (): Promise<void> { return new Promise(resolve => { this.#wake.push(resolve) }) }

  #notify (): void {
    const wake = this.#wake
    this.#wake = []
    for (const resolve of wake) resolve()
  }
}
