/** The builder: gives slots, runs what holds a lease, and frees the slot in every path. */
import { decodeRequestFrame, ElderError, encodeFrame, hasRole, SlotMachine, traceIdOf, type ClaimNeeds, type ClaimWord, type DeviceId, type Lease, type RequestFrame, type Role, type SlotEffect, type SlotInput } from '@elder-node/protocol'
import { LeftoverError } from '../../ports/engine.ts'
import type { FrameStream } from '../../ports/mesh.ts'
import { after } from '../../timers.ts'
import type { Capacity } from '../resources/own-advert.ts'
import { Job } from './job.ts'
import { runJob, type RunComponents } from './run-job.ts'
import { receiveSource } from './source-receive.ts'

export interface HostComponents extends Omit<RunComponents, 'engine'> {
  /** Undefined: this device accepts no build. */
  engine: RunComponents['engine'] | undefined
  role: (device: DeviceId) => Role | undefined
  /** Carries one word of the claim protocol and returns the answer. */
  ask: (to: DeviceId, word: ClaimWord) => Promise<ClaimWord>
  /** Round trip to a device, milliseconds; undefined when never measured. */
  rttMs: (device: DeviceId) => number | undefined
  /** Tells the resources what is free here. */
  offer: (capacity: Capacity) => void
}

export interface HostInit {
  /** This life of the node; rises with every start. */
  epoch: number
}

const PROJECTS_KEPT = 8
const RUN_GUESS_S = 30
const FIRST_FRAME_MS = 10_000
const PREFETCH_MS = 600_000

export class BuildHost {
  readonly #components: HostComponents
  readonly #machine: SlotMachine
  readonly #jobs = new Map<string, Job>()
  readonly #running = new Map<string, Promise<void>>()
  #projects: string[] = []
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  #ended = false

  constructor (components: HostComponents, init: HostInit) {
    this.#components = components
    this.#machine = new SlotMachine({
      slots: 0, epoch: init.epoch, rttMs: components.rttMs, refuse: (from, needs) => this.#refuse(from, needs),
      expectedWaitS: () => RUN_GUESS_S * (1 + this.#machine.queue) / Math.max(1, this.#machine.total),
    })
  }

  /** Sweeps what an earlier life left behind; until then every claim is told no. */
  async start (slots: number): Promise<void> {
    const { engine, network, log } = this.#components
    if (engine?.name === 'process' && network === 'none') log.warn({ network }, 'every build is refused: the process engine cannot cut builds off from the network')
    this.configure(slots)
    await this.#sweep()
    this.#drive({ type: 'swept' })
    this.#offer()
  }

  /** A build must not be able to keep the node from starting. */
  async #sweep (): Promise<void> {
    const { engine, log } = this.#components
    try {
      await engine?.sweep()
    } catch (error) {
      if (!(error instanceof LeftoverError)) throw error
      log.error({ folders: error.folders }, 'what earlier builds left could not be removed: remove it by hand')
    }
  }

  configure (slots: number): void {
    this.#drive({ type: 'configure', slots: this.#components.engine === undefined ? 0 : slots, draining: this.#stopped })
  }

  /** Kills every build here and resolves when they are gone. Never rejects. */
  async stop (): Promise<void> {
    this.#stopped = true
    this.configure(0)
    for (const job of this.#jobs.values()) job.controller.abort(new Error('the builder shuts down'))
    await Promise.allSettled(this.#running.values())
    this.#ended = true
    clearTimeout(this.#timer)
  }

  /** What runs here now: for status. */
  leases (): Lease[] { return this.#machine.leases() }

  /** The device was shut out: its builds end here now, and not when its leases lapse. */
  forget (device: DeviceId): void {
    for (const { requester, build, fence } of this.leases()) {
      if (requester === device) this.#drive({ type: 'word', from: device, word: { type: 'release', build, fence } })
    }
  }

  /** Answers `claim`, `reserve`, `yes` and `release`. */
  onWord (from: DeviceId, word: ClaimWord): ClaimWord {
    let answer: ClaimWord | undefined
    this.#drive({ type: 'word', from, word }, effect => {
      if (answer !== undefined || effect.type !== 'send' || effect.to !== from || effect.word.type === 'bind') return false
      answer = effect.word
      return true
    })
    this.#noteClaim(from, word, answer)
    return answer ?? { type: 'no', build: word.build, fence: word.fence, reason: `a builder does not answer ${word.type}` }
  }

  #noteClaim (from: DeviceId, word: ClaimWord, answer: ClaimWord | undefined): void {
    if (word.type !== 'claim' && word.type !== 'reserve' && word.type !== 'yes') return
    const trace = word.type === 'yes' ? undefined : traceIdOf(word.traceparent)
    this.#components.log.info({ trace, build: word.build, from, fence: word.fence, answer: answer?.type ?? 'no' }, word.type)
  }

  /** Serves one build stream or prefetch stream. */
  async onStream (stream: FrameStream): Promise<void> {
    const frames = stream[Symbol.asyncIterator]()
    const first = await firstOf(frames, stream)
    if (first.done === true) return
    const frame = decodeRequestFrame(first.value)
    if (frame.type === 'prefetch') return await this.#prefetch(stream, frames, frame)
    if (frame.type !== 'open') throw new ElderError('MALFORMED', 'a build stream begins with open or prefetch')
    await this.#serve(stream, frames, frame)
  }

  async #serve (stream: FrameStream, frames: AsyncIterator<Uint8Array>, frame: Extract<RequestFrame, { type: 'open' }>): Promise<void> {
    const effects = this.#drive({ type: 'attach', from: stream.device, lease: frame.lease, fence: frame.fence, build: frame.spec.build })
    const attached = effects.find(effect => effect.type === 'attached')
    if (attached === undefined) {
      if (effects.some(effect => effect.type === 'refused' && effect.gone)) await stream.send(encodeFrame({ type: 'failed', code: 'LEASE_GONE', message: 'this lease has ended here', fix: '' }))
      return await stream.close()
    }
    const job = this.#jobs.get(attached.lease.id) ?? this.#begin(attached.lease, frame)
    const { engine } = this.#components
    await stream.send(encodeFrame({ type: 'attached', resumed: attached.resumed, engine: engine?.name ?? '', note: (engine?.description ?? '').slice(0, 512), network: this.#components.network }))
    job.connect(stream, frame.logOffset)
    this.#drive({ type: 'tick' })
    try {
      await this.#listen(job, frames)
    } finally {
      job.disconnected(stream)
    }
  }

  #begin (lease: Lease, frame: Extract<RequestFrame, { type: 'open' }>): Job {
    const job = new Job(lease, frame.spec)
    this.#jobs.set(lease.id, job)
    const { engine } = this.#components
    if (engine === undefined) throw new ElderError('NO_ENGINE', 'this device runs no builds')
    this.#components.log.info({ trace: job.trace?.traceId, build: job.spec.build, lease: lease.id, from: job.requester, attempt: frame.attempt }, 'a build begins here')
    const project = frame.spec.source.project.slice(0, 8)
    this.#projects = [project, ...this.#projects.filter(known => known !== project)].slice(0, PROJECTS_KEPT)
    this.#running.set(lease.id, runJob(job, { ...this.#components, engine }).finally(() => { this.#finished(job) }))
    return job
  }

  /** Reads frames until the requester closes; a source frame waits for room, so an eager sender is held back. */
  async #listen (job: Job, frames: AsyncIterator<Uint8Array>): Promise<void> {
    for (let next = await frames.next(); next.done !== true; next = await frames.next()) {
      const frame = decodeRequestFrame(next.value)
      switch (frame.type) {
        case 'echo': this.#drive({ type: 'echo', from: job.requester, lease: job.lease.id, stamp: frame.stamp }); break
        case 'cancel': this.#drive({ type: 'word', from: job.requester, word: { type: 'release', build: job.spec.build, fence: job.lease.fence } }, () => true); break
        case 'received': job.acknowledge(); break
        case 'source': case 'pack': case 'pack-end': await job.source.push(frame); break
        case 'open': case 'prefetch': throw new ElderError('MALFORMED', `${frame.type} comes first or not at all`)
      }
    }
  }

  /** The source of a build that waits here for a slot. */
  async #prefetch (stream: FrameStream, frames: AsyncIterator<Uint8Array>, frame: Extract<RequestFrame, { type: 'prefetch' }>): Promise<void> {
    if (this.#components.engine === undefined || this.#machine.total === 0) throw new ElderError('NO_ENGINE', 'this device runs no builds')
    await receiveSource(this.#components.cache, stream.device, frame, decoded(frames), reply => stream.send(encodeFrame(reply)), AbortSignal.timeout(PREFETCH_MS))
  }

  #finished (job: Job): void {
    this.#jobs.delete(job.lease.id)
    this.#running.delete(job.lease.id)
    this.#components.log.info({ trace: job.trace?.traceId, build: job.spec.build, lease: job.lease.id, delivered: job.received }, 'a build ended here')
    const stream = job.stream
    void stream?.close().catch(() => {})
    this.#drive({ type: 'finished', lease: job.lease.id })
  }

  /** `answers` takes an effect away when it returns true. */
  #drive (input: SlotInput, answers: (effect: SlotEffect) => boolean = () => false): SlotEffect[] {
    const effects = this.#machine.handle(input, this.#components.clock.monotonicMs())
    for (const effect of effects) if (!answers(effect)) this.#perform(effect)
    this.#schedule()
    return effects
  }

  #perform (effect: SlotEffect): void {
    switch (effect.type) {
      case 'send': if (effect.word.type === 'bind') void this.#bind(effect.to, effect.word); break
      case 'kill': this.#kill(effect.lease, effect.reason); break
      case 'stamp': void this.#jobs.get(effect.lease.id)?.send({ type: 'stamp', stamp: effect.stamp }); break
      case 'changed': this.#offer(); break
      case 'attached': case 'refused': break
    }
  }

  /** What is lost on the way is not the requester's answer. A yes comes as a word of its own. */
  async #bind (to: DeviceId, word: Extract<ClaimWord, { type: 'bind' }>): Promise<void> {
    const { build, fence } = word
    const answer = await this.#components.ask(to, word).catch(() => undefined)
    this.#drive(answer === undefined ? { type: 'unheard', to, build, fence } : { type: 'word', from: to, word: answer })
  }

  #kill (lease: Lease, reason: string): void {
    const job = this.#jobs.get(lease.id)
    this.#components.log.info({ trace: job?.trace?.traceId, build: lease.build, lease: lease.id, reason }, 'build ended by its builder')
    if (job === undefined) this.#drive({ type: 'stopped', lease: lease.id })
    else job.controller.abort(new Error(`the lease was ${reason}`))
  }

  #refuse (from: DeviceId, needs: ClaimNeeds): string | null {
    const { role, engine, limits, network } = this.#components
    if (!hasRole(role(from), 'member')) return 'only members may ask for a build'
    if (engine === undefined) return 'no engine'
    if (network === 'none' && engine.name === 'process') return 'its owner allows builds no network, and the engine process cannot cut them off'
    if ((needs.memoryBytes ?? 0) > limits.memoryBytes) return `memory ceiling ${limits.memoryBytes} bytes`
    return (needs.cpus ?? 0) > limits.cpus ? `ceiling of ${limits.cpus} cores` : null
  }

  #offer (): void {
    const { free, queue, draining } = this.#machine
    this.#components.offer({ free, queue, expectedWaitS: free > 0 ? 0 : RUN_GUESS_S * (1 + queue) / Math.max(1, this.#machine.total), projects: this.#projects, draining })
  }

  #schedule (): void {
    clearTimeout(this.#timer)
    const at = this.#machine.deadline()
    if (at === undefined || this.#ended) return
    const waitMs = Math.max(1, Math.ceil(at - this.#components.clock.monotonicMs()))
    this.#timer = after(waitMs, () => { this.#drive({ type: 'tick' }) }, error => {
      this.#components.log.error({ err: error }, 'the slots could not go on')
    })
  }
}

/** A stream that opens and says nothing does not stay. */
async function firstOf (frames: AsyncIterator<Uint8Array>, stream: FrameStream): Promise<IteratorResult<Uint8Array>> {
  const timer = setTimeout(() => { stream.abort(new ElderError('TIMEOUT', 'a build stream opened and said nothing')) }, FIRST_FRAME_MS)
  try {
    return await frames.next()
  } finally {
    clearTimeout(timer)
  }
}

async function * decoded (frames: AsyncIterator<Uint8Array>): AsyncGenerator<RequestFrame> {
  for (let next = await frames.next(); next.done !== true; next = await frames.next()) yield decodeRequestFrame(next.value)
}
