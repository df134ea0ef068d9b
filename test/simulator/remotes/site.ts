/** A git remote that falls ill, and git as one life of a device sees it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ElderError } from '@elder-node/protocol'
import type { Commit, GitOptions } from '@elder-node/crdt-stack/mirror'
import { MemoryGit, MemoryRemote } from '../mirror/memory-git.ts'
import type { Illness } from './plan.ts'

const NOTE = /^stacks\/[^/]+\/entries\/note\/([^/]+)\.md$/
/** What a remote sends before its bound is met. */
const FLOOD_MS = 20_000

export class Site {
  readonly url: string
  readonly remote = new MemoryRemote()
  illness: Illness | undefined
  /** Since when it is well; while it is not, since when it is ill. */
  sinceMs = 0
  /** How much later devices come back to it, for what it was ill with. */
  lateMs = 0
  /** When a stranger last deleted something. */
  damagedMs = -Infinity
  /** The notes whose files were there at the last look, by id: since when. */
  notes: ReadonlyMap<string, number> = new Map()
  #tip: Commit | undefined

  constructor (url: string) { this.url = url }

  get isWell (): boolean { return this.illness === undefined }

  look (nowMs: number): void {
    const { tip } = this.remote
    if (this.#tip === tip) return
    this.#tip = tip
    const ids = [...this.remote.files().keys()].flatMap(path => NOTE.exec(path)?.[1] ?? [])
    this.notes = new Map(ids.map(id => [id, this.notes.get(id) ?? nowMs]))
  }
}

/** What the fleet learns of each call over the network. */
export interface Line {
  random: () => number
  isOffline: () => boolean
  /** Called when a call begins; what it returns, when it ends. */
  begun: (call: 'fetch' | 'push') => () => void
}

export class SiteGit extends MemoryGit {
  readonly #site: Site
  readonly #line: Line

  constructor (site: Site, line: Line) {
    super(site.remote)
    this.#site = site
    this.#line = line
  }

  override async fetchTip (options: GitOptions): Promise<Commit | undefined> {
    return await this.#over('fetch', async () => {
      await this.#travel(options.signal)
      return await super.fetchTip(options)
    })
  }

  override async push (commit: Commit, options: GitOptions): Promise<'ok' | 'rejected'> {
    return await this.#over('push', async () => {
      await this.#travel(options.signal)
      const result = await super.push(commit, options)
      // The answer may be lost: what was pushed is there all the same.
      await this.#travel(options.signal)
      return result
    })
  }

  async #over<T> (call: 'fetch' | 'push', act: () => Promise<T>): Promise<T> {
    const ended = this.#line.begun(call)
    try {
      return await act()
    } finally {
      ended()
    }
  }

  async #travel (signal: AbortSignal): Promise<void> {
    const how = this.#line.isOffline() ? 'refuses' : this.#site.illness
    const tookMs = how === 'floods' ? FLOOD_MS : 20 + (how === 'slow' ? 15_000 : 800) * this.#line.random()
    await sleep(how === 'hangs' ? 2 ** 31 : tookMs, undefined, { signal }).catch(() => { throw signal.reason as Error })
    if (how === 'refuses') throw new ElderError('GIT_UNREACHABLE', `${this.url} does not answer`)
    if (how === 'floods') throw new ElderError('MIRROR_TOO_LARGE', `${this.url} sends more than a mirror has`)
  }
}
