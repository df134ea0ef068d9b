/**
 * One remote: when to look at it, when to push which stack, and how each stack's mirror stands.
 *
 *   change -> dirty -> (elected: 30 s idle, 5 min busy | not elected: two pulls) -> pass -> covered -> clean
 *                                                     pass fails -> behind -> next pull tries again
 */
import { inspectMirror, MirrorSync, redact, type GitMirror, type MirroredStack, type MirrorProblem, type SyncResult } from '@elder-node/crdt-stack/mirror'
import { codeOf } from '@elder-node/protocol'
import { setTimeout as sleep } from 'node:timers/promises'
import { after } from '../../timers.ts'
import { electPusher } from './elect.ts'
import { NEVER, worstOf, type RemoteMemory, type StackState } from './memory.ts'
import type { StackProof } from '../../api.ts'
import type { MirrorComponents, MirrorServiceInit } from './types.ts'

interface Dirty { firstMs: number, lastMs: number }
export interface PassOptions { push: 'due' | 'all', acceptRewrite?: boolean, signal: AbortSignal }

/** These need a person: nothing is pushed until then. */
const STOPS = new Set<MirrorProblem['code']>(['MIRROR_REWRITTEN', 'MIRROR_FOREIGN', 'MIRROR_NEWER', 'MIRROR_OLDER'])
/** Trying these again costs this device as much as the first time: each time it waits twice as long. */
const COSTLY = new Set(['MIRROR_TOO_LARGE', 'DISK_FULL'])
const COSTLY_WAIT_MS_MAX = 21_600_000

export class RemoteLoop {
  readonly url: string
  readonly #secretUrl: string
  readonly #parts: MirrorComponents
  readonly #init: Required<MirrorServiceInit>
  readonly #memory: RemoteMemory
  readonly #save: () => void
  readonly #dirty = new Map<string, Dirty>()
  /** By a pass of this run: whoever ended in the middle of a change remembers nothing of it. */
  readonly #covered = new Set<string>()
  readonly #ended = new AbortController()
  /** Names of the stacks mirrored here; `--all` among them for every one. */
  #names = new Set<string>()
  /** No other device knows of it. */
  #isOurs = false
  #git: GitMirror | undefined
  #sync: MirrorSync | undefined
  #queue: Promise<unknown> = Promise.resolve()
  /** How many passes run now or wait for the one that runs. */
  #passes = 0
  #timer: NodeJS.Timeout | undefined
  #pullAtMs = 0
  /** Passes that no person asked for keep a distance. */
  #notBeforeMs = 0
  #problems: MirrorProblem[] = []
  /** {@link COSTLY} failures in a row. */
  #costly = 0

  constructor (url: string, memory: RemoteMemory, save: () => void, components: MirrorComponents, init: Required<MirrorServiceInit>) {
    this.#secretUrl = url
    this.url = redact(url)
    this.#memory = memory
    this.#save = save
    this.#parts = components
    this.#init = init
  }

  get problems (): MirrorProblem[] { return this.#problems }

  covers (key: string): boolean { return this.#names.has(key) || this.#names.has('--all') }

  stacks (): MirroredStack[] { return this.#parts.source.stacks().filter(stack => this.covers(stack.key)) }

  /** Of `--all`: the worst of its stacks, with the latest push. What no pass of this run has covered since it changed is not `ok`. */
  stateOf (key: string): StackState {
    if (key === '--all') return worstOf(this.stacks().map(stack => this.stateOf(stack.key)))
    const state = this.outcomeOf(key)
    return state.state === 'ok' && (this.#dirty.has(key) || !this.#covered.has(key)) ? { ...state, state: 'behind' } : state
  }

  /** What the last pass over a stack came to. */
  outcomeOf (key: string): StackState { return this.#memory.stacks[key] ?? NEVER }

  /** Begins, or learns that other stacks are mirrored here now. */
  cover (names: Set<string>, isOurs = false): void {
    this.#names = names
    this.#isOurs = isOurs
    for (const stack of this.stacks()) if (this.outcomeOf(stack.key).state !== 'ok') this.changed(stack.key)
    this.#schedule()
  }

  changed (key: string): void {
    if (!this.covers(key)) return
    const now = this.#now()
    this.#dirty.set(key, { firstMs: this.#dirty.get(key)?.firstMs ?? now, lastMs: now })
    this.#schedule()
  }

  /** One pass after those under way. Never rejects: the outcome stands in {@link stateOf}. Returns the remote's tip. */
  pass (options: PassOptions): Promise<string | undefined> {
    this.#passes++
    clearTimeout(this.#timer)
    const run = this.#queue.then(() => this.#pass(options)).finally(() => {
      this.#passes--
      this.#schedule()
    })
    this.#queue = run
    return run
  }

  /** What the remote holds of one stack, read and verified there, after the passes under way. Never rejects. */
  inspect (key: string, signal: AbortSignal): Promise<StackProof['remotes'][number]> {
    const run = this.#queue.then(() => this.#inspect(key, signal))
    this.#queue = run
    return run
  }

  async #inspect (key: string, signal: AbortSignal): Promise<StackProof['remotes'][number]> {
    const { url } = this
    try {
      const limit = AbortSignal.any([signal, this.#ended.signal, AbortSignal.timeout(this.#init.passMs)])
      limit.throwIfAborted()
      const { crypto, membership, source, openGit } = this.#parts
      const stack = source.stacks().find(one => one.key === key)
      this.#git ??= await openGit(this.#secretUrl, { signal: limit })
      const { commit, lacks, bad } = await inspectMirror({ key, windows: () => stack?.windows() ?? [], path: want => stack?.path(want) ?? [] }, { git: this.#git, crypto, verifyRoster: (records, mesh) => membership.verify(records, mesh) }, { signal: limit })
      const [first] = bad
      return { url, state: first !== undefined ? 'damaged' : lacks > 0 ? 'behind' : 'same', commit, lacks, message: first === undefined ? null : `${first.path}: ${first.why}` }
    } catch (error) {
      // A remote to which nothing was pushed yet has no mirror: behind, not broken.
      return { url, state: codeOf(error) === 'MIRROR_EMPTY' ? 'behind' : 'unreachable', commit: null, lacks: null, message: (error as Error).message }
    }
  }

  /** Pushes what is dirty, within the signal's time, and ends. */
  async stop (signal: AbortSignal): Promise<void> {
    const end = (): void => { this.#ended.abort(new Error('the mirror stops')) }
    // The pass under way, too, has no longer than that.
    if (signal.aborted || this.#dirty.size === 0) end()
    else signal.addEventListener('abort', end, { once: true })
    await this.pass({ push: 'all', signal })
    end()
    clearTimeout(this.#timer)
    await this.#git?.close()
  }

  async #pass ({ push, acceptRewrite = false, signal }: PassOptions): Promise<string | undefined> {
    const limit = AbortSignal.any([signal, this.#ended.signal, AbortSignal.timeout(this.#init.passMs)])
    const stacks = this.stacks()
    const before = new Map(this.#dirty)
    let tip: string | undefined
    try {
      limit.throwIfAborted()
      const sync = await this.#open(limit)
      const result = await sync.sync(stacks, { signal: limit, acceptRewrite, push: (stack, lacks) => push === 'all' || this.#mayPush(stack.key, lacks) })
      this.#costly = 0
      this.#record(result, before)
      tip = result.tip
    } catch (error) {
      this.#costly = COSTLY.has(codeOf(error) ?? '') ? this.#costly + 1 : 0
      if (!this.#ended.signal.aborted) this.#failed(error, stacks)
    }
    this.#notBeforeMs = this.#now() + this.#init.idleMs
    const pullMs = this.#costly === 0 ? this.#init.pullMs : Math.max(this.#init.pullMs, Math.min(COSTLY_WAIT_MS_MAX, this.#init.pullMs * 2 ** this.#costly))
    this.#pullAtMs = this.#now() + pullMs * (0.9 + 0.2 * this.#parts.random())
    return tip
  }

  async #open (signal: AbortSignal): Promise<MirrorSync> {
    this.#git ??= await this.#parts.openGit(this.#secretUrl, { signal })
    const { crypto, clock, membership, source, random } = this.#parts
    this.#sync ??= new MirrorSync({
      git: this.#git, crypto, random, wallMs: () => clock.wallMs(), roster: membership,
      sleep: async (ms, signal) => { await sleep(ms, undefined, { signal }) },
      adopt: async (key, author) => this.#names.has('--all') ? await source.adopt?.(key, author) : undefined,
    }, { mesh: this.#parts.mesh, memory: this.#memory.tips })
    return this.#sync
  }

  #record (result: SyncResult, before: Map<string, Dirty>): void {
    const stop = result.problems.find(problem => STOPS.has(problem.code))
    const told = new Set(this.#problems.map(({ message }) => message))
    this.#problems = result.problems
    for (const { code, message } of result.problems) if (!told.has(message)) this.#parts.log.warn({ url: this.url, code }, `mirror: ${message}`)
    if (this.#sync !== undefined) this.#memory.tips = this.#sync.memory
    const stacks = this.stacks()
    for (const key of this.#dirty.keys()) if (!stacks.some(stack => stack.key === key)) this.#dirty.delete(key)
    for (const stack of stacks) {
      const was = this.outcomeOf(stack.key)
      const covered = result.covered.has(stack.key) && stop === undefined
      // A change during the pass stays dirty.
      if (covered && this.#dirty.get(stack.key) === before.get(stack.key)) this.#dirty.delete(stack.key)
      if (covered) this.#covered.add(stack.key)
      // The remote lost something: whoever is not elected steps in when the elected device does not.
      if (!covered && stop === undefined && !this.#dirty.has(stack.key)) this.#dirty.set(stack.key, { firstMs: this.#now(), lastMs: this.#now() })
      const newly = covered && (result.pushed || was.state !== 'ok')
      this.#memory.stacks[stack.key] = {
        state: stop !== undefined ? 'failing' : covered ? 'ok' : this.#late(stack.key, was),
        lastPush: newly ? new Date(this.#parts.clock.wallMs()).toISOString() : was.lastPush,
        message: stop?.message ?? null,
        ...(covered ? {} : this.#behind(was)),
      }
    }
    this.#persist()
  }

  #failed (error: unknown, stacks: MirroredStack[]): void {
    const message = (error as Error).message
    this.#parts.log.warn({ url: this.url, code: codeOf(error) }, `mirror: ${message}`)
    for (const stack of stacks) {
      const was = this.outcomeOf(stack.key)
      // Nobody can say what a remote holds that does not answer; only what is not there for sure has a time since when.
      this.#memory.stacks[stack.key] = { ...was, state: this.#late(stack.key, { ...was, state: 'behind' }), message, ...(this.#dirty.has(stack.key) ? this.#behind(was) : {}) }
    }
    this.#persist()
  }

  #behind ({ behindSince }: StackState): { behindSince: string } { return { behindSince: behindSince ?? new Date(this.#parts.clock.wallMs()).toISOString() } }

  #late (key: string, was: StackState): StackState['state'] {
    const since = this.#dirty.get(key)?.firstMs
    if (since !== undefined && this.#now() - since > this.#init.failingAfterMs) return 'failing'
    return was.state === 'never' ? 'never' : 'behind'
  }

  #persist (): void {
    try {
      this.#save()
    } catch (error) {
      this.#parts.log.warn({ url: this.url, code: codeOf(error) }, 'mirror: its state could not be saved')
    }
  }

  /** A change of ours waits until it is due; what the remote has lost without one, the elected device brings back at once. */
  #mayPush (key: string, lacks: boolean): boolean {
    return this.#dirty.has(key) ? this.#now() >= this.#dueMs(key) : lacks && this.#isElected(key)
  }

  #isElected (key: string): boolean {
    const { self, livePeers, crypto } = this.#parts
    return this.#isOurs || electPusher(key, this.url, [self, ...livePeers()], crypto) === self
  }

  #dueMs (key: string): number {
    const dirty = this.#dirty.get(key)
    if (dirty === undefined) return Infinity
    return this.#isElected(key) ? Math.min(dirty.lastMs + this.#init.idleMs, dirty.firstMs + this.#init.busyMs) : dirty.firstMs + 2 * this.#init.pullMs + this.#init.idleMs
  }

  #schedule (): void {
    clearTimeout(this.#timer)
    // The pass under way plans the next one when it ends. A pass for each change meanwhile would ask a remote that hangs
    // again and again.
    if (this.#ended.signal.aborted || this.#passes > 0) return
    const dueMs = Math.min(this.#pullAtMs, ...[...this.#dirty.keys()].map(key => this.#dueMs(key)))
    // What failed waits for the next pull: a due stack alone must not make a busy loop.
    const atMs = this.#lastFailed() ? this.#pullAtMs : dueMs
    const waitMs = Math.max(0, Math.max(atMs, this.#notBeforeMs) - this.#now())
    this.#timer = after(waitMs, () => this.pass({ push: 'due', signal: this.#ended.signal }), error => {
      this.#parts.log.warn({ url: this.url, code: codeOf(error) }, 'mirror: a pass failed')
    })
  }

  #lastFailed (): boolean { return [...this.#dirty.keys()].some(key => this.outcomeOf(key).message !== null) }

  #now (): number { return this.#parts.clock.monotonicMs() }
}
