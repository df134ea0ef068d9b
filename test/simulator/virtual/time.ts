/**
 * Virtual time for code that sets real timers: services run as they ship, hours of them in seconds, and the same seed gives the
 * same run. Each device is a {@link Life}; timers, clocks and deadlines that are made inside a life belong to it, so that one
 * device can be stopped (SIGSTOP), killed, or given a clock that drifts or jumps, while the others go on.
 *
 * While {@link VirtualTime.install} is in force, code inside a life sees virtual timers, `Date.now`, `performance.now`,
 * `AbortSignal.timeout` and `node:timers/promises`; everything else (the test runner) keeps the real ones.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import { MachineClock } from '../../../packages/node/src/adapters/clock.ts'
import { EventQueue } from '../event-queue.ts'

export interface Life {
  readonly name: string
  /** What a killed life still planned never happens. */
  alive: boolean
  /** Stopped until then: what is due meanwhile happens afterwards, in order. */
  stalledUntilMs: number
  /** How far its wall clock is ahead; may jump. */
  wallAheadMs: number
  /** Speed of its monotonic clock: 1.02 runs fast. */
  rate: number
  /** What its monotonic clock says at the beginning. */
  bootMs: number
}

interface Due { at: number, order: number, life: Life | undefined, timer: VirtualTimer | undefined, act: () => void }

/** Virtual time zero, milliseconds since 1970. */
export const EPOCH_MS = 1_800_000_000_000

class VirtualTimer {
  cancelled = false
  readonly arm: () => void
  constructor (arm: () => void) { this.arm = arm }
  ref (): this { return this }
  unref (): this { return this }
  hasRef (): boolean { return true }
  refresh (): this { this.arm(); return this }
  close (): this { this.cancelled = true; return this }
  [Symbol.dispose] (): void { this.cancelled = true }
}

const timersPromises = createRequire(import.meta.url)('node:timers/promises') as Record<'setTimeout' | 'setImmediate', unknown>
const real = {
  setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, setInterval: globalThis.setInterval,
  clearInterval: globalThis.clearInterval, setImmediate: globalThis.setImmediate, clearImmediate: globalThis.clearImmediate,
  signalTimeout: AbortSignal.timeout.bind(AbortSignal), dateNow: Date.now.bind(Date), performanceNow: performance.now.bind(performance),
  sleep: timersPromises.setTimeout as (ms?: number, value?: unknown, options?: object) => Promise<unknown>,
  turn: timersPromises.setImmediate as (value?: unknown, options?: object) => Promise<unknown>,
}

export class VirtualTime {
  now = 0
  events = 0
  readonly #queue = new EventQueue<Due>()
  readonly #lives = new AsyncLocalStorage<Life>()
  readonly #clocks = new WeakMap<Life, MachineClock>()
  #order = 0

  spawn (name: string, { rate = 1, wallAheadMs = 0 }: { rate?: number, wallAheadMs?: number } = {}): Life {
    return { name, alive: true, stalledUntilMs: 0, wallAheadMs, rate, bootMs: this.now }
  }

  /** Runs `act` as this life: at once, or when the life goes on. Nothing of a dead one runs. */
  within (life: Life, act: () => void): void {
    if (!life.alive) return
    if (this.now < life.stalledUntilMs) this.at(life.stalledUntilMs, act, life)
    else this.#lives.run(life, act)
  }

  /** Runs `act` as this life now, and gives its result: for the setup of a life. */
  inside<T> (life: Life, act: () => T): T { return this.#lives.run(life, act) }

  at (ms: number, act: () => void, life?: Life): void { this.#push(Math.max(this.now, ms), act, life) }

  stall (life: Life, forMs: number): void { life.stalledUntilMs = Math.max(life.stalledUntilMs, this.now + forMs) }

  kill (life: Life): void { life.alive = false }

  /** The clock that ships, on the hands of this life. No machine sleeps here: processes are stopped. */
  clockOf (life: Life): MachineClock {
    const monotonicMs = (): number => (this.now - life.bootMs) * life.rate + 1_000
    const clock = this.#clocks.get(life) ?? new MachineClock({ wallMs: () => this.#wallMs(life), monotonicMs, sinceBootMs: monotonicMs })
    this.#clocks.set(life, clock)
    return clock
  }

  /** Everything that is due up to then, each after all that the one before set off has settled. */
  async run (untilMs: number): Promise<void> {
    await settled()
    for (let next = this.#queue.first; next !== undefined && next.at <= untilMs; next = this.#queue.first) {
      this.#queue.pop()
      if (next.timer?.cancelled === true || next.life?.alive === false) continue
      if (next.life !== undefined && next.life.stalledUntilMs > next.at) {
        this.#queue.push({ ...next, at: next.life.stalledUntilMs })
        continue
      }
      this.now = Math.max(this.now, next.at)
      this.events++
      if (next.life === undefined) next.act()
      else this.#lives.run(next.life, next.act)
      await settled()
    }
    this.now = Math.max(this.now, untilMs)
  }

  install (): void {
    const later = this.#timers()
    Object.assign(globalThis, later.globals)
    AbortSignal.timeout = ms => this.#lives.getStore() === undefined ? real.signalTimeout(ms) : this.#timeoutSignal(ms)
    Date.now = () => {
      const life = this.#lives.getStore()
      return life === undefined ? real.dateNow() : this.#wallMs(life)
    }
    performance.now = () => this.#lives.getStore() === undefined ? real.performanceNow() : this.now
    Object.assign(timersPromises, later.promises)
    syncBuiltinESMExports()
  }

  uninstall (): void {
    const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate } = real
    Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate })
    AbortSignal.timeout = real.signalTimeout
    Date.now = real.dateNow
    performance.now = real.performanceNow
    Object.assign(timersPromises, { setTimeout: real.sleep, setImmediate: real.turn })
    syncBuiltinESMExports()
  }

  #wallMs (life: Life): number { return Math.floor(EPOCH_MS + this.now + life.wallAheadMs) }

  #push (at: number, act: () => void, life: Life | undefined, timer?: VirtualTimer): void {
    this.#queue.push({ at, order: this.#order++, life, timer, act })
  }

  #timeoutSignal (ms: number): AbortSignal {
    const controller = new AbortController()
    const late = (): void => { controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')) }
    this.#push(this.now + ms, late, this.#lives.getStore())
    return controller.signal
  }

  #later (life: Life, ms: number, act: () => void): VirtualTimer {
    const timer: VirtualTimer = new VirtualTimer(() => { this.#push(this.now + Math.max(0, ms), act, life, timer) })
    timer.arm()
    return timer
  }

  #timers (): { globals: object, promises: object } {
    type Act = (...args: unknown[]) => void
    const life = (): Life | undefined => this.#lives.getStore()
    const cancel = (otherwise: (timer: never) => void) => (timer: unknown): void => {
      if (timer instanceof VirtualTimer) timer.cancelled = true
      else otherwise(timer as never)
    }
    const setTimeout = (act: Act, ms = 0, ...args: unknown[]): unknown => {
      const owner = life()
      return owner === undefined ? real.setTimeout(act, ms, ...args) : this.#later(owner, ms, () => { act(...args) })
    }
    const setInterval = (act: Act, ms = 0, ...args: unknown[]): unknown => {
      const owner = life()
      if (owner === undefined) return real.setInterval(act, ms, ...args)
      const timer: VirtualTimer = this.#later(owner, ms, () => {
        timer.arm()
        act(...args)
      })
      return timer
    }
    const setImmediate = (act: Act, ...args: unknown[]): unknown => {
      const owner = life()
      return owner === undefined ? real.setImmediate(act, ...args) : this.#later(owner, 0, () => { act(...args) })
    }
    const sleep = (ms = 0, value?: unknown, options: { signal?: AbortSignal } = {}): Promise<unknown> => {
      const owner = life()
      return owner === undefined ? real.sleep(ms, value, options) : this.#sleep(owner, ms, value, options.signal)
    }
    const turn = (value?: unknown, options: { signal?: AbortSignal } = {}): Promise<unknown> => {
      const owner = life()
      return owner === undefined ? real.turn(value, options) : this.#sleep(owner, 0, value, options.signal)
    }
    return {
      globals: {
        setTimeout, setInterval, setImmediate, clearTimeout: cancel(real.clearTimeout), clearInterval: cancel(real.clearInterval),
        clearImmediate: cancel(real.clearImmediate),
      },
      promises: { setTimeout: sleep, setImmediate: turn },
    }
  }

  #sleep (life: Life, ms: number, value: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const timer = this.#later(life, ms, () => { resolve(value) })
      const give = (): void => {
        timer.cancelled = true
        reject(new DOMException('The operation was aborted', 'AbortError'))
      }
      if (signal?.aborted === true) give()
      signal?.addEventListener('abort', give, { once: true })
    })
  }
}

/** After every promise that is ready, and those that they make ready. */
function settled (): Promise<void> { return new Promise(resolve => { real.setImmediate(resolve) }) }
