/**
 * What the mesh has settled about its stacks: the repository that each was made for, which are archived, which were removed. Kept as
 * entries of the settings stack (see settled.ts), so every device knows.
 *
 * Any member can write such an entry, so none is followed silently: a stack with several origins says so to whoever uses it
 * ({@link Place}), and an archived or a removed one is listed on request and comes back by an undo.
 */
import { ElderError, originOf, stackNamesOf } from '@elder-node/protocol'
import type { Place } from '../../api.ts'
import type { HeldStack } from './held-stack.ts'
import { headsOf, settledIn, type Settled, type SettledStacks } from './settled.ts'

export interface StackBookComponents {
  /** The settings stack; undefined while nothing was ever settled. */
  settings: () => HeldStack | undefined
  /** The same, made when it is missing. */
  open: () => Promise<HeldStack>
}

/** `share`: the stack may be of another repository too; a person said so. */
export interface Claim { origin: string, share?: boolean }

interface ByAgent { agent?: string }

export class StackBook {
  readonly #components: StackBookComponents
  /** Claims whose record is not written yet: two writers of one moment must not both be the first. */
  readonly #pending = new Map<string, string>()
  #seen: { feeds: Uint8Array, settled: SettledStacks } | undefined

  constructor (components: StackBookComponents) { this.#components = components }

  /** Every repository that the stack is known to be of, the one it was made for first. */
  originsOf (stack: string): string[] {
    const pending = this.#pending.get(stack)
    const known = this.#settled().origins.get(stack) ?? []
    return pending === undefined || known.includes(pending) ? known : [...known, pending]
  }

  /**
   * The stack that a repository means: the one that is bound to it, else the first of its names that no other repository has.
   * `recorded`: the name that its worktree says.
   *
   * @throws ElderError `STACK_UNKNOWN` when all its names are taken
   */
  place ({ origin: url, recorded }: { origin?: string, recorded?: string }): Place {
    const origin = url === undefined ? undefined : originOf(url)
    const own = origin === undefined ? undefined : this.#own(origin)
    const stack = recorded ?? own?.stack
    if (stack === undefined) throw unknown(url)
    const origins = this.originsOf(stack)
    const bound = origin !== undefined && origins.includes(origin)
    return { stack, origin: origin ?? null, origins, bound, own: own?.stack ?? null, passed: recorded === undefined ? own?.passed ?? null : null }
  }

  /**
   * Runs the write that makes the stack one of this repository, then records it, unless that is known.
   *
   * @throws ElderError `STACK_ORIGIN` when it is another's
   */
  async claiming<T> (stack: string, { origin: url, share = false }: Claim, write: () => Promise<T>): Promise<T> {
    const origin = originOf(url)
    const origins = this.originsOf(stack)
    if (origin === undefined || origins.includes(origin)) return await write()
    if (origins.length > 0 && !share) throw another(stack, origins)
    this.#pending.set(stack, origin)
    try {
      const written = await write()
      await this.#settle('origin', `${stack} ${origin}`, { stack, origin }, {})
      return written
    } finally {
      this.#pending.delete(stack)
    }
  }

  /** Who archived it, and when; undefined while it takes writes. */
  archived ({ folder }: HeldStack): Settled | undefined { return this.#settled().archives.get(folder)?.[0] }

  /** Idempotent. */
  async archive (held: HeldStack, { undo = false, ...author }: { undo?: boolean } & ByAgent): Promise<void> {
    const { folder: stack } = held
    if (undo) await this.#withdraw(this.#settled().archives.get(stack) ?? [], author)
    else if (this.archived(held) === undefined) await this.#settle('archive', stack, { stack }, author)
  }

  /** The last removal, when nothing was written beyond it and the others. */
  removed (held: HeldStack): Settled | undefined {
    const removals = this.#settled().removals.get(held.folder)
    return removals !== undefined && held.stack.isWithin(removals.flatMap(({ heads }) => heads)) ? removals.at(-1) : undefined
  }

  /** The last removal of a stack that was written to beyond it. */
  returned (held: HeldStack): Settled | undefined {
    return this.removed(held) === undefined ? this.#settled().removals.get(held.folder)?.at(-1) : undefined
  }

  /** Everything that the stack holds now goes out of sight, on every device. Idempotent. */
  async remove (held: HeldStack, { undo = false, ...author }: { undo?: boolean } & ByAgent): Promise<void> {
    const { folder: stack } = held
    if (undo) await this.#withdraw(this.#settled().removals.get(stack) ?? [], author)
    else if (this.removed(held) === undefined) await this.#settle('removal', stack, { stack, heads: headsOf(held.stack.vector()) }, author)
  }

  async #settle (kind: string, title: string, body: object, author: ByAgent): Promise<void> {
    const { stack } = await this.#components.open()
    await stack.add({ kind, title, body: JSON.stringify(body) }, author)
  }

  async #withdraw (all: Settled[], author: ByAgent): Promise<void> {
    const { stack } = await this.#components.open()
    for (const { id } of all) await stack.remove(id, author)
  }

  #own (origin: string): { stack: string, passed: Place['passed'] } | undefined {
    const [known] = [...this.#settled().origins].filter(([, origins]) => origins.includes(origin))
      .sort(([a, [first]], [b, [other]]) => Number(other === origin) - Number(first === origin) || (a < b ? -1 : 1))
    if (known !== undefined) return { stack: known[0], passed: null }
    const names = stackNamesOf(origin)
    const free = names.find(name => this.originsOf(name).every(other => other === origin))
    const [first = ''] = names
    return free === undefined ? undefined : { stack: free, passed: free === first ? null : { stack: first, of: this.originsOf(first)[0] ?? '' } }
  }

  /** Read again only after the settings moved. */
  #settled (): SettledStacks {
    const held = this.#components.settings()
    const feeds = held?.stack.feedsDigest()
    if (held === undefined || feeds === undefined) return settledIn([])
    if (this.#seen?.feeds !== feeds) this.#seen = { feeds, settled: settledIn(held.stack.entries()) }
    return this.#seen.settled
  }
}

function another (stack: string, origins: string[]): ElderError {
  return new ElderError('STACK_ORIGIN', `The stack ${stack} is of another repository: ${origins.join(', ')}.`, 'Name a stack in the command: elder-node stack add <stack> --kind note --title "…"', { stack, origins })
}

function unknown (url: string | undefined): ElderError {
  return new ElderError('STACK_UNKNOWN', `No stack is named, and ${url === undefined ? 'the folder names none' : 'every name that fits its origin is the stack of another repository'}.`, 'Name it in the command: elder-node stack show my-repo')
}
