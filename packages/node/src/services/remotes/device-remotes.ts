/** Remotes of this device alone: folders, which mean nothing, or something else, anywhere else. They stand in a file that never travels. */
import { codeOf, ElderError, fromUtf8, STACK_NAME, utf8 } from '@elder-node/protocol'
import type { Problem } from '../../api.ts'
import type { PrivateFiles } from '../../ports/files.ts'
import { scopeOf } from './url.ts'

export interface DeviceRemote { stack: string, url: string, agent?: string }

const FILE = 'remotes.json'
const REMOTES_MAX = 1000

export class DeviceRemotes {
  readonly #files: PrivateFiles
  #remotes: DeviceRemote[] = []
  /** The file is there and does not read: it is left as it is. */
  #damage: ElderError | undefined

  constructor (files: PrivateFiles) {
    this.#files = files
    try {
      const bytes = files.read(FILE)
      if (bytes !== undefined) this.#remotes = (JSON.parse(fromUtf8(bytes)) as unknown[]).flatMap(remoteIn)
    } catch (error) {
      const fix = `Move ${files.path(FILE)} away, start again, and add the folders of this device anew: elder-node stack remote add <stack> <path>`
      this.#damage = new ElderError('FILE_DAMAGED', `The remotes of this device alone do not read: ${(error as Error).message}`, fix, {}, { cause: error })
      if (codeOf(error) === 'STORAGE') throw error
    }
  }

  all (): readonly DeviceRemote[] { return this.#remotes }

  /** @throws ElderError `FILE_DAMAGED`, `DISK_FULL`, `STORAGE` */
  add (remote: DeviceRemote): void { this.#write([...this.#remotes, remote].slice(-REMOTES_MAX)) }

  /** True when there was such a one. Errors as {@link add}. */
  remove (stack: string, url: string): boolean {
    const rest = this.#remotes.filter(remote => remote.stack !== stack || remote.url !== url)
    if (rest.length === this.#remotes.length) return false
    this.#write(rest)
    return true
  }

  problems (): Problem[] { return this.#damage === undefined ? [] : [{ code: this.#damage.code, message: this.#damage.message, fix: this.#damage.fix }] }

  #write (remotes: DeviceRemote[]): void {
    if (this.#damage !== undefined) throw this.#damage
    this.#files.replace(FILE, utf8(JSON.stringify(remotes)))
    this.#remotes = remotes
  }
}

function remoteIn (value: unknown): DeviceRemote[] {
  const { stack, url, agent } = (value ?? {}) as Record<string, unknown>
  if (typeof stack !== 'string' || typeof url !== 'string' || (stack !== '--all' && !STACK_NAME.test(stack)) || scopeOf(url) !== 'device') return []
  return [{ stack, url, ...typeof agent === 'string' ? { agent } : {} }]
}
