/**
 * What builds leave on disk, bounded: a JSON line when one begins and one when it has ended. A build that began and never ended was
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

const FILE = 'builds.jsonl'
const KEPT = 200
const OUTPUTS_KEPT = 1000
const RESTARTED = { code: 'NODE_RESTARTED', message: 'this node went down while the build ran; its builder ended it within 22 s', fix: 'Run it again. A detached build lives as long as the node it was asked of.' }

export class BuildStore {
  readonly #files: PrivateFiles
  readonly #builds: PastBuild[]
  #lines: number

  constructor (files: PrivateFiles) {
    this.#files = files
    const lines = new TextDecoder().decode(files.read(FILE) ?? new Uint8Array()).split('\n').filter(line => line !== '')
    this.#builds = readAll(lines)
    this.#lines = lines.length
  }

  get builds (): readonly PastBuild[] { return this.#builds }

  /** From now on the build is known, whatever happens to this node. */
  begin (status: BuildStatus): void {
    this.#lines++
    this.#files.append(FILE, line({ begun: status }))
  }

  /** `running`: the builds that have begun and not ended. */
  add (build: PastBuild, running: BuildStatus[]): void {
    const kept = { ...build, result: { ...build.result, outputs: build.result.outputs.slice(0, OUTPUTS_KEPT) } }
    this.#builds.push(kept)
    while (this.#builds.length > KEPT) this.#builds.shift()
    this.#lines++
    if (this.#lines <= 4 * KEPT) return this.#files.append(FILE, line(kept))
    this.#files.replace(FILE, new TextEncoder().encode([...this.#builds, ...running.map(begun => ({ begun }))].map(b => `${JSON.stringify(b)}\n`).join('')))
    this.#lines = this.#builds.length + running.length
  }
}

function line (value: PastBuild | { begun: BuildStatus }): Uint8Array { return new TextEncoder().encode(`${JSON.stringify(value)}\n`) }

/** In the order in which they began, as far as that is known. */
function readAll (lines: string[]): PastBuild[] {
  const builds = new Map<string, PastBuild>()
  for (const build of lines.flatMap(parse)) builds.set(build.status.id, build)
  const all = [...builds.values()]
  return all.filter((build, i) => i >= all.length - KEPT || build.result.error?.code === RESTARTED.code)
}

function unfinished (begun: BuildStatus): PastBuild {
  const result: ResultEvent = { event: 'result', build: begun.id, state: 'failed', exitCode: 125, builder: begun.builder, attempt: begun.attempt, timings: {}, outputs: [], error: RESTARTED }
  return { status: { ...begun, state: 'failed', exitCode: 125 }, result, past: [], candidates: [], why: RESTARTED.message, attempts: [] }
}

/** A torn or foreign line is a lost memory, not an error. */
function parse (text: string): PastBuild[] {
  try {
    const value = JSON.parse(text) as PastBuild & { begun?: BuildStatus }
    if (typeof value.begun?.id === 'string' && Array.isArray(value.begun.command)) return [unfinished(value.begun)]
    return typeof value.status?.id === 'string' && value.result?.event === 'result' && Array.isArray(value.past) ? [value] : []
  } catch {
    return []
  }
}
