/**
 * What every device of the mesh must know, in the reserved stack `_mesh`: for now the git remotes.
 *
 * A remote is an entry of kind `remote` whose body is {"stack","url"} as JSON. It comes from other devices, and git can be told to
 * run programs by a URL: so every one is checked again when it is read.
 */
import type { Author, Entry } from '@elder-node/crdt-stack'
import { ElderError, SETTINGS_STACK, STACK_NAME, stackIdOf, stackKey, type Crypto } from '@elder-node/protocol'
import type { HeldStack } from './stacks/held-stack.ts'
import type { Stacks } from './stacks.ts'

/** `stack`: a name, or `--all`, which also covers stacks that are made later. */
export interface Remote { stack: string, url: string, addedBy: Author }

const URL_CHARS_MAX = 400
/** https, http, ssh and git, a path on this machine, and `user@host:path`. Never `ext::`, never an option. */
const URL_SHAPES = [/^(?:https?|ssh|git):\/\/[^\s/]+(?:\/\S*)?$/, /^file:\/\/\/[^\s]+$/, /^\/[^\s]+$/, /^(?:[A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!\/\/)[^\s:][^\s]*$/]
/** What a shell, a terminal or a unit would read as more than an address: it stands in commands that are there to be copied. Escaped as %xx it may come. */
const UNSAFE = /[^!-~\p{L}\p{M}\p{N}]|["'`$;|&<>(){}\\^*!]/u

export class Settings {
  readonly #stacks: Stacks
  readonly #crypto: Crypto

  constructor ({ stacks, crypto }: { stacks: Stacks, crypto: Crypto }) {
    this.#stacks = stacks
    this.#crypto = crypto
  }

  /** Each (stack, url) once, the first who added it. */
  remotes (): Remote[] {
    const found = new Map<string, Remote>()
    for (const entry of this.#held()?.stack.entries({ kind: 'remote' }) ?? []) {
      const remote = remoteOf(entry)
      const name = `${remote?.stack} ${remote?.url}`
      if (remote !== undefined && !found.has(name)) found.set(name, remote)
    }
    return [...found.values()]
  }

  /** Idempotent. @throws ElderError `REMOTE_URL`, `REMOTE_CREDENTIALS`, `STACK_NAME`, and what a write throws */
  async addRemote (stack: string, url: string, agent?: string): Promise<Remote> {
    if (stack !== '--all' && !STACK_NAME.test(stack)) throw new ElderError('STACK_NAME', `"${stack}" is not a stack name.`, 'Name a stack, or --all.')
    checkUrl(url)
    const known = this.remotes().find(remote => remote.stack === stack && remote.url === url)
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
    let before = JSON.stringify(this.remotes())
    return this.#stacks.onMoved(({ key }) => {
      if (key !== this.#key()) return
      const remotes = this.remotes()
      const now = JSON.stringify(remotes)
      if (now !== before) listener(remotes)
      before = now
    })
  }

  #key (): HeldStack['key'] { return stackKey(stackIdOf(SETTINGS_STACK, this.#crypto)) }
  #held (): HeldStack | undefined { return this.#stacks.held(this.#key()) }
}

function remoteOf ({ body, author }: Entry): Remote | undefined {
  try {
    const { stack, url } = JSON.parse(body) as { stack?: unknown, url?: unknown }
    if (typeof stack !== 'string' || typeof url !== 'string' || (stack !== '--all' && !STACK_NAME.test(stack))) return undefined
    checkUrl(url)
    return { stack, url, addedBy: author }
  } catch {
    return undefined
  }
}

function checkUrl (url: string): void {
  if (url.length > URL_CHARS_MAX || UNSAFE.test(url) || !URL_SHAPES.some(shape => shape.test(url))) {
    throw new ElderError('REMOTE_URL', 'This is not an address of a git repository that every device can use.', 'Give https://host/path, ssh://host/path, user@host:path, or an absolute path; write quotes, spaces and signs of the shell as %xx.')
  }
  const { username, password } = URL.canParse(url) ? new URL(url) : { username: '', password: '' }
  if (password !== '' || (/^https?:/.test(url) && username !== '')) {
    throw new ElderError('REMOTE_CREDENTIALS', 'The address holds credentials, and every device of the mesh would see them.', 'Leave them out; give them to git on this device: git credential approve, an SSH key, or a line in ~/.git-credentials.')
  }
}
