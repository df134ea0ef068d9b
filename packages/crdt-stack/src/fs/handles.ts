/**
 * Open files, shared by every store of a process and bounded in number.
 *
 * A device may hold thousands of stacks, and an operating system gives a process a few hundred or a few thousand file descriptors,
 * which sockets and child processes need too. So a file stays open only while it is used or while there is room; the one that was
 * used longest ago is closed first.
 */
import { open, type FileHandle } from 'node:fs/promises'

export interface HandlesInit {
  /** Files open at once. More uses than that wait for their turn. @default 64 */
  max?: number
  /** Opens a file. @default `open` of node:fs/promises */
  open?: (path: string, flags: string | number) => Promise<FileHandle>
}

interface Held {
  readonly flags: string | number
  readonly handle: FileHandle
}

/** One path: its open handle, if any, and the uses that wait for each other. */
interface Slot {
  held: Held | undefined
  /** Uses that run or wait for their turn. */
  users: number
  tail: Promise<unknown>
}

/** New files are readable by their owner only. */
const MODE = 0o600
const DEFAULT_MAX = 64
const NONE_LEFT = new Set(['EMFILE', 'ENFILE'])

export class Handles {
  readonly #open: NonNullable<HandlesInit['open']>
  readonly #slots = new Map<string, Slot>()
  readonly #waiting: Array<() => void> = []
  #max: number
  /** Handles that are open, are being opened, or are being closed. */
  #taken = 0

  constructor ({ max = DEFAULT_MAX, open: opener = async (path, flags) => await open(path, flags, MODE) }: HandlesInit = {}) {
    this.#max = Math.max(1, max)
    this.#open = opener
  }

  /** Files open now. Never more than {@link max}. */
  get open (): number { return this.#taken }

  /** The bound; it falls when the system gives fewer descriptors than it promised. */
  get max (): number { return this.#max }

  /**
   * Runs `work` with the open file. Uses of one path run one after the other, in the order they were asked for, so a position that
   * `work` reads (the size of a log, say) still holds when it writes there. `work` must not use another file of this pool: it would
   * wait for a place that it holds itself.
   *
   * After a failure the file is closed and opened anew by the next use.
   *
   * @param flags as for `fs.open`; a file that is open with other flags is opened anew
   * @throws what `work` or opening the file throws: `EMFILE` only when not one file of this pool is left to close
   */
  async use<T> (path: string, flags: string | number, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    return await this.#inTurn(path, async slot => {
      const { handle } = await this.#ready(slot, path, flags)
      try {
        return await work(handle)
      } catch (error) {
        await this.#shut(slot).catch(() => undefined)
        throw error
      }
    })
  }

  /** Closes the file once everything that was asked for before is done. A file that is not open is no error. */
  async close (path: string): Promise<void> {
    if (this.#slots.has(path)) await this.#inTurn(path, async slot => { await this.#shut(slot) })
  }

  /** As {@link close}, for every path that `which` accepts. */
  async closeAll (which: (path: string) => boolean = () => true): Promise<void> {
    await Promise.all([...this.#slots.keys()].filter(which).map(async path => { await this.close(path) }))
  }

  async #inTurn<T> (path: string, work: (slot: Slot) => Promise<T>): Promise<T> {
    const slot = this.#slots.get(path) ?? { held: undefined, users: 0, tail: Promise.resolve() }
    // The map is in the order of the last use: the first slot that nobody uses is the one to close.
    this.#slots.delete(path)
    this.#slots.set(path, slot)
    slot.users++
    const turn = slot.tail.then(async () => await work(slot))
    slot.tail = turn.catch(() => undefined)
    try {
      return await turn
    } finally {
      slot.users--
      if (slot.users === 0 && slot.held === undefined) this.#slots.delete(path)
      this.#wake()
    }
  }

  async #ready (slot: Slot, path: string, flags: string | number): Promise<Held> {
    if (slot.held !== undefined && slot.held.flags !== flags) await this.#shut(slot)
    while (slot.held === undefined) {
      await this.#room()
      slot.held = await this.#tryOpen(path, flags)
    }
    return slot.held
  }

  /** Resolves with one place taken: free, made free by closing an idle file, or given back by a use that ended. */
  async #room (): Promise<void> {
    while (this.#taken >= this.#max) {
      if (!await this.#closeIdle()) await new Promise<void>(resolve => { this.#waiting.push(resolve) })
    }
    this.#taken++
  }

  /** Undefined when the system had no descriptor left and another file was given up for it. */
  async #tryOpen (path: string, flags: string | number): Promise<Held | undefined> {
    try {
      return { flags, handle: await this.#open(path, flags) }
    } catch (error) {
      this.#taken--
      // Others in this process took the descriptors: from now on this pool makes do with fewer.
      const noneLeft = NONE_LEFT.has((error as NodeJS.ErrnoException).code ?? '')
      if (!noneLeft || this.#taken === 0) {
        this.#wake()
        throw error
      }
      this.#max = this.#taken
      return undefined
    }
  }

  /** Closes the file that was used longest ago and is not in use. @returns whether there was one */
  async #closeIdle (): Promise<boolean> {
    const idle = [...this.#slots].find(([, { users, held }]) => users === 0 && held !== undefined)
    if (idle === undefined) return false
    await this.close(idle[0])
    return true
  }

  async #shut (slot: Slot): Promise<void> {
    const { held } = slot
    if (held === undefined) return
    slot.held = undefined
    try {
      await held.handle.close()
    } finally {
      this.#taken--
      this.#wake()
    }
  }

  #wake (): void { this.#waiting.shift()?.() }
}
