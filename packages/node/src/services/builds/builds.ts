/** The requester: `node.build()` and `node.builds.*`. */
import { decodeBuilderFrame, ElderError, encodeFrame, History, parseClaimWord, parseSpec, strayAnswer, toBase32, type BuildId, type BuildSpec, type ClaimWord, type Crypto, type DeviceId, type Known, type Needs, type Value } from '@elder-node/protocol'
import type { BuildEvent, BuildRequest, BuildStatus, CandidateExplanation, DeviceRef, RunningBuild } from '../../api.ts'
import type { PrivateFiles } from '../../ports/files.ts'
import type { Clock, RandomBytes } from '../../ports/host.ts'
import type { Logger } from '../../ports/log.ts'
import type { FrameStream, Mesh } from '../../ports/mesh.ts'
import type { OutputWriter, Snapshot, SourceReader } from '../../ports/source.ts'
import type { ResourceService } from '../resources.ts'
import type { BuildHost } from './build-host.ts'
import { BuildRun, listRefusals, type ResultEvent, type RunHooks } from './build-run.ts'
import { loopback } from './loopback.ts'
import { electBuilder, type ElectionResult } from './ranking.ts'
import { readRecipe } from './recipe.ts'
import { askForSource, sendSource } from './source-send.ts'
import { BuildStore, type PastBuild } from './store.ts'

export interface BuildsComponents {
  mesh: Mesh
  /** This device's own builder: a build here takes the same way as any other. */
  host: BuildHost
  resources: ResourceService
  reader: SourceReader
  writer: OutputWriter
  files: PrivateFiles
  crypto: Crypto
  clock: Clock
  randomBytes: RandomBytes
  /** Name or id prefix to device. @throws ElderError `NO_SUCH_DEVICE` | `AMBIGUOUS` */
  resolve: (device: string) => DeviceId
  ref: (device: DeviceId) => DeviceRef
  log: Logger
}

export interface BuildsInit {
  /** Share of builds that try a builder unused for 10 min (`election.explore`). @default 0.02 */
  explore?: number
  /** How long to wait for adverts before "no candidate", ms. @default 3_000 */
  settleMs?: number
}

const RUNS_KEPT = 50
const BUSY_MEMORY_MS = 10_000
const ASK_MS = 10_000
const LOOKUP_MS = 500

export class Builds {
  readonly #components: BuildsComponents
  readonly #init: BuildsInit
  readonly #runs = new Map<string, BuildRun>()
  readonly #store: BuildStore
  readonly #history = new History()
  #busyMs = -Infinity

  constructor (components: BuildsComponents, init: BuildsInit = {}) {
    this.#components = components
    this.#init = init
    this.#store = new BuildStore(components.files)
    for (const build of this.#store.builds) for (const past of build.past) this.#history.record(past)
  }

  /** Takes the snapshot, then elects and runs. @throws ElderError when the request or the source is not valid; never for what happens later. */
  async build (request: BuildRequest, options: { signal?: AbortSignal } = {}): Promise<RunningBuild> {
    const { reader, randomBytes, clock, resources } = this.#components
    const signal = options.signal ?? new AbortController().signal
    const on = request.on === undefined ? null : this.#components.resolve(request.on)
    const snapshot = await reader.snapshot(request.source ?? '.', { signal })
    const recipe = await readRecipe(reader, snapshot, request)
    const spec = makeSpec(toBase32(randomBytes(16)) as BuildId, request, snapshot, recipe)
    const needs: Needs = { ...recipe, sealed: false, local: request.local ?? 'auto', on }
    const localFallback = needs.local === 'auto' && on === null && resources.slots > 0
    const run = new BuildRun(this.#hooks(needs, spec, signal), { spec, snapshot, request, exclusive: false, localFallback, startedWallMs: clock.wallMs() })
    this.#remember(run)
    if (request.dryRun === true) void this.#explain(run, needs, spec, signal)
    else if (on !== null && !this.#online(on)) run.refused({ code: 'OFFLINE', message: `${this.#components.ref(on).name} is offline`, fix: 'Wait until `elder-node status` shows it online, or leave out --on.' })
    else run.start()
    signal.addEventListener('abort', () => { run.cancel() }, { once: true })
    if (signal.aborted) run.cancel()
    return { id: run.id, events: run.log, result: run.result, cancel: async () => { run.cancel() } }
  }

  list (): BuildStatus[] {
    const live = [...this.#runs.values()].map(run => this.#status(run))
    const known = new Set(live.map(status => status.id))
    return [...this.#store.builds.map(build => build.status).filter(status => !known.has(status.id)), ...live]
  }

  /** @throws ElderError `NO_SUCH_BUILD` | `AMBIGUOUS` */
  async events (id: string, options: { signal?: AbortSignal } = {}): Promise<AsyncIterable<BuildEvent>> {
    const run = this.#runs.get(this.#find(id))
    if (run === undefined) return replay([this.#past(id).result])
    return options.signal === undefined ? run.log : until(run.log, options.signal)
  }

  async cancel (id: string): Promise<void> { this.#runs.get(this.#find(id))?.cancel() }

  async why (id: string): Promise<{ build: string, candidates: CandidateExplanation[], why: string, attempts: Array<{ attempt: number, builder: DeviceRef, outcome: string }> }> {
    const run = this.#runs.get(this.#find(id))
    if (run !== undefined) return { build: run.id, candidates: run.elected.candidates, why: run.elected.why, attempts: run.attempts() }
    const { status, candidates, why, attempts } = this.#past(id)
    return { build: status.id, candidates, why, attempts }
  }

  /** Answers a builder that holds a slot for one of our reservations. */
  onBind (from: DeviceId, word: Extract<ClaimWord, { type: 'bind' }>): ClaimWord {
    return this.#runs.get(word.build)?.onWord(from, word) ?? strayAnswer(word) as ClaimWord
  }

  /** Cancels what runs. Never rejects. */
  async stop (): Promise<void> {
    for (const run of this.#runs.values()) run.cancel()
    await Promise.allSettled([...this.#runs.values()].map(run => run.result))
  }

  #hooks (needs: Needs, spec: BuildSpec, signal: AbortSignal): RunHooks {
    const { reader, writer, crypto, clock, ref, resources } = this.#components
    return {
      reader, writer, crypto, clock, ref,
      elect: localOnly => this.#elect(localOnly ? { ...needs, local: 'only' } : needs, spec, signal),
      ask: (to, word) => this.#ask(to, word),
      open: (to, openSignal) => this.#open(to, openSignal),
      busy: (device, queue, expectedWaitS) => {
        this.#busyMs = clock.monotonicMs()
        resources.table.busy(device, queue, expectedWaitS)
      },
      prefetch: (to, snapshot) => this.#prefetch(to, snapshot),
      attempted: (device, ok, runS) => { this.#attempted(spec, device, ok, runS) },
    }
  }

  /** Ranks; when nobody passes waits for adverts, then asks the directory. */
  async #elect (needs: Needs, spec: BuildSpec, signal: AbortSignal): Promise<ElectionResult> {
    const { resources, clock } = this.#components
    const until = clock.monotonicMs() + (this.#init.settleMs ?? 3_000)
    const wait = AbortSignal.any([signal, AbortSignal.timeout(this.#init.settleMs ?? 3_000)])
    let elected = this.#rank(needs, spec)
    while (elected.order.length === 0 && !wait.aborted && clock.monotonicMs() < until && this.#missesAdverts()) {
      await resources.nextAdvert(wait)
      elected = this.#rank(needs, spec)
    }
    if (elected.order.length > 0 || needs.local === 'only' || signal.aborted) return elected
    const quick = AbortSignal.any([signal, AbortSignal.timeout(LOOKUP_MS)])
    await resources.lookUp(quick)
    await Promise.allSettled(resources.known().filter(known => !known.online).map(known => this.#components.mesh.probe(known.device, { signal: quick })))
    return this.#rank(needs, spec)
  }

  #missesAdverts (): boolean { return this.#components.resources.known().some(known => known.online && known.advert === undefined) }

  #rank (needs: Needs, spec: BuildSpec): ElectionResult {
    const { mesh, resources, clock, ref, randomBytes } = this.#components
    const peers = new Map(mesh.peers().map(peer => [peer.device, peer]))
    const known: Known[] = resources.known()
    return electBuilder({
      known, needs, project: spec.source.project, command: commandText(spec), history: this.#history, nowMs: clock.wallMs(), ref,
      rttMs: device => peers.get(device)?.rttMs, relayed: device => peers.get(device)?.path === 'relay',
      context: { recentBusy: clock.monotonicMs() - this.#busyMs < BUSY_MEMORY_MS, explore: this.#init.explore ?? 0.02, random: () => (randomBytes(1)[0] as number) / 256 },
    })
  }

  async #ask (to: DeviceId, word: ClaimWord): Promise<ClaimWord> {
    const { mesh, host } = this.#components
    if (to === mesh.self) return host.onWord(to, word)
    return parseClaimWord(await mesh.request(to, 'claim', word, { signal: AbortSignal.timeout(ASK_MS) }))
  }

  async #open (to: DeviceId, signal: AbortSignal): Promise<FrameStream> {
    const { mesh, host } = this.#components
    if (to !== mesh.self) return await mesh.openStream(to, 'build', { signal })
    const [ours, theirs] = loopback(to)
    void host.onStream(theirs).then(() => theirs.close(), error => { theirs.abort(error as Error) })
    return ours
  }

  async #prefetch (to: DeviceId, snapshot: Snapshot): Promise<void> {
    const signal = AbortSignal.timeout(600_000)
    const stream = await this.#open(to, signal)
    await stream.send(encodeFrame({ type: 'prefetch', project: snapshot.project, commit: snapshot.commit }))
    await askForSource(stream, snapshot)
    for await (const bytes of stream) {
      const frame = decodeBuilderFrame(bytes)
      if (frame.type === 'have') await sendSource(stream, this.#components.reader, snapshot, frame, signal)
      if (frame.type === 'source-ready') return await stream.close()
    }
  }

  #attempted (spec: BuildSpec, device: DeviceId, ok: boolean, runS: number | null): void {
    this.#history.record({ device, project: spec.source.project, command: commandText(spec), ok, runS, atMs: this.#components.clock.wallMs() })
  }

  async #explain (run: BuildRun, needs: Needs, spec: BuildSpec, signal: AbortSignal): Promise<void> {
    run.elected = await this.#elect(needs, spec, signal)
    const first = run.elected.order[0]
    if (first === undefined) return run.refused({ code: 'NO_CANDIDATE', message: `no builder would take the build: ${listRefusals(run.elected.candidates)}`, fix: 'Start a builder, or allow this device with --local auto.' })
    run.explained(first.device)
  }

  #online (device: DeviceId): boolean {
    const { mesh } = this.#components
    return device === mesh.self || mesh.peers().some(peer => peer.device === device)
  }

  #remember (run: BuildRun): void {
    this.#runs.set(run.id, run)
    void run.result.then(result => { this.#keep(run, result) }).catch(error => { this.#components.log.warn({ error: (error as Error).message }, 'build history not written') })
  }

  #keep (run: BuildRun, result: ResultEvent): void {
    const finished = [...this.#runs.values()].filter(other => other.log.ended)
    for (const old of finished.slice(0, Math.max(0, finished.length - RUNS_KEPT))) this.#runs.delete(old.id)
    if (run.init.request.dryRun === true) return
    const runMs = result.timings['runMs']
    const device = run.acceptedFrom
    const { project } = run.init.spec.source
    const past = device === undefined ? [] : [{ device, project, command: commandText(run.init.spec), ok: true, runS: runMs === undefined ? null : runMs / 1000, atMs: this.#components.clock.wallMs() }]
    this.#store.add({ status: this.#status(run), why: run.elected.why, candidates: run.elected.candidates, attempts: run.attempts(), result, past })
  }

  #status (run: BuildRun): BuildStatus {
    const result = run.log.events.at(-1)
    const exitCode = result?.event === 'result' ? result.exitCode : null
    const state = result?.event === 'result' ? result.state : run.state
    const { mesh, ref } = this.#components
    return { id: run.id, state, builder: run.builder, attempt: run.attempt, startedAt: new Date(run.init.startedWallMs).toISOString(), command: run.init.spec.command, exitCode, requester: ref(mesh.self) }
  }

  #find (id: string): string {
    const all = this.list().map(status => status.id)
    const found = all.includes(id) ? [id] : all.filter(other => id.length >= 4 && other.startsWith(id))
    if (found.length === 1) return found[0] as string
    if (found.length > 1) throw new ElderError('AMBIGUOUS', `"${id}" begins ${found.length} builds`, 'Give more characters.')
    throw new ElderError('NO_SUCH_BUILD', `no build "${id}" is known on this device`, 'See `elder-node builds`.')
  }

  #past (id: string): PastBuild {
    const found = this.#find(id)
    return this.#store.builds.find(build => build.status.id === found) as PastBuild
  }
}

function makeSpec (build: BuildId, request: BuildRequest, snapshot: Snapshot, recipe: Awaited<ReturnType<typeof readRecipe>>): BuildSpec {
  const spec = {
    build, source: { commit: snapshot.commit, project: snapshot.project, cwd: snapshot.cwd }, command: request.command, prepare: recipe.prepare, outputs: recipe.outputs,
    env: request.env ?? {}, memoryBytes: recipe.memoryBytes, cpus: recipe.cpus, deadlineMs: request.deadlineMs ?? null, sealed: false, image: recipe.image,
    agent: request.agent ?? null, traceparent: null,
  }
  return parseSpec(spec as unknown as Value)
}

function commandText (spec: BuildSpec): string { return spec.command.join(' ').slice(0, 512) }

async function * replay (events: BuildEvent[]): AsyncGenerator<BuildEvent> { yield * events }

async function * until (events: AsyncIterable<BuildEvent>, signal: AbortSignal): AsyncGenerator<BuildEvent> {
  const stopped = new Promise<undefined>(resolve => { signal.addEventListener('abort', () => { resolve(undefined) }, { once: true }) })
  const iterator = events[Symbol.asyncIterator]()
  while (!signal.aborted) {
    const next = await Promise.race([iterator.next(), stopped])
    if (next === undefined || next.done === true) return
    yield next.value
  }
}
