/** What the machines of the yard say that they offer, and what the others believe of it. */
import type { DeviceId } from '@elder-node/protocol'
import type { Device } from '../../../packages/node/test/builds/farm.ts'
import type { VirtualNetwork } from '../virtual/network.ts'
import type { Life, VirtualTime } from '../virtual/time.ts'
import type { Machine } from './yard.ts'

/** Coalescing, the way, and a look. */
const NEWS_MS = 3_000
/** A newcomer is told at once, and 5 s are the patience for that. */
const MET_MS = 6_000
const TTL_MS = 45_000
const WINDOW_MS = 1_000
/** Three at once after a rest, then four a second, and the heartbeat. */
const ADVERTS_MAX = 8

export class AdvertsWatch {
  readonly #time: VirtualTime
  readonly #network: VirtualNetwork
  readonly #violate: (what: string) => void
  /** When what each life offers changed last. */
  readonly #offeredMs = new Map<Life, number>()
  readonly #linkedMs = new Map<string, number>()
  /** When each device was seen up last. */
  readonly #upMs = new Map<DeviceId, number>()

  constructor (time: VirtualTime, network: VirtualNetwork, violate: (what: string) => void) {
    this.#time = time
    this.#network = network
    this.#violate = violate
  }

  /** Notes what the device offers and says from now on. */
  began ({ life }: Machine, { mesh, resources }: Device): void {
    const saidMs: number[] = []
    const offer = resources.offer.bind(resources)
    if (life !== undefined) this.#offeredMs.set(life, this.#time.now)
    resources.offer = capacity => {
      if (life !== undefined) this.#offeredMs.set(life, this.#time.now)
      offer(capacity)
    }
    const broadcast = mesh.broadcast.bind(mesh)
    mesh.broadcast = (topic, message) => {
      if (topic === 'advert' && life !== undefined && this.#time.now > life.stalledUntilMs + WINDOW_MS) {
        saidMs.push(this.#time.now)
        if (saidMs.filter(ms => ms > this.#time.now - WINDOW_MS).length > ADVERTS_MAX) {
          this.#violate('adverts were sent without a pause')
        }
      }
      return broadcast(topic, message)
    }
  }

  look (up: readonly Machine[]): void {
    const { now } = this.#time
    for (const { id } of up) this.#upMs.set(id, now)
    for (const machine of up) for (const other of up) if (machine !== other) this.#lookAt(machine, other)
    for (const { device, life } of up) {
      if (device !== undefined && life !== undefined && now > life.stalledUntilMs) this.#lookAtGone(device)
    }
  }

  #lookAt (machine: Machine, other: Machine): void {
    const { now } = this.#time
    const { life, device } = machine
    if (life === undefined || other.life === undefined || device === undefined || other.device === undefined) return
    const way = `${machine.name} ${life.bootMs} ${other.name} ${other.life.bootMs}`
    const isLinked = this.#network.memory.linked(machine.id, other.id) && !this.#network.parted(machine.id, other.id)
    if (!isLinked || Math.max(life.stalledUntilMs, other.life.stalledUntilMs) > now - 2_000) {
      this.#linkedMs.delete(way)
      return
    }
    const linkedMs = this.#linkedMs.get(way) ?? now
    this.#linkedMs.set(way, linkedMs)
    if (now - linkedMs < MET_MS) return
    const { slots, queue } = other.device.resources.own()
    const isNews = now - (this.#offeredMs.get(other.life) ?? now) < NEWS_MS
    const heard = device.resources.known().find(({ device: id }) => id === other.id)?.advert
    if (heard === undefined) this.#violate('a device did not know what a peer offers')
    else if (!isNews && (heard.slots.free !== slots.free || heard.queue !== queue)) this.#violate('a device believed in slots of a peer that were not so any more')
  }

  /** What nobody has said for long is not believed. */
  #lookAtGone ({ resources }: Device): void {
    for (const { device, advert, self } of resources.known()) {
      if (!self && advert !== undefined && this.#time.now - (this.#upMs.get(device) ?? Infinity) > TTL_MS) {
        this.#violate('a device believed in slots of a device that is long gone')
      }
    }
  }
}
