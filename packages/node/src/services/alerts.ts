/** Watches what this node knows for what its owner should know: the one place where problems come from. */
import type { DeviceStatus, Problem, StackStatus } from '../api.ts'
import type { Clock, LoopMonitor } from '../ports/host.ts'
import type { Logger } from '../ports/log.ts'
import { every } from '../timers.ts'
import { AlertBook } from './alerts/alert-book.ts'
import { findingsOf, type Found, type World } from './alerts/conditions.ts'

export interface AlertsComponents {
  clock: Clock
  loop: LoopMonitor
  self: string
  devices: () => DeviceStatus[]
  addresses: () => string[]
  waiting: () => World['waiting']
  stacks: () => StackStatus[]
  /** What services found themselves. */
  found: () => Found[]
  log: Logger
}

export interface AlertsInit {
  version: string
  /** Wall clock of the starts that followed an end that was not clean, milliseconds. */
  crashesMs: readonly number[]
  /** Between two looks. @default 15_000 */
  everyMs?: number
}

/** Thousands of stacks are looked at in every so many looks. */
const STACKS_EVERY = 4

export class Alerts {
  readonly #components: AlertsComponents
  readonly #init: AlertsInit
  readonly #book = new AlertBook()
  readonly #expected = new Set<string>()
  #low: ReadonlySet<string> = new Set()
  #stacks: StackStatus[] = []
  #looks = 0
  #lagS = 0
  #timer: NodeJS.Timeout | undefined

  constructor (components: AlertsComponents, init: AlertsInit) {
    this.#components = components
    this.#init = init
  }

  start (): void { this.#timer = every(this.#init.everyMs ?? 15_000, () => { this.#look() }, error => { this.#failed(error) }).unref() }

  stop (): void {
    clearInterval(this.#timer)
    this.#components.loop.close()
  }

  /** Longest stall of the event loop in the last window, seconds. */
  get loopLagS (): number { return this.#lagS }

  /** What fires now. */
  problems (): Problem[] {
    this.#stacks = this.#components.stacks()
    return this.#evaluate()
  }

  #look (): void {
    this.#lagS = this.#components.loop.worstLagS()
    if (this.#looks++ % STACKS_EVERY === 0) this.#stacks = this.#components.stacks()
    this.#evaluate()
  }

  #failed (error: unknown): void { this.#components.log.warn({ err: error }, 'problems could not be looked for') }

  #evaluate (): Problem[] {
    const { clock, self, devices, addresses, waiting, found } = this.#components
    const { version, crashesMs } = this.#init
    const now = devices()
    this.#expect(now)
    const findings = findingsOf({
      devices: now, self, addresses: addresses(), expected: this.#expected, low: this.#low, waiting: waiting(), stacks: this.#stacks, found: found(),
      version, loopLagS: this.#lagS, crashesMs, wallMs: clock.wallMs(),
    })
    this.#low = new Set(findings.filter(({ code }) => code === 'DISK_LOW').map(({ about }) => about))
    return this.#book.evaluate(findings, clock.monotonicMs())
  }

  /** Who offers builds is expected to stay; the last word counts. */
  #expect (devices: DeviceStatus[]): void {
    const members = new Set(devices.map(({ id }) => id))
    for (const id of this.#expected) if (!members.has(id)) this.#expected.delete(id)
    for (const { id, online, slots } of devices) {
      if (!online || id === this.#components.self) continue
      if (slots.total > 0) this.#expected.add(id)
      else this.#expected.delete(id)
    }
  }
}
