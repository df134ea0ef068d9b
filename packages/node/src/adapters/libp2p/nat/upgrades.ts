/**
 * From relayed to direct: a device that is here through a relay is dialled directly again and again, ever more slowly, at once when
 * something changed; and the relayed connection is given up once a direct one has lasted and nothing of value runs over the other.
 */
import type { DeviceId } from '@elder-node/protocol'
import type { Clock } from '../../../ports/host.ts'
import { every, type Failed } from '../../../timers.ts'

const TICK_MS = 2_000
const FIRST_MS = 10_000
const MAX_MS = 300_000
const DIAL_MS = 10_000
/** A direct connection that lives this long is believed. */
const LASTED_MS = 10_000

export interface UpgradesComponents {
  clock: Clock
  random: () => number
  /** Admitted devices without a direct connection. */
  relayed (): DeviceId[]
  dialDirect (device: DeviceId, signal: AbortSignal): Promise<void>
  /** Ends relayed connections of devices that have a direct one this old. */
  retire (lastedMs: number): void
  /** Told of a look that failed; the next one comes all the same. */
  failed: Failed
}

interface Attempt { waitMs: number, dueAtMs: number }

export class Upgrades {
  readonly #components: UpgradesComponents
  readonly #attempts = new Map<DeviceId, Attempt>()
  #timer: NodeJS.Timeout | undefined
  #stopped: AbortController | undefined

  constructor (components: UpgradesComponents) { this.#components = components }

  start (): void {
    this.#stopped = new AbortController()
    this.#timer = every(TICK_MS, () => { this.tick() }, this.#components.failed).unref()
  }

  stop (): void {
    clearInterval(this.#timer)
    this.#stopped?.abort(new Error('the node stops'))
  }

  /** Everything may be otherwise now; or this device, which was seen on the local network. */
  tryNow (device?: DeviceId): void {
    if (device === undefined) this.#attempts.clear()
    else this.#attempts.delete(device)
    this.tick(0)
  }

  tick (firstMs: number = FIRST_MS): void {
    const { clock, relayed, retire } = this.#components
    const nowMs = clock.monotonicMs()
    const here = new Set(relayed())
    for (const device of this.#attempts.keys()) if (!here.has(device)) this.#attempts.delete(device)
    for (const device of here) {
      const attempt = this.#attempts.get(device) ?? { waitMs: FIRST_MS, dueAtMs: nowMs + firstMs }
      this.#attempts.set(device, attempt)
      if (attempt.dueAtMs <= nowMs) this.#dial(device, attempt, nowMs)
    }
    retire(LASTED_MS)
  }

  #dial (device: DeviceId, attempt: Attempt, nowMs: number): void {
    const { dialDirect, random } = this.#components
    attempt.waitMs = Math.min(MAX_MS, 2 * attempt.waitMs)
    attempt.dueAtMs = nowMs + attempt.waitMs * (0.75 + 0.5 * random())
    const signal = AbortSignal.any([AbortSignal.timeout(DIAL_MS), ...(this.#stopped === undefined ? [] : [this.#stopped.signal])])
    dialDirect(device, signal).catch(() => {})
  }
}
