/**
 * Who waits for a slot of a builder, oldest first, and who is asked whether it still wants one. A question that is not
 * answered within a round trip and a moment is put to the next in line as well, so a slot stands free no longer than
 * that beside a build that waits. Who does not answer at all keeps its reservation and loses its place. Bounded in all
 * and per requester.
 */
import type { BuildId, DeviceId } from '../ids.ts'
import type { LineRules } from '../rules.ts'
import { LEASE } from './lease.ts'

/** "A slot is free: do you still want it?", on its way to the requester, or the answer on its way back. */
interface Question {
  /** How often it was put. */
  asks: number
  /** From then on the slot is offered to somebody else too. */
  freshUntilMs: number
  /** An answer after this time is late: the reservation has gone to the end of the line. */
  untilMs: number
  /** No newcomer may claim the slot meanwhile. */
  holds: boolean
}

export interface Reservation {
  build: BuildId
  requester: DeviceId
  fence: number
  expiresAtMs: number
  /** How late the requester's own event loop may be, milliseconds. */
  lagMs: number
  question: Question | undefined
  /** It did not answer the last time. */
  missed: boolean
  /** Not asked before. */
  restsUntilMs: number
}

export interface LineInit {
  /** Round trip to a requester, milliseconds; undefined when never measured. */
  rttMs: (requester: DeviceId) => number | undefined
  rules: LineRules
}

const RESERVATIONS_MAX = 1024
const RESERVATIONS_PER_REQUESTER_MAX = 64
const UNKNOWN_RTT_MS = 250
type Fresh = Pick<Reservation, 'question' | 'missed' | 'restsUntilMs'>
const FRESH: Fresh = { question: undefined, missed: false, restsUntilMs: -Infinity }

export class WaitingLine {
  readonly #init: LineInit
  #waiting: Reservation[] = []

  constructor (init: LineInit) { this.#init = init }

  get length (): number { return this.#waiting.length }

  find (requester: DeviceId, build: BuildId): Reservation | undefined {
    return this.#waiting.find(r => r.build === build && r.requester === requester)
  }

  /**
   * Adds, or renews in place: a renewal loses no turn, and a fence never falls. Who renews can hear, and may be asked
   * at once.
   * @returns its place from 0; undefined when there is no room
   */
  put (requester: DeviceId, build: BuildId, fence: number, lagMs: number, now: number): number | undefined {
    const expiresAtMs = now + LEASE.reservationMs
    const known = this.find(requester, build)
    if (known !== undefined) {
      Object.assign(known, { ...FRESH, fence: Math.max(known.fence, fence), lagMs, expiresAtMs })
      return this.#waiting.indexOf(known)
    }
    const own = this.#waiting.filter(r => r.requester === requester).length
    if (this.#waiting.length >= RESERVATIONS_MAX || own >= RESERVATIONS_PER_REQUESTER_MAX) return undefined
    return this.#waiting.push({ ...FRESH, build, requester, fence, lagMs, expiresAtMs }) - 1
  }

  /** With a fence: only when the reservation is not of a later claim. */
  drop (requester: DeviceId, build: BuildId, fence: number = Infinity): void {
    this.#waiting = this.#waiting.filter(r => r.build !== build || r.requester !== requester || r.fence > fence)
  }

  /** It has answered, and gets no slot now: it keeps its place. */
  answered (reservation: Reservation): void { reservation.question = undefined }

  /** It wants no slot at the moment: it keeps its place, and the others are asked. */
  later (reservation: Reservation, now: number): void {
    reservation.question = undefined
    reservation.restsUntilMs = now + this.#bindMs(reservation)
  }

  /** The question did not arrive, or nobody answered it. */
  missed (reservation: Reservation, now: number): void {
    const restsUntilMs = reservation.question?.untilMs ?? now + this.#bindMs(reservation)
    if (!this.#init.rules.keepReservation) return this.drop(reservation.requester, reservation.build)
    Object.assign(reservation, { question: undefined, missed: true, restsUntilMs })
    this.#waiting = [...this.#waiting.filter(other => other !== reservation), reservation]
  }

  expire (now: number): void {
    this.#waiting = this.#waiting.filter(r => r.expiresAtMs > now)
    const silent = this.#waiting.filter(({ question }) => question !== undefined && question.untilMs <= now)
    for (const reservation of silent) this.missed(reservation, now)
  }

  /** Slots that no newcomer may claim while their question is open. */
  held (): number { return this.#waiting.filter(({ question }) => question?.holds === true).length }

  /** Whom to ask about `slots` free slots. `may`: false for who has one already. */
  ask (slots: number, may: (reservation: Reservation) => boolean, now: number): Reservation[] {
    const offered = this.#waiting.filter(({ question }) => question !== undefined && now < question.freshUntilMs).length
    // Who missed the last question is asked once, not again and again.
    const askable = this.#waiting.filter(reservation => {
      const { question, missed, restsUntilMs } = reservation
      const due = question === undefined || (!missed && now >= question.freshUntilMs)
      return now >= restsUntilMs && due && may(reservation)
    })
    const asks = ({ question }: Reservation): number => question?.asks ?? 0
    const next = askable.sort((a, b) => asks(a) - asks(b)).slice(0, Math.max(0, slots - offered))
    for (const reservation of next) this.#put(reservation, now)
    return next
  }

  #put (reservation: Reservation, now: number): void {
    const { rules, rttMs } = this.#init
    const { question, missed, requester } = reservation
    const asks = (question?.asks ?? 0) + 1
    const untilMs = question?.untilMs ?? (rules.bindTimeout ? now + this.#bindMs(reservation) : Infinity)
    const fresh = ((rttMs(requester) ?? UNKNOWN_RTT_MS) + LEASE.offerAgainMs) * 2 ** (asks - 1)
    const freshUntilMs = rules.offerAgain ? Math.min(untilMs, now + fresh) : untilMs
    reservation.question = { asks, untilMs, freshUntilMs, holds: !missed }
  }

  /** How long a requester may take to answer, given the round trip to it and how late it says that it may be. */
  #bindMs ({ requester, lagMs }: Reservation): number {
    return Math.min(LEASE.bindMsMax, Math.max(LEASE.bindMs, 4 * (this.#init.rttMs(requester) ?? UNKNOWN_RTT_MS), lagMs))
  }

  /** When something is due by itself, after `now`; Infinity when nothing is. `asking`: there is a slot to ask about. */
  nextMs (now: number, asking: boolean): number {
    const times = this.#waiting.flatMap(({ expiresAtMs, question, restsUntilMs }) => {
      const own = [expiresAtMs, question?.untilMs ?? Infinity]
      return asking ? [...own, question?.freshUntilMs ?? Infinity, restsUntilMs] : own
    })
    return Math.min(Infinity, ...times.filter(at => at > now))
  }
}
