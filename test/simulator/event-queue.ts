/** A binary heap by (at, order): events of one instant run in the order in which they were made, so a run replays. */

export interface Timed { at: number, order: number }

export class EventQueue<Event extends Timed> {
  readonly #heap: Event[] = []

  get first (): Event | undefined { return this.#heap[0] }
  get length (): number { return this.#heap.length }

  push (event: Event): void {
    const heap = this.#heap
    let i = heap.push(event) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(heap[i] as Event, heap[parent] as Event)) break
      ;[heap[i], heap[parent]] = [heap[parent] as Event, heap[i] as Event]
      i = parent
    }
  }

  pop (): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (heap.length === 0 || last === undefined) return first
    heap[0] = last
    for (let i = 0; ;) {
      let least = i
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < heap.length && before(heap[child] as Event, heap[least] as Event)) least = child
      }
      if (least === i) return first
      ;[heap[i], heap[least]] = [heap[least] as Event, heap[i] as Event]
      i = least
    }
  }
}

function before (a: Timed, b: Timed): boolean { return a.at < b.at || (a.at === b.at && a.order < b.order) }
