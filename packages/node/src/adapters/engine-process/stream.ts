import type { ChildProcess } from 'node:child_process'
import type { RunEvent } from '../../ports/engine.ts'

/** Bytes of log held for a slow consumer before the build's pipes are paused. */
const HELD_BYTES_MAX = 1_048_576
/** After the last process is gone its pipes close by themselves; a process that escaped must not hold the iterator. */
const CLOSE_GRACE_MS = 1000

type Log = Extract<RunEvent, { type: 'log' }>
export interface Exit { code: number | null, signal: NodeJS.Signals | null }

/** What a child prints, in the order in which it arrives, and its end. */
export class ChildStream {
  readonly #child: ChildProcess
  readonly #queue: Log[] = []
  readonly exited: Promise<Exit>
  #held = 0
  #ended = false
  #finishing = false
  #wake: () => void = () => undefined

  constructor (child: ChildProcess) {
    this.#child = child
    for (const stream of ['stdout', 'stderr'] as const) child[stream]?.on('data', (data: Uint8Array) => { this.#push({ type: 'log', stream, data }) })
    this.exited = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code, signal) => { resolve({ code, signal }) })
    })
    this.exited.catch(() => { this.#end() })
    child.once('close', () => { this.#end() })
  }

  /** Ends when both pipes are closed. */
  async * logs (): AsyncGenerator<Log> {
    for (;;) {
      const next = this.#queue.shift()
      if (next !== undefined) {
        this.#held -= next.data.length
        if (this.#held < HELD_BYTES_MAX / 2) this.#flow('resume')
        yield next
      } else if (this.#ended) {
        return
      } else {
        await new Promise<void>(resolve => { this.#wake = resolve })
      }
    }
  }

  /** Every process is gone: takes what is still in the pipes, however slow the consumer (they hold little), but waits no longer than a moment for them to close. */
  finish (): void {
    if (this.#ended) return
    this.#finishing = true
    const timer = setTimeout(() => { this.#end() }, CLOSE_GRACE_MS)
    this.#child.once('close', () => { clearTimeout(timer) })
    this.#flow('resume')
  }

  #push (log: Log): void {
    if (this.#ended) return
    this.#queue.push(log)
    this.#held += log.data.length
    if (this.#held > HELD_BYTES_MAX && !this.#finishing) this.#flow('pause')
    this.#wake()
  }

  #end (): void {
    this.#ended = true
    this.#child.stdout?.destroy()
    this.#child.stderr?.destroy()
    this.#wake()
  }

  #flow (method: 'pause' | 'resume'): void {
    this.#child.stdout?.[method]()
    this.#child.stderr?.[method]()
  }
}
