/** Drives one BuildMachine: its effects become port calls, what comes back becomes inputs. */
import { BuildMachine, codeOf, ElderError, type BuildEffect, type BuilderFrame, type BuildInput, type BuildResult, type BuildSpec, type BuildState, type ClaimWord, type DeviceId, type Failure } from '@elder-node/protocol'
import type { BuildEvent, BuildExplanation, BuildRequest, DeviceRef } from '../../api.ts'
import type { Clock } from '../../ports/host.ts'
import type { FrameStream } from '../../ports/mesh.ts'
import type { OutputFile, Snapshot } from '../../ports/source.ts'
import { BuildStory } from './build-story.ts'
import type { EventLog } from './event-log.ts'
import { listRefusals, outcomeOfFailure, outcomeOfResult, type Outcome, type ResultEvent } from './outcome.ts'
import type { ElectionResult } from './ranking.ts'
import { Session, type SessionComponents } from './session.ts'

export interface RunHooks extends SessionComponents {
  clock: Clock
  ref: (device: DeviceId) => DeviceRef
  elect: (localOnly: boolean) => Promise<ElectionResult>
  ask: (to: DeviceId, word: ClaimWord) => Promise<ClaimWord>
  open: (to: DeviceId, signal: AbortSignal) => Promise<FrameStream>
  /** Fresher than gossip: this builder has no slot. */
  busy: (device: DeviceId, queue: number, expectedWaitS: number) => void
  /** Sends the source ahead of a slot, until the build has `ended`. */
  prefetch: (to: DeviceId, snapshot: Snapshot, ended: AbortSignal) => Promise<void>
  /** One attempt ended: feeds the history. `runS` is null unless the command ended by itself. */
  attempted: (device: DeviceId, ok: boolean, runS: number | null) => void
}

export interface RunInit { spec: BuildSpec, snapshot: Snapshot, request: BuildRequest, exclusive: boolean, localFallback: boolean, startedWallMs: number }

const PREFETCH_AT = 2

export class BuildRun {
  readonly result: Promise<ResultEvent>
  readonly init: RunInit
  elected: ElectionResult = { order: [], why: '', candidates: [] }
  builder: DeviceRef | null = null
  readonly #hooks: RunHooks
  readonly #machine: BuildMachine
  readonly #startMs: number
  #session: { lease: string, session: Session } | undefined
  readonly #story: BuildStory
  readonly #over = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #prefetched = false
  #accepted: Extract<BuildEffect, { type: 'accept' }> | undefined
  #resolve: (event: ResultEvent) => void = () => {}

  constructor (hooks: RunHooks, init: RunInit) {
    this.#hooks = hooks
    this.init = init
    this.#startMs = hooks.clock.monotonicMs()
    this.#story = new BuildStory(init.spec.build, hooks.ref)
    this.result = new Promise(resolve => { this.#resolve = resolve })
    const { build, memoryBytes, cpus } = init.spec
    const { exclusive, localFallback, request } = init
    this.#machine = new BuildMachine({ build, needs: { memoryBytes, cpus }, exclusive, localFallback, ...(request.deadlineMs === undefined ? {} : { deadlineMs: request.deadlineMs }) })
  }

  get id (): string { return this.init.spec.build }
  get log (): EventLog<BuildEvent> { return this.#story.log }
  get state (): BuildState { return this.#machine.state }
  get attempt (): number { return this.#machine.attempt }
  attempts (): BuildExplanation['attempts'] {
    return this.#machine.attempts.map(({ attempt, device, outcome }) => ({ attempt, builder: this.#hooks.ref(device), outcome }))
  }

  start (): void {
    this.#story.queued()
    for (const warning of this.init.snapshot.warnings ?? []) this.#story.warn(warning)
    this.#drive({ type: 'start' })
  }

  /** A dry run: says whom it would have asked, and ends. */
  explained (device: DeviceId): void {
    this.builder = this.#hooks.ref(device)
    const { why, candidates } = this.elected
    this.#story.elected(device, 1, why, candidates)
    this.#finish({ state: 'done', exitCode: 0, failure: null })
  }

  /** Ends before it began. */
  refused (failure: Failure): void { this.#finish(outcomeOfFailure('failed', failure)) }

  /** Whose result became the result of the build. */
  get acceptedFrom (): DeviceId | undefined { return this.#accepted?.from }

  cancel (): void { if (!this.log.ended) this.#drive({ type: 'cancel' }) }

  /** A builder's `bind`: the answer is yes for the first and gone for the others. */
  onWord (from: DeviceId, word: ClaimWord): ClaimWord | undefined {
    let answer: ClaimWord | undefined
    this.#drive({ type: 'word', from, word }, effect => {
      if (effect.type !== 'send' || (effect.word.type !== 'yes' && effect.word.type !== 'gone')) return false
      answer = effect.word
      return true
    })
    return answer
  }

  #drive (input: BuildInput, answers: (effect: BuildEffect) => boolean = () => false): void {
    const before = this.#machine.state
    for (const effect of this.#machine.handle(input, this.#hooks.clock.monotonicMs())) if (!answers(effect)) this.#perform(effect)
    if (this.#machine.state === 'queued' && before !== 'queued') this.#waits()
    this.#schedule()
  }

  #perform (effect: BuildEffect): void {
    switch (effect.type) {
      case 'send': void this.#ask(effect.to, effect.word); break
      case 'elect': void this.#elect(effect.localOnly); break
      case 'look': void this.#hooks.elect(false).then(({ order }) => { this.#drive({ type: 'ranked', order }) }, () => {}); break
      case 'busy': this.#hooks.busy(effect.device, effect.queue, effect.expectedWaitS); break
      case 'open': this.#open(effect); break
      case 'echo': if (this.#session?.lease === effect.lease) this.#session.session.echo(effect.stamp); break
      case 'abandon': if (this.#session?.lease === effect.lease) this.#session.session.abort(new ElderError('ABANDONED', effect.reason)); break
      case 'moved': this.#moved(effect); break
      case 'accept': this.#accepted = effect; break
      case 'ended': this.#ended(effect.state, effect.failure, effect.refused); break
    }
  }

  async #ask (to: DeviceId, word: ClaimWord): Promise<void> {
    try {
      const answer = await this.#hooks.ask(to, word)
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
    this.#session?.session.abort(new ElderError('REPLACED', 'a new stream takes over'))
    const { spec, snapshot, request } = this.init
    const session = new Session(this.#hooks, { builder: to, lease, fence, attempt, spec, snapshot, to: request.to ?? snapshot.root, logOffset: this.#story.logOffset }, {
      frame: frame => { this.#frame(lease, frame) },
      result: () => this.#offer(lease, fence),
      broken: error => { this.#broken(lease, error) },
      settled: (result, outputs, error) => { this.#settled(result, outputs, error) },
    })
    this.#session = { lease, session }
    void session.run(signal => this.#hooks.open(to, signal))
  }

  /** A builder that breaks the rules is not asked again by reattaching; any other end of a stream may be the network's. */
  #broken (lease: string, error: Error): void {
    const code = codeOf(error)
    if (code === 'FORGED_RESULT' || code === 'MALFORMED') this.#drive({ type: 'failed', lease, code, message: error.message, fix: '' })
    else this.#drive({ type: 'reset', lease, reason: error.message })
  }

  #begin (to: DeviceId, attempt: number): void {
    this.builder = this.#hooks.ref(to)
    const { why, candidates } = this.elected
    this.#story.elected(to, attempt, this.#lateBound(to) ?? why, candidates)
  }

  #lateBound (to: DeviceId): string | undefined {
    const first = this.elected.order[0]?.device
    return first === to || first === undefined ? undefined : `${this.#hooks.ref(first).name} ranked first; ${this.#hooks.ref(to).name} was the first to give a slot`
  }

  #frame (lease: string, frame: BuilderFrame): void {
    if (this.#machine.current?.lease !== lease) return
    switch (frame.type) {
      case 'stamp': this.#drive({ type: 'stamp', lease, stamp: frame.stamp }); break
      case 'failed': this.#drive({ type: 'failed', lease, code: frame.code, message: frame.message, fix: frame.fix }); break
      case 'phase': this.#phase(lease, frame); break
      case 'log': this.#story.printed(frame); this.#drive({ type: 'heard', lease }); break
      case 'attached': if (!frame.resumed && frame.engine === 'process') this.#story.warn('no isolation: process engine (its owner opted in)'); this.#drive({ type: 'heard', lease }); break
      default: this.#drive({ type: 'heard', lease })
    }
  }

  #phase (lease: string, frame: Extract<BuilderFrame, { type: 'phase' }>): void {
    this.#story.progress(frame)
    this.#drive({ type: 'phase', lease, phase: frame.phase === 'preparing' ? 'running' : frame.phase })
  }

  #offer (lease: string, fence: number): boolean {
    this.#drive({ type: 'result', lease, fence })
    return this.#accepted?.lease === lease && this.#accepted.fence === fence
  }

  #settled (result: BuildResult, outputs: OutputFile[], error: Error | undefined): void {
    const accepted = this.#accepted as Extract<BuildEffect, { type: 'accept' }>
    this.#hooks.attempted(accepted.from, true, result.signal === null && result.reason === null ? result.timings.runMs / 1000 : null)
    if (result.exitCode === 0) for (const glob of result.unmatched) this.#story.warn(`no output matches ${glob}`)
    this.#finish(outcomeOfResult(result, error, { strictOutputs: this.init.request.strictOutputs === true }), outputs, result.timings)
  }

  #moved (effect: Extract<BuildEffect, { type: 'moved' }>): void {
    this.#hooks.attempted(effect.from, false, null)
    this.#story.moved(effect.from, effect.attempt, effect.why)
  }

  #ended (state: 'failed' | 'cancelled', failure: Failure, refused: Array<{ device: DeviceId, reason: string }>): void {
    const said = new Map(refused.map(({ device, reason }) => [this.#hooks.ref(device).id, reason]))
    this.elected.candidates = this.elected.candidates.map(candidate => ({ ...candidate, refused: candidate.refused ?? said.get(candidate.device.id) ?? null }))
    const message = failure.code === 'NO_CANDIDATE' ? `${failure.message}: ${listRefusals(this.elected.candidates)}` : failure.message
    this.#finish(outcomeOfFailure(state, { ...failure, message }))
  }

  #finish ({ state, exitCode, failure }: Outcome, outputs: OutputFile[] = [], timings: Partial<BuildResult['timings']> = {}): void {
    clearTimeout(this.#timer)
    this.#over.abort(new ElderError('ENDED', 'the build has ended'))
    const totalMs = this.#hooks.clock.monotonicMs() - this.#startMs
    const event: ResultEvent = {
      event: 'result', build: this.id, state, exitCode, builder: this.builder, attempt: this.attempt, timings: { ...timings, totalMs },
      outputs: outputs.map(({ path, bytes, sha256 }) => ({ path, bytes, sha256 })), error: failure,
    }
    this.#story.end(event)
    this.#resolve(event)
  }

  #waits (): void {
    this.#story.queued('every slot is taken')
    this.#prefetch()
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
    this.#timer = setTimeout(() => { this.#drive({ type: 'tick' }) }, Math.min(2 ** 30, Math.max(1, Math.ceil(at - this.#hooks.clock.monotonicMs()))))
  }
}
