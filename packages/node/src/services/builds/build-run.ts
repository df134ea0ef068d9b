/** Drives one BuildMachine: its effects become port calls, what comes back becomes inputs. */
import { BuildMachine, codeOf, UNABLE_CODES, type BuildEffect, type BuilderFrame, type BuildInput, type BuildResult, type BuildState, type ClaimWord, type DeviceId, type Failure, type Past } from '@elder-node/protocol'
import type { BuildEvent, BuildExplanation, DeviceRef } from '../../api.ts'
import type { SentTree, WrittenFile } from '../../ports/source.ts'
import { durationText } from '../../quantities.ts'
import { after } from '../../timers.ts'
import { adviceBeside, adviceFor, type Surroundings } from './advice.ts'
import { BuildStory } from './build-story.ts'
import type { EventLog } from './event-log.ts'
import { listRefusals, nobodyTook, outcomeOfFailure, outcomeOfResult, type Outcome, type ResultEvent } from './outcome.ts'
import type { ElectionResult } from './ranking.ts'
import type { RunHooks, RunInit } from './run-init.ts'
import { Session } from './session.ts'

const PREFETCH_AT = 2
const BIND_ANSWERS: ReadonlySet<string> = new Set(['heard', 'later', 'gone'])

export class BuildRun {
  readonly result: Promise<ResultEvent>
  readonly init: RunInit
  elected: ElectionResult = { order: [], why: '', candidates: [] }
  builder: DeviceRef | null = null
  /** What the history learned from the attempts. */
  readonly past: Past[] = []
  readonly #hooks: RunHooks
  readonly #machine: BuildMachine
  readonly #startMs: number
  #session: { builder: DeviceId, lease: string, session: Session } | undefined
  readonly #story: BuildStory
  readonly #over = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #prefetched = false
  /** For news, while it waits. */
  #listens = false
  #around: Surroundings | undefined
  /** Best place in the queues of builders; forgotten when the build leaves them. */
  #place = Infinity
  #accepted: Extract<BuildEffect, { type: 'accept' }> | undefined
  #cancelledBy: Failure | undefined
  #resolve: (event: ResultEvent) => void = () => {}

  constructor (hooks: RunHooks, init: RunInit) {
    this.#hooks = hooks
    this.init = init
    this.#startMs = hooks.clock.monotonicMs()
    this.#story = new BuildStory(init.spec.build, hooks.ref, init.spec.traceparent)
    this.result = new Promise(resolve => { this.#resolve = resolve })
    const { build, memoryBytes, cpus } = init.spec
    const { localFallback, request: { exclusive = false, deadlineMs, waitMs } } = init
    this.#machine = new BuildMachine({ build, needs: { memoryBytes, cpus }, lagMs: hooks.lagMs, exclusive, localFallback, ...(deadlineMs === undefined ? {} : { deadlineMs }), ...(waitMs === undefined ? {} : { waitMs }) })
  }

  get id (): string { return this.init.spec.build }
  get log (): EventLog<BuildEvent> { return this.#story.log }
  get state (): BuildState { return this.#machine.state }
  get attempt (): number { return this.#machine.attempt }
  attempts (): BuildExplanation['attempts'] {
    return this.#machine.attempts.map(({ attempt, device, outcome }) => ({ attempt, builder: this.#hooks.ref(device), outcome }))
  }

  /** `refused`: why it ends before it begins. */
  start (refused?: Failure): void {
    this.#story.queued()
    for (const warning of this.init.warnings) this.#story.warn(warning)
    if (refused === undefined) this.#drive({ type: 'start' })
    else this.refused(refused)
  }

  /** A dry run: says whom it would have asked, and ends. */
  explained (device: DeviceId): void {
    this.builder = this.#hooks.ref(device)
    const { why, candidates } = this.elected
    this.#story.elected(device, 1, why, candidates, this.#hooks.clock.monotonicMs())
    this.#finish({ state: 'done', exitCode: 0, failure: null })
  }

  /** Ends before it began. */
  refused (failure: Failure): void { this.#finish(outcomeOfFailure('failed', failure)) }

  /** `why`: when nobody asked for it. */
  cancel (why?: Failure): void {
    this.#cancelledBy ??= why
    if (!this.log.ended) this.#drive({ type: 'cancel' })
  }

  /** A builder's `bind`. One builder at a time is told yes, as a word of its own. */
  onWord (from: DeviceId, word: ClaimWord): ClaimWord | undefined {
    let answer: ClaimWord | undefined
    this.#drive({ type: 'word', from, word }, effect => {
      if (effect.type !== 'send' || !BIND_ANSWERS.has(effect.word.type)) return false
      answer = effect.word
      return true
    })
    return answer
  }

  #drive (input: BuildInput, answers: (effect: BuildEffect) => boolean = () => false): void {
    const before = this.#machine.state
    const effects = this.#machine.handle(input, this.#hooks.clock.monotonicMs())
    for (const effect of effects) if (!answers(effect)) this.#perform(effect)
    if (this.#machine.state === 'queued' && before !== 'queued' && !effects.some(effect => effect.type === 'await')) this.#waits()
    this.#schedule()
  }

  #perform (effect: BuildEffect): void {
    switch (effect.type) {
      case 'send': void this.#ask(effect.to, effect.word); break
      case 'elect': void this.#elect(effect.localOnly); break
      case 'await': this.#await(effect.waitMs); break
      case 'look': void this.#hooks.elect(false).then(({ order }) => { this.#drive({ type: 'ranked', order }) }, () => {}); break
      case 'busy': this.#hooks.busy(effect.device, effect.queue, effect.expectedWaitS); break
      case 'open': this.#open(effect); break
      case 'echo': this.#sessionOf(effect.to, effect.lease)?.echo(effect.stamp); break
      case 'abandon': this.#sessionOf(effect.to, effect.lease)?.abort(new Error(effect.reason)); break
      case 'again': this.#story.queued(`${this.#hooks.ref(effect.from).name} no longer holds its slot for this build (${effect.why}); it waits again`); break
      case 'moved': this.#moved(effect); break
      case 'accept': this.#accepted = effect; break
      case 'ended': this.#ended(effect.state, effect.failure, effect.refused); break
    }
  }

  async #ask (to: DeviceId, word: ClaimWord): Promise<void> {
    try {
      const traced = word.type === 'claim' || word.type === 'reserve' ? { ...word, traceparent: this.init.spec.traceparent } : word
      const answer = await this.#hooks.ask(to, traced)
      if (answer.type === 'reserved') this.#queuedAt(to, answer.position + 1)
      this.#drive({ type: 'word', from: to, word: answer })
    } catch (error) {
      if (word.type !== 'release') this.#drive({ type: 'unreachable', from: to, fence: word.fence, reason: (error as Error).message })
    }
  }

  async #elect (localOnly: boolean): Promise<void> {
    try {
      this.elected = await this.#hooks.elect(localOnly)
    } catch (error) {
      this.elected = { order: [], why: (error as Error).message, candidates: [] }
    }
    this.#drive({ type: 'ranked', order: this.elected.order })
  }

  #open (effect: Extract<BuildEffect, { type: 'open' }>): void {
    const { to, lease, fence, attempt, again } = effect
    if (!again) this.#begin(to, attempt)
    this.#session?.session.abort(new Error('a new stream takes over'))
    const { spec, snapshot } = this.init
    const session = new Session(this.#hooks, { builder: to, lease, fence, attempt, spec, snapshot, to: this.init.to, sent: this.#sentTree(to), logOffset: this.#story.logOffset }, {
      frame: frame => { if (this.#machine.holds(to, lease)) this.#frame(to, lease, frame) },
      sent: (bytes, have) => { this.#sent(bytes, have) },
      result: () => this.#offer(to, lease, fence),
      broken: error => { this.#broken(to, lease, error) },
      settled: (result, outputs, error) => { this.#settled(result, outputs, error) },
    })
    this.#session = { builder: to, lease, session }
    void session.run(signal => this.#hooks.open(to, signal))
  }

  #sentTree (builder: DeviceId): SentTree | undefined {
    const { snapshot, request, present } = this.init
    if (request.force === true) return undefined
    const ids = (paths: string[]): Promise<Map<string, string>> => this.#hooks.reader.ids(snapshot, paths, { signal: this.#over.signal })
    const globsBy = request.outputs === undefined ? 'project' : 'person'
    return { root: snapshot.root, builder: this.#hooks.ref(builder).name, ids, present, globsBy }
  }

  #sessionOf (builder: DeviceId, lease: string): Session | undefined {
    return this.#session?.builder === builder && this.#session.lease === lease ? this.#session.session : undefined
  }

  /** A builder that breaks the rules is not asked again by reattaching; any other end of a stream may be the network's. */
  #broken (from: DeviceId, lease: string, error: Error): void {
    const code = codeOf(error)
    if (code === 'FORGED_RESULT' || code === 'MALFORMED') this.#drive({ type: 'failed', from, lease, code, message: error.message, fix: '' })
    else this.#drive({ type: 'reset', from, lease, reason: error.message })
  }

  #begin (to: DeviceId, attempt: number): void {
    this.builder = this.#hooks.ref(to)
    const { why, candidates } = this.elected
    this.#around = undefined
    this.#place = Infinity
    this.#story.elected(to, attempt, this.#lateBound(to) ?? why, candidates, this.#hooks.clock.monotonicMs())
  }

  #lateBound (to: DeviceId): string | undefined {
    const first = this.elected.order[0]?.device
    return first === to || first === undefined ? undefined : `${this.#hooks.ref(first).name} ranked first; ${this.#hooks.ref(to).name} was the first to give a slot`
  }

  /** Another device's advice is its word: it never stands where commands of ours do, to be copied or run as they are. */
  #advice (from: DeviceId, fix: string): string { return fix === '' || from === this.#hooks.self ? fix : `${this.#hooks.ref(from).name} says: ${fix}` }

  #frame (from: DeviceId, lease: string, frame: BuilderFrame): void {
    switch (frame.type) {
      case 'stamp': this.#drive({ type: 'stamp', from, lease, stamp: frame.stamp }); break
      case 'failed': this.#drive({ type: 'failed', from, lease, code: frame.code, message: frame.message, fix: this.#advice(from, frame.fix) }); break
      case 'phase': this.#phase(from, lease, frame); break
      case 'log': this.#story.printed(frame); this.#drive({ type: 'heard', from, lease }); break
      case 'attached': this.#attached(frame); this.#drive({ type: 'heard', from, lease }); break
      default: this.#drive({ type: 'heard', from, lease })
    }
  }

  /** The whole is asked for only when it takes long enough to be told. */
  #sent (bytes: number, have: string[]): void {
    const first = this.#story.sent(bytes, this.#hooks.clock.monotonicMs())
    if (first) void this.#hooks.reader.packBytes(this.init.snapshot, have, { signal: this.#over.signal }).then(total => { this.#story.sendsInAll(total) }, () => {})
  }

  #attached ({ resumed, engine, network }: Extract<BuilderFrame, { type: 'attached' }>): void {
    const device = this.#machine.current?.device
    if (resumed || device === undefined) return
    const { spec: { sealed, image }, imageFrom } = this.init
    this.#around = { builder: this.#hooks.ref(device).name, engine, network, sealed, image, imageFrom }
    this.#story.started(device, this.attempt, this.#around)
    if (engine === 'process') this.#story.warn('no isolation: process engine (its owner opted in)')
  }

  #phase (from: DeviceId, lease: string, frame: Extract<BuilderFrame, { type: 'phase' }>): void {
    this.#story.progress(frame)
    this.#drive({ type: 'phase', from, lease, phase: frame.phase === 'preparing' ? 'running' : frame.phase })
  }

  #offer (from: DeviceId, lease: string, fence: number): boolean {
    this.#drive({ type: 'result', from, lease, fence })
    return this.#accepted?.from === from && this.#accepted.lease === lease && this.#accepted.fence === fence
  }

  #settled (result: BuildResult, outputs: WrittenFile[], error: Error | undefined): void {
    const accepted = this.#accepted as Extract<BuildEffect, { type: 'accept' }>
    this.past.push(this.#hooks.attempted(accepted.from, true, result.signal === null && result.reason === null ? result.timings.runMs / 1000 : null))
    for (const advice of [...adviceFor(result, this.#around), ...adviceBeside(outputs, this.#hooks.ref(accepted.from).name)]) this.#story.warn(advice)
    const { request: { strictOutputs = false }, spec: { deadlineMs, memoryBytes } } = this.init
    const asked = { strictOutputs, deadlineMs, memoryBytes, builder: this.#hooks.ref(accepted.from).name }
    this.#finish(outcomeOfResult(result, error, asked), outputs, result.timings)
  }

  #moved (effect: Extract<BuildEffect, { type: 'moved' }>): void {
    if (!UNABLE_CODES.has(effect.code) && effect.code !== 'LEASE_GONE') this.past.push(this.#hooks.attempted(effect.from, false, null))
    this.#story.moved(effect.from, effect.attempt, effect.why)
  }

  #ended (state: 'failed' | 'cancelled', failure: Failure, refused: Array<{ device: DeviceId, reason: string }>): void {
    const said = new Map(refused.map(({ device, reason }) => [this.#hooks.ref(device).id, reason]))
    this.elected.candidates = this.elected.candidates.map(candidate => ({ ...candidate, refused: candidate.refused ?? said.get(candidate.device.id) ?? null }))
    this.#finish(outcomeOfFailure(state, failure.code === 'NO_CANDIDATE' ? nobodyTook(failure, this.elected.candidates, this.#hooks.nobody(), this.init.request.waitMs) : this.#cancelledBy ?? failure, this.init.spec))
  }

  #finish ({ state, exitCode, failure, reason }: Outcome, outputs: WrittenFile[] = [], timings: Partial<BuildResult['timings']> = {}): void {
    clearTimeout(this.#timer)
    this.#over.abort(new Error('the build has ended'))
    const totalMs = this.#hooks.clock.monotonicMs() - this.#startMs
    const event: ResultEvent = {
      event: 'result', build: this.id, state, exitCode, builder: this.builder, attempt: this.attempt, ...(this.init.spec.sealed ? { sealed: true } : {}), timings: { ...timings, totalMs },
      outputs: outputs.map(({ path, bytes, sha256, beside }) => ({ path, bytes, sha256, ...(beside === undefined ? {} : { beside }), ...(exitCode === 0 ? {} : { failed: true as const }) })), error: failure, ...(reason === undefined ? {} : { reason }), ...this.#story.trace,
    }
    this.#story.end(event)
    this.#resolve(event)
  }

  /** Nobody can be asked: looks again when something changes. */
  #await (waitMs: number): void {
    const { message } = this.#hooks.nobody() ?? { message: `nobody can build it now (${listRefusals(this.elected.candidates)})` }
    this.#story.queued(`${message}; waiting up to ${durationText(waitMs)}`)
    void this.#listen()
  }

  /** While it waits: whoever came, or has a free slot now, is asked at once. */
  async #listen (): Promise<void> {
    // Out of the effects that led here. Whoever said meanwhile that it has a free slot, said it to nobody.
    await Promise.resolve()
    this.#askFree()
    if (this.#listens) return
    this.#listens = true
    while (this.#machine.state === 'queued') {
      await this.#hooks.news(this.#over.signal)
      if (this.log.ended) return
      this.#drive({ type: 'news' })
      this.#askFree()
    }
    this.#listens = false
  }

  #askFree (): void { for (const device of this.#hooks.free()) this.#drive({ type: 'free', device }) }

  #queuedAt (device: DeviceId, place: number): void {
    if (this.#machine.state !== 'queued' || place >= this.#place) return
    this.#place = place
    this.#story.queued(`every slot is taken; place ${place} in the queue of ${this.#hooks.ref(device).name}`)
  }

  #waits (): void {
    this.#story.queued('every slot is taken')
    this.#prefetch()
    void this.#listen()
  }

  #prefetch (): void {
    if (this.#prefetched) return
    this.#prefetched = true
    for (const { device } of this.elected.order.slice(0, PREFETCH_AT)) void this.#hooks.prefetch(device, this.init.snapshot, this.#over.signal).catch(() => {})
  }

  #schedule (): void {
    clearTimeout(this.#timer)
    const at = this.#machine.deadline()
    if (at === undefined) return
    const waitMs = Math.min(2 ** 30, Math.max(1, Math.ceil(at - this.#hooks.clock.monotonicMs())))
    this.#timer = after(waitMs, () => { this.#drive({ type: 'tick' }) }, this.#hooks.failed)
  }
}
