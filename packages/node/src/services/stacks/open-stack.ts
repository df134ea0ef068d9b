/** One stack as the library, the CLI and agents use it. The first write creates it. */
import type { Author, Entry, EntryPatch, HistoryItem, NewEntry, StackChange, StackDigest } from '@elder-node/crdt-stack'
import { ElderError } from '@elder-node/protocol'
import type { AddOptions, OpenStack } from '../../api.ts'
import type { HeldStack } from './held-stack.ts'
import type { Claim } from './stack-book.ts'

export interface OpenStackComponents {
  /** @throws ElderError `NO_SUCH_STACK` | `AMBIGUOUS` */
  find: () => HeldStack
  /** Creates it when it is missing. @throws ElderError `FORBIDDEN` | `ARCHIVED` | `STACK_NAME` */
  forWriting: () => Promise<HeldStack>
  /** Runs a write that makes the stack one of a repository. @throws ElderError `STACK_ORIGIN` */
  claiming: <T>(claim: Claim, write: () => Promise<T>) => Promise<T>
}

interface ByAgent { agent?: string }

const PREFIX_CHARS_MIN = 4

export class NamedStack implements OpenStack {
  readonly name: string
  readonly #find: () => HeldStack
  readonly #forWriting: () => Promise<HeldStack>
  readonly #claiming: OpenStackComponents['claiming']
  readonly #agent: ByAgent

  /** `agent`: in whose name it writes when a call names no other. */
  constructor ({ find, forWriting, claiming }: OpenStackComponents, { name, agent }: { name: string } & ByAgent) {
    this.name = name
    this.#agent = agent === undefined ? {} : { agent }
    this.#find = find
    this.#forWriting = forWriting
    this.#claiming = claiming
  }

  async add (entry: NewEntry, { claim, ...options }: AddOptions = {}): Promise<Entry> {
    const { stack } = await this.#forWriting()
    const write = (): Promise<Entry> => stack.add(entry, this.#author(options))
    return claim === undefined ? await write() : await this.#claiming(claim, write)
  }

  async edit (id: string, patch: EntryPatch, options: ByAgent = {}): Promise<Entry> {
    this.#find()
    const { stack } = await this.#forWriting()
    return await stack.edit(this.#lookUp(id).id, patch, this.#author(options))
  }

  async remove (id: string, options: ByAgent = {}): Promise<void> {
    this.#find()
    const { stack } = await this.#forWriting()
    await stack.remove(this.#lookUp(id).id, this.#author(options))
  }

  async get (id: string): Promise<Entry> { return this.#lookUp(id) }

  async list (filter: { kind?: string, tag?: string } = {}): Promise<Entry[]> { return this.#find().stack.entries(filter) }

  async digest (): Promise<StackDigest> { return this.#find().stack.digest() }

  async log ({ entry, limit }: { entry?: string, limit?: number } = {}): Promise<HistoryItem[]> {
    return this.#find().stack.history({ ...(entry === undefined ? {} : { entry: this.#lookUp(entry).id }), ...(limit === undefined ? {} : { limit }) })
  }

  changes (options: { signal: AbortSignal }): AsyncIterable<StackChange> { return this.#find().stack.changes(options) }

  #author ({ agent }: ByAgent): Omit<Author, 'device'> { return agent === undefined ? this.#agent : { agent } }

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
