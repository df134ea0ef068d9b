/**
 * One exchange between two devices, either side of it: pure, `handle(input, now) -> effects`. The words are in messages.ts.
 *
 * state     | hears    | does
 * ----------|----------|--------------------------------------------------------------------
 * idle      | start, or the first frame | comparing, as the side that opened or the one that answers
 * comparing | see comparison.ts | equal: ends; both vectors known: the first question, or done
 * pulling   | batches  | effect `apply`; the next question only after `applied`
 * pulling   | skipped  | instead of `applied`: no more is asked of that stack, the others go on
 * pulling   | origin   | effect `origin`; the next question only after its answer
 * pulling   | want/ask | answers with what fits a frame
 * pulling   | done     | ends when this side is done too
 *
 * An exchange may break at any point: nothing of it has to be remembered, the next one starts from the vectors of that moment.
 * Model of the drill-down: TinyBase synchronizers; of the two-sided pull: secure-scuttlebutt's EBT and OrbitDB.
 */
import type { Crypto } from '../crypto.ts'
import { codeOf, MalformedError } from '../errors.ts'
import type { Batch } from '../feed/chain.ts'
import type { Want } from '../feed/vector.ts'
import { LIMITS } from '../limits.ts'
import { Comparison, type Compared, type ComparedStacks, type ComparisonComponents } from './comparison.ts'
import { parseStackKey, type StackKey } from './keys.ts'
import { decodeSync, encodeSync, type SyncMessage } from './messages.ts'
import { donePages, originPages } from './paging.ts'
import { Puller, type Ask, type PullerView } from './puller.ts'
import { serve } from './serve.ts'

/** The local stacks as an exchange reads them. Reads are synchronous; writes leave as effects. */
export interface Replica extends PullerView, ComparedStacks {
  /** Signed batches along the path of a want, in order, from its first record on; none when the path is not held. */
  path: (key: StackKey, want: Want) => Iterable<Batch>
  /** The feeds digest of a stack, zeros for one that is not here. */
  digest: (key: StackKey) => Uint8Array
  has: (key: StackKey) => boolean
  /** Membership records of the mesh an archived stack came from. */
  origin: (key: StackKey) => Uint8Array[]
}

export type SessionInput =
  | { type: 'start' }
  | { type: 'frame', frame: Uint8Array }
  /** Answer to effect `apply`. */
  | { type: 'applied' }
  /** The same when this one stack takes nothing: the others are exchanged. */
  | { type: 'skipped' }
  /** Answer to effect `origin`. */
  | { type: 'origin' }
  /** Answer to either effect that could not be carried out: a bad signature is `malformed`, a full disk is `failed`. */
  | { type: 'refused', reason: 'malformed' | 'failed' }
  | { type: 'tick' }

export type EndReason = 'done' | 'timeout' | 'malformed' | 'failed'

export type SessionEffect =
  | { type: 'send', frame: Uint8Array }
  | { type: 'apply', key: StackKey, name: string, batches: Batch[] }
  | { type: 'origin', key: StackKey, name: string, records: Uint8Array[] }
  /** `peer`: the vector digests of the other device as far as this exchange showed them. `traceparent`: of the side that opened, when something differed. */
  | { type: 'end', reason: EndReason, peer: Map<StackKey, Uint8Array>, traceparent: string | null }

export interface SessionInit {
  /** Milliseconds without a frame from the peer after which the exchange ends. @default 15_000 */
  idleMsMax?: number
  /** Trace context of the side that opens; the other side takes the one it is told. @default null */
  traceparent?: string | null
}

type State = 'comparing' | 'pulling' | 'ended'

export class SyncSession {
  readonly #replica: Replica
  readonly #crypto: Crypto
  readonly #idleMsMax: number
  readonly #init: SessionInit
  #state: State = 'comparing'
  #heardAt: number | undefined
  /** Waiting for our own stack, not for the peer: no time-out. */
  #busy = false
  #comparison: Comparison | undefined
  #puller: Puller | undefined
  #wanted: Ask | undefined
  /** Archived stacks whose origin this exchange has asked for. */
  readonly #asked = new Set<StackKey>()
  #asking: { key: StackKey, name: string, records: Uint8Array[] } | undefined
  #sentDone = false
  #heardDone = false

  constructor (components: { replica: Replica, crypto: Crypto }, init: SessionInit = {}) {
    this.#replica = components.replica
    this.#crypto = components.crypto
    this.#idleMsMax = init.idleMsMax ?? 15_000
    this.#init = init
  }

  get ended (): boolean { return this.#state === 'ended' }

  /** Never throws for what a peer sent: a broken rule ends the exchange with `malformed`. */
  handle (input: SessionInput, now: number): SessionEffect[] {
    if (this.#state === 'ended') return []
    if (input.type === 'tick') return this.#tick(now)
    this.#heardAt = now
    try {
      return this.#step(input)
    } catch (error) {
      return this.#end(codeOf(error) === 'MALFORMED' ? 'malformed' : 'failed')
    }
  }

  #step (input: Exclude<SessionInput, { type: 'tick' }>): SessionEffect[] {
    switch (input.type) {
      case 'start': return this.#start()
      case 'frame': return this.#hear(decodeSync(input.frame, this.#crypto))
      case 'applied': return this.#applied()
      case 'skipped': return this.#skipped()
      case 'origin': return this.#judged()
      case 'refused': return this.#end(input.reason)
    }
  }

  #tick (now: number): SessionEffect[] {
    this.#heardAt ??= now
    return !this.#busy && now - this.#heardAt >= this.#idleMsMax ? this.#end('timeout') : []
  }

  // ---- what differs

  #start (): SessionEffect[] { return this.#compared(this.#begin().open()) }

  #begin (): Comparison { return this.#comparison ??= this.comparison({ stacks: this.#replica, crypto: this.#crypto, traceparent: this.#init.traceparent ?? null }) }

  /** A method of its own, so that a test can break what it makes. */
  protected comparison (components: ComparisonComponents): Comparison { return new Comparison(components) }

  #compared ({ say, outcome }: Compared): SessionEffect[] {
    const effects = say.map(message => this.#send(message))
    if (outcome === 'equal') effects.push(...this.#end('done'))
    if (outcome !== 'known') return effects
    this.#state = 'pulling'
    this.#puller = new Puller(this.#replica, this.#begin().theirs())
    return [...effects, ...this.next()]
  }

  #hear (message: SyncMessage): SessionEffect[] {
    if (this.#state === 'comparing') return this.#compared(this.#begin().hear(message))
    if (this.#heardDone && message.type !== 'batches' && message.type !== 'origin') throw new MalformedError('nothing is asked after done')
    switch (message.type) {
      case 'batches': return this.#receive(message.key, message.answers)
      case 'origin': return this.#hearOrigin(message)
      case 'want': return this.#serve(message.key, message.wants)
      case 'ask': return originPages(message.key, this.#replica.origin(message.key)).map(page => this.#send(page))
      case 'done': return this.#doneThere(message)
      default: throw new MalformedError(`a ${message.type} has no place here`)
    }
  }

  // ---- both sides ask for what they miss

  protected next (): SessionEffect[] {
    const want = this.#puller?.next()
    if (want === undefined) return this.doneHere()
    this.#wanted = want
    // Whoever has more of it may know more of its members too.
    if (parseStackKey(want.key).archivedFrom !== undefined && !this.#asked.has(want.key)) {
      this.#asked.add(want.key)
      this.#asking = { key: want.key, name: want.name, records: [] }
      return [this.#send({ type: 'ask', key: want.key })]
    }
    return [this.#ask(want)]
  }

  #ask ({ key, wants }: Ask): SessionEffect { return this.#send({ type: 'want', key, wants }) }

  /** Nothing more to ask. Ends only when the peer has said so too: it may still need our answers. */
  protected doneHere (): SessionEffect[] {
    this.#sentDone = true
    const held = (this.#comparison?.theirs() ?? []).map(({ key }) => ({ key, digest: this.#replica.digest(key) }))
    return [...donePages(held).map(page => this.#send(page)), ...(this.#heardDone ? this.#end('done') : [])]
  }

  #doneThere ({ held, more }: Extract<SyncMessage, { type: 'done' }>): SessionEffect[] {
    this.#comparison?.learn(held)
    if (more) return []
    this.#heardDone = true
    return this.#sentDone ? this.#end('done') : []
  }

  #serve (key: StackKey, wants: Want[]): SessionEffect[] {
    return [this.#send({ type: 'batches', key, answers: serve(wants, want => this.#replica.path(key, want)) })]
  }

  #receive (key: StackKey, answers: Batch[][]): SessionEffect[] {
    if (this.#busy || this.#asking !== undefined || this.#wanted === undefined) throw new MalformedError('batches that nobody asked for')
    this.#puller?.answered(key, answers)
    this.#busy = true
    return [{ type: 'apply', key, name: this.#wanted.name, batches: answers.flat() }]
  }

  #applied (): SessionEffect[] {
    this.#busy = false
    this.#puller?.applied()
    return this.next()
  }

  #skipped (): SessionEffect[] {
    this.#busy = false
    this.#puller?.skip()
    return this.next()
  }

  #hearOrigin ({ key, records, more }: Extract<SyncMessage, { type: 'origin' }>): SessionEffect[] {
    const asking = this.#asking
    if (asking === undefined || asking.key !== key || this.#busy) throw new MalformedError('an origin that nobody asked for')
    asking.records.push(...records)
    const isTooMany = asking.records.length > LIMITS.rosterKeptMax
    if (isTooMany) throw new MalformedError('more membership records than a roster holds')
    if (more) return []
    this.#busy = true
    return [{ type: 'origin', key, name: asking.name, records: asking.records }]
  }

  /** What was not accepted is not held. */
  #judged (): SessionEffect[] {
    const asking = this.#asking
    this.#busy = false
    this.#asking = undefined
    // The questions that waited for the origin are asked now.
    if (asking !== undefined && this.#wanted !== undefined && this.#replica.has(asking.key)) return [this.#ask(this.#wanted)]
    this.#puller?.skip()
    return this.next()
  }

  #send (message: SyncMessage): SessionEffect { return { type: 'send', frame: encodeSync(message) } }

  #end (reason: EndReason): SessionEffect[] {
    const peer = this.#comparison?.peer ?? new Map<StackKey, Uint8Array>()
    const traceparent = this.#comparison?.differs === true ? this.#comparison.traceparent : null
    this.#state = 'ended'
    this.#comparison = undefined
    this.#puller = undefined
    return [{ type: 'end', reason, peer, traceparent }]
  }
}
