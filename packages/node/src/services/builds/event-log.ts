/**
 * Keeps events from the first, and gives each reader all of them: the past at once, then live ones until the end. Events that
 * weigh something (log text) are bounded: the first and the last half stay, the middle goes; a reader at the tip misses nothing.
 */
/** An event and its place among all that were pushed. */
interface Kept<Event> { seq: number, event: Event | undefined }

/** Fewer are not worth moving the others. */
const HOLES_MIN = 64

export class EventLog<Event> implements AsyncIterable<Event> {
  readonly #kept: Array<Kept<Event>> = []
  readonly #weigh: (event: Event) => number
  readonly #halfWeight: number
  readonly #wake = new Set<() => void>()
  #pushed = 0
  #holes = 0
  #headWeight = 0
  #tailWeight = 0
  /** Index of the first event that may go. */
  #tailFrom = 0
  #ended = false

  constructor (weigh: (event: Event) => number, weightMax: number) {
    this.#weigh = weigh
    this.#halfWeight = weightMax / 2
  }

  get events (): Event[] { return this.#kept.flatMap(({ event }) => event === undefined ? [] : [event]) }
  /** The event that came last. It never goes. */
  get last (): Event | undefined { return this.#kept.at(-1)?.event }
  /** Of all that is kept. */
  get weight (): number { return this.#headWeight + this.#tailWeight }
  get ended (): boolean { return this.#ended }

  push (event: Event): void {
    if (this.#ended) return
    this.#kept.push({ seq: this.#pushed++, event })
    this.#bound(this.#weigh(event))
    if (this.#holes > HOLES_MIN && this.#holes > this.#kept.length / 2) this.#closeHoles()
    this.#notify()
  }

  end (event: Event): void {
    this.push(event)
    this.#ended = true
    this.#notify()
  }

  async * [Symbol.asyncIterator] (): AsyncGenerator<Event> {
    for (let seq = 0; ; seq++) {
      while (seq >= this.#pushed) {
        if (this.#ended) return
        await new Promise<void>(resolve => { this.#wake.add(resolve) })
      }
      const kept = this.#kept[this.#indexOf(seq)]
      if (kept === undefined) continue
      seq = kept.seq
      if (kept.event !== undefined) yield kept.event
    }
  }

  #bound (weight: number): void {
    // Once something is in the tail the head is closed, however little would still fit: or all of the tail would count as head.
    if (this.#tailWeight === 0 && this.#headWeight + weight <= this.#halfWeight) {
      this.#headWeight += weight
      this.#tailFrom = this.#kept.length
      return
    }
    this.#tailWeight += weight
    for (; this.#tailWeight > this.#halfWeight && this.#tailFrom < this.#kept.length - 1; this.#tailFrom++) {
      const kept = this.#kept[this.#tailFrom]
      if (kept?.event === undefined || this.#weigh(kept.event) === 0) continue
      this.#tailWeight -= this.#weigh(kept.event)
      kept.event = undefined
      this.#holes++
    }
  }

  /** What went leaves its place too, many at once: a command that prints for days costs no more than one that stopped at the bound. */
  #closeHoles (): void {
    let to = 0
    let tailFrom = 0
    for (const [from, kept] of this.#kept.entries()) {
      if (from < this.#tailFrom && kept.event !== undefined) tailFrom++
      if (kept.event !== undefined) this.#kept[to++] = kept
    }
    this.#kept.length = to
    this.#tailFrom = tailFrom
    this.#holes = 0
  }

  /** Of the first that is kept from `seq` on. */
  #indexOf (seq: number): number {
    let low = 0
    let high = this.#kept.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#kept[middle]?.seq ?? seq) < seq) low = middle + 1
      else high = middle
    }
    return low
  }

  #notify (): void {
    for (const resolve of this.#wake) resolve()
    this.#wake.clear()
  }
}
