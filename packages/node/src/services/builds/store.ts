/** What past builds leave on disk: one JSON line each, bounded. */
import type { Past } from '@elder-node/protocol'
import type { BuildExplanation, BuildStatus } from '../../api.ts'
import type { PrivateFiles } from '../../ports/files.ts'
import type { ResultEvent } from './outcome.ts'

export interface PastBuild extends Omit<BuildExplanation, 'build'> {
  status: BuildStatus
  result: ResultEvent
  past: Past[]
}

const FILE = 'builds.jsonl'
const KEPT = 200
const OUTPUTS_KEPT = 1000

export class BuildStore {
  readonly #files: PrivateFiles
  readonly #builds: PastBuild[]
  #lines: number

  constructor (files: PrivateFiles) {
    this.#files = files
    const lines = new TextDecoder().decode(files.read(FILE) ?? new Uint8Array()).split('\n').filter(line => line !== '')
    this.#builds = lines.slice(-KEPT).flatMap(parse)
    this.#lines = lines.length
  }

  get builds (): readonly PastBuild[] { return this.#builds }

  add (build: PastBuild): void {
    const kept = { ...build, result: { ...build.result, outputs: build.result.outputs.slice(0, OUTPUTS_KEPT) } }
    this.#builds.push(kept)
    if (this.#builds.length > KEPT) this.#builds.shift()
    this.#lines++
    if (this.#lines <= 2 * KEPT) return this.#files.append(FILE, line(kept))
    this.#files.replace(FILE, new TextEncoder().encode(this.#builds.map(b => `${JSON.stringify(b)}\n`).join('')))
    this.#lines = this.#builds.length
  }
}

function line (build: PastBuild): Uint8Array { return new TextEncoder().encode(`${JSON.stringify(build)}\n`) }

/** A torn or foreign line is a lost memory, not an error. */
function parse (text: string): PastBuild[] {
  try {
    const value = JSON.parse(text) as PastBuild
    return typeof value.status?.id === 'string' && value.result?.event === 'result' && Array.isArray(value.past) ? [value] : []
  } catch {
    return []
  }
}
