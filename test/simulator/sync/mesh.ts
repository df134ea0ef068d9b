/** A mesh of simulated devices with a workload and faults, all drawn from one seed. */
import { equalVectors, stackId, stackKey, type AntiEntropyInit, type DeviceId } from '@elder-node/protocol'
import { World, type Links } from '../world.ts'
import { SHIPPED, SimDevice, type Parts, type SimMessage } from './device.ts'
import { cheapCrypto } from './replica.ts'

export interface MeshInit { devices?: number, stacks?: number, links?: Links, parts?: Partial<Parts>, antiEntropy?: AntiEntropyInit, gossip?: boolean }

export const CLEAN: Links = { loss: 0, duplicate: 0, delayMs: [5, 60] }
export const ROUGH: Links = { loss: 0.05, duplicate: 0.05, delayMs: [5, 400] }

export class SimMesh {
  readonly world: World<SimMessage>
  readonly devices: SimDevice[]
  readonly stacks: string[]
  readonly appended = new Map<string, number>()
  #down = new Set<SimDevice>()
  #groups: SimDevice[][]

  constructor (seed: number, { devices = 4, stacks = 3, links = ROUGH, parts = {}, antiEntropy = {}, gossip = true }: MeshInit = {}) {
    this.world = new World(seed, links)
    const names = new Map<DeviceId, string>()
    this.devices = Array.from({ length: devices }, (_, i) => new SimDevice(`d${i}`, this.world, { ...SHIPPED, ...parts }, { antiEntropy, gossip, names }))
    this.stacks = Array.from({ length: stacks }, (_, i) => `stack-${i}`)
    this.#groups = [this.devices]
    for (const device of this.devices) this.#spawn(device)
    for (const device of this.devices) this.#meet(device)
  }

  append (device: SimDevice, stack: string, texts: string[]): void {
    if (this.#down.has(device)) return
    this.appended.set(`${device.name} ${stack}`, (this.appended.get(`${device.name} ${stack}`) ?? 0) + texts.length)
    device.append(stack, texts, this.devices.filter(other => other !== device).map(({ name }) => name))
  }

  appendAnywhere (): void {
    const pick = <T>(list: T[]): T => list[Math.floor(this.world.random() * list.length)] as T
    const size = this.world.random() < 0.05 ? 20_000 : 20
    this.append(pick(this.devices), pick(this.stacks), Array.from({ length: 1 + Math.floor(this.world.random() * 3) }, () => 'x'.repeat(size)))
  }

  partition (...groups: SimDevice[][]): void {
    this.world.partition(groups.map(group => group.map(({ name }) => name)))
    for (const a of this.devices) for (const b of this.devices) if (this.#together(a, b) && !groups.some(group => group.includes(a) && group.includes(b))) a.gone(b)
    this.#groups = groups
  }

  heal (): void {
    const apart = this.devices.flatMap(a => this.devices.filter(b => !this.#together(a, b)).map(b => [a, b] as const))
    this.world.heal()
    this.#groups = [this.devices]
    for (const [a, b] of apart) if (!this.#down.has(a) && !this.#down.has(b)) a.admitted(b)
  }

  crash (device: SimDevice): void {
    this.#down.add(device)
    this.world.crash(device.name)
    for (const other of this.devices) if (other !== device && !this.#down.has(other)) other.gone(device)
  }

  restart (device: SimDevice): void {
    this.#down.delete(device)
    this.#spawn(device)
    this.#meet(device)
    for (const other of this.devices) if (other !== device && !this.#down.has(other) && this.#together(other, device)) other.admitted(device)
  }

  #spawn (device: SimDevice): void {
    this.world.spawn(device.name, device)
    device.boot()
  }

  #meet (device: SimDevice): void {
    for (const other of this.devices) if (other !== device && !this.#down.has(other) && this.#together(other, device)) device.admitted(other)
  }

  #together (a: SimDevice, b: SimDevice): boolean {
    return a !== b && this.#groups.some(group => group.includes(a) && group.includes(b))
  }

  /** Undefined when every device holds every append; else what is wrong. */
  difference (): string | undefined {
    for (const name of this.stacks) {
      const key = stackKey(stackId(name, cheapCrypto))
      const vectors = this.devices.map(device => device.replica.vector(key))
      const expected = this.devices.filter(device => (this.appended.get(`${device.name} ${name}`) ?? 0) > 0).length
      const records = this.devices.reduce((sum, device) => sum + (this.appended.get(`${device.name} ${name}`) ?? 0), 0)
      for (const [i, vector] of vectors.entries()) {
        if (!equalVectors(vector, vectors[0] as typeof vector)) return `${name}: d${i} differs from d0`
        if (vector.size !== expected || [...vector.values()].reduce((sum, { seq }) => sum + seq, 0) !== records) return `${name}: d${i} lost an append`
      }
    }
    return undefined
  }
}
