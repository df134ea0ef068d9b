/** A change stream that cannot grow without bound: a slow reader sees the latest state of each entry once. */
import type { StackChange } from './types.ts'

export class Changes {
  readonly #readers = new Set<Reader>()

  /** Is anybody reading? An entry is not worth computing for nobody. */
  get isRead (): boolean { return this.#readers.size > 0 }

  emit (change: StackChange): void { for (const reader of this.#readers) reader.put(change) }

  /** Sees every change from now on. Ends when `signal` aborts or the stack closes; never throws. */
  read (signal: AbortSignal): AsyncIterable<StackChange> {
    const reader = new Reader()
    this.#readers.add(reader)
    return this.#drain(reader, signal)
  }

  async * #drain (reader: Reader, signal: AbortSignal): AsyncGenerator<StackChange, void, void> {
    const end = (): void => reader.end()
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
    try {
      for (let change = await reader.next(); change !== undefined; change = await reader.next()) yield change
    } finally {
      signal.removeEventListener('abort', end)
      this.#readers.delete(reader)
    }
  }

  close (): void { for (const reader of this.#readers) reader.end() }
}

class Reader {
  readonly #pending = new Map<string, StackChange>()
  #wake: (() => void) | undefined
  #ended = false

  put (change: StackChange): void {
    const key = change.type === 'entry' ? change.entry.id : `${change.type} ${change.feed}`
    this.#pending.delete(key)
    this.#pending.set(key, change)
    this.#wake?.()
  }

  end (): void {
    this.#ended = true
    this.#wake?.()
  }

  async next (): Promise<StackChange | undefined> {
    while (this.#pending.size === 0 && !this.#ended) {
      await new Promise<void>(resolve => { this.#wake = resolve })
      this.#wake = undefined
    }
    const [first] = this.#pending
    if (this.#ended || first === undefined) return undefined
    this.#pending.delete(first[0])
    return first[1]
  }
}
