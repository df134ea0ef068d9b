/**
 * One build as its requester sees it: attempts, fences, moves. Drawn in docs/ARCHITECTURE.md, "Builds: state machines".
 */
import type { ClaimEffect, Target, Won } from '../election/claim-effects.ts'
import { ClaimMachine } from '../election/claim.ts'
import { LEASE } from '../election/lease.ts'
import type { DeviceId } from '../ids.ts'
import { BUILD_RULES, rulesOf, withRules, type BuildRules } from '../rules.ts'
import type { Attempt, BuildEffect, BuildInit, BuildInput, BuildState, Failure } from './inputs-effects.ts'
import { LeaseWatch, type HeldLease, type WatchVerdict } from './lease-watch.ts'

/** While nobody can be asked: look again this often, and after news not before this. */
const LOOK_MS = 5_000
const LOOK_MS_MIN = 500
/** A builder whose leases are gone this often before the build began gives none, whatever it says. */
const GONE_MAX = 8
const TERMINAL: ReadonlySet<BuildState> = new Set(['done', 'failed', 'cancelled'])
/** A builder that fails so lacks what the build needs: no fault of its own, and asked again it says the same. */
export const UNABLE_CODES: ReadonlySet<string> = new Set(['ENGINE_UNAVAILABLE', 'IMAGE_INVALID', 'IMAGE_MISSING', 'IMAGE_UNAVAILABLE', 'IMAGE_UNSUPPORTED', 'SEALED_UNSUPPORTED', 'SOURCE_UNSUPPORTED'])
/** What every builder would answer: it is about the source or the outputs, and the command may have run already. */
const FINAL_CODES: ReadonlySet<string> = new Set(['CWD_INVALID', 'OUTPUT_INVALID', 'SOURCE_INVALID'])
/** The way to the builder, or this device itself, may be the reason: three of them say nothing about the build. */
const BLAMELESS: ReadonlySet<string> = new Set(['BUILDER_LOST', 'LEASE_GONE'])

export class BuildMachine {
  readonly attempts: Attempt[] = []
  readonly #init: BuildInit
  readonly #rules: BuildRules
  #state: BuildState = 'queued'
  #claim: ClaimMachine | undefined
  #current: LeaseWatch | undefined
  #fence = 0
  #attempt = 0
  #failures: Array<{ device: DeviceId, code: string }> = []
  #localTried = false
  #endsAtMs = Infinity
  /** How long it waits while nobody can be asked, and until when. */
  #wait = { forMs: 0, untilMs: -Infinity }
  /** Set while nobody can be asked. */
  #awaiting: { sinceMs: number, lookAtMs: number } | undefined

  /** Who would only say the same again, and what. */
  readonly #unable = new Map<DeviceId, Failure>()
  /** How often a lease of theirs was gone before the build began. */
  readonly #gone = new Map<DeviceId, number>()

  constructor (init: BuildInit) {
    this.#init = init
    this.#rules = rulesOf(init, BUILD_RULES)
  }

  get state (): BuildState { return this.#state }
  get attempt (): number { return this.#attempt }
  /** Whose result would count now. */
  get current (): HeldLease | undefined { return this.#current }
  /** Do frames of this builder's lease count now? */
  holds (device: DeviceId, lease: string): boolean {
    return this.#current?.lease === lease && (this.#current.device === device || !this.#rules.ownBuilder)
  }

  get ended (): boolean { return TERMINAL.has(this.#state) }

  deadline (): number | undefined {
    if (this.ended) return undefined
    const next = Math.min(this.#endsAtMs, this.#awaiting?.lookAtMs ?? Infinity, this.#claim?.deadline() ?? Infinity, this.#current?.deadline() ?? Infinity)
    return Number.isFinite(next) ? next : undefined
  }

  handle (input: BuildInput, now: number): BuildEffect[] {
    if (input.type === 'result') return this.#result(input)
    if (this.ended) return this.#late(input, now)
    if (now >= this.#endsAtMs) return this.#end('failed', { code: 'DEADLINE', message: 'the build did not end before its deadline', fix: 'Raise --deadline.' }, now)
    switch (input.type) {
      case 'start': return this.#start(now)
      case 'ranked': return this.#ranked(input.order, now)
      case 'word': case 'unreachable': return this.#claimed(this.#claim?.handle(input, now) ?? [], now)
      case 'cancel': return this.#end('cancelled', { code: 'CANCELLED', message: 'the build was cancelled', fix: '' }, now)
      case 'tick': return this.#tick(now)
      case 'news': return this.#news(now)
      case 'free': return this.#claimed(this.#claim?.handle(input, now) ?? [], now)
      default: return this.#current !== undefined && this.holds(input.from, input.lease) ? this.#onLease(this.#current, input, now) : []
    }
  }

  #start (now: number): BuildEffect[] {
    this.#endsAtMs = now + (this.#init.deadlineMs ?? Infinity)
    this.#waitAtLeast(this.#init.waitMs ?? 0, now)
    return this.#elect(false)
  }

  #elect (localOnly: boolean): BuildEffect[] {
    this.#state = 'electing'
    this.#awaiting = undefined
    this.#claim = undefined
    this.#localTried ||= localOnly
    return [{ type: 'elect', attempt: this.#attempt + 1, avoid: this.#avoided(), localOnly }]
  }

  #ranked (order: Target[], now: number): BuildEffect[] {
    if (this.#state === 'queued') return this.#claimed(this.#claim?.handle({ type: 'retarget', order: this.#askable(order) }, now) ?? [], now)
    if (this.#state !== 'electing' || this.#claim !== undefined) return []
    const avoid = new Set(this.#avoided())
    const open = this.#askable(order)
    const sorted = [...open.filter(t => !avoid.has(t.device)), ...open.filter(t => avoid.has(t.device))]
    const { build, needs, lagMs = () => 0 } = this.#init
    const init = { build, needs, order: sorted, nextFence: () => ++this.#fence, lagMs }
    this.#claim = new ClaimMachine(withRules(init, this.#rules))
    return this.#claimed(this.#claim.handle({ type: 'start' }, now), now)
  }

  #avoided (): DeviceId[] { return [...this.#failures.map(f => f.device), ...this.#gone.keys()] }

  #askable (order: Target[]): Target[] { return order.filter(({ device }) => !this.#unable.has(device)) }

  #claimed (effects: ClaimEffect[], now: number): BuildEffect[] {
    return effects.flatMap((effect): BuildEffect[] => {
      if (effect.type === 'waiting') {
        this.#state = 'queued'
        return []
      }
      if (effect.type === 'won') return this.#won(effect.won, now)
      return effect.type === 'lost' ? this.#lost(effect.refused, now) : [effect]
    })
  }

  #won ({ to, lease, fence }: Won, now: number): BuildEffect[] {
    this.#attempt++
    this.#state = 'sending'
    this.attempts.push({ attempt: this.#attempt, device: to, outcome: 'running' })
    this.#current = new LeaseWatch({ device: to, lease, fence }, { untilOver: this.#init.exclusive === true && this.#rules.exclusiveWait, silence: this.#rules.silence }, now)
    return [this.#open(this.#current, false)]
  }

  #open ({ device: to, lease, fence }: HeldLease, again: boolean): BuildEffect {
    return { type: 'open', to, lease, fence, attempt: this.#attempt, again }
  }

  #lost (refused: Array<{ device: DeviceId, reason: string }>, now: number): BuildEffect[] {
    if (this.#init.localFallback === true && !this.#localTried) return this.#elect(true)
    if (now < this.#wait.untilMs) return this.#await(refused, now)
    const [unable] = [...this.#unable.values()].slice(-1)
    if (unable !== undefined) return this.#end('failed', unable, now, refused)
    const after = this.#failures.length > 0 ? ` after ${this.#failures.length} failed attempts` : ''
    return this.#end('failed', { code: 'NO_CANDIDATE', message: `no builder took the build${after}`, fix: 'See `elder-node status`; a device offers build slots with: elder-node join --engine process --slots 1' }, now, refused)
  }

  #await (refused: Array<{ device: DeviceId, reason: string }>, now: number): BuildEffect[] {
    this.#state = 'queued'
    this.#claim = undefined
    this.#awaiting = { sinceMs: now, lookAtMs: Math.min(now + LOOK_MS, this.#wait.untilMs) }
    return [{ type: 'await', refused, waitMs: this.#wait.forMs }]
  }

  #waitAtLeast (forMs: number, now: number): void {
    if (now + forMs > this.#wait.untilMs) this.#wait = { forMs, untilMs: now + forMs }
  }

  /** Adverts come in bursts: one look is enough for those of half a second. */
  #news (now: number): BuildEffect[] {
    const awaiting = this.#awaiting
    if (awaiting === undefined) return []
    awaiting.lookAtMs = Math.min(awaiting.lookAtMs, Math.max(now, awaiting.sinceMs + LOOK_MS_MIN))
    return now >= awaiting.lookAtMs ? this.#elect(false) : []
  }

  #onLease (current: LeaseWatch, input: Extract<BuildInput, { from: DeviceId, lease: string }>, now: number): BuildEffect[] {
    if (input.type === 'reset') return this.#judged(current, current.broken(input.reason, now), now)
    if (input.type === 'failed' && input.code === 'LEASE_GONE' && !current.begun && this.#rules.waitAgain) return this.#again(current, input)
    current.heard(now)
    if (input.type === 'phase') this.#state = input.phase
    if (input.type === 'failed') return this.#failed(current, input, now)
    if (input.type !== 'stamp') return []
    current.echoed(now)
    return [{ type: 'echo', to: current.device, lease: current.lease, stamp: input.stamp }]
  }

  #judged (current: LeaseWatch, verdict: WatchVerdict, now: number): BuildEffect[] {
    if (verdict?.type === 'lost') return this.#move(current, 'BUILDER_LOST', verdict.why, now)
    return verdict?.type === 'reattach' ? [this.#open(current, true)] : []
  }

  #tick (now: number): BuildEffect[] {
    if (this.#awaiting !== undefined) return now >= this.#awaiting.lookAtMs ? this.#elect(false) : []
    const current = this.#current
    if (current === undefined) return this.#claimed(this.#claim?.handle({ type: 'tick' }, now) ?? [], now)
    return this.#judged(current, current.tick(now), now)
  }

  /** The slot went elsewhere, or its builder began anew, before this build was there. */
  #again (current: HeldLease, { code, message, fix }: Failure): BuildEffect[] {
    const { device } = current
    const times = (this.#gone.get(device) ?? 0) + 1
    this.#gone.set(device, times)
    if (times >= GONE_MAX) this.#unable.set(device, { code, message, fix })
    this.attempts.pop()
    this.#attempt--
    return [...this.#abandon(current, message), { type: 'again', from: device, why: message }, ...this.#elect(false)]
  }

  #failed (current: HeldLease, { code, message, fix }: Failure, now: number): BuildEffect[] {
    if (FINAL_CODES.has(code)) return this.#end('failed', { code, message, fix }, now)
    if (UNABLE_CODES.has(code)) this.#unable.set(current.device, { code, message, fix })
    return this.#move(current, code, message, now)
  }

  #move (current: HeldLease, code: string, why: string, now: number): BuildEffect[] {
    this.#outcome(`${code}: ${why}`)
    this.#failures.push({ device: current.device, code })
    const effects: BuildEffect[] = [...this.#abandon(current, why), { type: 'moved', from: current.device, attempt: this.#attempt, why, code }]
    const same = new Set(this.#failures.filter(f => f.code === code && !BLAMELESS.has(code) && !UNABLE_CODES.has(code)).map(f => f.device))
    // It may only be away: another Wi-Fi, a cable. As long as its lease may hold, a build that nobody else takes waits for it.
    if (code === 'BUILDER_LOST' && this.#rules.comeBack) this.#waitAtLeast(LEASE.ttlMs, now)
    if (same.size >= 3) return [...effects, ...this.#end('failed', { code: 'POISON', message: `the build failed on three builders in the same way: ${why}`, fix: 'Look at the log of the last attempt; the build itself may break its builder.' }, now)]
    if (this.#failures.length < (this.#init.attemptsMax ?? 3)) return [...effects, ...this.#elect(false)]
    if (this.#init.localFallback === true && !this.#localTried) return [...effects, ...this.#elect(true)]
    const unable = this.#unable.get(current.device)
    return [...effects, ...this.#end('failed', unable ?? { code, message: `all ${this.#failures.length} attempts were lost, the last one: ${why}`, fix: 'See `elder-node builds why`; `elder-node status` shows which devices are well.' }, now)]
  }

  #abandon (current: HeldLease, reason: string): BuildEffect[] {
    this.#current = undefined
    const { device: to, lease, fence } = current
    return [{ type: 'abandon', to, lease, fence, reason }, { type: 'send', to, word: { type: 'release', build: this.#init.build, fence } }]
  }

  #result ({ from, lease, fence }: Extract<BuildInput, { type: 'result' }>): BuildEffect[] {
    if (this.#rules.currentOnly && !(this.holds(from, lease) && this.#current?.fence === fence)) return []
    if (this.#rules.once && this.ended) return []
    this.#state = 'done'
    this.#outcome('done')
    if (this.#rules.once) this.#current = undefined
    return [{ type: 'accept', from, lease, fence, attempt: this.#attempt }]
  }

  #end (state: 'failed' | 'cancelled', failure: Failure, now: number, refused: Array<{ device: DeviceId, reason: string }> = []): BuildEffect[] {
    this.#awaiting = undefined
    const held = this.#current === undefined ? (this.#claim?.handle({ type: 'stop' }, now) ?? []) as BuildEffect[] : this.#abandon(this.#current, failure.message)
    if (this.attempts.at(-1)?.outcome === 'running') this.#outcome(failure.code)
    this.#state = state
    return [...held, { type: 'ended', state, failure, refused }]
  }

  /** What still arrives after the end: slots that were meant for it go back. */
  #late (input: BuildInput, now: number): BuildEffect[] {
    return input.type === 'word' ? (this.#claim?.handle(input, now) ?? []).filter((effect): effect is Extract<ClaimEffect, { type: 'send' }> => effect.type === 'send') : []
  }

  #outcome (outcome: string): void {
    const last = this.attempts.at(-1)
    if (last?.attempt === this.#attempt) last.outcome = outcome
  }
}
