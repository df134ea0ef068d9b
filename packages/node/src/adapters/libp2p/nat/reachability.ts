/** Whether devices on other networks can dial this one: asks those that are there to try, and again when the network may have changed. */
import type { DeviceId } from '@elder-node/protocol'
import type { Logger } from '../../../ports/log.ts'
import { after } from '../../../timers.ts'
import type { Reachable } from '../../../ports/mesh.ts'
import { ipOf } from '../addresses.ts'
import { portOf } from './dial-back.ts'

const AGAIN_MS = 900_000
/** Nobody could tell: sooner, and twice as long each time, up to {@link AGAIN_MS}. */
const RETRY_MS = 60_000
const SOON_MS = 1_000
const ASK_MS = 15_000
/** One that is behind a strange firewall itself must not decide alone. */
const ASKED_MAX = 3

export interface ReachabilityComponents {
  log: Logger
  random: () => number
  /** Admitted devices whose connection comes from none of this device's own networks. */
  outside (): DeviceId[]
  /** Resolves with the address at which the device reached this one, or undefined. */
  ask (device: DeviceId, signal: AbortSignal): Promise<string | undefined>
  /** The addresses of the interfaces, and those announced by hand. */
  ownAddresses (): string[]
  changed (): void
}

export class Reachability {
  readonly #components: ReachabilityComponents
  #state: Reachable = 'unknown'
  #found: string | undefined
  /** Did not answer when they were asked last, longest ago first: they are asked after the others. */
  readonly #silent = new Set<DeviceId>()
  /** Looks in a row at which nobody could tell. */
  #untold = 0
  #checking = false
  #generation = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #stopped = true

  constructor (components: ReachabilityComponents) { this.#components = components }

  get state (): Reachable { return this.#state }

  /** An address at which this device was reached and that none of its interfaces has: its router passes the port on. */
  get found (): string | undefined { return this.#found }

  start (): void { this.#stopped = false }

  stop (): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  /** A device was admitted: perhaps the first that can tell. */
  met (device: DeviceId): void {
    this.#silent.delete(device)
    this.#untold = 0
    if (this.#state === 'unknown') this.#later(SOON_MS)
  }

  /** Another network, or awake again: what was true may not be. */
  moved (): void {
    this.#generation++
    this.#untold = 0
    this.#settle('unknown', undefined)
    this.#later(SOON_MS)
  }

  /** Awake after a sleep, on the same network as far as is known. */
  again (): void { this.#later(SOON_MS) }

  async check (): Promise<void> {
    if (this.#checking || this.#stopped) return
    const generation = this.#generation
    this.#checking = true
    let told: { answers: number, reached: string | undefined } | undefined
    try {
      told = await this.#askThem()
    } finally {
      this.#checking = false
      // Always again: what was true may have changed unseen, and who could not tell may be able to.
      if (generation !== this.#generation) this.#later(SOON_MS)
      else this.#later(this.#waitMs(told?.answers === 0) * (0.9 + 0.2 * this.#components.random()))
    }
    if (this.#stopped || generation !== this.#generation || told.answers === 0) return
    this.#settle(told.reached === undefined ? 'private' : 'public', told.reached)
  }

  #waitMs (isUntold: boolean): number {
    this.#untold = isUntold ? this.#untold + 1 : 0
    return isUntold ? Math.min(AGAIN_MS, RETRY_MS * 2 ** (this.#untold - 1)) : AGAIN_MS
  }

  async #askThem (): Promise<{ answers: number, reached: string | undefined }> {
    let answers = 0
    for (const device of this.#witnesses()) {
      if (this.#stopped) break
      const answer = await this.#askOne(device)
      if (answer === undefined) continue
      answers++
      if (answer.reached !== undefined) return { answers, reached: answer.reached }
    }
    return { answers, reached: undefined }
  }

  #witnesses (): DeviceId[] {
    const outside = this.#components.outside()
    for (const device of this.#silent) if (!outside.includes(device)) this.#silent.delete(device)
    return [...outside.filter(device => !this.#silent.has(device)), ...this.#silent].slice(0, ASKED_MAX)
  }

  /** Undefined: it could not tell. */
  async #askOne (device: DeviceId): Promise<{ reached: string | undefined } | undefined> {
    const { ask, log } = this.#components
    this.#silent.delete(device)
    try {
      return { reached: await ask(device, AbortSignal.timeout(ASK_MS)) }
    } catch (error) {
      log.debug({ device, err: error }, 'a device could not tell whether it reaches this one')
      this.#silent.add(device)
      return undefined
    }
  }

  #settle (state: Reachable, reached: string | undefined): void {
    const found = reached === undefined || !this.#isNew(reached) ? undefined : reached
    if (state === this.#state && found === this.#found) return
    this.#state = state
    this.#found = found
    this.#components.log.info({ reachable: state, ...(reached === undefined ? {} : { at: reached }) }, 'reachability of this device')
    this.#components.changed()
  }

  /** Only on a port that this device listens on: whoever answers must not send others to any place it likes. */
  #isNew (address: string): boolean {
    const own = this.#components.ownAddresses()
    return !own.some(known => ipOf(known) === ipOf(address)) && own.some(known => portOf(known) === portOf(address))
  }

  #later (ms: number): void {
    if (this.#stopped) return
    clearTimeout(this.#timer)
    this.#timer = after(ms, () => this.check(), error => { this.#components.log.warn({ err: error }, 'reachability could not be looked for') }).unref()
  }
}
