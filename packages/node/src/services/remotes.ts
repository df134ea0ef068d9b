/**
 * Where the stacks are mirrored to.
 *
 * scope  | address                    | kept in                | counts
 * -------|----------------------------|------------------------|---------------------------------------------
 * mesh   | https, http, ssh, git      | the settings, `_mesh`  | while who added it is not evicted
 * device | a folder, as path or file: | a file of this device  | here
 *
 * A folder that another device wrote into the settings is never used: git would run there with the rights of this one.
 */
import { codeOf, ElderError, STACK_NAME, type DeviceId } from '@elder-node/protocol'
import type { Problem } from '../api.ts'
import type { PrivateFiles } from '../ports/files.ts'
import type { Clock } from '../ports/host.ts'
import { Listeners } from './listeners.ts'
import { DeviceRemotes } from './remotes/device-remotes.ts'
import { RemoteNews } from './remotes/news.ts'
import { scopeOf, type Scope } from './remotes/url.ts'
import type { Remote, Settings } from './settings.ts'

export interface ScopedRemote extends Remote { scope: Scope }

export interface RemotesComponents {
  settings: Settings
  files: PrivateFiles
  clock: Clock
  self: DeviceId
  /** Shut out by the others; one that left by its own word is not. */
  isEvicted (device: DeviceId): boolean
  nameOf (device: DeviceId): string
  /** Looks whether there is a repository. @throws ElderError `GIT_NOT_FOUND` and others of its kind */
  look (url: string, options: { signal: AbortSignal }): Promise<void>
}

const LOOK_MS = 10_000

export class Remotes {
  readonly #parts: RemotesComponents
  readonly #device: DeviceRemotes
  readonly #news: RemoteNews
  readonly #changed = new Listeners<[]>()

  constructor (parts: RemotesComponents) {
    this.#parts = parts
    this.#device = new DeviceRemotes(parts.files)
    this.#news = new RemoteNews(parts.files, parts.clock.wallMs())
    parts.settings.onRemotesChanged(() => { this.#changed.tell() })
  }

  /** Each (stack, url) once, the first who added it. */
  all (): ScopedRemote[] {
    const own = this.#device.all().map(({ stack, url, agent }) => ({ stack, url, scope: 'device' as const, addedBy: { device: this.#parts.self, ...agent === undefined ? {} : { agent } } }))
    return [...this.#mesh().map(remote => ({ ...remote, scope: 'mesh' as const })), ...own]
  }

  /** Those that end when that device is evicted, unless another one added them too. */
  of (device: DeviceId): Array<{ stack: string, url: string }> {
    const others = new Set(this.#mesh(author => author !== device).map(nameOf))
    return this.#mesh(author => author === device).filter(remote => !others.has(nameOf(remote))).map(({ stack, url }) => ({ stack, url }))
  }

  /**
   * Idempotent.
   *
   * @throws ElderError `REMOTE_URL`, `REMOTE_CREDENTIALS`, `STACK_NAME`, `REMOTE_MISSING` and what git says of a folder, and what a write throws
   */
  async add (stack: string, url: string, agent?: string): Promise<ScopedRemote> {
    if (stack !== '--all' && !STACK_NAME.test(stack)) throw new ElderError('STACK_NAME', `"${stack}" is not a stack name.`, 'Name a stack, or --all.')
    const scope = scopeOf(url)
    const known = this.all().find(remote => remote.stack === stack && remote.url === url)
    if (scope === 'device') await this.#demandRepository(url)
    if (known !== undefined) return known
    if (scope === 'mesh') return { ...await this.#parts.settings.addRemote(stack, url, { counts: author => !this.#parts.isEvicted(author), agent }), scope }
    this.#device.add({ stack, url, ...agent === undefined ? {} : { agent } })
    this.#changed.tell()
    return { stack, url, scope, addedBy: { device: this.#parts.self, ...agent === undefined ? {} : { agent } } }
  }

  /** Takes one of the settings away too that does not count. @throws ElderError `NO_SUCH_REMOTE` */
  async remove (stack: string, url: string, agent?: string): Promise<{ stack: string, url: string }> {
    if (!this.#device.remove(stack, url)) return await this.#parts.settings.removeRemote(stack, url, agent)
    this.#changed.tell()
    return { stack, url }
  }

  /** After every change, of whatever device. Returns the unsubscriber. */
  onChanged (listener: () => void): () => void { return this.#changed.add(listener) }

  /** To be called when somebody may have been evicted. */
  rosterChanged (): void { this.#changed.tell() }

  problems (): Problem[] {
    const { settings, self, nameOf: deviceName, isEvicted, clock } = this.#parts
    const live = this.#mesh()
    const theirs = live.filter(({ addedBy }) => addedBy.device !== self)
    const fresh = this.#news.fresh(theirs.map(remote => `${nameOf(remote)} ${remote.addedBy.device}`), clock.wallMs())
    const counted = new Set(live.map(nameOf))
    const stopped = unique(settings.remotes(isEvicted)).filter(remote => !counted.has(nameOf(remote)))
    return [
      ...this.#device.problems(),
      ...theirs.filter(remote => fresh.has(`${nameOf(remote)} ${remote.addedBy.device}`)).map(remote => added(remote, deviceName(remote.addedBy.device))),
      ...stopped.map(remote => ended(remote, deviceName(remote.addedBy.device))),
      ...unique(settings.folders()).map(remote => ignored(remote, deviceName(remote.addedBy.device))),
    ]
  }

  #mesh (counts: (author: DeviceId) => boolean = () => true): Remote[] {
    return this.#parts.settings.remotes(author => !this.#parts.isEvicted(author) && counts(author))
  }

  async #demandRepository (url: string): Promise<void> {
    try {
      await this.#parts.look(url, { signal: AbortSignal.timeout(LOOK_MS) })
    } catch (error) {
      if (codeOf(error) === 'GIT_MISSING') throw new ElderError('GIT_MISSING', `The folder ${url} needs git, which is not installed on this device.`, 'Install git, or use an https:// remote.')
      // A repository of another user is there; what is in the way is for git's own words.
      const isThere = !['GIT_NOT_FOUND', 'GIT_UNREACHABLE'].includes(codeOf(error) ?? '') || (error as Error).message.includes('dubious ownership')
      if (isThere) throw error
      const path = url.replace(/^file:\/\//, '')
      throw new ElderError('REMOTE_MISSING', `There is no git repository at ${path} on this device.`, `Make one: git init --bare ${path}   then add it again.`)
    }
  }
}

function nameOf ({ stack, url }: { stack: string, url: string }): string { return `${stack} ${url}` }

function unique (remotes: Remote[]): Remote[] { return [...new Map(remotes.map(remote => [nameOf(remote), remote])).values()] }

function whose (stack: string): string { return stack === '--all' ? 'every stack' : `the stack ${stack}` }

function added ({ stack, url }: Remote, device: string): Problem {
  return { code: 'REMOTE_NEW', message: `${device} added a remote: ${whose(stack)} is mirrored to ${url} from now on.`, fix: `If you do not know it: elder-node stack remote rm ${stack} ${url}` }
}

function ended ({ stack, url }: Remote, device: string): Problem {
  return { code: 'REMOTE_STOPPED', message: `${url} was added for ${whose(stack)} by ${device}, which is evicted: nothing is pushed there or fetched from there.`, fix: `To go on with it: elder-node stack remote add ${stack} ${url}   to forget it: elder-node stack remote rm ${stack} ${url}` }
}

function ignored ({ stack, url }: Remote, device: string): Problem {
  return { code: 'REMOTE_PATH', message: `${device} named the folder ${url} as a remote of ${whose(stack)} for all devices; it is not used.`, fix: `elder-node stack remote rm ${stack} ${url}   A folder is added on the device that has it.` }
}
