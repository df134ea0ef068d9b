/**
 * Keeps events from the first, and gives each reader all of them: the past at once, then live ones until the end. Events that
 * weigh something (log text) are bounded: the first and the last half stay, the middle goes; a reader at the tip misses nothing.
 */
export class EventLog<Event> implements AsyncIterable<Event> {
  readonly #events: Array<Event | undefined> = []
  readonly #weigh: (event: Event) => number
  readonly #halfWeight: number
  readonly #wake = new Set<() => void>()
  #headWeight = 0
  #tailWeight = 0
  #tailFrom = 0
  #ended = false

  constructor (weigh: (event: Event) => number, weightMax: number) {
    this.#weigh = weigh
    this.#halfWeight = weightMax / 2
  }

  get events (): Event[] { return this.#events.filter(event => event !== undefined) }
  get ended (): boolean { return this.#ended }

  push (event: Event): void {
    if (this.#ended) return
    this.#events.push(event)
    this.#bound(this.#weigh(event))
    this.#notify()
  }

  end (event: Event): void {
    this.push(event)
    this.#ended = true
    this.#notify()
  }

  async * [Symbol.asyncIterator] (): AsyncGenerator<Event> {
    for (let i = 0; ; i++) {
      while (i >= this.#events.length) {
        if (this.#ended) return
        await new Promise<void>(resolve => { this.#wake.add(resolve) })
      }
      const event = this.#events[i]
      if (event !== undefined) yield event
    }
  }

  #bound (weight: number): void {
    // Once something is in the tail the head is closed, however little would still fit: or all of the tail would count as head.
    if (this.#tailWeight === 0 && this.#headWeight + weight <= this.#halfWeight) {
      this.#headWeight += weight
      this.#tailFrom = this.#events.length
      return
    }
    this.#tailWeight += weight
    for (; this.#tailWeight > this.#halfWeight && this.#tailFrom < this.#events.length - 1; this.#tailFrom++) {
      const event = this.#events[this.#tailFrom]
      if (event === undefined || this.#weigh(event) === 0) continue
      this.#tailWeight -= this.#weigh(event)
      this.#events[this.#tailFrom] = undefined
    }
  }

  #notify (): void {
    for (const resolve of this.#wake) resolve()
    this.#wake.clear()
  }
}
