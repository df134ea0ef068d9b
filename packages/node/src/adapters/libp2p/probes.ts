/** The failure detector's hands: sends its probes on the long-lived streams, measures their round trips, and keeps its clock. */
import { Detector, RttFilter, TICK_MS, decodeProbe, decodeProbeAnswer, encodeProbe, encodeProbeAnswer } from '@elder-node/protocol'
import type { DetectorEffect, DetectorInput, DeviceId, LivenessWord, RttEstimate, Value } from '@elder-node/protocol'
import type { Clock } from '../../ports/host.ts'
import { every, type Failed } from '../../timers.ts'

export interface ProbesComponents {
  self: DeviceId
  clock: Clock
  /** Uniform in [0, 1). */
  random: () => number
  /** One request on the peer's probe stream. */
  ask (device: DeviceId, message: Value, signal: AbortSignal): Promise<Value>
  rtt (device: DeviceId, rttMs: number): void
  /** Its connections are to be dropped: `dead`, nobody reaches it; `path`, others do and we do not. */
  lost (device: DeviceId, why: 'dead' | 'path', silentMs: number): void
  /** Told of a look that failed; the next one comes all the same. */
  failed: Failed
}

/** One round trip to the far side of the world, and another when the first packet is lost. */
const VERIFY_MS = 3_000

interface Relayed { reached: boolean, word: LivenessWord }

export class Probes {
  readonly #components: ProbesComponents
  readonly #detector: Detector
  readonly #watched = new Map<DeviceId, AbortController>()
  readonly #filters = new Map<DeviceId, RttFilter>()
  /** Devices that wait for what a probe on their behalf found. */
  readonly #askers = new Map<number, (relayed: Relayed) => void>()
  #askerId = 0
  #timer: NodeJS.Timeout | undefined

  constructor (components: ProbesComponents) {
    this.#components = components
    const { self, clock, random } = components
    this.#detector = new Detector({ self, incarnation: clock.wallMs(), random })
  }

  start (): void { this.#timer = every(TICK_MS, () => { this.tick() }, this.#components.failed) }

  stop (): void {
    clearInterval(this.#timer)
    for (const device of this.#watched.keys()) this.unwatch(device)
  }

  watch (device: DeviceId): void {
    this.unwatch(device)
    this.#watched.set(device, new AbortController())
    this.#handle({ type: 'joined', device })
  }

  /** The estimate survives a short absence; it goes stale by itself. */
  unwatch (device: DeviceId): void {
    this.#watched.get(device)?.abort()
    this.#watched.delete(device)
    this.#handle({ type: 'left', device })
  }

  forget (device: DeviceId): void {
    this.unwatch(device)
    this.#filters.delete(device)
  }

  isSuspect (device: DeviceId): boolean { return this.#detector.state(device) === 'suspect' }

  estimate (device: DeviceId): RttEstimate | undefined { return this.#filters.get(device)?.estimate(this.#now()) }

  /** Answers a probe, or a request to probe another. @throws MalformedError */
  async asked (from: DeviceId, message: Value): Promise<Value> {
    const { word, target } = decodeProbe(message)
    if (target === undefined) {
      const answer = this.#handle({ type: 'probed', from, word }).find(effect => effect.type === 'answer')
      return encodeProbeAnswer(answer?.word ?? this.#silentWord())
    }
    const id = this.#askerId++
    const relayed = new Promise<Relayed>(resolve => { this.#askers.set(id, resolve) })
    this.#handle({ type: 'asked', from, id, target, word })
    const { word: news, reached } = await relayed
    return encodeProbeAnswer(news, reached)
  }

  /** Measures now; on performance.now(), because libp2p's own figure is a whole millisecond of Date.now(). */
  async measure (device: DeviceId, signal: AbortSignal): Promise<number> {
    return await this.#measure(device, this.#silentWord(), signal)
  }

  /** After a sleep: a device that does not answer now is dialled anew at once. */
  verify (): void {
    for (const [device, { signal }] of this.#watched) {
      this.#measure(device, this.#silentWord(), AbortSignal.any([signal, AbortSignal.timeout(VERIFY_MS)]))
        .catch(() => { if (!signal.aborted) this.#components.lost(device, 'path', VERIFY_MS) })
    }
  }

  tick (): void {
    const nowMs = this.#now()
    this.#handle({ type: 'tick' })
    for (const device of this.#watched.keys()) {
      // Given up, and yet a connection came or stayed: it is watched anew.
      if (this.#detector.state(device) === undefined) this.#handle({ type: 'joined', device })
    }
    for (const [device, filter] of this.#filters) {
      if (!this.#watched.has(device) && filter.estimate(nowMs) === undefined) this.#filters.delete(device)
    }
  }

  #handle (input: DetectorInput): DetectorEffect[] {
    const effects = this.#detector.handle(input, this.#now())
    for (const effect of effects) this.#run(effect)
    return effects
  }

  #run (effect: DetectorEffect): void {
    switch (effect.type) {
      case 'probe': case 'ask': this.#send(effect); break
      case 'relay': this.#askers.get(effect.id)?.(effect); this.#askers.delete(effect.id); break
      case 'lost': this.#components.lost(effect.device, effect.why, effect.silentMs)
    }
  }

  /** A probe that fails is a miss, and the detector counts those by itself. */
  #send (effect: Extract<DetectorEffect, { type: 'probe' | 'ask' }>): void {
    const signal = this.#watched.get(effect.to)?.signal
    if (signal === undefined) return
    const sent = effect.type === 'ask' ? this.#askFor(effect.to, effect.target, effect.word, signal) : this.#measure(effect.to, effect.word, signal)
    sent.catch(() => {})
  }

  async #measure (device: DeviceId, word: LivenessWord, signal: AbortSignal): Promise<number> {
    // The first one also opens the stream, which is a round trip of its own.
    if (this.estimate(device) === undefined) await this.#probe(device, this.#silentWord(), signal)
    const rttMs = await this.#probe(device, word, signal)
    const filter = this.#filters.get(device) ?? new RttFilter()
    this.#filters.set(device, filter)
    filter.add(rttMs, this.#now())
    this.#components.rtt(device, rttMs)
    return rttMs
  }

  async #probe (device: DeviceId, word: LivenessWord, signal: AbortSignal): Promise<number> {
    const startMs = performance.now()
    const answer = await this.#components.ask(device, encodeProbe(word), signal)
    const rttMs = performance.now() - startMs
    this.#handle({ type: 'answered', from: device, rttMs, word: decodeProbeAnswer(answer).word })
    return rttMs
  }

  async #askFor (to: DeviceId, target: DeviceId, word: LivenessWord, signal: AbortSignal): Promise<void> {
    const answer = decodeProbeAnswer(await this.#components.ask(to, encodeProbe(word, target), signal))
    this.#handle({ type: 'relayed', from: to, target, reached: answer.reached === true, word: answer.word })
  }

  #silentWord (): LivenessWord { return { incarnation: this.#detector.incarnation, rumours: [] } }

  #now (): number { return this.#components.clock.monotonicMs() }
}
