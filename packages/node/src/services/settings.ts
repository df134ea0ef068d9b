/**
 * What every device of the mesh must know, in the reserved stack `_mesh`: for now the git remotes.
 *
 * A remote is an entry of kind `remote` whose body is {"stack","url"} as JSON. It comes from other devices, and git can be told to
 * run programs by a URL: so every one is checked again when it is read.
 */
import type { Author, Entry } from '@elder-node/crdt-stack'
import { ElderError, SETTINGS_STACK, STACK_NAME, stackIdOf, stackKey, type Crypto, type DeviceId } from '@elder-node/protocol'
import { scopeOf, type Scope } from './remotes/url.ts'
import type { HeldStack } from './stacks/held-stack.ts'
import type { Stacks } from './stacks.ts'

/** `stack`: a name, or `--all`, which also covers stacks that are made later. */
export interface Remote { stack: string, url: string, addedBy: Author }

export class Settings {
  readonly #stacks: Stacks
  readonly #crypto: Crypto

  constructor ({ stacks, crypto }: { stacks: Stacks, crypto: Crypto }) {
    this.#stacks = stacks
    this.#crypto = crypto
  }

  /** Each (stack, url) once, the first who added it, of those whose word `counts`. */
  remotes (counts: (author: DeviceId) => boolean = () => true): Remote[] {
    const found = new Map<string, Remote>()
    for (const { scope, ...remote } of this.#entries()) {
      const name = `${remote.stack} ${remote.url}`
      if (scope === 'mesh' && counts(remote.addedBy.device) && !found.has(name)) found.set(name, remote)
    }
    return [...found.values()]
  }

  /** Folders that somebody named as if they meant the same everywhere. */
  folders (): Remote[] { return this.#entries().filter(({ scope }) => scope === 'device').map(({ scope: _, ...remote }) => remote) }

  /** Idempotent; one whose word does not count is added anew. @throws ElderError `REMOTE_URL`, `REMOTE_CREDENTIALS`, and what a write throws */
  async addRemote (stack: string, url: string, { counts, agent }: { counts?: (author: DeviceId) => boolean, agent?: string | undefined } = {}): Promise<Remote> {
    if (scopeOf(url) !== 'mesh') throw new ElderError('REMOTE_URL', 'A folder means nothing on another device.', 'Give https://host/path, ssh://host/path or user@host:path.')
    const known = this.remotes(counts).find(remote => remote.stack === stack && remote.url === url)
    if (known !== undefined) return known
    this.#stacks.demandWriter()
    const { stack: settings } = await this.#stacks.ensure(SETTINGS_STACK)
    const entry = await settings.add({ kind: 'remote', title: `${stack} ${url}`, body: JSON.stringify({ stack, url }) }, agent === undefined ? {} : { agent })
    return { stack, url, addedBy: entry.author }
  }

  /** @throws ElderError `NO_SUCH_REMOTE` */
  async removeRemote (stack: string, url: string, agent?: string): Promise<{ stack: string, url: string }> {
    const settings = this.#held()?.stack
    const same = settings?.entries({ kind: 'remote' }).filter(entry => remoteOf(entry)?.stack === stack && remoteOf(entry)?.url === url) ?? []
    if (settings === undefined || same.length === 0) throw new ElderError('NO_SUCH_REMOTE', `${stack} has no remote ${url}.`, 'See elder-node stack remote list.')
    this.#stacks.demandWriter()
    for (const { id } of same) await settings.remove(id, agent === undefined ? {} : { agent })
    return { stack, url }
  }

  /** After every change of the settings, own or received. Returns the unsubscriber. */
  onRemotesChanged (listener: (remotes: Remote[]) => void): () => void {
    let before = JSON.stringify(this.#entries())
    return this.#stacks.onMoved(({ key }) => {
      if (key !== this.#key()) return
      const now = JSON.stringify(this.#entries())
      if (now !== before) listener(this.remotes())
      before = now
    })
  }

  #entries (): Array<Remote & { scope: Scope }> { return (this.#held()?.stack.entries({ kind: 'remote' }) ?? []).flatMap(entry => remoteOf(entry) ?? []) }
  #key (): HeldStack['key'] { return stackKey(stackIdOf(SETTINGS_STACK, this.#crypto)) }
  #held (): HeldStack | undefined { return this.#stacks.held(this.#key()) }
}

function remoteOf ({ body, author }: Entry): Remote & { scope: Scope } | undefined {
  try {
    const { stack, url } = JSON.parse(body) as { stack?: unknown, url?: unknown }
    if (typeof stack !== 'string' || typeof url !== 'string' || (stack !== '--all' && !STACK_NAME.test(stack))) return undefined
    return { stack, url, addedBy: author, scope: scopeOf(url) }
  } catch {
    return undefined
  }
}
