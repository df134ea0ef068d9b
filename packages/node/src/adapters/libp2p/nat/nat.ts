/** Everything about being reached: dial-back, relays, and from relayed to direct. What {@link Mesh} tells it are facts; it keeps the rest. */
import type { DeviceId, Value } from '@elder-node/protocol'
import { ElderError, deviceOfAddress } from '@elder-node/protocol'
import type { Clock } from '../../../ports/host.ts'
import type { Logger } from '../../../ports/log.ts'
import type { Reachable } from '../../../ports/mesh.ts'
import { interfaceAddresses, ipOf, isRelayed } from '../addresses.ts'
import { onNetworkOf } from '../dial-order.ts'
import type { Links } from '../links.ts'
import { peerIdOf } from '../peer-id.ts'
import { decodeAnswer, decodeQuestion, encodeAnswer, encodeQuestion } from './dial-back.ts'
import { Reachability } from './reachability.ts'
import type { RelayLink } from './relay-link.ts'
import { Relays } from './relays.ts'
import { Upgrades } from './upgrades.ts'

/** `auto`: once a device on another network has reached this one. */
export type RelayChoice = 'auto' | 'on' | 'off'

export interface NatComponents {
  self: DeviceId
  clock: Clock
  random: () => number
  log: Logger
  link: RelayLink
  links (): Links
  admitted (): DeviceId[]
  /** Of the interfaces, and announced by hand. */
  ownAddresses (): string[]
  /** Where the device was last seen. */
  addressesOf (device: DeviceId): string[]
  rttMs (device: DeviceId): number | undefined
  ask (device: DeviceId, question: Value, signal: AbortSignal): Promise<Value>
  /** Other addresses than before, or now a relay: others are to be told. */
  changed (): void
}

const DIAL_BACK_MS = 9_500
const DIAL_BACK_REST_MS = 5_000

export class Nat {
  readonly #components: NatComponents
  readonly #choice: RelayChoice
  readonly #reachability: Reachability
  readonly #relays: Relays
  readonly #upgrades: Upgrades
  /** What each device last said of itself. */
  readonly #told = new Map<DeviceId, string[]>()
  readonly #dialledBackMs = new Map<DeviceId, number>()

  constructor (components: NatComponents, choice: RelayChoice) {
    const { self, clock, random, log, link, changed } = components
    this.#components = components
    this.#choice = choice
    this.#reachability = new Reachability({
      log, random,
      outside: () => this.#outside(),
      ask: async (device, signal) => decodeAnswer(self, await components.ask(device, encodeQuestion(components.ownAddresses()), signal)),
      ownAddresses: () => components.ownAddresses(),
      changed: () => {
        this.#relays.step()
        changed()
      },
    })
    this.#relays = new Relays({
      self, clock, log, changed,
      wanted: () => this.#reachability.state !== 'public',
      directPeers: () => components.admitted().filter(device => this.#direct(device) !== undefined),
      rttMs: device => components.rttMs(device),
      reserve: device => link.reserve(peerIdOf(device)),
      isReserved: device => link.isReserved(peerIdOf(device)),
      cancelAll: () => { link.cancelAll() },
    })
    this.#upgrades = new Upgrades({
      clock, random,
      failed: error => { log.warn({ err: error }, 'direct connections could not be looked for') },
      relayed: () => components.admitted().filter(device => this.#direct(device) === undefined),
      dialDirect: (device, signal) => components.links().dialDirect(device, components.addressesOf(device), signal),
      retire: lastedMs => { for (const device of components.admitted()) components.links().retireRelayed(device, lastedMs) },
    })
  }

  get reachable (): Reachable { return this.#reachability.state }

  /** This device passes connections on for members. */
  get relays (): boolean { return this.#choice === 'on' || (this.#choice === 'auto' && this.reachable === 'public') }

  /** The members through which this device is reached. */
  through (): DeviceId[] { return this.#relays.through() }

  /** Besides those of the interfaces: found by a dial-back, and through relays. */
  addresses (): string[] {
    const found = this.#reachability.found
    return [...(found === undefined ? [] : [found]), ...this.#relays.addresses()]
  }

  start (): void {
    this.#reachability.start()
    this.#relays.start()
    this.#upgrades.start()
  }

  stop (): void {
    this.#upgrades.stop()
    this.#relays.stop()
    this.#reachability.stop()
  }

  heard (device: DeviceId, hello: { relay: boolean, addresses: string[] }): void {
    this.#told.set(device, hello.addresses)
    this.#relays.heard(device, hello)
  }

  admitted (device: DeviceId): void {
    this.#reachability.met(device)
    this.#relays.step()
  }

  gone (device: DeviceId): void {
    this.#told.delete(device)
    this.#dialledBackMs.delete(device)
    this.#relays.forget(device)
  }

  /** Seen on the local network: worth a direct dial now. */
  seen (device: DeviceId): void { if (this.#direct(device) === undefined) this.#upgrades.tryNow(device) }

  /** After a sleep. */
  awake (): void {
    this.#reachability.again()
    this.#upgrades.tryNow()
  }

  /** Another network. */
  moved (): void {
    this.#reachability.moved()
    this.#upgrades.tryNow()
  }

  /** The `dial-back` service. @throws MalformedError; ElderError `BUSY` */
  async dialBack (from: DeviceId, seenAt: string, question: Value): Promise<Value> {
    const { clock, links } = this.#components
    const addresses = decodeQuestion(from, question, seenAt)
    const dialled = this.#dialledOut(from)
    if (dialled !== undefined) return encodeAnswer(dialled)
    const nowMs = clock.monotonicMs()
    if (nowMs - (this.#dialledBackMs.get(from) ?? -Infinity) < DIAL_BACK_REST_MS) throw new ElderError('BUSY', 'this device has just dialled back', 'Ask again in a minute.')
    this.#dialledBackMs.set(from, nowMs)
    return encodeAnswer(await links().reach(from, addresses, AbortSignal.timeout(DIAL_BACK_MS)))
  }

  /** A connection that this device has dialled itself is an answer already. */
  #dialledOut (device: DeviceId): string | undefined {
    const address = this.#components.links().open(device).find(connection => connection.direct && connection.direction === 'outbound')?.remoteAddr.toString()
    return address !== undefined && deviceOfAddress(address) === device ? address : undefined
  }

  /** The address at the other end of a direct connection. */
  #direct (device: DeviceId): string | undefined {
    return this.#components.links().open(device).find(connection => connection.direct)?.remoteAddr.toString()
  }

  /** Comes from another network, or through the address translation of a router, which its own list of addresses does not know. */
  #outside (): DeviceId[] {
    const isHere = onNetworkOf(interfaceAddresses())
    return this.#components.admitted().filter(device => {
      const ip = ipOf(this.#direct(device) ?? '/p2p-circuit')
      if (ip === undefined) return false
      const told = (this.#told.get(device) ?? []).filter(address => !isRelayed(address))
      return !isHere(ip) || (told.length > 0 && told.every(address => ipOf(address) !== ip))
    })
  }
}
