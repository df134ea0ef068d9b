/**
 * What the mesh has settled about its stacks: the repository that each was made for, which are archived, which were
 * removed. Kept as entries of the settings stack (see settled.ts), so every device knows.
 *
 * Any member can write such an entry, so none is followed silently: a stack with several origins says so to whoever
 * uses it (see origins.ts), and an archived or a removed one is listed on request and comes back by an undo.
 */
import type { KnownUntil } from '@elder-node/crdt-stack'
import type { VectorEntry } from '@elder-node/protocol'
import type { PrivateFiles } from '../../ports/files.ts'
import type { Clock } from '../../ports/host.ts'
import { HeardRemovals, type Heard } from './heard-removals.ts'
import type { HeldStack } from './held-stack.ts'
import { foreignStack } from './names.ts'
import { Origins } from './origins.ts'
import { headsOf, settledIn, type Removal, type Settled, type SettledStacks } from './settled.ts'

export interface StackBookComponents {
  /** The settings stack; undefined while nothing was ever settled. */
  settings: () => HeldStack | undefined
  /** The same, made when it is missing. */
  open: () => Promise<HeldStack>
  files: PrivateFiles
  clock: Clock
}

interface ByAgent { agent?: string }

/** `untilMs`: what is younger is not hidden by a head that this device does not hold. */
interface HeardRemoval extends Removal { heard: Heard, untilMs: number }

/** The removals that a stack is gone by, and since when. */
export interface Expiring { ids: string[], sinceMs: number }

export class StackBook {
  readonly origins: Origins
  readonly #components: StackBookComponents
  readonly #heard: HeardRemovals
  #seen: { feeds: Uint8Array, settled: SettledStacks } | undefined

  constructor (components: StackBookComponents) {
    this.#components = components
    this.#heard = new HeardRemovals(components)
    this.origins = new Origins({
      known: () => this.#settled().origins,
      record: async (stack, origin) => { await this.#settle('origin', `${stack} ${origin}`, { stack, origin }, {}) },
    })
  }

  /** Who archived it, and when; undefined while it takes writes. */
  archived ({ folder }: HeldStack): Settled | undefined { return this.#settled().archives.get(folder)?.[0] }

  /** Idempotent. @throws ElderError `ARCHIVED` where `undo` would change nothing: a stack of another mesh is read-only without a record */
  async archive (held: HeldStack, { undo = false, ...author }: { undo?: boolean } & ByAgent): Promise<void> {
    const { folder: stack } = held
    if (undo && held.archivedFrom !== undefined && this.archived(held) === undefined) throw foreignStack(stack)
    if (undo) await this.#withdraw(this.#settled().archives.get(stack) ?? [], author)
    else if (this.archived(held) === undefined) await this.#settle('archive', stack, { stack }, author)
  }

  /** The last removal, when nothing was written beyond it and the others. */
  removed (held: HeldStack): Settled | undefined {
    const removals = this.#removals(held)
    if (removals.length === 0) return undefined
    const covered = removals.flatMap(({ heads, untilMs }) => until(untilMs, heads))
    return held.stack.isWithin(covered) ? removals.at(-1) : undefined
  }

  /** What was settled moved, or the stack was just opened: from now on, what is written is later than its removals. */
  hear (held: HeldStack): void { this.#removals(held) }

  /**
   * When this device heard of the last removal of a stack that is removed; undefined while it holds something that it
   * must keep: that no removal names by hash, and that came after this device had heard of them all.
   *
   * @throws ElderError `DISK_FULL` | `STORAGE` while that does not stand on the disk
   */
  expiring (held: HeldStack): Expiring | undefined {
    if (this.removed(held) === undefined) return undefined
    this.#heard.save()
    const removals = this.#removals(held)
    const covered = removals.flatMap(({ heads, heard }) => until(-Infinity, [...heads, ...heard.held]))
    if (!held.stack.isWithin(covered)) return undefined
    const dates = removals.flatMap(({ at, heard }) => [heard.atMs, Date.parse(at)])
    return { ids: removals.map(({ id }) => id).sort(), sinceMs: dates.reduce((a, b) => Math.max(a, b)) }
  }

  /** Its folder was deleted. */
  forget ({ key }: HeldStack): void { this.#heard.forget(key) }

  /**
   * To be awaited before a write of this device: takes back every removal that could hide it anywhere, which are those
   * that hide the stack now, and those dated ahead of the write. A write that is acknowledged is shown, whatever heads
   * and dates somebody else's removal claims.
   */
  async keep (held: HeldStack, author: ByAgent): Promise<void> {
    const isRemoved = this.removed(held) !== undefined
    const now = this.#components.clock.wallMs()
    const hiding = this.#removals(held).filter(({ at }) => isRemoved || Date.parse(at) >= now)
    if (hiding.length > 0) await this.#withdraw(hiding, author)
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

  /** A date ahead of the own clock counts as the moment when it was heard: else it covers what is yet to be written. */
  #removals (held: HeldStack): HeardRemoval[] {
    const removals = this.#settled().removals.get(held.folder) ?? []
    const heard = this.#heard.of(held, removals.map(({ id }) => id))
    return removals.map(removal => {
      const one = heard.get(removal.id) as Heard
      return { ...removal, heard: one, untilMs: Math.min(Date.parse(removal.at), one.atMs) }
    })
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

function until (untilMs: number, heads: readonly VectorEntry[]): KnownUntil[] {
  return heads.map(head => ({ ...head, untilMs }))
}
