/**
 * Through whom this device can be reached while nobody can dial it: keeps a reservation on up to two members that relay, the nearest
 * first, and says which addresses that gives. The relay passes bytes on: Noise, the door and everything after it are end to end.
 */
import { peerIdOf } from '@elder-node/protocol'
import type { DeviceId } from '@elder-node/protocol'
import type { Clock } from '../../../ports/host.ts'
import type { Logger } from '../../../ports/log.ts'
import { every } from '../../../timers.ts'
import { dialable, ipOf, isRelayed, networkKind } from '../addresses.ts'

export const RELAYS_WANTED = 2
/** Ways to one relay that are told; each is one more dial for others. */
const ADDRESSES_PER_RELAY = 2
const RETRY_MS = 30_000
const TICK_MS = 5_000

export interface RelaysComponents {
  self: DeviceId
  clock: Clock
  log: Logger
  /** Nobody on another network is known to reach this device directly. */
  wanted (): boolean
  /** Admitted, over a direct connection. */
  directPeers (): DeviceId[]
  rttMs (device: DeviceId): number | undefined
  reserve (relay: DeviceId): Promise<void>
  isReserved (relay: DeviceId): boolean
  cancelAll (): void
  /** Other relays than before. */
  changed (): void
}

export class Relays {
  readonly #components: RelaysComponents
  /** Members that relay, with their own addresses. */
  readonly #offers = new Map<DeviceId, string[]>()
  readonly #asking = new Set<DeviceId>()
  readonly #retryAtMs = new Map<DeviceId, number>()
  #timer: NodeJS.Timeout | undefined
  #last = ''

  constructor (components: RelaysComponents) { this.#components = components }

  start (): void { this.#timer = every(TICK_MS, () => { this.step() }, error => { this.#components.log.warn({ err: error }, 'relays could not be looked for') }).unref() }

  stop (): void { clearInterval(this.#timer) }

  /** From its hello. */
  heard (device: DeviceId, { relay, addresses }: { relay: boolean, addresses: string[] }): void {
    if (relay) this.#offers.set(device, addresses)
    else this.#offers.delete(device)
    this.step()
  }

  forget (device: DeviceId): void {
    this.#offers.delete(device)
    this.#retryAtMs.delete(device)
    this.step()
  }

  /** The relays this device can be reached through now. */
  through (): DeviceId[] { return [...this.#offers.keys()].filter(device => this.#components.isReserved(device)) }

  /** As multiaddr texts, each with `/p2p/` of the relay and of this device. */
  addresses (): string[] {
    const suffix = `/p2p-circuit/p2p/${peerIdOf(this.#components.self)}`
    return this.through().flatMap(relay => waysTo(this.#offers.get(relay) ?? []).map(address => address + suffix))
  }

  /** Reserves where a reservation is missing. Cheap, so it is called whenever anything changed. */
  step (): void {
    const { wanted, directPeers, rttMs, isReserved, cancelAll, changed, clock } = this.#components
    if (!wanted()) {
      if (this.through().length > 0) cancelAll()
    } else {
      const offering = directPeers().filter(device => this.#offers.has(device)).toSorted((a, b) => (rttMs(a) ?? Infinity) - (rttMs(b) ?? Infinity))
      const free = offering.filter(device => !isReserved(device) && !this.#asking.has(device) && (this.#retryAtMs.get(device) ?? 0) <= clock.monotonicMs())
      const missing = RELAYS_WANTED - this.through().length - this.#asking.size
      for (const device of free.slice(0, Math.max(0, missing))) void this.#reserve(device)
    }
    const now = this.addresses().join()
    if (now === this.#last) return
    this.#last = now
    changed()
  }

  async #reserve (device: DeviceId): Promise<void> {
    const { reserve, log, clock } = this.#components
    this.#asking.add(device)
    try {
      await reserve(device)
      log.info({ relay: device }, 'reachable through a relay')
    } catch (error) {
      this.#retryAtMs.set(device, clock.monotonicMs() + RETRY_MS)
      log.info({ relay: device, err: error }, 'a relay took no reservation')
    } finally {
      this.#asking.delete(device)
      this.step()
    }
  }
}

/** Those that most others can dial come first: public ones, then a VPN, then the relay's own network. */
function waysTo (addresses: string[]): string[] {
  const rank = (address: string): number => ['public', 'vpn', 'lan'].indexOf(networkKind(ipOf(address) ?? ''))
  return dialable(addresses.filter(address => !isRelayed(address))).toSorted((a, b) => rank(a) - rank(b)).slice(0, ADDRESSES_PER_RELAY)
}
