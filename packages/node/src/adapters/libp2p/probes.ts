/** One probe a second per neighbour on the long-lived stream: it measures the round trip and finds out who fell silent. */
import { RttFilter } from '@elder-node/protocol'
import type { DeviceId, RttEstimate } from '@elder-node/protocol'
import type { Clock } from '../../ports/host.ts'
import { STALL_MS, heard, isSuspect, newSilence, probeIsDue } from './silence.ts'
import type { Silence } from './silence.ts'

const TICK_MS = 500
/** Our own lateness is the worst of this many ticks. */
const LATENESS_TICKS = 10

export interface ProbesComponents {
  clock: Clock
  /** One empty request and its answer on the peer's probe stream. */
  ask (device: DeviceId, signal: AbortSignal): Promise<void>
  rtt (device: DeviceId, rttMs: number): void
  /** Silent for too long: its connections are to be dropped. */
  suspect (device: DeviceId, silentMs: number): void
}

interface Watched { silence: Silence, stopped: AbortController }

export class Probes {
  readonly #components: ProbesComponents
  readonly #watched = new Map<DeviceId, Watched>()
  readonly #filters = new Map<DeviceId, RttFilter>()
  readonly #lateness: number[] = []
  #timer: ReturnType<typeof setInterval> | undefined
  #tickAtMs = 0

  constructor (components: ProbesComponents) { this.#components = components }

  start (): void {
    this.#tickAtMs = this.#now()
    this.#timer = setInterval(() => { this.tick() }, TICK_MS)
  }

  stop (): void {
    clearInterval(this.#timer)
    for (const device of this.#watched.keys()) this.unwatch(device)
  }

  watch (device: DeviceId): void {
    this.unwatch(device)
    this.#watched.set(device, { silence: newSilence(this.#now()), stopped: new AbortController() })
    void this.#probe(device)
  }

  /** The estimate survives a short absence; it goes stale by itself. */
  unwatch (device: DeviceId): void {
    this.#watched.get(device)?.stopped.abort()
    this.#watched.delete(device)
  }

  forget (device: DeviceId): void {
    this.unwatch(device)
    this.#filters.delete(device)
  }

  estimate (device: DeviceId): RttEstimate | undefined { return this.#filters.get(device)?.estimate(this.#now()) }

  /** The peer probed us. */
  asked (device: DeviceId): void {
    const silence = this.#watched.get(device)?.silence
    if (silence === undefined) return
    silence.askedUsAtMs = this.#now()
    heard(silence, this.#now())
  }

  /** Measures now; on performance.now(), because libp2p's own figure is a whole millisecond of Date.now(). */
  async measure (device: DeviceId, signal: AbortSignal): Promise<number> {
    // The first one also opens the stream, which is a round trip of its own.
    if (this.estimate(device) === undefined) await this.#components.ask(device, signal)
    const startMs = performance.now()
    await this.#components.ask(device, signal)
    const rttMs = performance.now() - startMs
    this.#answered(device, rttMs)
    return rttMs
  }

  tick (): void {
    const nowMs = this.#now()
    const latenessMs = this.#noteLateness(nowMs)
    for (const [device, { silence }] of this.#watched) {
      if (isSuspect(silence, nowMs, latenessMs)) this.#components.suspect(device, nowMs - silence.heardAtMs)
      else if (probeIsDue(silence, nowMs)) void this.#probe(device)
    }
    for (const [device, filter] of this.#filters) {
      if (!this.#watched.has(device) && filter.estimate(nowMs) === undefined) this.#filters.delete(device)
    }
  }

  #noteLateness (nowMs: number): number {
    const lateMs = Math.max(0, nowMs - this.#tickAtMs - TICK_MS)
    this.#tickAtMs = nowMs
    this.#lateness.push(lateMs)
    if (this.#lateness.length > LATENESS_TICKS) this.#lateness.shift()
    // Asleep or starved: answers wait in our own socket buffers, nobody else is to blame.
    if (lateMs > STALL_MS) for (const { silence } of this.#watched.values()) heard(silence, nowMs)
    return Math.max(...this.#lateness)
  }

  async #probe (device: DeviceId): Promise<void> {
    const watched = this.#watched.get(device)
    if (watched === undefined) return
    watched.silence.sentAtMs = this.#now()
    watched.silence.misses++
    // A probe that fails is a miss, and that is counted already.
    await this.measure(device, watched.stopped.signal).catch(() => {})
  }

  #answered (device: DeviceId, rttMs: number): void {
    const nowMs = this.#now()
    const filter = this.#filters.get(device) ?? new RttFilter()
    this.#filters.set(device, filter)
    filter.add(rttMs, nowMs)
    const silence = this.#watched.get(device)?.silence
    if (silence !== undefined) {
      silence.answeredAtMs = nowMs
      silence.answers++
      heard(silence, nowMs)
    }
    this.#components.rtt(device, rttMs)
  }

  #now (): number { return this.#components.clock.monotonicMs() }
}
