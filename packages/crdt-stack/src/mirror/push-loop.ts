/**
 * One remote, one pass: fetch the tip, take what is unseen, commit what is missing on that very tip, push without force.
 *
 * A rejected push is not an error: somebody was faster. The commit is dropped, and the pass begins anew from the new tip after
 * a pause with full jitter (Brooker, "Exponential backoff and jitter", 2015). History stays linear and nothing is ever merged.
 */
import { codeOf, ElderError, LIMITS, toHex, utf8, type Crypto, type DeviceId, type StackId } from '@elder-node/protocol'
import type { Change, Commit, GitMirror, GitOptions } from '../git/port.ts'
import { newStacks } from './adopt.ts'
import { missingWindows, originChanges, renderChanges, segmentChanges, spoiledChanges, type Window } from './changes.ts'
import { HEADER_BYTES_MAX, headerBytes, parseHeader, refuseHeader } from './header.ts'
import { HEADER_PATH, rosterPath } from './layout.ts'
import { notTaken, takeSegments, type Taken } from './take.ts'
import { readMirror, seenKey, sortTree, type MirrorTree, type StackTree } from './tree.ts'
import { RENDERER, type MirroredStack, type MirrorHeader, type MirrorProblem, type SyncResult } from './types.ts'

export interface MirrorSyncComponents {
  git: GitMirror
  crypto: Crypto
  /** Milliseconds since 1970, for commit dates. */
  wallMs (): number
  /** Uniform in [0, 1), for the jitter. */
  random (): number
  /** Rejects with the signal's reason. */
  sleep (ms: number, signal: AbortSignal): Promise<void>
  /** Membership records travel with every mirror; what the remote has and we have not is handed to `receive`, unverified. */
  roster?: {
    records (): Uint8Array[]
    receive (records: Uint8Array[]): void
    /** Whether that stack on the remote may be met by a record of that device. @default everybody's */
    mayFound? (device: DeviceId, stack: StackId): boolean
  }
  /** Opens a stack that stands on the remote and is not ours yet; undefined leaves it alone. */
  adopt? (key: string, author: DeviceId): Promise<MirroredStack | undefined>
}

export interface MirrorSyncInit {
  /** Mesh whose mirror this is: another mesh's is never written. */
  mesh: string
  /** Pushes tried in one pass. @default 12 */
  attemptsMax?: number
  /** First pause after a rejection, in milliseconds; doubles each time. @default 50 */
  backoffMs?: number
  /** @default 5000 */
  backoffMsMax?: number
  /** What {@link MirrorSync.memory} said before a restart. */
  memory?: MirrorMemory
}

/** What must outlive the process: with it a rewritten history is noticed and checked segments are not read again. */
export interface MirrorMemory { lastTip: Commit | undefined, verifiedTip: Commit | undefined }

export interface SyncOptions extends GitOptions {
  /**
   * False: take only. `lacks`: the remote does not hold all that it should, be it this stack's records, the membership records or its
   * header; somebody may have deleted them there. @default every stack
   */
  push?: (stack: MirroredStack, lacks: boolean) => boolean
  /** A person said that a rewritten history is to be built upon. @default false */
  acceptRewrite?: boolean
}

interface Pass { tip: Commit | undefined, tree: MirrorTree, header: MirrorHeader | undefined, stacks: MirroredStack[], taken: Map<string, Taken>, result: SyncResult,
  /** Some stack could not be opened or took nothing: another pass may. */
  isShort: boolean }

const NO_TREE: StackTree = { segments: [], junk: [], origin: [], rendered: new Map() }
/** Bytes of one membership record in a mirror: as much as a door takes. */
const ROSTER_BYTES_MAX = LIMITS.doorBytesMax

/** Not for two calls at once: its user keeps one pass per remote in flight. */
export class MirrorSync {
  readonly #parts: MirrorSyncComponents
  readonly #init: MirrorSyncInit
  readonly #seen = new Set<string>()
  #memory: MirrorMemory
  #seeded = false
  #settled: { state: string, result: SyncResult } | undefined

  constructor (components: MirrorSyncComponents, init: MirrorSyncInit) {
    this.#parts = components
    this.#init = init
    this.#memory = init.memory ?? { lastTip: undefined, verifiedTip: undefined }
  }

  get memory (): MirrorMemory { return this.#memory }

  /**
   * @throws ElderError `GIT_CONTENDED` when every push was overtaken, and whatever {@link GitMirror} throws. Local stacks then
   * hold all that was taken, and the remote is as it was.
   */
  async sync (stacks: MirroredStack[], options: SyncOptions): Promise<SyncResult> {
    let failedBefore = false
    for (let attempt = 0; attempt < (this.#init.attemptsMax ?? 12); attempt++) {
      if (attempt > 0) await this.#parts.sleep(this.#pauseMs(attempt - 1), options.signal)
      try {
        const result = await this.#attempt(stacks, options)
        if (result !== undefined) return result
      } catch (error) {
        // The cache is checked and rebuilt at the next fetch: once is enough to know.
        if (codeOf(error) !== 'GIT_FAILED' || failedBefore) throw error
        failedBefore = true
      }
    }
    throw new ElderError('GIT_CONTENDED', `${this.#parts.git.url} moved during every one of ${this.#init.attemptsMax ?? 12} pushes`, 'It is tried again by itself.')
  }

  /** Undefined when the push was overtaken. */
  async #attempt (stacks: MirroredStack[], options: SyncOptions): Promise<SyncResult | undefined> {
    const tip = await this.#parts.git.fetchTip(options)
    if (this.#settled?.state === stateOf(tip, this.#statesOf(stacks, options))) return { ...this.#settled.result, pushed: false, gained: new Set() }
    const pass = await this.#read(tip, stacks, options)
    const refusal = refuseHeader(pass.header, this.#init.mesh, this.#parts.git.url)
    if (refusal !== undefined) return { ...pass.result, problems: [refusal] }
    await this.#take(pass, options)
    if (!options.acceptRewrite && await this.#isRewritten(tip, options)) return { ...pass.result, problems: [...pass.result.problems, this.#rewritten()] }
    // Before the changes are made: what comes in meanwhile is for the next pass, and is not taken for pushed.
    const states = this.#statesOf(pass.stacks, options)
    const changes = await this.#changes(pass, options)
    if (changes.length > 0) {
      const commit = await this.#parts.git.commitTree({ parent: tip, changes, message: messageOf(changes, pass.stacks), atMs: this.#parts.wallMs() }, options)
      if (await this.#parts.git.push(commit, options) === 'rejected') return undefined
      pass.result = { ...pass.result, tip: commit, pushed: true }
    }
    this.#remember(pass, states)
    return pass.result
  }

  async #read (tip: Commit | undefined, stacks: MirroredStack[], options: GitOptions): Promise<Pass> {
    const { git } = this.#parts
    await this.#seed(tip, options)
    const tree = tip === undefined ? sortTree([]) : await readMirror(git, tip, options)
    let header: MirrorHeader | undefined
    const readable = tree.header !== undefined && tree.header.bytes <= HEADER_BYTES_MAX ? [tree.header] : []
    for await (const { content } of git.readBlobs(readable, options)) header = parseHeader(content)
    return { tip, tree, header, stacks: [...stacks], taken: new Map(), isShort: false, result: { tip, pushed: false, covered: new Set(), gained: new Set(), problems: [] } }
  }

  /** After a restart, what was verified at a remembered tip need not be read again. */
  async #seed (tip: Commit | undefined, options: GitOptions): Promise<void> {
    const verified = this.#memory.verifiedTip
    if (this.#seeded || tip === undefined) return
    this.#seeded = true
    if (verified === undefined || !await this.#parts.git.isAncestor(verified, tip, options)) return
    for (const { segments } of (await readMirror(this.#parts.git, verified, options)).stacks.values()) for (const { file } of segments) this.#seen.add(seenKey(file))
  }

  async #take (pass: Pass, options: GitOptions): Promise<void> {
    const { git, crypto, adopt, roster } = this.#parts
    await this.#takeRoster(pass, options)
    const known = new Set(pass.stacks.map(stack => stack.key))
    const mayFound = (device: DeviceId, stack: StackId): boolean => roster?.mayFound?.(device, stack) ?? true
    for await (const { key, author } of adopt === undefined ? [] : newStacks({ git, crypto, mayFound }, pass.tree.stacks, known, options)) {
      const adopted = await this.#adopt(pass, key, author, options)
      if (adopted !== undefined) pass.stacks.push(adopted)
    }
    const isWhole = this.#frame(pass).length === 0
    for (const stack of pass.stacks) {
      const taken = await takeSegments(git, stack, treeOf(pass, stack), this.#seen, crypto, options)
      pass.taken.set(stack.key, taken)
      tell(pass, taken.problems)
      pass.isShort ||= taken.failed
      if (taken.gained) pass.result.gained.add(stack.key)
      if (isWhole && !lacksAny(pass, stack, crypto)) pass.result.covered.add(stack.key)
    }
  }

  /** One that cannot be opened keeps no other from its mirror. */
  async #adopt (pass: Pass, key: string, author: DeviceId, { signal }: GitOptions): Promise<MirroredStack | undefined> {
    try {
      return await this.#parts.adopt?.(key, author)
    } catch (error) {
      if (codeOf(error) === 'DISK_FULL' || signal.aborted) throw error
      pass.isShort = true
      tell(pass, [notTaken(key, error as Error)])
      return undefined
    }
  }

  async #takeRoster (pass: Pass, options: GitOptions): Promise<void> {
    const { git, crypto, roster } = this.#parts
    if (roster === undefined) return
    const ours = new Set(roster.records().map(record => rosterPath(record, crypto)))
    const unseen = pass.tree.roster.filter(file => !ours.has(file.path) && file.bytes <= ROSTER_BYTES_MAX && !this.#seen.has(seenKey(file)))
    // What is no record, or is not kept, is not read again: it must not stand before one that is.
    for (let at = 0; at < unseen.length; at += LIMITS.rosterRecordsMax) {
      const part = unseen.slice(at, at + LIMITS.rosterRecordsMax)
      const records: Uint8Array[] = []
      for await (const { file, content } of git.readBlobs(part, options)) if (rosterPath(content, crypto) === file.path) records.push(content)
      if (records.length > 0) roster.receive(records)
      for (const file of part) this.#seen.add(seenKey(file))
    }
  }

  async #changes (pass: Pass, options: SyncOptions): Promise<Change[]> {
    const { git, crypto } = this.#parts
    const frame = this.#frame(pass)
    const pushed = pass.stacks.filter(stack => options.push?.(stack, frame.length > 0 || lacksAny(pass, stack, crypto)) ?? true)
    if (pushed.length === 0) return []
    const changes: Change[] = []
    for (const stack of pushed) {
      // Asked after the taking: a record of the remote may have brought it back.
      if (isGone(stack)) {
        for (const change of goneChanges(stack, pass.tree)) changes.push(change)
        continue
      }
      for (const change of originChanges(stack, treeOf(pass, stack), crypto)) changes.push(change)
      for (const change of segmentChanges(stack, windowsMissing(pass, stack), crypto)) changes.push(change)
      for (const change of spoiledChanges(stack, pass.taken.get(stack.key)?.bad ?? [])) changes.push(change)
      // A view of less than the remote has, or by an older renderer, would take a newer one back.
      if (pass.taken.get(stack.key)?.waiting === true || (pass.header?.renderer ?? 0) > RENDERER) continue
      const rendered = await renderChanges(git, stack, treeOf(pass, stack), pass.tip, crypto, options)
      for (const change of rendered.changes) changes.push(change)
      tell(pass, rendered.problems)
    }
    for (const stack of pass.stacks) if (pushed.includes(stack) || !lacksAny(pass, stack, crypto)) pass.result.covered.add(stack.key)
    return [...changes, ...frame]
  }

  /** Without its header and our membership records a mirror cannot be restored, whatever else it holds. */
  #frame (pass: Pass): Change[] {
    const { crypto, roster } = this.#parts
    const there = new Set(pass.tree.roster.map(({ path }) => path))
    const records = (roster?.records() ?? []).map(content => ({ path: rosterPath(content, crypto), content })).filter(({ path }) => !there.has(path))
    return pass.header === undefined || pass.header.renderer < RENDERER ? [...records, { path: HEADER_PATH, content: headerBytes(this.#init.mesh) }] : records
  }

  async #isRewritten (tip: Commit | undefined, options: GitOptions): Promise<boolean> {
    const last = this.#memory.lastTip
    if (last === undefined || last === tip) return false
    return tip === undefined || !await this.#parts.git.isAncestor(last, tip, options)
  }

  #rewritten (): MirrorProblem {
    const { url } = this.#parts.git
    return { code: 'MIRROR_REWRITTEN', message: `The history of ${url} was rewritten or cut: the commit ${this.#memory.lastTip?.slice(0, 12)} that this device saw is gone. Nothing local was changed, and nothing is pushed there.`, fix: 'Look at the remote; elder-node stack sync then accepts it as it is and adds what it lacks.' }
  }

  #remember (pass: Pass, states: string[]): void {
    const clean = [...pass.taken.values()].every(taken => taken.bad.length === 0)
    this.#memory = { lastTip: pass.result.tip, verifiedTip: clean ? pass.result.tip : this.#memory.verifiedTip }
    // What is not there in full is looked at again: who has to push it may have changed.
    const isWhole = !pass.isShort && pass.stacks.every(stack => pass.result.covered.has(stack.key))
    this.#settled = isWhole ? { state: stateOf(pass.result.tip, states), result: { ...pass.result, problems: pass.result.problems.filter(problem => problem.code !== 'MIRROR_EDITED') } } : undefined
  }

  #statesOf (stacks: MirroredStack[], options: SyncOptions): string[] {
    const { crypto, roster } = this.#parts
    const records = (roster?.records() ?? []).map(record => rosterPath(record, crypto)).sort()
    const states = stacks.map(stack => `${stack.key} ${toHex(stack.feedsDigest())} ${stack.origin?.().length ?? 0} ${options.push?.(stack, false) ?? true} ${isGone(stack)}`)
    return [...states, toHex(crypto.sha256(utf8(records.join('\n'))))]
  }

  #pauseMs (retry: number): number {
    return this.#parts.random() * Math.min(this.#init.backoffMsMax ?? 5000, (this.#init.backoffMs ?? 50) * 2 ** retry)
  }
}

/** Equal when a pass would find nothing to do: the same tip, roster, and stacks at the same heads, the same duty to push. */
function stateOf (tip: Commit | undefined, states: string[]): string { return [tip, ...states.toSorted()].join('\n') }

function isGone (stack: MirroredStack): boolean { return stack.gone?.() === true }

/** Its folder, with what people put there too. */
function goneChanges ({ key }: MirroredStack, { folders, stacks }: MirrorTree): Change[] {
  return folders.has(key) || stacks.has(key) ? [{ path: `stacks/${key}`, content: null }] : []
}

/** What the remote holds of a stack. */
function treeOf ({ tree }: Pass, { key }: MirroredStack): StackTree { return tree.stacks.get(key) ?? NO_TREE }

/** True when the remote does not hold of the stack what it should; of one that is gone, nothing. */
function lacksAny (pass: Pass, stack: MirroredStack, crypto: Crypto): boolean {
  if (isGone(stack)) return goneChanges(stack, pass.tree).length > 0
  return windowsMissing(pass, stack).length > 0 || originChanges(stack, treeOf(pass, stack), crypto).length > 0
}

/** Within the bound of one pass: whoever can push can make as many as it likes. */
function tell ({ result }: Pass, problems: MirrorProblem[]): void {
  for (const problem of problems) if (result.problems.length < LIMITS.mirrorProblemsMax) result.problems.push(problem)
}

function windowsMissing (pass: Pass, stack: MirroredStack): Window[] {
  return missingWindows(stack, treeOf(pass, stack), pass.taken.get(stack.key)?.bad ?? [])
}

function messageOf (changes: Change[], stacks: MirroredStack[]): string {
  const touched = stacks.map(stack => stack.key).filter(key => changes.some(({ path }) => `${path}/`.startsWith(`stacks/${key}/`)))
  const entries = changes.filter(({ path }) => path.includes('/entries/')).length
  const segments = changes.filter(({ path, content }) => path.includes('/feeds/') && content !== null).length
  const names = touched.length > 5 ? `${touched.slice(0, 5).join(', ')} and ${touched.length - 5} more` : touched.join(', ')
  return `Mirror ${names || 'the roster'}\n\n${entries} entries rendered, ${segments} segments written.\n`
}
