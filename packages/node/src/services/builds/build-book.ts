/** The builds this device asked for: those that run, a few that ended, and what the store remembers of the others. */
import { ElderError, LIMITS, type DeviceId, type Past } from '@elder-node/protocol'
import type { BuildEvent, BuildExplanation, BuildStatus, DeviceRef } from '../../api.ts'
import type { PrivateFiles } from '../../ports/files.ts'
import type { Logger } from '../../ports/log.ts'
import type { BuildRun } from './build-run.ts'
import type { ResultEvent } from './outcome.ts'
import { BuildStore, type PastBuild } from './store.ts'

export interface BookComponents { self: DeviceId, ref: (device: DeviceId) => DeviceRef, files: PrivateFiles, log: Logger }

/** Ended builds whose whole log is still here. */
const RUNS_KEPT = 50
/** Of their logs together: 50 that print without end would be 400 MB. */
const LOGS_BYTES_KEPT = 2 * LIMITS.logBytesMax
const PREFIX_CHARS_MIN = 4
/** Of the log of a build, kept on disk. */
const TAIL_CHARS = 4096

export class BuildBook {
  readonly #components: BookComponents
  readonly #runs = new Map<string, BuildRun>()
  readonly #store: BuildStore

  constructor (components: BookComponents) {
    this.#components = components
    this.#store = new BuildStore(components.files)
  }

  /** What earlier lives of this node measured, oldest first. */
  past (): Past[] { return this.#store.builds.flatMap(build => build.past) }

  runs (): BuildRun[] { return [...this.#runs.values()] }

  run (id: string): BuildRun | undefined { return this.#runs.get(id) }

  /** From now on the build is listed; when it has ended it is stored. What is only explained is neither. */
  add (run: BuildRun): void {
    this.#runs.set(run.id, run)
    void run.result.then(result => { this.#keep(run, result) }).catch((error: Error) => { this.#components.log.warn({ error: error.message }, 'build history not written') })
  }

  /** What has begun is told after the end of this node, too. */
  begun (run: BuildRun): void {
    try {
      if (!run.log.ended) this.#store.begin(this.#status(run))
    } catch (error) {
      this.#components.log.warn({ error: (error as Error).message }, 'build history not written')
    }
  }

  list (): BuildStatus[] {
    const live = this.runs().map(run => this.#status(run))
    const known = new Set(live.map(status => status.id))
    return [...this.#store.builds.map(build => build.status).filter(status => !known.has(status.id)), ...live]
  }

  /** A build of this life, or what is left of one of an earlier life. @throws ElderError `NO_SUCH_BUILD` | `AMBIGUOUS` */
  find (id: string): BuildRun | PastBuild {
    const found = this.#fullId(id)
    return this.#runs.get(found) ?? this.#store.builds.find(build => build.status.id === found) as PastBuild
  }

  #fullId (id: string): string {
    const all = this.list().map(status => status.id)
    const found = all.includes(id) ? [id] : all.filter(other => id.length >= PREFIX_CHARS_MIN && other.startsWith(id))
    if (found.length > 1) throw new ElderError('AMBIGUOUS', `"${id}" begins ${found.length} builds`, 'Give more characters.')
    if (found[0] === undefined) throw new ElderError('NO_SUCH_BUILD', `no build "${id}" is known on this device`, 'See `elder-node builds`.')
    return found[0]
  }

  #keep (run: BuildRun, result: ResultEvent): void {
    const ended = this.runs().filter(other => other.log.ended)
    let weight = 0
    // The newest stays, however much it printed: its reader may not have begun.
    for (const [age, old] of ended.toReversed().entries()) {
      weight += old.log.weight
      if (age >= RUNS_KEPT || (age > 0 && weight > LOGS_BYTES_KEPT)) this.#runs.delete(old.id)
    }
    if (run.init.request.dryRun === true) return
    const { candidates, why, attempts } = explanationOf(run)
    const running = this.runs().filter(other => !other.log.ended).map(other => this.#status(other))
    this.#store.add({ status: this.#status(run), why, candidates, attempts, result, past: run.past, tail: tailOf(run.log.events) }, running)
  }

  #status (run: BuildRun): BuildStatus {
    const { ref, self } = this.#components
    const last = run.log.last
    const result = last?.event === 'result' ? last : undefined
    const { spec, startedWallMs } = run.init
    return {
      id: run.id, state: result?.state ?? run.state, builder: run.builder, attempt: run.attempt, startedAt: new Date(startedWallMs).toISOString(),
      command: spec.command, exitCode: result?.exitCode ?? null, requester: ref(self),
    }
  }
}

/** The last pieces of the log, a few kilobytes of them. */
function tailOf (events: BuildEvent[]): NonNullable<PastBuild['tail']> {
  const tail: NonNullable<PastBuild['tail']> = []
  let chars = TAIL_CHARS
  for (let i = events.length - 1; i >= 0 && chars > 0; i--) {
    const event = events[i]
    if (event?.event !== 'log') continue
    tail.unshift({ stream: event.stream, data: event.data.slice(-chars) })
    chars -= event.data.length
  }
  return tail
}

export function explanationOf (run: BuildRun): BuildExplanation {
  const last = run.log.last
  return { build: run.id, candidates: run.elected.candidates, why: run.elected.why, attempts: run.attempts(), ...(last?.event === 'result' ? { ended: endOf(last) } : {}) }
}

export function endOf ({ state, exitCode, reason, error }: ResultEvent): NonNullable<BuildExplanation['ended']> {
  return { state, exitCode, reason: reason ?? null, error }
}
