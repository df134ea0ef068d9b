/**
 * Keeps every stack's copy on its git remotes: a loop per remote, one pusher per stack, restore from a remote alone.
 *
 * A remote that fails costs nothing but its own copy: notes are in their feeds before this service hears of them.
 */
import { redact, restoreMirror, type RestoredMirror } from '@elder-node/crdt-stack/mirror'
import { ElderError, LIMITS } from '@elder-node/protocol'
import type { MirrorStatus, Problem, StackProof } from '../api.ts'
import { loadMemory, NEVER, saveMemory, type RemoteMemory, type StackState } from './mirror/memory.ts'
import { RemoteLoop } from './mirror/remote-loop.ts'
import type { MirrorComponents, MirrorServiceInit } from './mirror/types.ts'

export type { MirrorComponents, MirrorRemote, MirrorServiceInit, MirrorSource } from './mirror/types.ts'

export type RemoteProof = StackProof['remotes'][number]
export interface SyncReport { stack: string, url: string, ok: boolean, commit: string | null, message: string | null }

export class MirrorService {
  readonly #parts: MirrorComponents
  readonly #init: Required<MirrorServiceInit>
  readonly #memory: Map<string, RemoteMemory>
  /** By URL as it was given. */
  readonly #loops = new Map<string, RemoteLoop>()
  readonly #ending = new Set<Promise<void>>()
  #unsubscribe: Array<() => void> = []

  constructor (components: MirrorComponents, init: MirrorServiceInit = {}) {
    this.#parts = components
    this.#init = { idleMs: 30_000, busyMs: 300_000, pullMs: 60_000, flushMs: 10_000, passMs: 300_000, failingAfterMs: 600_000, ...init }
    this.#memory = loadMemory(components.files)
  }

  start (): void {
    const { source } = this.#parts
    this.#unsubscribe = [
      source.onChanged(key => { for (const loop of this.#loops.values()) loop.changed(key) }),
      source.onRemotesChanged(() => { this.#adjust() }),
    ]
    this.#adjust()
  }

  /** Flushes within `flushMs`; never rejects. */
  async stop (): Promise<void> {
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe()
    const signal = AbortSignal.timeout(this.#init.flushMs)
    const loops = [...this.#loops.values()]
    this.#loops.clear()
    await Promise.allSettled([...loops.map(loop => loop.stop(signal)), ...this.#ending])
  }

  /** How the mirrors of a stack stand; `key` is its name, `<name>@<mesh>` when archived, or `--all` for the remotes of every stack. */
  status (key: string): MirrorStatus[] {
    return [...this.#loops.values()].filter(loop => loop.covers(key)).map(loop => ({ url: loop.url, ...loop.stateOf(key) }))
  }

  /** How one remote of a stack stands; `url` as it was given. */
  remoteStatus (key: string, url: string): StackState {
    const { state, lastPush, message } = this.status(key).find(mirror => mirror.url === redact(url)) ?? NEVER
    return { state, lastPush, message }
  }

  problems (): Problem[] { return [...this.#loops.values()].flatMap(loop => loop.problems.map(({ code, message, fix }) => ({ code, message, fix }))) }

  /**
   * Pulls and pushes now, whoever is the elected pusher. One row per stack and remote; a remote that fails is
   * a row that is not `ok`. A rewritten history that was reported before is accepted as it is.
   *
   * @throws ElderError `NO_REMOTE` when there is nothing to sync with.
   */
  async sync (key?: string, { signal = new AbortController().signal }: { signal?: AbortSignal } = {}): Promise<SyncReport[]> {
    const loops = [...this.#loops.values()].filter(loop => key === undefined || loop.covers(key))
    if (loops.length === 0) throw new ElderError('NO_REMOTE', key === undefined ? 'no stack has a remote' : `the stack ${key} has no remote`, `Add one with: elder-node stack remote add ${key ?? '--all'} <git url>`)
    const rows = await Promise.all(loops.map(async loop => {
      // Only what a person was told of can be accepted: the first sync after a rewrite says so, the next one goes on.
      const acceptRewrite = loop.problems.some(problem => problem.code === 'MIRROR_REWRITTEN')
      const commit = await loop.pass({ push: 'all', acceptRewrite, signal })
      return loop.stacks().filter(stack => stack.gone?.() !== true && (key === undefined || stack.key === key)).map(stack => {
        const { state, message } = loop.outcomeOf(stack.key)
        return { stack: stack.key, url: loop.url, ok: state === 'ok' && message === null, commit: commit ?? null, message }
      })
    }))
    return rows.flat()
  }

  /** What each remote of a stack holds of it, read there now. Never rejects. */
  async inspect (key: string, { signal }: { signal: AbortSignal }): Promise<RemoteProof[]> {
    return await Promise.all([...this.#loops.values()].filter(loop => loop.covers(key)).map(loop => loop.inspect(key, signal)))
  }

  /**
   * Reads a mirror from its remote alone and verifies it; changes nothing here. The stacks service imports what it returns.
   *
   * @throws ElderError `MIRROR_EMPTY`, `MIRROR_NEWER`, `MIRROR_OLDER`, `GIT_UNREACHABLE`, `GIT_AUTH`
   */
  async restore (url: string, { signal }: { signal: AbortSignal }): Promise<RestoredMirror> {
    const { openGit, crypto, membership, log } = this.#parts
    const git = await openGit(url, { signal, scratch: true })
    try {
      const mirror = await restoreMirror({ git, crypto, verifyRoster: (records, mesh) => membership.verify(records, mesh) }, { signal })
      const { quarantined } = mirror
      for (const { path, why } of quarantined.slice(0, LIMITS.mirrorProblemsMax)) log.warn({ url: redact(url), path }, `restore: skipped: ${why}`)
      if (quarantined.length > LIMITS.mirrorProblemsMax) log.warn({ url: redact(url), files: quarantined.length }, 'restore: skipped that many files in all')
      return mirror
    } finally {
      await git.close()
    }
  }

  /** One loop per URL, whatever number of stacks it holds: a remote has one branch. */
  #adjust (): void {
    const wanted = Map.groupBy(this.#parts.source.remotes(), remote => remote.url)
    for (const [url, loop] of this.#loops) {
      if (wanted.has(url)) continue
      this.#loops.delete(url)
      const ending = loop.stop(AbortSignal.abort()).finally(() => { this.#ending.delete(ending) })
      this.#ending.add(ending)
    }
    for (const [url, remotes] of wanted) {
      const loop = this.#loops.get(url) ?? this.#loop(url)
      this.#loops.set(url, loop)
      loop.cover(new Set(remotes.map(remote => remote.stack)), remotes.every(({ scope }) => scope === 'device'))
    }
  }

  #loop (url: string): RemoteLoop {
    const key = redact(url)
    const memory = this.#memory.get(key) ?? { tips: { lastTip: undefined, verifiedTip: undefined }, stacks: {} }
    this.#memory.set(key, memory)
    return new RemoteLoop(url, memory, () => { saveMemory(this.#parts.files, this.#memory) }, this.#parts, this.#init)
  }
}
