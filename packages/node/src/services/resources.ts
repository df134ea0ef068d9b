/** Knows what every device can offer, and tells the mesh what this one can. */
import { AdvertTable, BUILDER_ENGINES, builderCapability, decodeAdvert, encodeAdvert, MalformedError, type Advert, type DeviceId, type Known, type Role, type Value } from '@elder-node/protocol'
import type { EngineName } from '../ports/engine.ts'
import type { Clock, HostFacts, HostSample, Sensors } from '../ports/host.ts'
import type { Directory, Mesh } from '../ports/mesh.ts'
import type { Logger } from '../ports/log.ts'

export interface ResourceComponents {
  mesh: Mesh
  sensors: Sensors
  clock: Clock
  directory: Directory | undefined
  role: (device: DeviceId) => Role | undefined
  /** 0 to 1: jitter of the heartbeat. */
  random: () => number
  log: Logger
}

export interface ResourceInit {
  /** This life of the node; rises with every start. */
  epoch: number
  version: string
  engine: EngineName | null
  /** Builds at once. @default max(1, cores / 4), 0 on battery */
  slots?: number
  /** @default 15_000 */
  heartbeatMs?: number
  /** Least time between two adverts. @default 250 */
  coalesceMs?: number
  /** Time between two readings of the sensors. @default 5_000 */
  sampleMs?: number
  /** Time between two look-ups in the directory. @default 60_000 */
  lookupMs?: number
}

/** What the build host says of itself. */
export interface Capacity { free: number, queue: number, expectedWaitS: number, projects: string[], draining: boolean }

const DIRECTORY_MAX = 256

export class ResourceService {
  readonly table: AdvertTable = new AdvertTable()
  readonly #components: ResourceComponents
  readonly #init: ResourceInit
  readonly #found = new Set<DeviceId>()
  readonly #stop = new AbortController()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #fresh = new Set<() => void>()
  #facts: HostFacts | undefined
  #sample: HostSample | undefined
  #capacity: Capacity = { free: 0, queue: 0, expectedWaitS: 0, projects: [], draining: false }
  #seq = 0
  #sentMs = -Infinity
  #pending = false
  #provided: string | undefined
  #onSlots: (slots: number) => void = () => {}

  constructor (components: ResourceComponents, init: ResourceInit) {
    this.#components = components
    this.#init = init
    components.mesh.onGossip('advert', { role: 'observer' }, (from, message) => { this.hear(from, message) })
  }

  /** Called with the number of slots now and whenever it changes (battery). */
  onSlots (listener: (slots: number) => void): void {
    this.#onSlots = listener
    if (this.#facts !== undefined) listener(this.slots)
  }

  get facts (): HostFacts | undefined { return this.#facts }
  get sample (): HostSample | undefined { return this.#sample }

  /** Slots of this device now. */
  get slots (): number {
    if (this.#init.engine === null) return 0
    if (this.#init.slots !== undefined) return this.#init.slots
    return this.#sample?.onBattery === true ? 0 : Math.max(1, Math.floor((this.#facts?.cores ?? 1) / 4))
  }

  async start (): Promise<void> {
    const { mesh, sensors } = this.#components
    this.#facts = await sensors.facts()
    await this.#read()
    mesh.on('admitted', device => { void this.#tell(device) })
    mesh.on('gone', () => { this.#wakeFresh() })
    this.#every(this.#init.sampleMs ?? 5_000, () => this.#read())
    this.#every(this.#init.heartbeatMs ?? 15_000, () => this.#publish())
    this.#every(this.#init.lookupMs ?? 60_000, () => this.lookUp(this.#stop.signal))
    for (const peer of mesh.peers()) void this.#tell(peer.device)
    void this.#publish()
    void this.lookUp(this.#stop.signal)
  }

  /** Never rejects. */
  async stop (): Promise<void> {
    this.#stop.abort()
    for (const timer of this.#timers) clearTimeout(timer)
    if (this.#provided !== undefined) await this.#components.directory?.withdraw(this.#provided).catch(() => {})
  }

  /** The host's slots changed: coalesced to 4 adverts a second. */
  offer (capacity: Capacity): void {
    this.#capacity = capacity
    this.#changed()
  }

  own (): Advert {
    const facts = this.#facts
    const sample = this.#sample
    const { free, queue, expectedWaitS, projects, draining } = this.#capacity
    const total = this.slots
    return {
      epoch: this.#init.epoch, seq: this.#seq, version: this.#init.version, platform: facts?.platform ?? 'unknown', engine: this.#init.engine,
      projects, images: [], cores: facts?.cores ?? 1, load: Math.min(1, sample?.load ?? 0), pressure: sample?.pressure === undefined ? null : Math.min(1, sample.pressure),
      memory: { totalBytes: facts?.memoryTotalBytes ?? 0, freeBytes: sample?.memoryFreeBytes ?? 0 },
      disk: { totalBytes: sample?.diskTotalBytes ?? 0, freeBytes: sample?.diskFreeBytes ?? 0 },
      slots: { total, free: Math.min(free, total) }, queue, expectedWaitS, speed: 1, draining, coordinate: null,
    }
  }

  /** Takes an advert from gossip or from a direct message. @returns false when it is malformed. */
  hear (from: DeviceId, message: Value): boolean {
    try {
      if (!(message instanceof Uint8Array)) throw new MalformedError('an advert is bytes')
      const advert = decodeAdvert(message)
      if (this.table.accept(from, advert, this.#components.clock.monotonicMs())) this.#wakeFresh()
      return true
    } catch (error) {
      this.#components.log.debug({ device: from.slice(0, 8), error: (error as Error).message }, 'advert dropped')
      return false
    }
  }

  /** Every device that could build: this one, connected ones, and those that gossip or the directory named. */
  known (): Known[] {
    const { mesh, clock, role } = this.#components
    const now = clock.monotonicMs()
    this.table.expire(now)
    const online = new Set(mesh.peers().map(peer => peer.device))
    const others = new Set([...online, ...this.table.live(now).map(([device]) => device), ...this.#found])
    others.delete(mesh.self)
    return [
      { device: mesh.self, self: true, role: role(mesh.self), online: true, advert: this.own() },
      ...[...others].map(device => ({ device, self: false, role: role(device), online: online.has(device), advert: this.table.get(device, now)?.advert })),
    ]
  }

  /** Resolves when every connected device has a fresh advert, at the latest after `ms`. */
  async settled (ms: number, signal: AbortSignal): Promise<void> {
    const { mesh, clock } = this.#components
    const complete = (): boolean => mesh.peers().every(peer => this.table.get(peer.device, clock.monotonicMs()) !== undefined)
    const late = AbortSignal.any([signal, AbortSignal.timeout(ms)])
    while (!complete() && !late.aborted) await this.nextAdvert(late)
  }

  /** Resolves at the next news from any device, or when the signal aborts. */
  nextAdvert (signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      const done = (): void => {
        this.#fresh.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      if (signal.aborted) return resolve()
      this.#fresh.add(done)
      signal.addEventListener('abort', done, { once: true })
    })
  }

  /** Asks the directory for builders that gossip has not named. Never throws. */
  async lookUp (signal: AbortSignal): Promise<void> {
    const { directory, mesh } = this.#components
    const platform = this.#facts?.platform
    if (directory === undefined || platform === undefined) return
    const find = async (engine: EngineName): Promise<void> => {
      for await (const device of directory.find(builderCapability(platform, engine), { signal })) {
        if (device !== mesh.self && this.#found.size < DIRECTORY_MAX) this.#found.add(device)
      }
    }
    await Promise.allSettled(BUILDER_ENGINES.map(find))
  }

  async #read (): Promise<void> {
    const before = this.#init.engine === null ? 0 : this.slots
    const last = this.#sample
    this.#sample = await this.#components.sensors.sample()
    if (last === undefined || this.slots !== before) {
      this.#onSlots(this.slots)
      await this.#advertise()
    }
    if (last !== undefined && Math.abs(last.load - this.#sample.load) > 0.25) this.#changed()
  }

  /** Slow facts go to the directory: only that there are slots, never whether one is free. */
  async #advertise (): Promise<void> {
    const { directory } = this.#components
    const wanted = this.slots > 0 && this.#facts !== undefined && this.#init.engine !== null ? builderCapability(this.#facts.platform, this.#init.engine) : undefined
    if (directory === undefined || wanted === this.#provided) return
    const last = this.#provided
    this.#provided = wanted
    if (last !== undefined) await directory.withdraw(last).catch(() => {})
    if (wanted !== undefined) void directory.provide(wanted, { signal: this.#stop.signal }).catch(error => { this.#components.log.debug({ error: (error as Error).message }, 'directory: provide failed') })
  }

  #changed (): void {
    if (this.#pending || this.#stop.signal.aborted) return
    this.#pending = true
    const wait = Math.max(0, this.#sentMs + (this.#init.coalesceMs ?? 250) - this.#components.clock.monotonicMs())
    this.#later(wait, () => {
      this.#pending = false
      return this.#publish()
    })
  }

  async #publish (): Promise<void> {
    if (this.#stop.signal.aborted) return
    this.#sentMs = this.#components.clock.monotonicMs()
    this.#seq++
    await this.#components.mesh.broadcast('advert', encodeAdvert(this.own())).catch(() => 0)
  }

  /** Gossip may not reach a newcomer yet: it gets the latest advert directly. */
  async #tell (device: DeviceId): Promise<void> {
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(5_000)])
    this.#seq++
    await this.#components.mesh.request(device, 'claim', { type: 'advert', advert: encodeAdvert(this.own()) }, { signal })
      .catch(error => { this.#components.log.debug({ device: device.slice(0, 8), error: (error as Error).message }, 'advert not delivered') })
  }

  #every (ms: number, act: () => Promise<void>): void {
    this.#later(ms * (0.9 + 0.2 * this.#components.random()), async () => {
      await act().catch(error => { this.#components.log.warn({ error: (error as Error).message }, 'resources') })
      if (!this.#stop.signal.aborted) this.#every(ms, act)
    })
  }

  #later (ms: number, act: () => Promise<void>): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      void act()
    }, ms)
    timer.unref()
    this.#timers.add(timer)
  }

  #wakeFresh (): void { for (const wake of this.#fresh) wake() }
}
