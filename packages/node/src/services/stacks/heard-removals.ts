/**
 * What this device held, and what its clock said, when it heard of each removal.
 *
 * A removal says by itself when it was made and how far the feeds had come. Its author can write anything there, so
 * what it hides and what it lets this device delete is bounded by what this device saw itself. Kept in the folder of
 * the stack: it goes with it.
 */
import { decode, encode, MalformedError, type FeedId, type StackKey, type Vector } from '@elder-node/protocol'
import type { PrivateFiles } from '../../ports/files.ts'
import type { Clock } from '../../ports/host.ts'
import type { HeldStack } from './held-stack.ts'

/** `held`: the heads that this device had. Whatever came later is no part of what the removal may delete. */
export interface Heard { atMs: number, held: Vector }

/** removed.cbor := [[id of the removal, milliseconds since 1970, [[feed, seq, hash], ...]], ...] */
export const HEARD_FILE = 'removed.cbor'
const BYTES_MAX = 1 << 26
/** Of how many removals of one stack the heads are kept: one beyond them lets only be deleted what it names itself. */
const SNAPSHOTS_MAX = 32
/** As if it was heard of before everything: then it hides and deletes only what it names by hash. */
const UNKNOWN: Heard = { atMs: 0, held: [] }
const NONE: ReadonlyMap<string, Heard> = new Map()

export class HeardRemovals {
  readonly #files: PrivateFiles
  readonly #clock: Clock
  readonly #known = new Map<StackKey, ReadonlyMap<string, Heard>>()
  /** Stacks whose removals were heard of and could not be written yet. */
  readonly #unsaved = new Set<StackKey>()

  constructor ({ files, clock }: { files: PrivateFiles, clock: Clock }) {
    this.#files = files
    this.#clock = clock
  }

  /** Of each of these removals, which are all that count; one that is new is heard of now. */
  of ({ key, stack }: HeldStack, ids: readonly string[]): ReadonlyMap<string, Heard> {
    const known = this.#known.get(key) ?? (ids.length === 0 ? NONE : this.#load(key, ids))
    if (known.size === ids.length && ids.every(id => known.has(id))) return known
    const atMs = this.#clock.wallMs()
    const now = (i: number): Heard => ({ atMs, held: i < SNAPSHOTS_MAX ? stack.vector() : [] })
    const next = new Map(ids.map((id, i) => [id, known.get(id) ?? now(i)] as const))
    this.#known.set(key, next)
    this.#unsaved.add(key)
    this.#try(key)
    return next
  }

  /** Writes what could not be written before. @throws ElderError `DISK_FULL` | `STORAGE` */
  save (): void { for (const key of this.#unsaved) this.#save(key) }

  /** Call when the folder of a stack was deleted. */
  forget (key: StackKey): void {
    this.#known.delete(key)
    this.#unsaved.delete(key)
  }

  /** Reading a stack must not fail because the disk is full: it is written later, and nothing is deleted before. */
  #try (key: StackKey): void {
    try {
      this.#save(key)
    } catch {
      // It stays unsaved: the next `save` tries again and throws.
    }
  }

  #save (key: StackKey): void {
    const rows = [...this.#known.get(key) ?? NONE].map(([id, { atMs, held }]) =>
      [id, atMs, held.map(({ feed, seq, hash }) => [feed, seq, hash])])
    this.#files.replace(`${key}/${HEARD_FILE}`, encode(rows))
    this.#unsaved.delete(key)
  }

  /** When the file does not read, the time is not known: to hear of them now would cover what came since. */
  #load (key: StackKey, ids: readonly string[]): ReadonlyMap<string, Heard> {
    let known: ReadonlyMap<string, Heard>
    try {
      const bytes = this.#files.read(`${key}/${HEARD_FILE}`)
      known = bytes === undefined ? NONE : heardIn(bytes)
    } catch {
      known = new Map(ids.map(id => [id, UNKNOWN]))
    }
    this.#known.set(key, known)
    return known
  }
}

function heardIn (bytes: Uint8Array): ReadonlyMap<string, Heard> {
  const rows = decode(bytes, BYTES_MAX)
  if (!Array.isArray(rows)) throw new MalformedError('it holds something else')
  // The checksum says that this device wrote it.
  return new Map((rows as Row[]).map(([id, atMs, held]) =>
    [id, { atMs, held: held.map(([feed, seq, hash]) => ({ feed, seq, hash })) }]))
}

type Row = [id: string, atMs: number, held: Array<[feed: FeedId, seq: number, hash: Uint8Array]>]
