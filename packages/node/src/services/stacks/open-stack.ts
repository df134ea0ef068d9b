/** One stack as the library, the CLI and agents use it. The first write creates it. */
import type { Author, EditOptions, Entry, EntryPatch, NewEntry, StackChange, StackDigest } from '@elder-node/crdt-stack'
import { codeOf, ElderError } from '@elder-node/protocol'
import type { AddOptions, EntryChange, OpenStack, ShownEntry } from '../../api.ts'
import type { HeldStack } from './held-stack.ts'
import { changesOf, entryAt, explained, refuseStaleFields, replacements, shownEntry } from './revisions.ts'
import type { Claim } from './origins.ts'

export interface OpenStackComponents {
  /** @throws ElderError `NO_SUCH_STACK` | `AMBIGUOUS` */
  find: () => HeldStack
  /** Creates it when it is missing. @throws ElderError `FORBIDDEN` | `ARCHIVED` | `STACK_NAME` */
  forWriting: () => Promise<HeldStack>
  /** To be awaited before each write: no removal hides it. */
  keep: (held: HeldStack, author: ByAgent) => Promise<void>
  /** Runs a write that makes the stack one of a repository. @throws ElderError `STACK_ORIGIN` */
  claiming: <T>(claim: Claim, write: () => Promise<T>) => Promise<T>
}

interface ByAgent { agent?: string }

const PREFIX_CHARS_MIN = 4

export class NamedStack implements OpenStack {
  readonly name: string
  readonly #find: () => HeldStack
  readonly #forWriting: () => Promise<HeldStack>
  readonly #keep: OpenStackComponents['keep']
  readonly #claiming: OpenStackComponents['claiming']
  readonly #agent: ByAgent

  /** `agent`: in whose name it writes when a call names no other. */
  constructor ({ find, forWriting, keep, claiming }: OpenStackComponents, { name, agent }: { name: string } & ByAgent) {
    this.name = name
    this.#agent = agent === undefined ? {} : { agent }
    this.#find = find
    this.#forWriting = forWriting
    this.#keep = keep
    this.#claiming = claiming
  }

  async add (entry: NewEntry, { claim, ...options }: AddOptions = {}): Promise<ShownEntry> {
    const held = await this.#forWriting()
    const author = this.#author(options)
    const write = async (): Promise<Entry> => {
      await this.#keep(held, author)
      return await held.stack.add(entry, author)
    }
    const written = claim === undefined ? await write() : await this.#claiming(claim, write)
    // Nothing can replace what nobody knew.
    return { ...written, supersededBy: null }
  }

  async edit (id: string, patch: EntryPatch, { base, overwrite, ...options }: ByAgent & EditOptions = {}): Promise<ShownEntry> {
    this.#find()
    const held = await this.#forWriting()
    const { stack } = held
    const now = this.#lookUp(id)
    if (now.removed) throw this.#removedEntry(now)
    if (base !== undefined && overwrite !== true) refuseStaleFields(stack, now, patch, base)
    await this.#keep(held, this.#author(options))
    try {
      return shownEntry(stack, await stack.edit(now.id, patch, this.#author(options), { ...(base === undefined ? {} : { base }), ...(overwrite === undefined ? {} : { overwrite }) }))
    } catch (error) {
      if (codeOf(error) === 'ENTRY_REMOVED') throw this.#removedEntry(now)
      throw explained(error, stack, this.#lookUp(id), patch)
    }
  }

  async remove (id: string, { undo = false, ...options }: { undo?: boolean } & ByAgent = {}): Promise<void> {
    this.#find()
    const held = await this.#forWriting()
    const { id: whole } = this.#lookUp(id)
    await this.#keep(held, this.#author(options))
    if (undo) await held.stack.restore(whole, this.#author(options))
    else await held.stack.remove(whole, this.#author(options))
  }

  async get (id: string, { at }: { at?: string } = {}): Promise<ShownEntry> {
    const { stack } = this.#find()
    const now = this.#lookUp(id)
    return shownEntry(stack, at === undefined ? now : entryAt(stack, now, at))
  }

  async list (filter: { kind?: string, tag?: string } = {}): Promise<ShownEntry[]> {
    const { stack } = this.#find()
    const by = replacements(stack)
    return stack.entries(filter).map(entry => ({ ...entry, supersededBy: by.get(entry.id) ?? null }))
  }

  async digest (): Promise<StackDigest> { return this.#find().stack.digest() }

  async log ({ entry, limit }: { entry?: string, limit?: number } = {}): Promise<EntryChange[]> {
    const { stack } = this.#find()
    const one = entry === undefined ? undefined : this.#lookUp(entry)
    const items = stack.history({ ...(one === undefined ? {} : { entry: one.id }), ...(limit === undefined ? {} : { limit }) })
    return one === undefined ? items : await changesOf(stack, one, items)
  }

  changes (options: { signal: AbortSignal }): AsyncIterable<StackChange> { return this.#find().stack.changes(options) }

  #author ({ agent }: ByAgent): Omit<Author, 'device'> { return agent === undefined ? this.#agent : { agent } }

  /** With the stack in the command, which the stack itself cannot tell. */
  #removedEntry ({ id, title }: Entry): ElderError {
    return new ElderError('ENTRY_REMOVED', `Nothing was written: the entry ${id} ("${title}") was removed, and an edit of it would be shown nowhere.`, `elder-node stack rm ${this.name} ${id} --undo   (brings it back; then edit it)`)
  }

  #lookUp (text: string): Entry {
    const { stack } = this.#find()
    const id = text.toUpperCase()
    const exact = stack.entry(id)
    if (exact !== undefined) return exact
    const show = `See elder-node stack show ${this.name}.`
    if (id.length < PREFIX_CHARS_MIN) throw new ElderError('NO_SUCH_ENTRY', `"${text}" is too short to name an entry.`, `Give at least ${PREFIX_CHARS_MIN} characters of its id. ${show}`)
    const [entry, ...more] = stack.entries({ removed: true }).filter(entry => entry.id.startsWith(id))
    if (entry === undefined) throw new ElderError('NO_SUCH_ENTRY', `No entry of "${this.name}" has an id that starts with "${text}".`, show)
    if (more.length > 0) throw new ElderError('AMBIGUOUS', `${more.length + 1} entries of "${this.name}" start with "${text}".`, `Give more of the id: ${[entry, ...more].slice(0, 5).map(({ id }) => id).join(', ')}.`)
    return entry
  }
}
