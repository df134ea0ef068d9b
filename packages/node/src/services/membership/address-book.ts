/** Where members were last seen. A cache: losing it costs a slower first dial, so writes are gathered. */
import { ADDRESS_CHARS_MAX, decode, deviceId, deviceKey, deviceOfAddress, encode, type DeviceId } from '@elder-node/protocol'
import type { PrivateFiles } from '../../ports/files.ts'

const FILE = 'addresses.cbor'
/** Addresses kept per device: a LAN, a few interfaces, a relay or two. */
const ADDRESSES_MAX = 8
const FILE_BYTES_MAX = 4 << 20
const SAVE_DELAY_MS = 1000

export class AddressBook {
  readonly #files: PrivateFiles
  readonly #addresses = new Map<DeviceId, string[]>()
  #timer: NodeJS.Timeout | undefined

  constructor (files: PrivateFiles) {
    this.#files = files
    try {
      const stored = files.readCache(FILE)
      if (stored !== undefined) this.#read(stored)
    } catch {
      // A cache of another version is an empty one.
    }
  }

  /** Newest first. */
  of (device: DeviceId): string[] { return this.#addresses.get(device) ?? [] }

  /** Puts these before the ones known; addresses that do not end in this device's key are left out. */
  learn (device: DeviceId, addresses: readonly string[]): void {
    const good = addresses.slice(0, 2 * ADDRESSES_MAX).filter(address => address.length <= ADDRESS_CHARS_MAX && deviceOfAddress(address) === device)
    const known = this.of(device)
    const next = [...new Set([...good, ...known])].slice(0, ADDRESSES_MAX)
    if (next.join() === known.join()) return
    this.#addresses.set(device, next)
    this.#timer ??= setTimeout(() => { this.save() }, SAVE_DELAY_MS).unref()
  }

  forget (device: DeviceId): void {
    if (this.#addresses.delete(device)) this.#timer ??= setTimeout(() => { this.save() }, SAVE_DELAY_MS).unref()
  }

  /** Writes now what is still to be written. Never throws. */
  save (): void {
    if (this.#timer === undefined) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    try {
      this.#files.replace(FILE, encode([...this.#addresses].map(([device, addresses]) => [deviceKey(device), addresses])))
    } catch {
      // A full disk: the membership log reports it, and the cache can wait.
    }
  }

  #read (bytes: Uint8Array): void {
    const value = decode(bytes, FILE_BYTES_MAX)
    for (const item of Array.isArray(value) ? value : []) {
      const [key, addresses] = Array.isArray(item) ? item : []
      if (!(key instanceof Uint8Array) || !Array.isArray(addresses)) continue
      const device = deviceId(key)
      this.#addresses.set(device, addresses.filter(address => typeof address === 'string').filter(address => deviceOfAddress(address) === device))
    }
  }
}
