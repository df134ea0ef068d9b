/** Runs one {@link SyncSession} over one stream: frames in, effects out. */
import { codeOf, SyncSession, type Batch, type Crypto, type EndReason, type Replica, type SessionEffect, type SessionInit, type SessionInput, type StackKey } from '@elder-node/protocol'
import type { Clock } from '../../ports/host.ts'
import type { Logger } from '../../ports/log.ts'
import type { FrameStream } from '../../ports/mesh.ts'
import { Outbox } from './outbox.ts'

/** Where received things go. */
export interface Intake {
  /** @throws MalformedError when the batch is broken */
  receive: (key: StackKey, name: string, batches: readonly Batch[]) => Promise<unknown>
  /** Rejects when the origin does not verify. */
  acceptOrigin: (key: StackKey, name: string, records: Uint8Array[]) => Promise<unknown>
}

/** `traceparent`: when something differed. */
export interface ExchangeResult { reason: EndReason, peer: ReadonlyMap<StackKey, Uint8Array>, traceparent: string | null }

/** Reading pauses while more than this waits to be sent. */
const WAITING_BYTES_MAX = 1_048_576
const LINGER_MS = 5000

export class Exchange {
  readonly #stream: FrameStream
  readonly #session: SyncSession
  readonly #intake: Intake
  readonly #clock: Clock
  readonly #log: Logger
  readonly #outbox: Outbox
  readonly #result = Promise.withResolvers<ExchangeResult>()

  constructor (components: { stream: FrameStream, replica: Replica, intake: Intake, crypto: Crypto, clock: Clock, log: Logger }, init: SessionInit = {}) {
    this.#stream = components.stream
    this.#intake = components.intake
    this.#clock = components.clock
    this.#log = components.log
    this.#outbox = new Outbox(components.stream)
    this.#session = new SyncSession(components, init)
  }

  /** Resolves when the exchange is over; never rejects. `opened`: this device opened the stream and speaks first. */
  async run ({ opened }: { opened: boolean }): Promise<ExchangeResult> {
    if (opened) this.#drive({ type: 'start' })
    const read = this.#read()
    const result = await this.#result.promise
    if (result.reason === 'done') {
      await this.#outbox.flushed()
      await this.#stream.close().catch(() => { /* the peer was faster */ })
      this.#endLater(read)
    } else {
      this.#stream.abort(new Error(`the exchange of stacks ended: ${result.reason}`))
    }
    return result
  }

  /** A peer that never closes its side does not keep the stream. */
  #endLater (read: Promise<void>): void {
    const timer = setTimeout(() => { this.#stream.abort(new Error('the exchange of stacks is over')) }, LINGER_MS).unref()
    void read.finally(() => { clearTimeout(timer) })
  }

  /** To be called about once a second. */
  tick (): void { this.#drive({ type: 'tick' }) }

  /** Ends it now. */
  abort (): void { this.#drive({ type: 'refused', reason: 'failed' }) }

  async #read (): Promise<void> {
    let reason: 'failed' | 'malformed' = 'failed'
    try {
      for await (const frame of this.#stream) {
        this.#drive({ type: 'frame', frame })
        if (this.#outbox.bytes > WAITING_BYTES_MAX) await this.#outbox.flushed()
      }
    } catch (error) {
      // A frame beyond its bound, or a reset: a peer that is gone.
      if (codeOf(error) === 'MALFORMED') reason = 'malformed'
    }
    this.#drive({ type: 'refused', reason })
  }

  #drive (input: SessionInput): void {
    for (const effect of this.#session.handle(input, this.#clock.monotonicMs())) this.#carryOut(effect)
  }

  #carryOut (effect: SessionEffect): void {
    switch (effect.type) {
      case 'send': return this.#outbox.push(effect.frame)
      case 'apply': return void this.#apply(effect)
      case 'origin': return void this.#judge(effect)
      case 'end': return this.#result.resolve({ reason: effect.reason, peer: effect.peer, traceparent: effect.traceparent })
    }
  }

  async #apply ({ key, name, batches }: Extract<SessionEffect, { type: 'apply' }>): Promise<void> {
    try {
      if (batches.length > 0) await this.#intake.receive(key, name, batches)
      this.#drive({ type: 'applied' })
    } catch (error) {
      this.#drive(this.#notApplied(name, error))
    }
  }

  /** A stack that cannot be opened, or whose disk does not read, keeps no other away. A full disk takes nothing of any. */
  #notApplied (name: string, error: unknown): SessionInput {
    const code = codeOf(error)
    if (code === 'MALFORMED') return { type: 'refused', reason: 'malformed' }
    if (code === 'DISK_FULL') return { type: 'refused', reason: 'failed' }
    this.#log.warn({ stack: name, device: this.#stream.device, err: error }, 'a stack takes nothing from another device; the others do')
    return { type: 'skipped' }
  }

  async #judge ({ key, name, records }: Extract<SessionEffect, { type: 'origin' }>): Promise<void> {
    // What does not verify is not held, and the exchange goes on without it.
    await this.#intake.acceptOrigin(key, name, records).catch(() => {})
    this.#drive({ type: 'origin' })
  }
}
