/** The requester: `node.build()` and `node.builds.*`. */
import { codeOf, ElderError, isInsideTree, parseSpec, strayAnswer, toBase32, type BuildId, type BuildSpec, type ClaimWord, type Crypto, type DeviceId, type Needs } from '@elder-node/protocol'
import type { BuildEvent, BuildExplanation, BuildRequest, BuildStatus, DeviceRef, RunningBuild } from '../../api.ts'
import type { PrivateFiles } from '../../ports/files.ts'
import type { Clock, RandomBytes } from '../../ports/host.ts'
import type { Logger } from '../../ports/log.ts'
import type { Mesh } from '../../ports/mesh.ts'
import type { OutputWriter, Snapshot, SourceReader } from '../../ports/source.ts'
import type { ResourceService } from '../resources.ts'
import { BuildBook, explanationOf } from './build-book.ts'
import { BuildRun, type RunHooks } from './build-run.ts'
import { Elector, type ElectorInit } from './elector.ts'
import type { BuildLink } from './link.ts'
import { listRefusals } from './outcome.ts'
import { readRecipe, type Recipe } from './recipe.ts'
import { prefetchSource } from './source-send.ts'

export interface BuildsComponents {
  mesh: Mesh
  link: BuildLink
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

const PREFETCH_MS = 600_000

export class Builds {
  readonly #components: BuildsComponents
  readonly #book: BuildBook
  readonly #elector: Elector

  constructor (components: BuildsComponents, init: ElectorInit = {}) {
    this.#components = components
    this.#book = new BuildBook({ ...components, self: components.mesh.self })
    this.#elector = new Elector(components, this.#book.past(), init)
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
    this.#book.add(run)
    cancelOn(signal, run)
    if (request.dryRun === true) this.#explain(run, needs, signal).catch((error: Error) => { run.refused({ code: codeOf(error), message: error.message, fix: '' }) })
    else if (on !== null && !this.#online(on)) run.refused({ code: 'OFFLINE', message: `${this.#components.ref(on).name} is offline`, fix: 'Wait until `elder-node status` shows it online, or leave out --on.' })
    else run.start()
    if (signal.aborted) run.cancel()
    return { id: run.id, events: run.log, result: run.result, cancel: async () => { run.cancel() } }
  }

  list (): BuildStatus[] { return this.#book.list() }

  /** @throws ElderError `NO_SUCH_BUILD` | `AMBIGUOUS` */
  async events (id: string, options: { signal?: AbortSignal } = {}): Promise<AsyncIterable<BuildEvent>> {
    const found = this.#book.find(id)
    if (!(found instanceof BuildRun)) return replay([found.result])
    return options.signal === undefined ? found.log : until(found.log, options.signal)
  }

  /** What has ended stays as it is. @throws ElderError `NO_SUCH_BUILD` | `AMBIGUOUS` */
  async cancel (id: string): Promise<void> {
    const found = this.#book.find(id)
    if (found instanceof BuildRun) found.cancel()
  }

  /** @throws ElderError `NO_SUCH_BUILD` | `AMBIGUOUS` */
  async why (id: string): Promise<BuildExplanation> {
    const found = this.#book.find(id)
    if (found instanceof BuildRun) return explanationOf(found)
    const { status, candidates, why, attempts } = found
    return { build: status.id, candidates, why, attempts }
  }

  /** Answers a builder that holds a slot for one of our reservations. */
  onBind (from: DeviceId, word: Extract<ClaimWord, { type: 'bind' }>): ClaimWord {
    return this.#book.run(word.build)?.onWord(from, word) ?? strayAnswer(word) as ClaimWord
  }

  /** Cancels what runs. Never rejects. */
  async stop (): Promise<void> {
    for (const run of this.#book.runs()) run.cancel()
    await Promise.allSettled(this.#book.runs().map(run => run.result))
  }

  #hooks (needs: Needs, spec: BuildSpec, signal: AbortSignal): RunHooks {
    const { reader, writer, crypto, clock, ref, link } = this.#components
    return {
      reader, writer, crypto, clock, ref,
      elect: localOnly => this.#elector.elect(localOnly ? { ...needs, local: 'only' } : needs, spec, signal),
      ask: (to, word) => link.ask(to, word),
      open: (to, openSignal) => link.open(to, openSignal),
      busy: (device, queue, expectedWaitS) => { this.#elector.busy(device, queue, expectedWaitS) },
      prefetch: async (to, snapshot, ended) => {
        const limit = AbortSignal.any([ended, AbortSignal.timeout(PREFETCH_MS)])
        await prefetchSource(await link.open(to, limit), reader, snapshot, limit)
      },
      attempted: (device, ok, runS) => { this.#elector.attempted(spec, device, ok, runS) },
    }
  }

  async #explain (run: BuildRun, needs: Needs, signal: AbortSignal): Promise<void> {
    run.elected = await this.#elector.elect(needs, run.init.spec, signal)
    const first = run.elected.order[0]
    if (first === undefined) return run.refused({ code: 'NO_CANDIDATE', message: `no builder would take the build: ${listRefusals(run.elected.candidates)}`, fix: 'See `elder-node status`; a device offers build slots with: elder-node join --engine process --slots 1' })
    run.explained(first.device)
  }

  #online (device: DeviceId): boolean {
    const { mesh } = this.#components
    return device === mesh.self || mesh.peers().some(peer => peer.device === device)
  }
}

/** @throws ElderError `BAD_REQUEST`: no builder would take such a spec */
function makeSpec (build: BuildId, request: BuildRequest, snapshot: Snapshot, recipe: Recipe): BuildSpec {
  const outside = recipe.outputs.find(glob => !isInsideTree(glob))
  if (outside !== undefined) throw new ElderError('BAD_REQUEST', `the output ${JSON.stringify(outside.slice(0, 200))} leaves the tree of the build`, 'Give globs relative to the root of the tree: --out "dist/**".')
  try {
    return parseSpec({
      build, source: { commit: snapshot.commit, project: snapshot.project, cwd: snapshot.cwd }, command: request.command, prepare: recipe.prepare, outputs: recipe.outputs,
      env: request.env ?? {}, memoryBytes: recipe.memoryBytes, cpus: recipe.cpus, deadlineMs: request.deadlineMs ?? null, sealed: false, image: recipe.image,
      agent: request.agent ?? null, traceparent: null,
    })
  } catch (error) {
    throw new ElderError('BAD_REQUEST', (error as Error).message, 'Check that part of the command, and of .elder.json.', {}, { cause: error })
  }
}

/** The caller's signal may live much longer than the build. */
function cancelOn (signal: AbortSignal, run: BuildRun): void {
  const cancel = (): void => { run.cancel() }
  signal.addEventListener('abort', cancel, { once: true })
  void run.result.then(() => { signal.removeEventListener('abort', cancel) })
}

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
