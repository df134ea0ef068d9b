/**
 * The requester's half of an election: ask the best one by one; when everyone is busy leave a reservation at the sixteen best and
 * let the first that frees a slot win (late binding). One machine is one claim round of one build.
 */
import type { BuildId, DeviceId } from '../ids.ts'
import { CLAIM_RULES, rulesOf, type ClaimRules } from '../rules.ts'
import { strayAnswer, type ClaimNeeds, type ClaimWord } from './messages.ts'

/** A builder worth asking, best first in a list. */
export interface Target {
  device: DeviceId
  /** Undefined when never measured. */
  rttMs: number | undefined
}

export interface Won { to: DeviceId, lease: string, fence: number }

export type ClaimInput =
  | { type: 'start' }
  | { type: 'word', from: DeviceId, word: ClaimWord }
  /** The request failed on the way. */
  | { type: 'unreachable', from: DeviceId, fence: number, reason: string }
  /** A new ranking while waiting: newcomers get a reservation too. */
  | { type: 'retarget', order: Target[] }
  | { type: 'stop' }
  | { type: 'tick' }

export type ClaimEffect =
  | { type: 'send', to: DeviceId, word: ClaimWord }
  | { type: 'won', won: Won }
  /** Every builder said no, with its reason. */
  | { type: 'lost', refused: Array<{ device: DeviceId, reason: string }> }
  /** Fresher than gossip: feed the table. */
  | { type: 'busy', device: DeviceId, queue: number, expectedWaitS: number }
  /** Nobody has a slot: waiting from now on. */
  | { type: 'waiting' }
  /** Please rank again and answer with `retarget`. */
  | { type: 'look' }

export interface ClaimInit {
  build: BuildId
  needs: ClaimNeeds
  order: Target[]
  /** The next fence of this build: rises strictly over all its claims. */
  nextFence: () => number
}

interface Asked { target: Target, fence: number, asks: number, untilMs: number }

const BUSY_TRIES = 3
const ASKS_PER_BUILDER = 2
const RESERVATIONS = 16
const RESERVE_AGAIN_MS = 10_000
const NOBODY_MS = 30_000
const UNKNOWN_RTT_MS = 250

export class ClaimMachine {
  readonly #init: ClaimInit
  readonly #rules: ClaimRules
  readonly #refused = new Map<DeviceId, string>()
  #order: Target[]
  #state: 'asking' | 'waiting' | 'over' = 'asking'
  #asked: Asked | undefined
  #tried = 0
  #busy = 0
  #fence = 0
  #reserveAgainMs = 0
  #confirmedMs = 0

  constructor (init: ClaimInit) {
    this.#init = init
    this.#rules = rulesOf(init, CLAIM_RULES)
    this.#order = [...init.order]
  }

  get state (): 'asking' | 'waiting' | 'over' { return this.#state }

  deadline (): number | undefined {
    if (this.#state === 'waiting') return Math.min(this.#reserveAgainMs, this.#confirmedMs + NOBODY_MS)
    return this.#state === 'asking' && this.#rules.timeout ? this.#asked?.untilMs : undefined
  }

  handle (input: ClaimInput, now: number): ClaimEffect[] {
    switch (input.type) {
      case 'start': return this.#next(now)
      case 'word': return this.#word(input.from, input.word, now)
      case 'unreachable': return this.#no(input.from, input.fence, input.reason, now)
      case 'retarget': return this.#retarget(input.order)
      case 'stop': return this.#stop()
      case 'tick': return this.#tick(now)
    }
  }

  #word (from: DeviceId, word: ClaimWord, now: number): ClaimEffect[] {
    if (word.build !== this.#init.build) return stray(from, word)
    switch (word.type) {
      case 'grant': return this.#isAsked(from, word.fence) ? this.#won({ to: from, lease: word.lease, fence: word.fence }) : stray(from, word)
      case 'busy': return this.#isAsked(from, word.fence) ? this.#wasBusy(from, word, now) : []
      case 'no': return this.#no(from, word.fence, word.reason, now)
      case 'reserved': return this.#confirmed(from, word.fence, now)
      case 'bind': return this.#bind(from, word)
      default: return []
    }
  }

  #isAsked (from: DeviceId, fence: number): boolean {
    return this.#state === 'asking' && this.#asked?.target.device === from && this.#asked.fence === fence
  }

  #won (won: Won): ClaimEffect[] {
    this.#state = 'over'
    return [{ type: 'won', won }]
  }

  #wasBusy (from: DeviceId, word: { queue: number, expectedWaitS: number }, now: number): ClaimEffect[] {
    this.#busy++
    return [{ type: 'busy', device: from, queue: word.queue, expectedWaitS: word.expectedWaitS }, ...this.#next(now)]
  }

  #no (from: DeviceId, fence: number, reason: string, now: number): ClaimEffect[] {
    if (this.#state === 'waiting' && fence === this.#fence) {
      this.#refused.set(from, reason)
      const open = this.#order.slice(0, RESERVATIONS).some(target => !this.#refused.has(target.device))
      return open ? [] : this.#lost()
    }
    if (!this.#isAsked(from, fence)) return []
    this.#refused.set(from, reason)
    return this.#next(now)
  }

  /** Asks the best that was not asked; after three busy ones, or when the list ends, reserves. */
  #next (now: number): ClaimEffect[] {
    const target = this.#busy < BUSY_TRIES ? this.#order[this.#tried++] : undefined
    if (target === undefined) return this.#busy > 0 ? this.#wait(now) : this.#lost()
    this.#asked = { target, fence: this.#init.nextFence(), asks: 0, untilMs: now }
    return this.#ask(now)
  }

  #ask (now: number): ClaimEffect[] {
    const asked = this.#asked as Asked
    asked.asks++
    asked.untilMs = now + Math.max(250, 4 * (asked.target.rttMs ?? UNKNOWN_RTT_MS))
    return [this.#send(asked.target.device, 'claim', asked.fence)]
  }

  #wait (now: number): ClaimEffect[] {
    this.#state = 'waiting'
    this.#order = this.#order.filter(t => !this.#refused.has(t.device))
    this.#fence = this.#init.nextFence()
    this.#confirmedMs = now
    return [{ type: 'waiting' }, ...this.#reserve(now)]
  }

  #reserve (now: number): ClaimEffect[] {
    this.#reserveAgainMs = now + RESERVE_AGAIN_MS
    return this.#order.slice(0, RESERVATIONS).filter(t => !this.#refused.has(t.device)).map(t => this.#send(t.device, 'reserve', this.#fence))
  }

  #retarget (order: Target[]): ClaimEffect[] {
    if (this.#state !== 'waiting') return []
    const known = new Set(this.#order.map(t => t.device))
    const fresh = order.filter(t => !known.has(t.device) && !this.#refused.has(t.device))
    this.#order = [...this.#order, ...fresh].slice(0, RESERVATIONS)
    return fresh.slice(0, Math.max(0, RESERVATIONS - known.size)).map(t => this.#send(t.device, 'reserve', this.#fence))
  }

  #confirmed (from: DeviceId, fence: number, now: number): ClaimEffect[] {
    if (this.#state === 'waiting' && fence === this.#fence && !this.#refused.has(from)) this.#confirmedMs = now
    return []
  }

  #bind (from: DeviceId, word: Extract<ClaimWord, { type: 'bind' }>): ClaimEffect[] {
    const wanted = this.#state === 'waiting' || !this.#rules.firstOnly
    if (!wanted || word.fence !== this.#fence) return stray(from, word)
    return [{ type: 'send', to: from, word: { type: 'yes', build: word.build, fence: word.fence, lease: word.lease } }, ...this.#won({ to: from, lease: word.lease, fence: word.fence })]
  }

  #tick (now: number): ClaimEffect[] {
    if (this.#state === 'waiting') {
      if (now >= this.#confirmedMs + NOBODY_MS) return this.#lost()
      return now >= this.#reserveAgainMs ? [{ type: 'look' }, ...this.#reserve(now)] : []
    }
    const asked = this.#asked
    if (this.#state === 'over' || asked === undefined || !this.#rules.timeout || now < asked.untilMs) return []
    if (asked.asks < ASKS_PER_BUILDER) return this.#ask(now)
    this.#refused.set(asked.target.device, 'no answer')
    // It may have granted and only its answer be late: give the slot back now instead of in 10 s.
    return [{ type: 'send', to: asked.target.device, word: { type: 'release', build: this.#init.build, fence: asked.fence } }, ...this.#next(now)]
  }

  #stop (): ClaimEffect[] {
    const { build } = this.#init
    const holders = this.#state === 'waiting' ? this.#order.slice(0, RESERVATIONS).map(t => t.device) : this.#state === 'asking' && this.#asked !== undefined ? [this.#asked.target.device] : []
    const fence = this.#state === 'waiting' ? this.#fence : this.#asked?.fence ?? 0
    this.#state = 'over'
    return holders.map(to => ({ type: 'send', to, word: { type: 'release', build, fence } }))
  }

  #lost (): ClaimEffect[] {
    const released = this.#stop()
    return [...released, { type: 'lost', refused: [...this.#refused].map(([device, reason]) => ({ device, reason })) }]
  }

  #send (to: DeviceId, type: 'claim' | 'reserve', fence: number): ClaimEffect {
    return { type: 'send', to, word: { type, build: this.#init.build, fence, needs: this.#init.needs } }
  }
}

function stray (from: DeviceId, word: ClaimWord): ClaimEffect[] {
  const answer = strayAnswer(word)
  return answer === undefined ? [] : [{ type: 'send', to: from, word: answer }]
}
