/**
 * The builder's half of an election. Slots are integers that the builder alone counts; a slot is taken before the answer leaves
 * and free again when the last process of the build is gone.
 *
 * Late binding after Sparrow (Ousterhout et al., SOSP 2013); fencing after Kleppmann, "How to do distributed locking".
 */
import type { BuildId, DeviceId } from '../ids.ts'
import { rulesOf, SLOT_RULES, type SlotRules } from '../rules.ts'
import { LEASE, lapsesAtMs, type Lease, type LeaseState } from './lease.ts'
import { WaitingLine, type Reservation } from './line.ts'
import type { ClaimMessage, ClaimNeeds, ClaimReply, ClaimWord } from './messages.ts'

export type SlotInput =
  | { type: 'word', from: DeviceId, word: ClaimWord }
  /** A BIND? did not arrive: the way to its requester is broken. That is not its answer. */
  | { type: 'unheard', to: DeviceId, build: BuildId, fence: number }
  /** A build stream opened with this lease, for the first time or again. */
  | { type: 'attach', from: DeviceId, lease: string, build: BuildId, fence: number }
  | { type: 'echo', from: DeviceId, lease: string, stamp: number }
  /** The build ended by itself, result handed over or not, and every process is gone. */
  | { type: 'finished', lease: string }
  /** The answer to `kill`: every process is gone. */
  | { type: 'stopped', lease: string }
  /** Left-overs of an earlier life are gone: the first claim may come. */
  | { type: 'swept' }
  | { type: 'configure', slots: number, draining: boolean }
  | { type: 'tick' }

export type SlotEffect =
  | { type: 'send', to: DeviceId, word: ClaimMessage | ClaimReply }
  | { type: 'attached', lease: Lease, resumed: boolean }
  /** `gone`: nothing of the lease runs here any more. Else close the stream without a word: its processes may still be dying. */
  | { type: 'refused', to: DeviceId, lease: string, gone: boolean }
  | { type: 'kill', lease: Lease, reason: 'lapsed' | 'released' | 'superseded' }
  /** Send this stamp on the lease's stream. */
  | { type: 'stamp', lease: Lease, stamp: number }
  /** Free slots or the queue changed. */
  | { type: 'changed', free: number, queue: number }

export interface SlotInit {
  slots: number
  /** This life of the builder: rises with every start. */
  epoch: number
  /** What a claim is refused for besides slots: needs above the ceilings, role. Null when nothing is. */
  refuse?: (from: DeviceId, needs: ClaimNeeds) => string | null
  /** Predicted seconds until a slot is free. @default 0 */
  expectedWaitS?: () => number
  /** Round trip to a device, milliseconds; undefined when never measured. @default never measured */
  rttMs?: (device: DeviceId) => number | undefined
}

/** Builds whose highest fence is remembered. */
const FENCES_MAX = 4096

export class SlotMachine {
  readonly #init: SlotInit
  readonly #rules: SlotRules
  readonly #leases = new Map<string, Lease>()
  /** Highest fence that was ever bound here, per requester and build. */
  readonly #fences = new Map<string, number>()
  readonly #line: WaitingLine
  /** When this machine was last told anything. */
  #nowMs = -Infinity
  #slots: number
  #draining = false
  #swept: boolean
  #count = 0

  constructor (init: SlotInit) {
    this.#init = init
    this.#rules = rulesOf(init, SLOT_RULES)
    this.#line = new WaitingLine({ rttMs: init.rttMs ?? (() => undefined), rules: this.#rules })
    this.#slots = init.slots
    this.#swept = !this.#rules.sweepFirst
  }

  get total (): number { return this.#slots }
  /** What a newcomer may claim: a slot about which somebody in line is asked is not free. */
  get free (): number { return Math.max(0, this.#open() - (this.#rules.countAsked ? this.#line.held() : 0)) }
  get queue (): number { return this.#line.length }
  get draining (): boolean { return this.#draining }
  leases (): Lease[] { return [...this.#leases.values()] }

  /** When {@link handle} wants a `tick`, on the clock of `now`; undefined when nothing is due. */
  deadline (): number | undefined {
    const times = [...this.#leases.values()].flatMap(lease => lease.state === 'active' ? [lease.nextRenewMs, this.#lapsesAt(lease)] : [this.#lapsesAt(lease)])
    const next = Math.min(this.#line.nextMs(this.#nowMs, this.#asks()), ...times)
    return Number.isFinite(next) ? next : undefined
  }

  handle (input: SlotInput, now: number): SlotEffect[] {
    this.#nowMs = now
    const before = [this.free, this.queue].join()
    const effects = [...this.#lapse(now), ...this.#apply(input, now), ...this.#bindNext(now)]
    if ([this.free, this.queue].join() !== before) effects.push({ type: 'changed', free: this.free, queue: this.queue })
    return effects
  }

  #apply (input: SlotInput, now: number): SlotEffect[] {
    switch (input.type) {
      case 'word': return this.#word(input.from, input.word, now)
      case 'unheard': return this.#unheard(input, now)
      case 'attach': return this.#attach(input, now)
      case 'echo': return this.#echo(input, now)
      case 'finished': case 'stopped': this.#leases.delete(input.lease); return []
      case 'swept': this.#swept = true; return []
      case 'configure': this.#slots = input.slots; this.#draining = input.draining; return []
      case 'tick': return this.#stamps(now)
    }
  }

  #word (from: DeviceId, word: ClaimWord, now: number): SlotEffect[] {
    switch (word.type) {
      case 'claim': return this.#claim(from, word, now)
      case 'reserve': return this.#reserve(from, word, now)
      case 'release': return this.#release(from, word)
      case 'yes': return this.#yes(from, word, now)
      case 'gone': this.#line.drop(from, word.build, word.fence); return []
      case 'later': return this.#later(from, word, now)
      default: return []
    }
  }

  #claim (from: DeviceId, word: Extract<ClaimWord, { type: 'claim' }>, now: number): SlotEffect[] {
    const { build, fence } = word
    const send = (reply: ClaimReply): SlotEffect => ({ type: 'send', to: from, word: reply })
    const known = this.#find(from, build, fence)
    if (known !== undefined && this.#rules.idempotent) return [send(granted(this.#bound(known)))]
    const refusal = this.#refusal(from, word)
    if (refusal !== null) return [send({ type: 'no', build, fence, reason: refusal })]
    const effects = this.#supersede(from, build)
    if (this.free === 0) return [...effects, send({ type: 'busy', build, fence, queue: this.queue, expectedWaitS: this.#init.expectedWaitS?.() ?? 0 })]
    return [...effects, send(granted(this.#bound(this.#take(from, build, fence, now))))]
  }

  #reserve (from: DeviceId, word: Extract<ClaimWord, { type: 'reserve' }>, now: number): SlotEffect[] {
    const { build, fence } = word
    const send = (reply: ClaimReply): SlotEffect[] => [{ type: 'send', to: from, word: reply }]
    const known = this.#find(from, build, fence)
    // It has the slot and does not know: the grant was lost.
    if (known !== undefined) return send(granted(known))
    const refusal = this.#refusal(from, word)
    if (refusal !== null) return send({ type: 'no', build, fence, reason: refusal })
    const position = this.#line.put(from, build, fence, word.lagMs, now)
    return send(position === undefined ? { type: 'no', build, fence, reason: 'too many reservations' } : { type: 'reserved', build, fence, position })
  }

  #release (from: DeviceId, word: { build: BuildId, fence: number }): SlotEffect[] {
    this.#line.drop(from, word.build, word.fence)
    const lease = this.#find(from, word.build, word.fence)
    return [...(lease === undefined ? [] : this.#end(lease, 'released')), { type: 'send', to: from, word: { type: 'released', build: word.build, fence: word.fence } }]
  }

  /** The first yes gets the slot, however late it is; the others keep their places. */
  #yes (from: DeviceId, { build, fence }: { build: BuildId, fence: number }, now: number): SlotEffect[] {
    const send = (reply: ClaimReply): SlotEffect[] => [{ type: 'send', to: from, word: reply }]
    const known = this.#find(from, build, fence)
    if (known !== undefined) return send(granted(known))
    const waiting = this.#waiting(from, build, fence)
    if (waiting === undefined) return send({ type: 'gone', build, fence })
    if (this.#draining || (this.#open() === 0 && this.#rules.yesNeedsSlot)) {
      this.#line.answered(waiting)
      return send({ type: 'gone', build, fence })
    }
    return send(granted(this.#bound(this.#take(from, build, fence, now))))
  }

  #later (from: DeviceId, { build, fence }: { build: BuildId, fence: number }, now: number): SlotEffect[] {
    const waiting = this.#waiting(from, build, fence)
    if (waiting !== undefined) this.#line.later(waiting, now)
    return []
  }

  #unheard ({ to, build, fence }: Extract<SlotInput, { type: 'unheard' }>, now: number): SlotEffect[] {
    const waiting = this.#waiting(to, build, fence)
    if (waiting?.question !== undefined) this.#line.missed(waiting, now)
    return []
  }

  #waiting (from: DeviceId, build: BuildId, fence: number): Reservation | undefined {
    const waiting = this.#line.find(from, build)
    return waiting?.fence === fence ? waiting : undefined
  }

  #attach (input: Extract<SlotInput, { type: 'attach' }>, now: number): SlotEffect[] {
    const lease = this.#leases.get(input.lease)
    const ours = lease !== undefined && lease.requester === input.from && lease.build === input.build && lease.fence === input.fence
    if (!ours || lease.state === 'ending') return [{ type: 'refused', to: input.from, lease: input.lease, gone: this.#swept && lease === undefined }]
    const resumed = lease.state === 'active'
    lease.state = 'active'
    lease.nextRenewMs = now
    return [{ type: 'attached', lease, resumed }, ...this.#stamps(now)]
  }

  #echo (input: Extract<SlotInput, { type: 'echo' }>, now: number): SlotEffect[] {
    const lease = this.#leases.get(input.lease)
    if (lease?.requester !== input.from || lease.state !== 'active') return []
    const stamp = this.#rules.stamp ? Math.min(input.stamp, now) : now
    lease.stampMs = Math.max(lease.stampMs, stamp)
    return []
  }

  #stamps (now: number): SlotEffect[] {
    return [...this.#leases.values()].filter(lease => lease.state === 'active' && now >= lease.nextRenewMs).map(lease => {
      lease.nextRenewMs = now + LEASE.renewMs
      return { type: 'stamp', lease, stamp: now }
    })
  }

  #lapse (now: number): SlotEffect[] {
    this.#line.expire(now)
    return [...this.#leases.values()].filter(lease => now >= this.#lapsesAt(lease)).flatMap(lease => this.#end(lease, 'lapsed'))
  }

  /** Frees the slot at once when nothing ran on it; else after the kill. */
  #end (lease: Lease, reason: 'lapsed' | 'released' | 'superseded'): SlotEffect[] {
    if (lease.state === 'ending') return []
    const ran = lease.state === 'active'
    lease.state = 'ending'
    if (!ran) this.#leases.delete(lease.id)
    return ran ? [{ type: 'kill', lease, reason }] : []
  }

  #supersede (from: DeviceId, build: BuildId): SlotEffect[] {
    return [...this.#leases.values()].filter(lease => lease.build === build && lease.requester === from).flatMap(lease => this.#end(lease, 'superseded'))
  }

  /** Asks about every free slot. Whoever has one, or has had its turn, is not asked. */
  #bindNext (now: number): SlotEffect[] {
    if (!this.#asks()) return []
    const may = ({ requester, build }: Reservation): boolean =>
      ![...this.#leases.values()].some(lease => lease.build === build && lease.requester === requester && lease.state !== 'ending')
    return this.#line.ask(this.#open(), may, now).map(({ requester, build, fence }) => ({ type: 'send', to: requester, word: { type: 'bind', build, fence } }))
  }

  #asks (): boolean { return !this.#draining && this.#line.length > 0 && this.#open() > 0 }

  #take (requester: DeviceId, build: BuildId, fence: number, now: number): Lease {
    const id = `${this.#init.epoch}.${++this.#count}`
    const used = new Set([...this.#leases.values()].map(lease => lease.slot))
    let slot = 0
    while (used.has(slot)) slot++
    const lease: Lease = { id, build, requester, fence, slot, state: 'held', grantedAtMs: now, stampMs: now, nextRenewMs: now }
    this.#leases.set(id, lease)
    return lease
  }

  /** The requester has it for sure: from here on older claims of the build are refused. */
  #bound (lease: Lease): Lease {
    const key = `${lease.requester} ${lease.build}`
    this.#line.drop(lease.requester, lease.build)
    this.#fences.delete(key)
    this.#fences.set(key, lease.fence)
    if (this.#fences.size > FENCES_MAX) this.#fences.delete(this.#fences.keys().next().value as string)
    return lease
  }

  #fenceOf (requester: DeviceId, build: BuildId): number { return this.#fences.get(`${requester} ${build}`) ?? 0 }

  #refusal (from: DeviceId, word: { build: BuildId, fence: number, needs: ClaimNeeds }): string | null {
    if (!this.#swept) return 'starting: left-overs of the last run are being removed'
    if (this.#draining) return 'draining'
    if (this.#slots === 0) return '0 slots'
    if (this.#rules.fence && word.fence <= this.#fenceOf(from, word.build)) return 'a claim of this build as new as this one was here before'
    return this.#init.refuse?.(from, word.needs) ?? null
  }

  /** Slots without a lease. */
  #open (): number { return this.#swept ? Math.max(0, this.#slots - this.#taken()) : 0 }

  #taken (): number {
    const { countHeld, countEnding } = this.#rules
    const counts: Record<LeaseState, boolean> = { held: countHeld, active: true, ending: countEnding }
    return [...this.#leases.values()].filter(lease => counts[lease.state]).length
  }

  #lapsesAt (lease: Lease): number {
    if (!this.#rules.lapse && lease.state === 'active') return Infinity
    return lapsesAtMs(lease, this.#rules.grace ? LEASE.graceMs : 0)
  }

  #find (from: DeviceId, build: BuildId, fence: number): Lease | undefined {
    return [...this.#leases.values()].find(lease => lease.build === build && lease.requester === from && lease.fence === fence && lease.state !== 'ending')
  }
}

function granted (lease: Lease): ClaimReply {
  return { type: 'grant', build: lease.build, fence: lease.fence, lease: lease.id, stamp: lease.stampMs, ttlMs: LEASE.ttlMs }
}
