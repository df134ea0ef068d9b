/**
 * A requester in the lines of the best builders: who has its reservation, who is told yes, and what is said again
 * because a word may have been lost. It stays in every line until one builder grants it a slot.
 */
import type { BuildId, DeviceId } from '../ids.ts'
import type { ClaimRules } from '../rules.ts'
import type { ClaimEffect, Target } from './claim-effects.ts'
import { LEASE } from './lease.ts'
import { strayAnswer, type ClaimNeeds, type ClaimWord } from './messages.ts'

export interface WaitingInit {
  build: BuildId
  needs: ClaimNeeds
  /** The next fence of this build. */
  nextFence: () => number
  /** Best first. */
  order: Target[]
  /** How late this device's event loop was lately, milliseconds. */
  lagMs: () => number
  rules: ClaimRules
}

/** A builder was told yes, and has not answered. */
interface Said { to: DeviceId, times: number, againMs: number, untilMs: number }

export const UNKNOWN_RTT_MS = 250
const LINES = 16
const RENEW_MS = 10_000
/** A reservation that is not confirmed is made again after this time, then after twice the time, and so on. */
const CONFIRM_MS = 1_000
const NOBODY_MS = 30_000
/**
 * Adverts come in bursts: one reservation is enough for those of this time. After each no of the builder, for four
 * times as long.
 */
const FREE_AGAIN_MS = 250
const LOOK_AGAIN_MS = 1_000

export class Waiting {
  readonly refused: Map<DeviceId, string> = new Map()
  readonly #noes = new Map<DeviceId, number>()
  readonly #init: WaitingInit
  readonly #fence: number
  /** Where the reservation has another fence by now. */
  readonly #fences = new Map<DeviceId, number>()
  /** Who was told yes under the fence of its reservation. */
  readonly #agreed = new Set<DeviceId>()
  readonly #confirmed = new Set<DeviceId>()
  readonly #reservedMs = new Map<DeviceId, number>()
  /** Who said that it has a slot too soon after a reservation, and when it is asked unless it has that. */
  readonly #dueMs = new Map<DeviceId, number>()
  /** Who offered a slot while another builder was being answered. */
  readonly #later = new Set<DeviceId>()
  #order: Target[]
  #said: Said | undefined
  #renewMs = 0
  #confirmMs = 0
  #confirmAfterMs = CONFIRM_MS
  #heardMs: number
  #lookedMs = -Infinity

  constructor (init: WaitingInit, now: number) {
    this.#init = init
    this.#fence = init.nextFence()
    this.#order = init.order
    this.#heardMs = now
  }

  /** The fence of the reservation at this builder. */
  fenceAt (device: DeviceId): number { return this.#fences.get(device) ?? this.#fence }

  /** Who has, or is to have, a reservation. */
  lines (): DeviceId[] {
    return this.#order.slice(0, LINES).map(({ device }) => device).filter(device => !this.refused.has(device))
  }

  /** Nobody is left in whose line it could stand, or nobody has answered for long. */
  isOver (now: number): boolean { return this.lines().length === 0 || now >= this.#heardMs + NOBODY_MS }

  deadline (): number {
    const { againMs = Infinity, untilMs = Infinity } = this.#said ?? {}
    return Math.min(this.#renewMs, this.#confirmMs, this.#heardMs + NOBODY_MS, againMs, untilMs, ...this.#dueMs.values())
  }

  /** Stands in every line, anew or again. */
  reserve (now: number): ClaimEffect[] {
    this.#renewMs = now + RENEW_MS
    this.#confirmAfterMs = CONFIRM_MS
    this.#confirmMs = now + CONFIRM_MS
    this.#confirmed.clear()
    return this.lines().map(device => this.#reserveAt(device, now))
  }

  reserved (from: DeviceId, now: number): void {
    this.#confirmed.add(from)
    this.#heardMs = now
  }

  /**
   * One that was told yes may have given a slot that this build never heard of. What it bound once it gives no more: it is asked under a new
   * fence.
   */
  no (from: DeviceId, reason: string, now: number): ClaimEffect[] {
    if (this.#agreed.delete(from)) {
      this.#fences.set(from, this.#init.nextFence())
      return [this.#reserveAt(from, now), ...this.gone(from, now)]
    }
    this.#confirmed.delete(from)
    this.refused.set(from, reason)
    this.#noes.set(from, (this.#noes.get(from) ?? 0) + 1)
    return []
  }

  /**
   * One builder at a time is told yes. The others keep the reservation, and hear of it again when the first gives no
   * slot.
   */
  bind (from: DeviceId, now: number): ClaimEffect[] {
    this.reserved(from, now)
    if (this.#said !== undefined && this.#said.to !== from) {
      if (!this.#init.rules.firstOnly) return [this.#send(from, 'heard'), this.#send(from, 'yes')]
      this.#later.add(from)
      return [this.#send(from, 'later')]
    }
    this.#said ??= { to: from, times: 0, againMs: now, untilMs: now + Math.max(LEASE.bindMs, 4 * this.#rttMs(from)) }
    return [this.#send(from, 'heard'), this.#yes(this.#said, now)]
  }

  /** The slot went to somebody else: the reservation is still there. */
  gone (from: DeviceId, now: number): ClaimEffect[] {
    if (this.#said?.to !== from) return []
    this.#said = undefined
    const others = [...this.#later]
    this.#later.clear()
    return others.filter(device => this.lines().includes(device)).map(device => this.#reserveAt(device, now))
  }

  /**
   * It has a slot now. It may have lost the reservation, or said no while it was starting: renewed, it asks at once.
   */
  free (device: DeviceId, now: number): ClaimEffect[] {
    if (!this.#init.rules.askFree) return []
    if (this.#said !== undefined) {
      this.#later.add(device)
      return []
    }
    const againMs = FREE_AGAIN_MS * 4 ** Math.max(0, (this.#noes.get(device) ?? 0) - 1)
    const dueMs = (this.#reservedMs.get(device) ?? -Infinity) + againMs
    if (now < dueMs) {
      // Its answer may be on its way and older: a no of while it had none.
      this.#dueMs.set(device, dueMs)
      return []
    }
    this.refused.delete(device)
    return this.lines().includes(device) ? [this.#reserveAt(device, now)] : this.#look(now)
  }

  retarget (order: Target[], now: number): ClaimEffect[] {
    const known = new Set(this.#order.map(({ device }) => device))
    const room = Math.max(0, LINES - known.size)
    const fresh = order.filter(({ device }) => !known.has(device) && !this.refused.has(device)).slice(0, room)
    this.#order = [...this.#order, ...fresh]
    this.#confirmMs = Math.min(this.#confirmMs, now + this.#confirmAfterMs)
    return fresh.map(({ device }) => this.#reserveAt(device, now))
  }

  tick (now: number): ClaimEffect[] {
    const said = [...this.#answering(now), ...this.#freeAgain(now)]
    if (now >= this.#renewMs) return [...said, { type: 'look' }, ...this.reserve(now)]
    return now >= this.#confirmMs ? [...said, ...this.#reserveMissing(now)] : said
  }

  #freeAgain (now: number): ClaimEffect[] {
    const due = [...this.#dueMs].filter(([, at]) => now >= at).map(([device]) => device)
    for (const device of due) this.#dueMs.delete(device)
    return due.filter(device => !this.#confirmed.has(device)).flatMap(device => this.free(device, now))
  }

  /** Leaves every line but that of the builder that gave a slot: a free slot is never offered to who is served. */
  leave (won?: DeviceId): ClaimEffect[] {
    return this.lines().filter(device => device !== won).map(device => this.#send(device, 'release'))
  }

  #answering (now: number): ClaimEffect[] {
    const said = this.#said
    if (said === undefined) return []
    if (now >= said.untilMs) return [...this.gone(said.to, now), this.#reserveAt(said.to, now)]
    return now >= said.againMs ? [this.#yes(said, now)] : []
  }

  #yes (said: Said, now: number): ClaimEffect {
    const waitMs = (this.#rttMs(said.to) + LEASE.offerAgainMs) * 2 ** said.times++
    said.againMs = this.#init.rules.sayAgain ? now + waitMs : Infinity
    this.#agreed.add(said.to)
    return this.#send(said.to, 'yes')
  }

  #reserveMissing (now: number): ClaimEffect[] {
    const missing = this.lines().filter(device => !this.#confirmed.has(device))
    this.#confirmAfterMs *= 2
    this.#confirmMs = missing.length === 0 ? Infinity : now + this.#confirmAfterMs
    return missing.map(device => this.#reserveAt(device, now))
  }

  #look (now: number): ClaimEffect[] {
    if (now < this.#lookedMs + LOOK_AGAIN_MS) return []
    this.#lookedMs = now
    return [{ type: 'look' }]
  }

  #rttMs (device: DeviceId): number {
    return this.#order.find(target => target.device === device)?.rttMs ?? UNKNOWN_RTT_MS
  }

  #reserveAt (device: DeviceId, now: number): ClaimEffect {
    const { build, needs, lagMs } = this.#init
    this.#reservedMs.set(device, now)
    return { type: 'send', to: device, word: { type: 'reserve', build, fence: this.fenceAt(device), needs, lagMs: lagMs() } }
  }

  #send (to: DeviceId, type: 'heard' | 'later' | 'yes' | 'release'): ClaimEffect {
    return { type: 'send', to, word: { type, build: this.#init.build, fence: this.fenceAt(to) } }
  }
}

/** What is said to a word that nobody waits for. */
export function stray (from: DeviceId, word: ClaimWord): ClaimEffect[] {
  const answer = strayAnswer(word)
  return answer === undefined ? [] : [{ type: 'send', to: from, word: answer }]
}
