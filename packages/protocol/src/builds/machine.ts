/**
 * One build as its requester sees it: attempts, fences, moves. Drawn in docs/ARCHITECTURE.md, "Builds: state machines".
 *
 * A lease is watched from both ends. The builder sends stamps of its own clock; echoing one keeps the lease. So the requester
 * knows, from the last echo alone, when the lease has surely ended, however slow the network was.
 */
import type { BuildId, DeviceId } from '../ids.ts'
import { ClaimMachine, type ClaimEffect, type ClaimRules, type Target } from '../election/claim.ts'
import { surelyOverAtMs } from '../election/lease.ts'
import type { ClaimNeeds, ClaimWord } from '../election/messages.ts'

export type BuildState = 'queued' | 'electing' | 'sending' | 'running' | 'returning' | 'done' | 'failed' | 'cancelled'

export type BuildInput =
  | { type: 'start' }
  /** Answer to `elect` and `look`: whom to ask, best first. */
  | { type: 'ranked', order: Target[] }
  | { type: 'word', from: DeviceId, word: ClaimWord }
  | { type: 'unreachable', from: DeviceId, fence: number, reason: string }
  /** Any frame on the stream of this lease. */
  | { type: 'heard', lease: string }
  | { type: 'stamp', lease: string, stamp: number }
  | { type: 'phase', lease: string, phase: 'sending' | 'running' | 'returning' }
  /** The stream of this lease ended before its result, or could not be opened. */
  | { type: 'reset', lease: string, reason: string }
  /** The builder could not run it; nothing of it runs there any more. */
  | { type: 'failed', lease: string, code: string, message: string, fix: string }
  /** While nobody can be asked: something changed, look again. */
  | { type: 'news' }
  /** The whole result with every output is here. */
  | { type: 'result', lease: string, fence: number }
  | { type: 'cancel' }
  | { type: 'tick' }

export interface Attempt { attempt: number, device: DeviceId, outcome: string }
export interface Failure { code: string, message: string, fix: string }

export type BuildEffect =
  | { type: 'send', to: DeviceId, word: ClaimWord }
  /** Rank and answer with `ranked`. `avoid` failed this build before: last in the order. */
  | { type: 'elect', attempt: number, avoid: DeviceId[], localOnly: boolean }
  /** Nobody can be asked now, and the build waits: say `news` when something changes; it looks again by itself too. */
  | { type: 'await', refused: Array<{ device: DeviceId, reason: string }> }
  /** Rank again while waiting, answer with `ranked`. */
  | { type: 'look' }
  | { type: 'busy', device: DeviceId, queue: number, expectedWaitS: number }
  /** Open the build stream with this lease; `again` after a broken stream: resume the log. */
  | { type: 'open', to: DeviceId, lease: string, fence: number, attempt: number, again: boolean }
  | { type: 'echo', to: DeviceId, lease: string, stamp: number }
  /** Close the stream of this lease: nothing that comes on it counts any more. */
  | { type: 'abandon', to: DeviceId, lease: string, fence: number, reason: string }
  | { type: 'moved', from: DeviceId, attempt: number, why: string, code: string }
  /** The result of this lease is the result of the build. At most once. */
  | { type: 'accept', from: DeviceId, lease: string, fence: number, attempt: number }
  | { type: 'ended', state: 'failed' | 'cancelled', failure: Failure, refused: Array<{ device: DeviceId, reason: string }> }

/** The rules that keep results single. All on; the simulator switches one off to prove that it is needed. */
export interface BuildRules extends ClaimRules {
  /** A result counts only with the current lease and fence. */
  currentOnly: boolean
  /** One result is accepted. */
  once: boolean
  /** An exclusive build waits for the sure end of its old lease. */
  exclusiveWait: boolean
  /** 6 s of silence make a builder suspect. */
  silence: boolean
}

export interface BuildInit {
  build: BuildId
  needs: ClaimNeeds
  /** Never two attempts at once. @default false */
  exclusive?: boolean
  /** After the attempts, once more on this device. @default false */
  localFallback?: boolean
  /** Attempts on builders. @default 3 */
  attemptsMax?: number
  /** Milliseconds from start to wait for a builder while nobody can be asked. @default 0 */
  waitMs?: number
  /** Milliseconds from start until the build is given up with `DEADLINE`. @default Infinity */
  deadlineMs?: number
  rules?: Partial<BuildRules>
}

interface Current { device: DeviceId, lease: string, fence: number, heardMs: number, echoedMs: number, reattachAtMs: number, brokenSinceMs: number | undefined, reattaches: number, reason: string }

export const SILENCE_MS = 6_000
const REATTACH_MS = 500
/** While nobody can be asked: look again this often, and after news not before this. */
const LOOK_MS = 5_000
const LOOK_MS_MIN = 500
/** A builder whose streams keep breaking is lost, even when each attach succeeds. */
const REATTACHES_MAX = 5
const REATTACH_EXCLUSIVE_MS = 1_000
const TERMINAL: ReadonlySet<BuildState> = new Set(['done', 'failed', 'cancelled'])
const ALL_ON: BuildRules = { currentOnly: true, once: true, exclusiveWait: true, silence: true, firstOnly: true, timeout: true }

export class BuildMachine {
  readonly attempts: Attempt[] = []
  readonly #init: BuildInit
  readonly #rules: BuildRules
  #state: BuildState = 'queued'
  #claim: ClaimMachine | undefined
  #current: Current | undefined
  #fence = 0
  #attempt = 0
  #failures: Array<{ device: DeviceId, code: string }> = []
  #localTried = false
  #endsAtMs = Infinity
  #waitsUntilMs = -Infinity
  /** Set while nobody can be asked. */
  #awaiting: { sinceMs: number, lookAtMs: number } | undefined

  constructor (init: BuildInit) {
    this.#init = init
    this.#rules = { ...ALL_ON, ...init.rules }
  }

  get state (): BuildState { return this.#state }
  get attempt (): number { return this.#attempt }
  /** Whose result would count now. */
  get current (): { device: DeviceId, lease: string, fence: number } | undefined { return this.#current }
  get ended (): boolean { return TERMINAL.has(this.#state) }

  deadline (): number | undefined {
    if (this.ended) return undefined
    const next = Math.min(this.#endsAtMs, this.#awaiting?.lookAtMs ?? Infinity, this.#claim?.deadline() ?? Infinity, this.#current === undefined ? Infinity : this.#watchAtMs(this.#current))
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
      default: return this.#current?.lease === input.lease ? this.#onLease(this.#current, input, now) : []
    }
  }

  #start (now: number): BuildEffect[] {
    this.#endsAtMs = now + (this.#init.deadlineMs ?? Infinity)
    this.#waitsUntilMs = now + (this.#init.waitMs ?? -Infinity)
    return this.#elect(false)
  }

  #elect (localOnly: boolean): BuildEffect[] {
    this.#state = 'electing'
    this.#awaiting = undefined
    this.#claim = undefined
    this.#localTried ||= localOnly
    return [{ type: 'elect', attempt: this.#attempt + 1, avoid: this.#failures.map(f => f.device), localOnly }]
  }

  #ranked (order: Target[], now: number): BuildEffect[] {
    if (this.#state === 'queued') return this.#claimed(this.#claim?.handle({ type: 'retarget', order }, now) ?? [], now)
    if (this.#state !== 'electing' || this.#claim !== undefined) return []
    const avoid = new Set(this.#failures.map(f => f.device))
    const sorted = [...order.filter(t => !avoid.has(t.device)), ...order.filter(t => avoid.has(t.device))]
    const { build, needs } = this.#init
    this.#claim = new ClaimMachine({ build, needs, order: sorted, nextFence: () => ++this.#fence, rules: this.#rules })
    return this.#claimed(this.#claim.handle({ type: 'start' }, now), now)
  }

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

  #won (won: { to: DeviceId, lease: string, fence: number }, now: number): BuildEffect[] {
    this.#attempt++
    this.#state = 'sending'
    this.attempts.push({ attempt: this.#attempt, device: won.to, outcome: 'running' })
    this.#current = { device: won.to, lease: won.lease, fence: won.fence, heardMs: now, echoedMs: now, reattachAtMs: Infinity, brokenSinceMs: undefined, reattaches: 0, reason: '' }
    return [{ type: 'open', to: won.to, lease: won.lease, fence: won.fence, attempt: this.#attempt, again: false }]
  }

  #lost (refused: Array<{ device: DeviceId, reason: string }>, now: number): BuildEffect[] {
    if (this.#init.localFallback === true && !this.#localTried) return this.#elect(true)
    if (now < this.#waitsUntilMs) return this.#await(refused, now)
    const after = this.#failures.length > 0 ? ` after ${this.#failures.length} failed attempts` : ''
    return this.#end('failed', { code: 'NO_CANDIDATE', message: `no builder took the build${after}`, fix: 'See `elder-node status`; a device offers build slots with: elder-node join --engine process --slots 1' }, now, refused)
  }

  #await (refused: Array<{ device: DeviceId, reason: string }>, now: number): BuildEffect[] {
    this.#state = 'queued'
    this.#claim = undefined
    this.#awaiting = { sinceMs: now, lookAtMs: Math.min(now + LOOK_MS, this.#waitsUntilMs) }
    return [{ type: 'await', refused }]
  }

  /** Adverts come in bursts: one look is enough for those of half a second. */
  #news (now: number): BuildEffect[] {
    const awaiting = this.#awaiting
    if (awaiting === undefined) return []
    awaiting.lookAtMs = Math.min(awaiting.lookAtMs, Math.max(now, awaiting.sinceMs + LOOK_MS_MIN))
    return now >= awaiting.lookAtMs ? this.#elect(false) : []
  }

  #onLease (current: Current, input: Extract<BuildInput, { lease: string }>, now: number): BuildEffect[] {
    if (input.type === 'reset') return this.#broken(current, input.reason, now)
    current.heardMs = now
    current.brokenSinceMs = undefined
    current.reattachAtMs = Infinity
    if (input.type === 'phase') this.#state = input.phase
    if (input.type === 'failed') return this.#move(current, input.code, input.message, now)
    if (input.type !== 'stamp') return []
    current.echoedMs = now
    return [{ type: 'echo', to: current.device, lease: current.lease, stamp: input.stamp }]
  }

  /** The first time: try once to come back to the same builder. A second break before any frame came: gone. */
  #broken (current: Current, reason: string, now: number): BuildEffect[] {
    current.reason = reason
    const first = current.brokenSinceMs === undefined
    current.brokenSinceMs ??= now
    if (this.#waits()) {
      current.reattachAtMs = Math.min(first ? now : now + REATTACH_EXCLUSIVE_MS, current.reattachAtMs)
      return first ? this.#reattach(current, now) : []
    }
    return first && current.reattaches++ < REATTACHES_MAX ? this.#reattach(current, now) : this.#move(current, 'BUILDER_LOST', `the connection broke: ${reason}`, now)
  }

  #reattach (current: Current, now: number): BuildEffect[] {
    current.reattachAtMs = now + (this.#waits() ? REATTACH_EXCLUSIVE_MS : REATTACH_MS)
    return [{ type: 'open', to: current.device, lease: current.lease, fence: current.fence, attempt: this.#attempt, again: true }]
  }

  #waits (): boolean { return this.#init.exclusive === true && this.#rules.exclusiveWait }

  #watchAtMs (current: Current): number {
    if (!this.#rules.silence) return current.reattachAtMs
    const silent = current.heardMs + SILENCE_MS
    if (!this.#waits()) return Math.min(silent, current.reattachAtMs)
    return Math.min(surelyOverAtMs(current.echoedMs), current.brokenSinceMs === undefined ? silent : current.reattachAtMs)
  }

  #tick (now: number): BuildEffect[] {
    if (this.#awaiting !== undefined) return now >= this.#awaiting.lookAtMs ? this.#elect(false) : []
    const current = this.#current
    if (current === undefined) return this.#claimed(this.#claim?.handle({ type: 'tick' }, now) ?? [], now)
    if (now < this.#watchAtMs(current)) return []
    if (!this.#waits()) return this.#move(current, 'BUILDER_LOST', now >= current.reattachAtMs ? `the connection broke: ${current.reason}` : 'the builder was silent for 6 s', now)
    if (now >= surelyOverAtMs(current.echoedMs)) return this.#move(current, 'BUILDER_LOST', 'the builder was silent until its lease ended', now)
    current.brokenSinceMs ??= now
    return this.#reattach(current, now)
  }

  #move (current: Current, code: string, why: string, now: number): BuildEffect[] {
    this.#outcome(`${code}: ${why}`)
    this.#failures.push({ device: current.device, code })
    const effects: BuildEffect[] = [...this.#abandon(current, why), { type: 'moved', from: current.device, attempt: this.#attempt, why, code }]
    const same = new Set(this.#failures.filter(f => f.code === code && code !== 'BUILDER_LOST').map(f => f.device))
    if (same.size >= 3) return [...effects, ...this.#end('failed', { code: 'POISON', message: `the build failed on three builders in the same way: ${why}`, fix: 'Look at the log of the last attempt; the build itself may break its builder.' }, now)]
    if (this.#failures.length < (this.#init.attemptsMax ?? 3)) return [...effects, ...this.#elect(false)]
    if (this.#init.localFallback === true && !this.#localTried) return [...effects, ...this.#elect(true)]
    return [...effects, ...this.#end('failed', { code, message: `all ${this.#failures.length} attempts were lost, the last one: ${why}`, fix: 'See `elder-node builds why`; `elder-node status` shows which devices are well.' }, now)]
  }

  #abandon (current: Current, reason: string): BuildEffect[] {
    this.#current = undefined
    const { device: to, lease, fence } = current
    return [{ type: 'abandon', to, lease, fence, reason }, { type: 'send', to, word: { type: 'release', build: this.#init.build, fence } }]
  }

  #result (input: { lease: string, fence: number }): BuildEffect[] {
    const current = this.#current
    const isCurrent = current !== undefined && current.lease === input.lease && current.fence === input.fence
    if (this.#rules.currentOnly && !isCurrent) return []
    if (this.#rules.once && this.ended) return []
    this.#state = 'done'
    this.#outcome('done')
    if (this.#rules.once) this.#current = undefined
    const from = current?.device ?? (this.attempts.at(-1) as Attempt).device
    return [{ type: 'accept', from, lease: input.lease, fence: input.fence, attempt: this.#attempt }]
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
