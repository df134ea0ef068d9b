/**
 * The links of a simulated mesh: delays that keep the order of a connection, partitions that swallow and later deliver as TCP
 * does, connections that are given up after some seconds of silence, and devices that vanish. Carries the mesh in memory.
 */
import type { DeviceId } from '@elder-node/protocol'
import { MemoryNetwork } from '../../../packages/node/test/support/memory-mesh.ts'
import type { Life, VirtualTime } from './time.ts'

export interface NetworkInit {
  /** One-way delay in milliseconds, drawn uniformly. @default [1, 80] */
  delayMs?: [min: number, max: number]
  /** Silence after which a connection is given up, drawn uniformly. @default [5_000, 8_000] */
  giveUpMs?: [min: number, max: number]
}

interface Parked { life: Life | undefined, deliver: () => void }

export class VirtualNetwork {
  readonly memory: MemoryNetwork
  readonly #time: VirtualTime
  readonly #random: () => number
  readonly #delayMs: [number, number]
  readonly #giveUpMs: [number, number]
  readonly #lives = new Map<DeviceId, Life>()
  /** When the last thing on this way arrives: nothing overtakes it. */
  readonly #lastMs = new Map<string, number>()
  readonly #parked = new Map<string, Parked[]>()
  #sides: ReadonlyMap<DeviceId, number> | undefined
  #parting = 0
  carried = 0

  constructor (time: VirtualTime, random: () => number, { delayMs = [1, 80], giveUpMs = [5_000, 8_000] }: NetworkInit = {}) {
    this.#time = time
    this.#random = random
    this.#delayMs = delayMs
    this.#giveUpMs = giveUpMs
    this.memory = new MemoryNetwork({
      carry: (from, to, deliver) => { this.#carry(from, to, deliver) },
      within: (device, act) => {
        const life = this.#lives.get(device)
        if (life !== undefined) this.#time.within(life, act)
      },
    })
  }

  /** The life that speaks for this device from now on. Connections of an earlier one are found dead at once. */
  begins (device: DeviceId, life: Life): void {
    this.#lives.set(device, life)
    for (const key of this.#lastMs.keys()) if (key.includes(device)) this.#lastMs.delete(key)
  }

  /** The device is gone without a word: its peers notice after a while, as a reset or by silence. */
  vanished (device: DeviceId): void {
    for (const peer of this.memory.peersOf(device)) {
      const link = this.memory.link(device, peer)
      const ms = this.#random() < 0.5 ? 50 : this.#between(this.#giveUpMs)
      this.#time.at(this.#time.now + ms, () => { if (this.memory.link(device, peer) === link) this.memory.disconnect(device, peer) })
    }
  }

  parted (a: DeviceId, b: DeviceId): boolean { return this.#sides !== undefined && this.#sides.get(a) !== this.#sides.get(b) }

  partition (sides: ReadonlyMap<DeviceId, number>): void {
    this.heal()
    this.#sides = sides
    const parting = ++this.#parting
    for (const a of sides.keys()) {
      for (const b of this.memory.peersOf(a)) {
        if (a > b || !this.parted(a, b)) continue
        const link = this.memory.link(a, b)
        this.#time.at(this.#time.now + this.#between(this.#giveUpMs), () => {
          if (this.#parting === parting && this.memory.link(a, b) === link) this.memory.disconnect(a, b)
        })
      }
    }
  }

  /** What was sent meanwhile arrives now: its sender has tried again. */
  heal (): void {
    this.#sides = undefined
    this.#parting++
    const parked = [...this.#parked]
    for (const [way, waiting] of parked) {
      this.#parked.delete(way)
      const [from, to] = way.split(' ') as [DeviceId, DeviceId]
      for (const { life, deliver } of waiting) this.#send(from, to, life, deliver)
    }
  }

  #carry (from: DeviceId, to: DeviceId, deliver: () => void): void {
    if (this.#lives.get(from)?.alive !== true) return
    this.#send(from, to, this.#lives.get(to), deliver)
  }

  #send (from: DeviceId, to: DeviceId, life: Life | undefined, deliver: () => void): void {
    const way = `${from} ${to}`
    const at = Math.max(this.#lastMs.get(way) ?? 0, this.#time.now + this.#between(this.#delayMs))
    this.#lastMs.set(way, at)
    this.#time.at(at, () => {
      // Sent to a process that has ended meanwhile.
      if (life === undefined || this.#lives.get(to) !== life) return
      const waiting = this.#parked.get(way)
      if (waiting !== undefined || this.parted(from, to)) {
        this.#parked.set(way, [...waiting ?? [], { life, deliver }])
        return
      }
      this.carried++
      this.#time.within(life, deliver)
    })
  }

  #between ([min, max]: [number, number]): number { return min + this.#random() * (max - min) }
}
