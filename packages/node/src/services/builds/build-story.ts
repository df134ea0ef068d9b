/** What a build tells those who watch it: its events from the first, bounded by what its builder may say. */
import { LIMITS, type BuilderFrame, type DeviceId } from '@elder-node/protocol'
import type { BuildEvent, CandidateExplanation, DeviceRef } from '../../api.ts'
import { aboutNetwork, type Surroundings } from './advice.ts'
import { EventLog } from './event-log.ts'
import { LogText } from './log-text.ts'
import type { ResultEvent } from './outcome.ts'

/** An event in memory, besides its text. */
const EVENT_BYTES = 128
/** Progress of what is sent: at most this often. */
const SENT_MS = 1_000

export class BuildStory {
  readonly log: EventLog<BuildEvent> = new EventLog(weightOf, LIMITS.logBytesMax)
  readonly #build: string
  readonly #ref: (device: DeviceId) => DeviceRef
  /** On the first and the last event. */
  readonly trace: { traceparent?: string }
  #text = new LogText()
  #sentBytes = 0
  #sentMs = 0
  #told = false
  #totalBytes: number | undefined
  #waits: string | undefined

  constructor (build: string, ref: (device: DeviceId) => DeviceRef, traceparent: string | null) {
    this.#build = build
    this.#ref = ref
    this.trace = traceparent === null ? {} : { traceparent }
  }

  /** Bytes of the current attempt's log that arrived: where a new stream goes on. */
  get logOffset (): number { return this.#text.offset }

  /** `why`: what it waits for; said once. */
  queued (why?: string): void {
    if (why !== undefined && why === this.#waits) return
    this.#waits = why
    this.log.push({ event: 'queued', build: this.#build, ...(why === undefined ? {} : { why }), ...this.trace })
  }

  /** An attempt begins, and with it a log of its own. */
  elected (device: DeviceId, attempt: number, why: string, candidates: CandidateExplanation[], nowMs: number): void {
    this.#text = new LogText()
    this.#waits = undefined
    this.#sentBytes = 0
    this.#told = false
    this.#totalBytes = undefined
    this.#sentMs = nowMs
    this.log.push({ event: 'elected', build: this.#build, builder: this.#ref(device), attempt, why, candidates })
  }

  /** The builder took the lease up: what the build will run in. */
  started (device: DeviceId, attempt: number, around: Surroundings): void {
    const { engine, network, sealed, image } = around
    this.log.push({ event: 'started', build: this.#build, builder: this.#ref(device), attempt, engine, network: sealed ? 'none' : network, sealed, image, message: aboutNetwork(around) })
  }

  progress ({ phase, message }: Extract<BuilderFrame, { type: 'phase' }>): void { this.log.push({ event: 'progress', build: this.#build, phase, message }) }

  /** Bytes of source that left this device. True when that is told for the first time in this attempt. */
  sent (bytes: number, nowMs: number): boolean {
    this.#sentBytes += bytes
    if (nowMs - this.#sentMs < SENT_MS) return false
    this.#sentMs = nowMs
    const total = this.#totalBytes
    const message = `${mebibytes(this.#sentBytes)}${total === undefined ? '' : ` of about ${mebibytes(Math.max(total, this.#sentBytes))}`}`
    this.log.push({ event: 'progress', build: this.#build, phase: 'sending', message, bytes: this.#sentBytes, ...(total === undefined ? {} : { totalBytes: total }) })
    const first = !this.#told
    this.#told = true
    return first
  }

  /** About. */
  sendsInAll (totalBytes: number | undefined): void { this.#totalBytes = totalBytes }

  printed (frame: Extract<BuilderFrame, { type: 'log' }>): void {
    const { text: data, droppedBytes } = this.#text.take(frame)
    if (droppedBytes > 0) this.warn(`${droppedBytes} bytes of log were dropped: the command printed more than could be sent`)
    if (data !== '') this.log.push({ event: 'log', build: this.#build, stream: frame.stream, data })
  }

  moved (from: DeviceId, attempt: number, why: string): void { this.log.push({ event: 'moved', build: this.#build, from: this.#ref(from), attempt, why }) }

  warn (message: string): void { this.log.push({ event: 'warning', build: this.#build, message }) }

  end (result: ResultEvent): void { this.log.end(result) }
}

function mebibytes (bytes: number): string { return `${(bytes / 2 ** 20).toFixed(1)} MiB` }

/** Bytes of what a builder says, whatever it says: the log is bounded by them. What the machine says comes a few times per attempt. */
function weightOf (event: BuildEvent): number {
  const text = event.event === 'log' ? event.data : event.event === 'progress' || event.event === 'warning' ? event.message : undefined
  return text === undefined ? 0 : EVENT_BYTES + text.length
}
