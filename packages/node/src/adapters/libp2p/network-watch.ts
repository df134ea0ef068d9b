/** Notices that this device's own addresses have changed: another Wi-Fi, a cable, a VPN. No system tells a process; looking costs less than 0.1 ms. */
import { every, type Failed } from '../../timers.ts'

const TICK_MS = 1_000

export interface NetworkWatchComponents {
  /** The addresses of this device, as it would tell them. */
  addresses (): string[]
  changed (): void
  /** Told of a look that failed; the next one comes all the same. */
  failed: Failed
}

export class NetworkWatch {
  readonly #components: NetworkWatchComponents
  #last = ''
  #timer: NodeJS.Timeout | undefined

  constructor (components: NetworkWatchComponents) { this.#components = components }

  start (): void {
    this.#last = this.#read()
    this.#timer = every(TICK_MS, () => { this.tick() }, this.#components.failed)
  }

  stop (): void { clearInterval(this.#timer) }

  tick (): void {
    const now = this.#read()
    if (now === this.#last) return
    this.#last = now
    this.#components.changed()
  }

  #read (): string { return this.#components.addresses().toSorted().join() }
}
