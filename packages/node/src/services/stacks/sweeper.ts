/**
 * Removed stacks leave the disk some time after this device heard of the removal; until then it can be undone.
 *
 * When this device first saw it gone is kept in a file: the date in the removal is what another device's clock said,
 * and one that lies in the past must not take anything away at once. The later of the two counts, so a clock that began
 * in 1970 takes nothing away either. A stack with something that came after the removal was heard of stays: see
 * `expiring` of the book.
 */
import { fromUtf8, LIMITS, utf8 } from '@elder-node/protocol'
import type { PrivateFiles } from '../../ports/files.ts'
import type { Clock } from '../../ports/host.ts'
import type { Logger } from '../../ports/log.ts'
import { every } from '../../timers.ts'
import type { Stacks } from '../stacks.ts'
import type { HeldStack } from './held-stack.ts'

export interface SweeperComponents { stacks: Stacks, files: PrivateFiles, clock: Clock, log: Logger }

/** @default an hour between two looks */
export interface SweeperInit { everyMs?: number }

/** By the removals `ids`, all of them. */
interface Seen { ids: string, seenMs: number }

const FILE = 'removed.json'
const HOUR_MS = 3_600_000

export class Sweeper {
  readonly #components: SweeperComponents
  readonly #init: SweeperInit
  #timer: NodeJS.Timeout | undefined

  constructor (components: SweeperComponents, init: SweeperInit = {}) {
    this.#components = components
    this.#init = init
  }

  start (): void {
    void this.sweep()
    // It never rejects.
    this.#timer = every(this.#init.everyMs ?? HOUR_MS, () => this.sweep(), () => {}).unref()
  }

  stop (): void { clearInterval(this.#timer) }

  /** One look. Never rejects: what could not be deleted is tried again. */
  async sweep (): Promise<void> {
    const { stacks, files, clock, log } = this.#components
    try {
      const heard = this.#heard()
      const now = clock.wallMs()
      const removed = stacks.all().flatMap(held => {
        const expiring = stacks.book.expiring(held)
        if (expiring === undefined) return []
        const ids = expiring.ids.join()
        const seen = heard[held.folder]
        // Another removal is another thirty days.
        const seenMs = seen?.ids === ids ? seen.seenMs : now
        return [{ held, ids, seenMs, sinceMs: Math.max(seenMs, expiring.sinceMs) }]
      })
      const seenNow = (ids: string, seenMs: number): Seen => ({ ids, seenMs })
      const since = Object.fromEntries(removed.map(({ held, ids, seenMs }) => [held.folder, seenNow(ids, seenMs)]))
      files.replace(FILE, utf8(JSON.stringify(since)))
      for (const { held, sinceMs } of removed) if (now - sinceMs > LIMITS.removedStackMs) await this.#drop(held)
    } catch (error) {
      log.warn({ why: (error as Error).message }, 'removed stacks could not be looked at; it is tried again')
    }
  }

  async #drop (held: HeldStack): Promise<void> {
    await this.#components.stacks.drop(held.key)
    this.#components.log.info({ stack: held.folder }, 'a stack that was removed has left the disk')
  }

  /** When this device first saw each stack gone. A file that does not read begins anew: it keeps stacks longer. */
  #heard (): Record<string, Seen | undefined> {
    const bytes = this.#components.files.readCache(FILE)
    return bytes === undefined ? {} : JSON.parse(fromUtf8(bytes)) as Record<string, Seen | undefined>
  }
}
