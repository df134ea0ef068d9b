/**
 * What the mesh has settled about its stacks: the repository that each was made for, which are archived, which were
 * removed. Kept as entries of the settings stack (see settled.ts), so every device knows.
 *
 * Any member can write such an entry, so none is followed silently: a stack with several origins says so to whoever
 * uses it (see origins.ts), and an archived or a removed one is listed on request and comes back by an undo.
 */
import type { HeldStack } from './held-stack.ts'
import { Origins } from './origins.ts'
import { headsOf, settledIn, type Settled, type SettledStacks } from './settled.ts'

export interface StackBookComponents {
  /** The settings stack; undefined while nothing was ever settled. */
  settings: () => HeldStack | undefined
  /** The same, made when it is missing. */
  open: () => Promise<HeldStack>
}

interface ByAgent { agent?: string }

export class StackBook {
  readonly origins: Origins
  readonly #components: StackBookComponents
  #seen: { feeds: Uint8Array, settled: SettledStacks } | undefined

  constructor (components: StackBookComponents) {
    this.#components = components
    this.origins = new Origins({
      known: () => this.#settled().origins,
      record: async (stack, origin) => { await this.#settle('origin', `${stack} ${origin}`, { stack, origin }, {}) },
    })
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
    if (removals === undefined) return undefined
    return held.stack.isWithin(removals.flatMap(({ heads }) => heads)) ? removals.at(-1) : undefined
  }

  /** The last removal of a stack that was written to beyond it. */
  returned (held: HeldStack): Settled | undefined {
    return this.removed(held) === undefined ? this.#settled().removals.get(held.folder)?.at(-1) : undefined
  }

  /** Everything that the stack holds now goes out of sight, on every device. Idempotent. */
  async remove (held: HeldStack, { undo = false, ...author }: { undo?: boolean } & ByAgent): Promise<void> {
    const { folder: stack } = held
    if (undo) return await this.#withdraw(this.#settled().removals.get(stack) ?? [], author)
    if (this.removed(held) !== undefined) return
    await this.#settle('removal', stack, { stack, heads: headsOf(held.stack.vector()) }, author)
  }

  async #settle (kind: string, title: string, body: object, author: ByAgent): Promise<void> {
    const { stack } = await this.#components.open()
    await stack.add({ kind, title, body: JSON.stringify(body) }, author)
  }

  async #withdraw (all: Settled[], author: ByAgent): Promise<void> {
    const { stack } = await this.#components.open()
    for (const { id } of all) await stack.remove(id, author)
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
