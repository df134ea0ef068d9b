/** What the other devices offer: their adverts, from gossip and from themselves, and who only the directory names. */
import { AdvertTable, BUILDER_ENGINES, builderCapability, decodeAdvert, MalformedError, type DeviceId, type Known, type Role, type Value } from '@elder-node/protocol'
import type { Clock } from '../../ports/host.ts'
import type { Logger } from '../../ports/log.ts'
import type { Directory, Mesh } from '../../ports/mesh.ts'

export interface KnownDevicesComponents {
  mesh: Mesh
  clock: Clock
  directory: Directory | undefined
  role: (device: DeviceId) => Role | undefined
  log: Logger
}

/** Devices kept that the directory named; the oldest are forgotten. */
const FOUND_MAX = 256

export class KnownDevices {
  readonly table: AdvertTable = new AdvertTable()
  readonly #components: KnownDevicesComponents
  readonly #found = new Set<DeviceId>()
  readonly #waiting = new Set<() => void>()

  constructor (components: KnownDevicesComponents) { this.#components = components }

  /** Takes an advert from gossip or from a direct message. @returns false when it is malformed. */
  hear (from: DeviceId, message: Value): boolean {
    try {
      if (!(message instanceof Uint8Array)) throw new MalformedError('an advert is bytes')
      if (this.table.accept(from, decodeAdvert(message), this.#components.clock.monotonicMs())) this.wake()
      return true
    } catch (error) {
      this.#components.log.debug({ device: from.slice(0, 8), error: (error as Error).message }, 'advert dropped')
      return false
    }
  }

  /** After an eviction: it offers nothing here any more. */
  forget (device: DeviceId): void {
    this.table.forget(device)
    this.#found.delete(device)
    this.wake()
  }

  /** Every other member that could build: connected ones, and those that gossip or the directory named. */
  list (): Known[] {
    const { mesh, clock, role } = this.#components
    const now = clock.monotonicMs()
    this.table.expire(now)
    // A suspect is not elected: most are gone a second later, the others are slow.
    const online = new Set(mesh.peers().filter(peer => peer.suspect !== true).map(peer => peer.device))
    const devices = new Set([...online, ...this.table.live(now).map(([device]) => device), ...this.#found])
    devices.delete(mesh.self)
    return [...devices].filter(device => role(device) !== undefined).map(device => ({ device, self: false, role: role(device), online: online.has(device), advert: this.table.get(device, now)?.advert }))
  }

  /** Resolves at the next news from any device, or when the signal aborts. */
  next (signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      const done = (): void => {
        this.#waiting.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      if (signal.aborted) return resolve()
      this.#waiting.add(done)
      signal.addEventListener('abort', done, { once: true })
    })
  }

  /** There is news. */
  wake (): void { for (const done of this.#waiting) done() }

  /** Asks the directory for builders of the platform that gossip has not named. Never rejects. */
  async lookUp (platform: string, signal: AbortSignal): Promise<void> {
    await Promise.allSettled(BUILDER_ENGINES.map(engine => this.#find(builderCapability(platform, engine), signal)))
  }

  async #find (capability: string, signal: AbortSignal): Promise<void> {
    const { directory, mesh } = this.#components
    for await (const device of directory?.find(capability, { signal }) ?? []) {
      if (device === mesh.self) continue
      this.#found.delete(device)
      this.#found.add(device)
      const [oldest] = this.#found
      if (this.#found.size > FOUND_MAX && oldest !== undefined) this.#found.delete(oldest)
    }
  }
}
