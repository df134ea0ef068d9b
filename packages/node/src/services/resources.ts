/** Knows what every device can offer, and tells the mesh what this one can. */
import { builderCapability, encodeAdvert, type Advert, type AdvertTable, type DeviceId, type Known, type Value } from '@elder-node/protocol'
import type { EngineName } from '../ports/engine.ts'
import type { HostFacts, HostSample, Sensors } from '../ports/host.ts'
import { KnownDevices, type KnownDevicesComponents } from './resources/known-devices.ts'
import { Loops } from './resources/loops.ts'
import { defaultSlots, ownAdvert, type Capacity } from './resources/own-advert.ts'

export interface ResourceComponents extends KnownDevicesComponents {
  sensors: Sensors
  /** Images that are here, newest first; left out by engines without images. Rejects while the engine does not answer: no slots then. */
  images?: (() => Promise<string[]>) | undefined
  /**
   * What builds need besides an engine and is not here, in a few words; undefined: nothing. Asked at the start, after a build that
   * failed for it ({@link ResourceService.lookAgain}), and again while something is missing.
   */
  lacks?: (() => Promise<string | undefined>) | undefined
  /** Whether builds that name no image cannot run here, as of the last look at the images. */
  isBare?: (() => boolean) | undefined
  /** 0 to 1: jitter of the heartbeat. */
  random: () => number
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
  /** Least time between two adverts in the long run; a rest saves up {@link BURST} more. @default 250 */
  coalesceMs?: number
  /** Time between two readings of the sensors. @default 5_000 */
  sampleMs?: number
  /** Time between two look-ups in the directory. @default 60_000 */
  lookupMs?: number
  /** Time between two looks at the engine and its images. @default 20_000 */
  imagesMs?: number
}

/** Time between two looks while builds wait for a default image, or for an engine that does not answer: whoever has mended it wants to use it. */
const SOON_LOOK_MS = 2_000
const TELL_MS = 5_000
const LOOKUP_MS_MAX = 30_000
/** Adverts that a rest saves up: a slot that is freed and taken again within `coalesceMs` is known at once, both times. */
const BURST = 2
/** A change of load that is news. */
const LOAD_STEP = 0.25

export class ResourceService {
  readonly #components: ResourceComponents
  readonly #init: ResourceInit
  readonly #others: KnownDevices
  readonly #loops: Loops
  readonly #ended = new AbortController()
  readonly #offs: Array<() => void> = []
  #facts: HostFacts | undefined
  #sample: HostSample | undefined
  #images: string[] = []
  #isBare = false
  /** Why there are no slots: the engine's daemon did not answer when it was asked last, or builds lack something. */
  #lacks: string | undefined
  #checksLacks = true
  #capacity: Capacity = { free: 0, queue: 0, expectedWaitS: 0, projects: [], draining: false }
  #seq = 0
  /** Up to when adverts are paid for, each with `coalesceMs` (generic cell rate algorithm, ITU-T I.371). */
  #paidMs = -Infinity
  #pending = false
  #provided: string | undefined
  #onSlots: (slots: number) => void = () => {}

  /** Registers its handler: before the mesh starts. */
  constructor (components: ResourceComponents, init: ResourceInit) {
    this.#components = components
    this.#init = init
    this.#others = new KnownDevices(components)
    this.#loops = new Loops({ random: components.random, failed: error => { components.log.warn({ error: error.message }, 'resources') } })
    components.mesh.onGossip('advert', { role: 'observer' }, (from, message) => { this.hear(from, message) })
  }

  get table (): AdvertTable { return this.#others.table }
  /** The last reading of this machine. */
  get sample (): HostSample | undefined { return this.#sample }

  /** Slots of this device now. */
  get slots (): number { return this.#lacks === undefined ? this.#wanted : 0 }

  /** Why this device offers no slots although its owner wants it to; undefined: it does, or nobody wants it to. */
  get lacks (): string | undefined { return this.#wanted > 0 ? this.#lacks : undefined }

  /** What the owner wants. */
  get #wanted (): number { return this.#init.engine === null ? 0 : this.#init.slots ?? defaultSlots(this.#facts, this.#sample) }

  /** Called with the number of slots now and whenever it changes (battery). */
  onSlots (listener: (slots: number) => void): void {
    this.#onSlots = listener
    if (this.#facts !== undefined) listener(this.slots)
  }

  /** Reads this machine: {@link slots} are known then, and nobody is told yet. */
  async measure (): Promise<void> {
    this.#facts = await this.#components.sensors.facts()
    await Promise.all([this.#read(), this.#look()])
  }

  /** Begins to tell: after the builder has swept and offered, so that the first advert is true. */
  async start (): Promise<void> {
    const { mesh } = this.#components
    const { sampleMs = 5_000, heartbeatMs = 15_000, lookupMs = 60_000, imagesMs = 20_000 } = this.#init
    if (this.#facts === undefined) await this.measure()
    this.#offs.push(mesh.on('admitted', device => { void this.#tell(device) }), mesh.on('gone', () => { this.#others.wake() }))
    // What others hold of this device has run out meanwhile, and so has its reading of itself.
    this.#offs.push(this.#components.clock.onWake?.(() => { void this.#read().then(() => this.#publish()).catch(() => {}) }) ?? (() => {}))
    this.#loops.every(sampleMs, () => this.#read())
    this.#loops.every(heartbeatMs, () => this.#publish())
    this.#lookAgain(imagesMs)
    this.#loops.every(lookupMs, () => this.lookUp(this.#ended.signal))
    for (const peer of mesh.peers()) void this.#tell(peer.device)
    void this.#publish()
    void this.lookUp(this.#ended.signal)
  }

  /** Never rejects. */
  async stop (): Promise<void> {
    this.#ended.abort()
    this.#loops.stop()
    for (const off of this.#offs.splice(0)) off()
    if (this.#provided !== undefined) await this.#components.directory?.withdraw(this.#provided).catch(() => {})
  }

  /** The host's slots changed: coalesced to 4 adverts a second. */
  offer (capacity: Capacity): void {
    this.#capacity = capacity
    this.#changed()
  }

  own (): Advert {
    const { epoch, version, engine } = this.#init
    return ownAdvert({ epoch, version, engine, seq: this.#seq, slots: this.slots, capacity: this.#capacity, images: this.#images, bare: this.#isBare, lacks: this.lacks, facts: this.#facts, sample: this.#sample })
  }

  /** After an eviction. */
  forget (device: DeviceId): void { this.#others.forget(device) }

  /** Takes an advert from gossip or from a direct message. @returns false when it is malformed. */
  hear (from: DeviceId, message: Value): boolean { return this.#others.hear(from, message) }

  /** Builds in line by device: here, and where a fresh advert says. */
  queues (): Map<DeviceId, number> {
    const { clock, mesh } = this.#components
    return new Map([[mesh.self, this.#capacity.queue], ...this.table.live(clock.monotonicMs()).map(([device, { advert }]) => [device, advert.queue] as const)])
  }

  /** Every device that could build, this one first. */
  known (): Known[] {
    const { mesh: { self }, role } = this.#components
    return [{ device: self, self: true, role: role(self), online: true, advert: this.own() }, ...this.#others.list()]
  }

  /** Resolves at the next news from any device, or when the signal aborts. */
  nextAdvert (signal: AbortSignal): Promise<void> { return this.#others.next(signal) }

  /** Asks the directory for builders that gossip has not named. Never rejects. */
  async lookUp (signal: AbortSignal): Promise<void> {
    if (this.#facts !== undefined) await this.#others.lookUp(this.#facts.platform, AbortSignal.any([signal, AbortSignal.timeout(LOOKUP_MS_MAX)]))
  }

  /** The default image may have been made a moment ago. Never rejects. */
  async lookForDefault (): Promise<void> { if (this.#isBare) await this.#look() }

  /** A build failed because something is missing here: it is looked for now. Never rejects. */
  async lookAgain (): Promise<void> {
    this.#checksLacks = true
    await this.#look()
  }

  async #look (): Promise<void> {
    const { images, isBare, log } = this.#components
    const [slots, bare] = [this.slots, this.#isBare]
    const found = await images?.().catch((error: Error) => error) ?? []
    this.#lacks = found instanceof Error ? `${this.#init.engine} does not answer` : await this.#lacking()
    if (!(found instanceof Error)) this.#images = found
    this.#isBare = isBare?.() === true
    if (this.slots !== slots) {
      const error = found instanceof Error ? { error: found.message } : {}
      log.warn({ slots: this.slots, ...error }, this.#lacks === undefined ? 'builds can run here again' : `no slots: ${this.#lacks}`)
      this.#onSlots(this.slots)
      await this.#advertise()
    }
    if (this.slots !== slots || this.#isBare !== bare) this.#changed()
  }

  /** What has once been there is not looked for again and again: a build that misses it says so. */
  async #lacking (): Promise<string | undefined> {
    if (!this.#checksLacks || this.#init.engine === null) return undefined
    const lacks = await this.#components.lacks?.()
    this.#checksLacks = lacks !== undefined
    return lacks
  }

  #lookAgain (imagesMs: number): void {
    this.#loops.later(this.#isBare || this.#lacks !== undefined ? Math.min(SOON_LOOK_MS, imagesMs) : imagesMs, () => this.#look().finally(() => { this.#lookAgain(imagesMs) }))
  }

  async #read (): Promise<void> {
    const before = this.slots
    const last = this.#sample
    this.#sample = await this.#components.sensors.sample()
    if (last === undefined || this.slots !== before) {
      this.#onSlots(this.slots)
      await this.#advertise()
    }
    if (last !== undefined && Math.abs(last.load - this.#sample.load) > LOAD_STEP) this.#changed()
  }

  /** Slow facts go to the directory: only that there are slots, never whether one is free. */
  async #advertise (): Promise<void> {
    const { directory, log } = this.#components
    const wanted = this.slots > 0 && this.#facts !== undefined && this.#init.engine !== null ? builderCapability(this.#facts.platform, this.#init.engine) : undefined
    if (directory === undefined || wanted === this.#provided) return
    const last = this.#provided
    this.#provided = wanted
    if (last !== undefined) await directory.withdraw(last).catch(() => {})
    if (wanted !== undefined) void directory.provide(wanted, { signal: this.#ended.signal }).catch(error => { log.debug({ error: (error as Error).message }, 'directory: provide failed') })
  }

  get #coalesceMs (): number { return this.#init.coalesceMs ?? 250 }

  #changed (): void {
    if (this.#pending) return
    this.#pending = true
    const waitMs = Math.max(0, this.#paidMs - BURST * this.#coalesceMs - this.#components.clock.monotonicMs())
    this.#loops.later(waitMs, () => {
      this.#pending = false
      return this.#publish()
    })
  }

  async #publish (): Promise<void> {
    if (this.#ended.signal.aborted) return
    this.#paidMs = Math.max(this.#paidMs, this.#components.clock.monotonicMs()) + this.#coalesceMs
    this.#seq++
    await this.#components.mesh.broadcast('advert', encodeAdvert(this.own())).catch(() => 0)
  }

  /** Gossip may not reach a newcomer yet: it gets the latest advert directly. */
  async #tell (device: DeviceId): Promise<void> {
    const signal = AbortSignal.any([this.#ended.signal, AbortSignal.timeout(TELL_MS)])
    this.#seq++
    await this.#components.mesh.request(device, 'claim', { type: 'advert', advert: encodeAdvert(this.own()) }, { signal })
      .catch(error => { this.#components.log.debug({ device: device.slice(0, 8), error: (error as Error).message }, 'advert not delivered') })
  }
}
