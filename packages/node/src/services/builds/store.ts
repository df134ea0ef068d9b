/**
 * What builds leave on disk, bounded: an entry when one begins and one when it has ended, each JSON. A build that began and never ended was
 * running when this node went down: its builder has ended it since.
 */
import type { Past } from '@elder-node/protocol'
import type { BuildExplanation, BuildStatus } from '../../api.ts'
import type { PrivateFiles } from '../../ports/files.ts'
import type { ResultEvent } from './outcome.ts'

export interface PastBuild extends Omit<BuildExplanation, 'build' | 'ended'> {
  status: BuildStatus
  result: ResultEvent
  past: Past[]
  /** The end of what it printed. */
  tail?: Array<{ stream: 'stdout' | 'stderr', data: string }>
}

interface Begun { begun: BuildStatus }

const FILE = 'builds.log'
const KEPT = 200
const OUTPUTS_KEPT = 1000
const RESTARTED = { code: 'NODE_RESTARTED', message: 'this node went down while the build ran; its builder ended it within 22 s', fix: 'Run it again. A detached build lives as long as the node it was asked of.' }

export class BuildStore {
  readonly #files: PrivateFiles
  readonly #builds: PastBuild[]
  #entries: number
  #isWhole: boolean

  constructor (files: PrivateFiles) {
    this.#files = files
    const log = files.readLog(FILE)
    const entries = log?.entries ?? []
    this.#builds = readAll(entries)
    this.#entries = entries.length
    this.#isWhole = log?.isTorn !== true && log?.isDamaged !== true
  }

  get builds (): readonly PastBuild[] { return this.#builds }

  /** From now on the build is known, whatever happens to this node. */
  begin (status: BuildStatus): void {
    const begun = { begun: status }
    if (this.#isWhole) this.#append(begun)
    else this.#writeAnew([begun])
  }

  /** `running`: the builds that have begun and not ended. */
  add (build: PastBuild, running: BuildStatus[]): void {
    const kept = { ...build, result: { ...build.result, outputs: build.result.outputs.slice(0, OUTPUTS_KEPT) } }
    this.#builds.push(kept)
    while (this.#builds.length > KEPT) this.#builds.shift()
    if (this.#isWhole && this.#entries < 4 * KEPT) this.#append(kept)
    else this.#writeAnew(running.map(status => ({ begun: status })))
  }

  #append (entry: PastBuild | Begun): void {
    this.#files.append(FILE, [bytesOf(entry)])
    this.#entries++
  }

  /** A log that grew long, or that did not read. */
  #writeAnew (running: Begun[]): void {
    this.#files.replaceLog(FILE, [...this.#builds, ...running].map(bytesOf))
    this.#entries = this.#builds.length + running.length
    this.#isWhole = true
  }
}

function bytesOf (value: PastBuild | Begun): Uint8Array { return new TextEncoder().encode(JSON.stringify(value)) }

/** In the order in which they began, as far as that is known. */
function readAll (entries: Uint8Array[]): PastBuild[] {
  const builds = new Map<string, PastBuild>()
  for (const build of entries.flatMap(parse)) builds.set(build.status.id, build)
  const all = [...builds.values()]
  return all.filter((build, i) => i >= all.length - KEPT || build.result.error?.code === RESTARTED.code)
}

function unfinished (begun: BuildStatus): PastBuild {
  const result: ResultEvent = { event: 'result', build: begun.id, state: 'failed', exitCode: 125, builder: begun.builder, attempt: begun.attempt, timings: {}, outputs: [], error: RESTARTED }
  return { status: { ...begun, state: 'failed', exitCode: 125 }, result, past: [], candidates: [], why: RESTARTED.message, attempts: [] }
}

/** A foreign entry is a lost memory, not an error. */
function parse (entry: Uint8Array): PastBuild[] {
  try {
    const value = JSON.parse(new TextDecoder().decode(entry)) as PastBuild & { begun?: BuildStatus }
    if (typeof value.begun?.id === 'string' && Array.isArray(value.begun.command)) return [unfinished(value.begun)]
    return typeof value.status?.id === 'string' && value.result?.event === 'result' && Array.isArray(value.past) ? [value] : []
  } catch {
    return []
  }
}
