/**
 * Who is alive? SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar, Phillips, Currey 2018): pure, `handle(input, now) -> effects`.
 *
 * A device that does not answer is probed by three others for us; if nobody reaches it, it is suspect; who does not refute a
 * suspicion in time is dead. Two things differ from the papers, since the members here are the devices we hold a connection to:
 *
 * - "Dead" is no rumour. Only suspicions travel, and each device lets the time run itself, so nobody can bury another by a word.
 * - A device that others reach and we do not is alive, and yet our connection is of no use: after 8 s without a straight word
 *   the `path` is lost. It is cut and dialled again, and nobody is told.
 */
import type { DeviceId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { DETECTOR_RULES, rulesOf, type DetectorRules } from '../rules.ts'
import { Attention } from './attention.ts'
import { directMs, heardFrom, newMember, probeIsDue, type Member } from './member.ts'
import type { LivenessWord, Rumour } from './messages.ts'
import { Relays } from './relays.ts'
import { Rumours } from './rumours.ts'
import { suspicionMs } from './suspicion.ts'

export type DetectorInput =
  | { type: 'tick' }
  | { type: 'joined' | 'left', device: DeviceId }
  /** A probe of theirs; answered by the effect `answer`. */
  | { type: 'probed', from: DeviceId, word: LivenessWord }
  /** They ask us to probe another; answered by the effect `relay` with the same `id`. */
  | { type: 'asked', from: DeviceId, id: number, target: DeviceId, word: LivenessWord }
  | { type: 'answered', from: DeviceId, rttMs: number, word: LivenessWord }
  | { type: 'relayed', from: DeviceId, target: DeviceId, reached: boolean, word: LivenessWord }

export type DetectorEffect =
  | { type: 'probe', to: DeviceId, word: LivenessWord }
  | { type: 'answer', to: DeviceId, word: LivenessWord }
  | { type: 'ask', to: DeviceId, target: DeviceId, word: LivenessWord }
  | { type: 'relay', to: DeviceId, id: number, reached: boolean, word: LivenessWord }
  | { type: 'suspect' | 'cleared', device: DeviceId }
  | { type: 'lost', device: DeviceId, why: 'dead' | 'path', silentMs: number }

export interface DetectorInit {
  self: DeviceId
  /** Of this life: higher than in any life before. Milliseconds since 1970 at start. */
  incarnation: number
  /** Uniform in [0, 1). */
  random: () => number
}

const HELPERS = 3
const INDIRECT_MS = 500
const CONFIRM_MS = 1_000
const PATH_MS = 8_000
/** Straight probes per tick: up to 16 members are asked every second, more in turn. */
const PROBES_PER_TICK = 4
/** A rumour goes this far above a device's own word at most: what is beyond it could not refute, so that a liar could bury it. */
const LEAP_MAX = 1_000_000

export class Detector {
  readonly #init: DetectorInit
  readonly #rules: DetectorRules
  readonly #members = new Map<DeviceId, Member>()
  readonly #rumours = new Rumours()
  readonly #relays = new Relays()
  readonly #attention: Attention
  #incarnation: number
  /** A shuffled round: everybody is asked once in it. */
  #round: DeviceId[] = []

  constructor (init: DetectorInit) {
    this.#init = init
    this.#rules = rulesOf(init, DETECTOR_RULES)
    this.#attention = new Attention(this.#rules.health)
    this.#incarnation = init.incarnation
  }

  get incarnation (): number { return this.#incarnation }

  /** Undefined: no member. */
  state (device: DeviceId): 'alive' | 'suspect' | undefined {
    const member = this.#members.get(device)
    return member === undefined ? undefined : member.suspicion === undefined ? 'alive' : 'suspect'
  }

  /** The latest incarnation of a member that this device knows. */
  incarnationOf (device: DeviceId): number | undefined { return this.#members.get(device)?.incarnation }

  /** `now`: monotonic milliseconds. A tick is expected every {@link TICK_MS}. */
  handle (input: DetectorInput, now: number): DetectorEffect[] {
    if (input.type === 'tick') this.#attention.tick(now)
    const nowMs = this.#attention.at(now)
    switch (input.type) {
      case 'tick': return this.#tick(nowMs)
      case 'joined': return this.#joined(input.device, nowMs)
      case 'left': return this.#left(input.device)
      default: return this.#spoken(input, nowMs)
    }
  }

  #spoken (input: Extract<DetectorInput, { from: DeviceId }>, nowMs: number): DetectorEffect[] {
    const effects = [...this.#heard(input.from, input.word.incarnation, nowMs), ...input.word.rumours.flatMap(rumour => this.#rumour(rumour, nowMs))]
    switch (input.type) {
      case 'probed': effects.push(...this.#probed(input.from, nowMs)); break
      case 'asked': effects.push(...this.#asked(input, nowMs)); break
      case 'answered': effects.push(...this.#answered(input.from, input.rttMs, nowMs)); break
      case 'relayed': this.#relayed(input.target, input.reached)
    }
    return effects
  }

  #joined (device: DeviceId, nowMs: number): DetectorEffect[] {
    const member = newMember(nowMs)
    this.#members.set(device, member)
    return [this.#probe(device, member, nowMs)]
  }

  #left (device: DeviceId): DetectorEffect[] {
    this.#members.delete(device)
    return this.#relays.over(device, false).map(relay => this.#relay(relay))
  }

  // --- words of others

  /** Anything straight from a member. */
  #heard (from: DeviceId, incarnation: number, nowMs: number): DetectorEffect[] {
    const member = this.#members.get(from)
    if (member === undefined) return []
    if (member.probe !== undefined) this.#attention.better()
    heardFrom(member, nowMs)
    member.ownIncarnation = Math.max(member.ownIncarnation, incarnation)
    return this.#alive(from, member, incarnation)
  }

  #rumour (rumour: Rumour, nowMs: number): DetectorEffect[] {
    const { device, incarnation, by } = rumour
    if (device === this.#init.self) return by === undefined ? [] : this.#accused(incarnation)
    const member = this.#members.get(device)
    if (member === undefined || by === this.#init.self || by === device || incarnation > member.ownIncarnation + LEAP_MAX) return []
    return by === undefined ? this.#alive(device, member, incarnation) : this.#suspect(device, member, { ...rumour, by }, nowMs)
  }

  /** Others miss us: we say that we are here, and wonder whether it is us who is slow. */
  #accused (incarnation: number): DetectorEffect[] {
    if (!this.#rules.refute || incarnation < this.#incarnation || incarnation > this.#incarnation + LEAP_MAX) return []
    this.#incarnation = Math.min(LIMITS.incarnationMax, incarnation + 1)
    this.#rumours.add({ device: this.#init.self, incarnation: this.#incarnation, by: undefined })
    this.#attention.worse()
    return []
  }

  #alive (device: DeviceId, member: Member, incarnation: number): DetectorEffect[] {
    if (this.#rules.compare && incarnation <= member.incarnation) return []
    member.incarnation = incarnation
    if (member.suspicion === undefined) return []
    member.suspicion = undefined
    this.#rumours.add({ device, incarnation, by: undefined })
    return [{ type: 'cleared', device }]
  }

  /** A suspicion of an incarnation that was refuted already is old news. */
  #suspect (device: DeviceId, member: Member, rumour: Rumour & { by: DeviceId }, nowMs: number): DetectorEffect[] {
    const { incarnation, by } = rumour
    if (this.#rules.compare && incarnation < member.incarnation) return []
    member.incarnation = incarnation
    const known = member.suspicion
    if (known !== undefined && known.incarnation === incarnation && known.accusers.has(by)) return []
    this.#rumours.add(rumour)
    if (known !== undefined) {
      // A suspicion of a later incarnation: what was said of the one before is void, the silence is not.
      if (known.incarnation !== incarnation) known.accusers.clear()
      known.incarnation = incarnation
      if (known.accusers.size < LIMITS.rumoursMax) known.accusers.add(by)
      return []
    }
    member.suspicion = { incarnation, sinceMs: nowMs, accusers: new Set([by]) }
    return [{ type: 'suspect', device }, this.#probe(device, member, nowMs)]
  }

  #probed (from: DeviceId, nowMs: number): DetectorEffect[] {
    const member = this.#members.get(from)
    if (member !== undefined) member.probedUsMs = nowMs
    return [{ type: 'answer', to: from, word: this.#word(from) }]
  }

  #answered (from: DeviceId, rttMs: number, nowMs: number): DetectorEffect[] {
    const member = this.#members.get(from)
    if (member === undefined) return []
    member.answeredMs = nowMs
    member.answers++
    member.rttMs += (rttMs - member.rttMs) / Math.min(member.answers, 5)
    return this.#relays.over(from, true).map(relay => this.#relay(relay))
  }

  // --- probing

  #tick (nowMs: number): DetectorEffect[] {
    const effects: DetectorEffect[] = this.#relays.expired(nowMs).map(relay => this.#relay(relay))
    for (const [device, member] of this.#members) effects.push(...this.#overdue(device, member, nowMs))
    return [...effects, ...this.#probes(nowMs)]
  }

  #overdue (device: DeviceId, member: Member, nowMs: number): DetectorEffect[] {
    const { suspicion, probe, unansweredSinceMs } = member
    if (unansweredSinceMs !== undefined && nowMs - unansweredSinceMs >= PATH_MS) return this.#lost(device, member, 'path', nowMs)
    if (suspicion !== undefined && nowMs - suspicion.sinceMs >= suspicionMs(suspicion.accusers.size, this.#members.size + 1) * this.#attention.factor) {
      return this.#lost(device, member, 'dead', nowMs)
    }
    // Others suspect it: once we miss it ourselves, we say so too.
    if (suspicion !== undefined && nowMs - (unansweredSinceMs ?? nowMs) >= CONFIRM_MS && !suspicion.accusers.has(this.#init.self)) return this.#missed(device, member, nowMs)
    if (probe === undefined || nowMs < probe.untilMs) return []
    if (probe.isStraight) return this.#askHelpers(device, member, nowMs)
    // Helpers that answer neither yes nor no say something of our own network.
    if (!probe.isHelped) this.#attention.worse()
    return this.#missed(device, member, nowMs)
  }

  #askHelpers (device: DeviceId, member: Member, nowMs: number): DetectorEffect[] {
    const helpers = this.#rules.indirect ? this.#helpers(device) : []
    if (helpers.length === 0) return this.#missed(device, member, nowMs)
    member.probe = { untilMs: nowMs + INDIRECT_MS * this.#attention.factor, isStraight: false, isHelped: false }
    return helpers.map(to => ({ type: 'ask', to, target: device, word: this.#word(to, device) }))
  }

  #missed (device: DeviceId, member: Member, nowMs: number): DetectorEffect[] {
    member.probe = undefined
    if (!this.#rules.suspicion) return this.#lost(device, member, 'dead', nowMs)
    return this.#suspect(device, member, { device, incarnation: member.incarnation, by: this.#init.self }, nowMs)
  }

  #lost (device: DeviceId, member: Member, why: 'dead' | 'path', nowMs: number): DetectorEffect[] {
    return [...this.#left(device), { type: 'lost', device, why, silentMs: nowMs - member.heardMs }]
  }

  #relayed (target: DeviceId, reached: boolean): void {
    const member = this.#members.get(target)
    if (member?.probe?.isStraight !== false) return
    member.probe.isHelped = true
    if (reached) member.probe = undefined
  }

  /** Suspects at once; the others in turn, a bounded number at a time. */
  #probes (nowMs: number): DetectorEffect[] {
    const effects: DetectorEffect[] = []
    for (const [device, member] of this.#members) {
      if (member.suspicion === undefined || !probeIsDue(member, nowMs)) continue
      effects.push(this.#probe(device, member, nowMs))
      if (this.#rules.indirect) effects.push(...this.#helpers(device).map(to => ({ type: 'ask', to, target: device, word: this.#word(to, device) } as const)))
    }
    let straight = 0
    for (let looked = this.#members.size; looked > 0 && straight < PROBES_PER_TICK; looked--) {
      const device = this.#next()
      const member = device === undefined ? undefined : this.#members.get(device)
      if (device === undefined || member === undefined || member.suspicion !== undefined || !probeIsDue(member, nowMs)) continue
      effects.push(this.#probe(device, member, nowMs))
      straight++
    }
    return effects
  }

  #probe (device: DeviceId, member: Member, nowMs: number): DetectorEffect {
    member.probedMs = nowMs
    member.unansweredSinceMs ??= nowMs
    if (member.suspicion === undefined) member.probe = { untilMs: nowMs + directMs(member) * this.#attention.factor, isStraight: true, isHelped: false }
    return { type: 'probe', to: device, word: this.#word(device) }
  }

  #next (): DeviceId | undefined {
    if (this.#round.length === 0) this.#round = this.#shuffled([...this.#members.keys()])
    return this.#round.pop()
  }

  #helpers (device: DeviceId): DeviceId[] {
    const others = [...this.#members].filter(([other, { suspicion }]) => other !== device && suspicion === undefined).map(([other]) => other)
    return this.#shuffled(others).slice(0, HELPERS)
  }

  #shuffled (devices: DeviceId[]): DeviceId[] {
    for (let i = devices.length - 1; i > 0; i--) {
      const j = Math.floor(this.#init.random() * (i + 1))
      ;[devices[i], devices[j]] = [devices[j] as DeviceId, devices[i] as DeviceId]
    }
    return devices
  }

  // --- helping others

  #asked ({ from, id, target }: { from: DeviceId, id: number, target: DeviceId }, nowMs: number): DetectorEffect[] {
    const member = this.#members.get(target)
    const relay = { to: from, id, target, untilMs: nowMs + helpMs(member?.rttMs ?? 0) }
    if (member === undefined || !this.#relays.add(relay)) return [this.#relay({ ...relay, reached: false })]
    return [{ type: 'probe', to: target, word: this.#word(target) }]
  }

  #relay ({ to, id, target, reached }: { to: DeviceId, id: number, target: DeviceId, reached: boolean }): DetectorEffect {
    return { type: 'relay', to, id, reached, word: this.#word(to, reached ? target : undefined) }
  }

  /** What `to` hears from us. Who is suspect itself hears of it first; who asked about a device hears what we know of that one. */
  #word (to: DeviceId, about?: DeviceId): LivenessWord {
    const first = [...this.state(to) === 'suspect' ? this.#newsOf(to) : [], ...about === undefined ? [] : this.#newsOf(about)]
    return { incarnation: this.#incarnation, rumours: this.#rumours.take(to, first, this.#members.size) }
  }

  #newsOf (device: DeviceId): Rumour[] {
    const member = this.#members.get(device)
    if (member === undefined) return []
    const { suspicion, incarnation } = member
    if (suspicion === undefined) return [{ device, incarnation, by: undefined }]
    const [by = this.#init.self] = suspicion.accusers
    return [{ device, incarnation: suspicion.incarnation, by }]
  }
}

/** An honest no shall arrive while the asker still waits. */
function helpMs (rttMs: number): number { return Math.min(INDIRECT_MS, Math.max(INDIRECT_MS / 2, 2 * rttMs)) }
