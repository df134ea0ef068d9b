/** Keeps this node connected: dials for ever, with back-off and jitter. libp2p's own bootstrap tries once and gives up. */
import type { DeviceId } from '@elder-node/protocol'
import type { Clock } from '../../ports/host.ts'
import type { RefusalCode } from '../../ports/admission.ts'
import { after, type Failed } from '../../timers.ts'
import { PEERS_WANTED, afterFailure, planDials } from './dial-plan.ts'
import type { Backoff, Candidate } from './dial-plan.ts'
import { refusalOf } from './refusal.ts'

const TICK_MS = 500
const REST_MS = 2_000
const SOON_MS = 500
const OVERRIDE_MS = 60_000
/** Failures after which a success means that the network is back, and not just one device. */
const OUTAGE_FAILURES = 3
/** Each third dial to a device that does not answer asks the others where it is. */
const LOOK_UP_EVERY = 3
/** Discovered addresses kept; the oldest are forgotten. */
const DISCOVERED_MAX = 256
/** One address may take this long (options.ts); a list of them this long in all. */
const DIAL_BASE_MS = 5_000
const DIAL_PER_ADDRESS_MS = 2_000
const DIAL_MAX_MS = 15_000

/** The last dial to one device. */
export interface DialAttempt { device: DeviceId, addresses: string[], failures: number, error: string | undefined, refusal: RefusalCode | undefined }

export interface SupervisorComponents {
  self: DeviceId
  clock: Clock
  random: () => number
  /** Members with their addresses; while this device is joining, whom its ticket names. */
  candidates (): Candidate[]
  isConnected (device: DeviceId): boolean
  dial (candidate: Candidate, signal: AbortSignal): Promise<void>
  refused (device: DeviceId, code: RefusalCode): void
  /** Told of a look that failed; the next one comes all the same. */
  failed: Failed
}

export class Supervisor {
  readonly #components: SupervisorComponents
  readonly #backoffs = new Map<DeviceId, Backoff>()
  readonly #dialing = new Map<DeviceId, { addresses: string[], moved: AbortController }>()
  readonly #discovered = new Map<DeviceId, string[]>()
  readonly #attempts = new Map<DeviceId, DialAttempt>()
  #timer: ReturnType<typeof setTimeout> | undefined
  #dueAtMs = Infinity
  #stopped: AbortController | undefined

  constructor (components: SupervisorComponents) { this.#components = components }

  start (): void {
    this.#stopped = new AbortController()
    this.#dueAtMs = Infinity
    this.#schedule(this.#components.random() * 200)
  }

  stop (): void {
    this.#stopped?.abort(new Error('the node stops'))
    this.#stopped = undefined
    clearTimeout(this.#timer)
  }

  /** The last attempt per device. */
  attempts (): DialAttempt[] { return [...this.#attempts.values()] }

  /** Where the device may be: seen just now, then announced. */
  addressesOf (device: DeviceId): string[] { return this.#candidates().find(candidate => candidate.device === device)?.addresses ?? [] }

  /** Whom mDNS has found. */
  get seen (): DeviceId[] { return [...this.#discovered.keys()] }

  /** A device was seen at these addresses (mDNS): it is due at once. */
  discovered (device: DeviceId, addresses: string[]): void {
    this.#discovered.delete(device)
    this.#discovered.set(device, addresses.slice(0, 16))
    const oldest = this.#discovered.keys().next()
    if (this.#discovered.size > DISCOVERED_MAX && oldest.done === false) this.#discovered.delete(oldest.value)
    // But not against a long back-off: a revoked device would be told so at every announcement.
    const { clock } = this.#components
    if ((this.#backoffs.get(device)?.dueAtMs ?? 0) - clock.monotonicMs() < OVERRIDE_MS) this.#backoffs.delete(device)
    // A dial to where it was would take seconds to fail.
    const dial = this.#dialing.get(device)
    if (dial !== undefined && addresses.some(address => !dial.addresses.includes(address))) dial.moved.abort(new Error('it was seen at other addresses'))
    this.#schedule(0)
  }

  /** This device is on another network, or on one again: what failed before may succeed now. */
  lookAgain (): void {
    const { clock, random } = this.#components
    for (const [device, { dueAtMs }] of this.#backoffs) if (dueAtMs - clock.monotonicMs() < OVERRIDE_MS) this.#backoffs.delete(device)
    this.#schedule(random() * SOON_MS)
  }

  /** Only now are earlier failures forgotten: a dial that succeeds and a hello that does not would otherwise run hot. */
  admitted (device: DeviceId): void {
    const failures = this.#backoffs.get(device)?.failures ?? 0
    this.#backoffs.delete(device)
    if (failures >= OUTAGE_FAILURES) this.lookAgain()
  }

  /** The door opened and the hello failed: as good as a dial that failed. */
  failed (device: DeviceId, error: Error): void {
    this.#onFailure({ device, addresses: this.#attempts.get(device)?.addresses ?? [] }, error)
  }

  /** A connection was lost: looks again within half a second, jittered. */
  lost (device: DeviceId): void {
    this.#backoffs.delete(device)
    this.#schedule(this.#components.random() * SOON_MS)
  }

  /** After an eviction: no addresses, no back-off, nothing. */
  forget (device: DeviceId): void {
    this.#discovered.delete(device)
    this.#backoffs.delete(device)
    this.#attempts.delete(device)
  }

  step (): void {
    if (this.#stopped === undefined) return
    this.#dueAtMs = Infinity
    const { self, clock, isConnected } = this.#components
    const candidates = this.#candidates()
    const connected = new Set(candidates.map(({ device }) => device).filter(isConnected))
    const due = planDials({ self, candidates, connected, dialing: new Set(this.#dialing.keys()), backoffs: this.#backoffs, nowMs: clock.monotonicMs() })
    for (const candidate of due) void this.#dial(candidate, this.#stopped.signal)
    this.#schedule((due.length > 0 ? TICK_MS : this.#waitMs(candidates, connected)) * (0.5 + this.#components.random()))
  }

  /** With everybody wanted at hand there is nothing to look after: what changes that also calls {@link lost} or {@link discovered}. */
  #waitMs (candidates: Candidate[], connected: ReadonlySet<DeviceId>): number {
    return connected.size >= Math.min(PEERS_WANTED, candidates.length) ? REST_MS : TICK_MS
  }

  #candidates (): Candidate[] {
    const merged = new Map<DeviceId, Set<string>>()
    const add = (device: DeviceId, addresses: string[]): void => {
      const known = merged.get(device) ?? new Set()
      for (const address of addresses) known.add(address)
      merged.set(device, known)
    }
    // What was seen on this network just now is tried before what was announced some time ago.
    for (const [device, addresses] of this.#discovered) add(device, addresses)
    for (const { device, addresses } of this.#components.candidates()) add(device, addresses)
    return [...merged].map(([device, addresses]) => ({ device, addresses: [...addresses] }))
  }

  async #dial (candidate: Candidate, stopped: AbortSignal): Promise<void> {
    const { device, addresses } = candidate
    const ms = Math.min(DIAL_MAX_MS, DIAL_BASE_MS + DIAL_PER_ADDRESS_MS * (addresses.length - 1))
    const moved = new AbortController()
    this.#dialing.set(device, { addresses, moved })
    try {
      await this.#components.dial(this.#isLost(device) ? { device, addresses: [] } : candidate, AbortSignal.any([stopped, moved.signal, AbortSignal.timeout(ms)]))
      this.#attempts.set(device, { device, addresses, failures: 0, error: undefined, refusal: undefined })
    } catch (error) {
      if (moved.signal.aborted) return
      this.#onFailure(candidate, error as Error)
      const refusal = refusalOf(error)
      if (refusal !== undefined && !stopped.aborted) this.#components.refused(device, refusal)
    } finally {
      this.#dialing.delete(device)
      this.#schedule(0)
    }
  }

  /** Its addresses have failed again and again, while others are here: perhaps they know a newer one. */
  #isLost (device: DeviceId): boolean {
    const { candidates, isConnected } = this.#components
    return (this.#backoffs.get(device)?.failures ?? 0) % LOOK_UP_EVERY === LOOK_UP_EVERY - 1 && candidates().some(other => isConnected(other.device))
  }

  #onFailure ({ device, addresses }: Candidate, error: Error): void {
    const { clock, random } = this.#components
    const refusal = refusalOf(error)
    const backoff = afterFailure(this.#backoffs.get(device), refusal === 'revoked', clock.monotonicMs(), random)
    this.#backoffs.set(device, backoff)
    this.#attempts.set(device, { device, addresses, failures: backoff.failures, error: error.message, refusal })
  }

  /** The earliest wish wins; each step plans the next. */
  #schedule (ms: number): void {
    const dueAtMs = this.#components.clock.monotonicMs() + ms
    if (this.#stopped === undefined || dueAtMs >= this.#dueAtMs) return
    clearTimeout(this.#timer)
    this.#dueAtMs = dueAtMs
    this.#timer = after(ms, () => { this.step() }, error => {
      this.#components.failed(error)
      this.#schedule(REST_MS)
    })
  }
}
