/**
 * The requester's half of an election: ask the best one by one; when everyone is busy leave a reservation at the
 * sixteen best and let the first that frees a slot win (late binding). One machine is one claim round of one build.
 */
import type { BuildId, DeviceId } from '../ids.ts'
import { CLAIM_RULES, rulesOf, type ClaimRules } from '../rules.ts'
import type { ClaimEffect, Target, Won } from './claim-effects.ts'
import type { ClaimNeeds, ClaimWord } from './messages.ts'
import { stray, UNKNOWN_RTT_MS, Waiting } from './waiting.ts'

export type ClaimInput =
  | { type: 'start' }
  | { type: 'word', from: DeviceId, word: ClaimWord }
  /** The request failed on the way. */
  | { type: 'unreachable', from: DeviceId, fence: number, reason: string }
  /** A device says that it has a free slot. */
  | { type: 'free', device: DeviceId }
  /** A new ranking while waiting: newcomers get a reservation too. */
  | { type: 'retarget', order: Target[] }
  | { type: 'stop' }
  | { type: 'tick' }

export interface ClaimInit {
  build: BuildId
  needs: ClaimNeeds
  order: Target[]
  /** The next fence of this build: rises strictly over all its claims. */
  nextFence: () => number
  /**
   * How late this device's event loop was lately, milliseconds: builders wait for its answers accordingly. @default 0
   */
  lagMs?: () => number
}

interface Asked { target: Target, fence: number, asks: number, untilMs: number }

const BUSY_TRIES = 3
const ASKS_PER_BUILDER = 2
/**
 * How long builders that do not answer are asked again when nobody else is left: longer than most stalls of a busy
 * machine.
 */
const PATIENCE_MS = 2_500
const NO_ANSWER = 'no answer'

export class ClaimMachine {
  readonly #init: ClaimInit
  readonly #rules: ClaimRules
  readonly #refused = new Map<DeviceId, string>()
  /** Who has not answered, or was not reached: it may still be there. */
  readonly #silent = new Map<DeviceId, string>()
  #state: 'asking' | 'waiting' | 'over' = 'asking'
  #asked: Asked | undefined
  #waiting: Waiting | undefined
  #won: Won | undefined
  #tried = 0
  #busy = 0
  /** When the silent ones are given up. */
  #patientUntilMs: number | undefined

  constructor (init: ClaimInit) {
    this.#init = init
    this.#rules = rulesOf(init, CLAIM_RULES)
  }

  get state (): 'asking' | 'waiting' | 'over' { return this.#state }

  deadline (): number | undefined {
    if (this.#state === 'waiting') return this.#waiting?.deadline()
    return this.#state === 'asking' && this.#rules.timeout ? this.#asked?.untilMs : undefined
  }

  handle (input: ClaimInput, now: number): ClaimEffect[] {
    switch (input.type) {
      case 'start': return this.#next(now)
      case 'word': return this.#word(input.from, input.word, now)
      case 'unreachable': return this.#unreachable(input, now)
      case 'free': return this.#inLine()?.free(input.device, now) ?? []
      case 'retarget': return this.#inLine()?.retarget(input.order, now) ?? []
      case 'stop': return this.#stop()
      case 'tick': return this.#tick(now)
    }
  }

  #word (from: DeviceId, word: ClaimWord, now: number): ClaimEffect[] {
    if (word.build !== this.#init.build) return stray(from, word)
    const line = this.#waiting?.fenceAt(from) === word.fence ? this.#inLine() : undefined
    switch (word.type) {
      case 'grant': return this.#granted(from, word)
      case 'busy': return this.#isAsked(from, word.fence) ? this.#wasBusy(from, word, now) : []
      case 'no': return line === undefined ? this.#no(from, word, now) : this.#noLine(line, from, word.reason, now)
      case 'reserved': line?.reserved(from, now); return []
      case 'bind': return line?.bind(from, now) ?? stray(from, word)
      case 'gone': return line?.gone(from, now) ?? []
      default: return []
    }
  }

  #inLine (): Waiting | undefined { return this.#state === 'waiting' ? this.#waiting : undefined }

  #isAsked (from: DeviceId, fence: number): boolean {
    return this.#state === 'asking' && this.#asked?.target.device === from && this.#asked.fence === fence
  }

  /** The same grant may come twice, because what it answers was said twice: then it is no stray. */
  #granted (from: DeviceId, word: Extract<ClaimWord, { type: 'grant' }>): ClaimEffect[] {
    const { lease, fence } = word
    if (this.#won?.to === from && this.#won.lease === lease) return []
    const waited = fence === this.#waiting?.fenceAt(from) && (this.#state === 'waiting' || !this.#rules.firstOnly)
    return waited || this.#isAsked(from, fence) ? this.#win({ to: from, lease, fence }) : stray(from, word)
  }

  #win (won: Won): ClaimEffect[] {
    const left = this.#inLine()?.leave(won.to) ?? []
    this.#state = 'over'
    this.#won = won
    return [{ type: 'won', won }, ...left]
  }

  #wasBusy (from: DeviceId, word: { queue: number, expectedWaitS: number }, now: number): ClaimEffect[] {
    this.#busy++
    return [{ type: 'busy', device: from, queue: word.queue, expectedWaitS: word.expectedWaitS }, ...this.#next(now)]
  }

  #no (from: DeviceId, { fence, reason }: { fence: number, reason: string }, now: number): ClaimEffect[] {
    if (!this.#isAsked(from, fence)) return []
    this.#silent.delete(from)
    this.#refused.set(from, reason)
    return this.#next(now)
  }

  #noLine (line: Waiting, from: DeviceId, reason: string, now: number): ClaimEffect[] {
    const effects = line.no(from, reason, now)
    return line.isOver(now) ? this.#lost() : effects
  }

  /** The way is broken, which is no answer: a reservation is renewed as ever, and who was asked may be asked again. */
  #unreachable ({ from, fence, reason }: Extract<ClaimInput, { type: 'unreachable' }>, now: number): ClaimEffect[] {
    if (!this.#isAsked(from, fence)) return []
    this.#silent.set(from, reason)
    // Once only silent ones are left, each has its time: a broken way fails at once.
    return this.#patientUntilMs === undefined ? this.#next(now) : []
  }

  /** Asks the best that was not asked; after three busy ones, or when the list ends, reserves. */
  #next (now: number): ClaimEffect[] {
    const target = this.#busy < BUSY_TRIES ? this.#init.order[this.#tried++] : undefined
    if (target !== undefined) return this.#askFirst(target, now)
    return this.#busy > 0 ? this.#wait(now) : this.#askSilent(now)
  }

  /** Nobody took it, and some said nothing: a machine may stand still for a second or two. */
  #askSilent (now: number): ClaimEffect[] {
    this.#patientUntilMs ??= now + PATIENCE_MS
    const silent = this.#init.order.filter(({ device }) => this.#silent.has(device))
    const target = silent[this.#tried % Math.max(1, silent.length)]
    if (target === undefined || now >= this.#patientUntilMs || !this.#rules.patience) return this.#lost()
    return this.#askFirst(target, now)
  }

  #askFirst (target: Target, now: number): ClaimEffect[] {
    this.#asked = { target, fence: this.#init.nextFence(), asks: 0, untilMs: now }
    return this.#ask(this.#asked, now)
  }

  #ask (asked: Asked, now: number): ClaimEffect[] {
    asked.asks++
    asked.untilMs = now + Math.max(250, 4 * (asked.target.rttMs ?? UNKNOWN_RTT_MS))
    const { build, needs } = this.#init
    return [{ type: 'send', to: asked.target.device, word: { type: 'claim', build, fence: asked.fence, needs } }]
  }

  #wait (now: number): ClaimEffect[] {
    const { build, needs, order, nextFence, lagMs = () => 0 } = this.#init
    const open = order.filter(({ device }) => !this.#refused.has(device))
    this.#state = 'waiting'
    this.#waiting = new Waiting({ build, needs, nextFence, order: open, lagMs, rules: this.#rules }, now)
    return [{ type: 'waiting' }, ...this.#waiting.reserve(now)]
  }

  #tick (now: number): ClaimEffect[] {
    const line = this.#inLine()
    if (line !== undefined) return line.isOver(now) ? this.#lost() : line.tick(now)
    const asked = this.#asked
    if (this.#state === 'over' || asked === undefined || !this.#rules.timeout || now < asked.untilMs) return []
    if (asked.asks < ASKS_PER_BUILDER) return this.#ask(asked, now)
    this.#silent.set(asked.target.device, NO_ANSWER)
    // It may have granted and only its answer be late: give the slot back now instead of in 10 s.
    return [this.#release(asked), ...this.#next(now)]
  }

  #stop (): ClaimEffect[] {
    const asked = this.#state === 'asking' && this.#asked !== undefined ? [this.#release(this.#asked)] : []
    const left = this.#inLine()?.leave() ?? asked
    this.#state = 'over'
    return left
  }

  #release ({ target, fence }: Asked): ClaimEffect {
    return { type: 'send', to: target.device, word: { type: 'release', build: this.#init.build, fence } }
  }

  #lost (): ClaimEffect[] {
    const reasons = [...this.#silent, ...this.#refused, ...this.#waiting?.refused ?? []]
    const refused = reasons.map(([device, reason]) => ({ device, reason }))
    return [...this.#stop(), { type: 'lost', refused }]
  }
}
