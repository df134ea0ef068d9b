/** The requester: `node.build()` and `node.builds.*`. */
import { codeOf, formatTraceparent, nextSpan, parseTraceparent, strayAnswer, toBase32, type BuildId, type BuildSpec, type ClaimWord, type Crypto, type DeviceId, type Failure, type Needs } from '@elder-node/protocol'
import type { BuildEvent, BuildExplanation, BuildRequest, BuildStatus, DeviceRef, RunningBuild } from '../../api.ts'
import type { PrivateFiles } from '../../ports/files.ts'
import type { Clock, RandomBytes } from '../../ports/host.ts'
import type { Logger } from '../../ports/log.ts'
import type { Mesh } from '../../ports/mesh.ts'
import type { Metrics } from '../../ports/metrics.ts'
import type { OutputWriter, SourceReader } from '../../ports/source.ts'
import type { ResourceService } from '../resources.ts'
import { timed, watchBuild } from '../telemetry/build-watch.ts'
import { BuildBook, endOf, explanationOf } from './build-book.ts'
import { BuildRun } from './build-run.ts'
import { Elector, type ElectHow, type ElectorInit } from './elector.ts'
import type { BuildLink } from './link.ts'
import { fixFor, listRefusals } from './outcome.ts'
import { isWish, readRecipe } from './recipe.ts'
import type { RunHooks } from './run-init.ts'
import { specOf } from './spec-of.ts'
import { prefetchSource } from './source-send.ts'
import type { PastBuild } from './store.ts'

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
  /** @default not counted */
  metrics?: Metrics
  /** How late this device's event loop was lately, milliseconds. @default 0 */
  lagMs?: () => number
}

const PREFETCH_MS = 600_000
const STOPPED: Failure = { code: 'CANCELLED', message: 'this node was stopped while the build ran, so its builder ended it', fix: 'Start the node again, then the build: elder-node join' }

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
    const { reader, writer, randomBytes, clock, resources } = this.#components
    const signal = options.signal ?? new AbortController().signal
    const on = request.on === undefined ? null : this.#components.resolve(request.on)
    const snapshot = await reader.snapshot(request.source ?? '.', { signal })
    const recipe = await readRecipe(reader, snapshot, request, { signal })
    const traceparent = formatTraceparent(nextSpan(parseTraceparent(request.traceparent), randomBytes))
    const asked = specOf(toBase32(randomBytes(16)) as BuildId, request, snapshot, recipe, traceparent)
    const how = { signal, explore: request.exclusive !== true }
    const { spec, needs, warnings } = await this.#grantWish(asked, { ...asked, platform: recipe.platform, local: request.local ?? 'auto', on }, isWish(recipe), how)
    const localFallback = needs.local === 'auto' && on === null && resources.slots > 0
    const to = spec.outputs.length > 0 ? await writer.resolve(request.to ?? snapshot.root) : snapshot.root
    const looks = (request.outputs ?? []).length > 0 && request.force !== true && request.dryRun !== true
    const present = looks ? writer.present(to, spec.outputs, { signal }) : Promise.resolve(undefined)
    const run = new BuildRun(this.#hooks(needs, spec, how), {
      spec, snapshot, to, present, request, localFallback, startedWallMs: clock.wallMs(), imageFrom: spec.image === null ? null : recipe.imageFrom,
      warnings: [...snapshot.warnings ?? [], ...recipe.warnings, ...warnings],
    })
    this.#book.add(run)
    if (request.dryRun !== true) void watchBuild(run.log, this.#components, clock.monotonicMs())
    cancelOn(signal, run)
    if (request.dryRun === true) this.#explain(run, needs, how).catch((error: Error) => { run.refused({ code: codeOf(error), message: error.message, fix: '' }) })
    else run.start(request.waitMs === undefined ? this.#offline(on) : undefined)
    if (request.dryRun !== true) this.#book.begun(run)
    if (signal.aborted) run.cancel()
    return { id: run.id, events: run.log, result: run.result, cancel: async () => { run.cancel() } }
  }

  list (): BuildStatus[] { return this.#book.list() }

  /** Builds that wait for a slot, each with the devices that would take it. */
  waiting (): Array<{ id: string, candidates: string[] }> {
    return this.#book.runs().filter(run => !run.log.ended && run.state === 'queued')
      .map(run => ({ id: run.id, candidates: run.elected.candidates.filter(({ refused }) => refused === null).map(({ device }) => device.id) }))
  }

  /** @throws ElderError `NO_SUCH_BUILD` | `AMBIGUOUS` */
  async events (id: string, { signal, follow = true }: { signal?: AbortSignal, follow?: boolean } = {}): Promise<AsyncIterable<BuildEvent>> {
    const found = this.#book.find(id)
    if (!(found instanceof BuildRun)) return replay(remembered(found))
    if (!follow) return replay(found.log.events)
    return signal === undefined ? found.log : until(found.log, signal)
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
    const { status, candidates, why, attempts, result } = found
    return { build: status.id, candidates, why, attempts, ended: endOf(result) }
  }

  /** Answers a builder that holds a slot for one of our reservations. */
  onBind (from: DeviceId, word: Extract<ClaimWord, { type: 'bind' }>): ClaimWord {
    return this.#book.run(word.build)?.onWord(from, word) ?? strayAnswer(word) as ClaimWord
  }

  /** Cancels what runs. Never rejects. */
  async stop (): Promise<void> {
    for (const run of this.#book.runs()) run.cancel(STOPPED)
    await Promise.allSettled(this.#book.runs().map(run => run.result))
  }

  /** An image that the project's editor uses is taken where a builder can; where none can, the build goes without it, and says so. */
  async #grantWish (spec: BuildSpec, needs: Needs, wish: boolean, how: ElectHow): Promise<{ spec: BuildSpec, needs: Needs, warnings: string[] }> {
    const without = { spec: { ...spec, image: null }, needs: { ...needs, image: null } }
    const granted = !wish || (await this.#elector.elect(needs, spec, how)).order.length > 0 || (await this.#elector.elect(without.needs, without.spec, how)).order.length === 0
    if (granted) return { spec, needs, warnings: [] }
    return { ...without, warnings: [`the image ${spec.image} of the devcontainer is not used: no builder that could take this build runs images; it runs with what is installed there (--image makes the image a must)`] }
  }

  #hooks (needs: Needs, spec: BuildSpec, how: ElectHow): RunHooks {
    const { reader, writer, crypto, clock, ref, link, resources, mesh } = this.#components
    return {
      failed: error => { this.#components.log.error({ err: error }, 'a build could not go on') },
      self: mesh.self, reader, writer, crypto, clock, ref,
      elect: localOnly => timed(this.#components, 'elder_build_election_seconds', () => this.#elector.elect(localOnly ? { ...needs, local: 'only' } : needs, spec, how)),
      ask: (to, word) => link.ask(to, word),
      open: (to, openSignal) => link.open(to, openSignal),
      busy: (device, queue, expectedWaitS) => { this.#elector.busy(device, queue, expectedWaitS) },
      prefetch: async (to, snapshot, ended) => {
        const limit = AbortSignal.any([ended, AbortSignal.timeout(PREFETCH_MS)])
        await prefetchSource(await link.open(to, limit), reader, snapshot, limit)
      },
      attempted: (device, ok, runS) => this.#elector.attempted(spec, device, ok, runS),
      news: ended => resources.nextAdvert(ended),
      free: () => resources.known().filter(({ online, advert }) => online && (advert?.slots.free ?? 0) > 0).map(({ device }) => device),
      lagMs: this.#components.lagMs ?? (() => 0),
      nobody: () => this.#offline(needs.on),
    }
  }

  async #explain (run: BuildRun, needs: Needs, how: ElectHow): Promise<void> {
    run.elected = await this.#elector.elect(needs, run.init.spec, how)
    const first = run.elected.order[0]
    if (first === undefined) return run.refused(this.#offline(needs.on) ?? { code: 'NO_CANDIDATE', message: `no builder would take the build: ${listRefusals(run.elected.candidates)}`, fix: fixFor(run.elected.candidates) })
    run.explained(first.device)
  }

  /** Undefined while the device is online, or none was asked for. */
  #offline (on: DeviceId | null): Failure | undefined {
    const { mesh, ref } = this.#components
    if (on === null || on === mesh.self || mesh.peers().some(peer => peer.device === on)) return undefined
    return { code: 'OFFLINE', message: `${ref(on).name} is offline`, fix: 'Wait for it with --wait 10m, or leave out --on: `elder-node status` shows who is online.' }
  }
}

/** The caller's signal may live much longer than the build. */
function cancelOn (signal: AbortSignal, run: BuildRun): void {
  const cancel = (): void => { run.cancel() }
  signal.addEventListener('abort', cancel, { once: true })
  void run.result.then(() => { signal.removeEventListener('abort', cancel) })
}

/** What is left of a build of an earlier life of this node. */
function remembered ({ status: { id: build }, result, tail = [] }: PastBuild): BuildEvent[] {
  return [{ event: 'warning', build, message: 'of this build only the end of its log is kept' }, ...tail.map((piece): BuildEvent => ({ event: 'log', build, ...piece })), result]
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
