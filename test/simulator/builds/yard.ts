/**
 * Requesters and builders as they ship: elector, claims, runs, hosts, jobs, resources, over simulated time, links and machines.
 * What must be so is checked against the machines, which know what really ran.
 */
import { createHash } from 'node:crypto'
import { deviceId, type DeviceId } from '@elder-node/protocol'
import type { BuildEvent } from '../../../packages/node/src/api.ts'
import { nodeCrypto, signerFromSeed } from '../../../packages/node/src/adapters/crypto.ts'
import type { ResourceService } from '../../../packages/node/src/services/resources.ts'
import { Farm, type Device, type FarmWorld } from '../../../packages/node/test/builds/farm.ts'
import { MemoryFiles } from '../../../packages/node/test/support/memory-files.ts'
import { MemoryRoster, type Doorkeeper } from '../../../packages/node/test/support/memory-roster.ts'
import { load, type Edit } from '../mutant.ts'
import { seededRandom } from '../random.ts'
import { VirtualNetwork } from '../virtual/network.ts'
import { VirtualTime, type Life } from '../virtual/time.ts'
import { Host, type Process } from './host.ts'
import { AdvertsWatch } from './adverts.ts'
import type { FarmStep } from './plan.ts'

/** One rule less, to show that the yard sees it. */
export type Mutant = 'sweep' | 'kill' | 'early' | 'close'

/** `edits`: a mutant of the service that tells what a device offers; it ends at the first thing that it does wrong. */
export interface YardPlan { seed: number, steps: readonly FarmStep[], minutes: number, calm?: boolean, mutant?: Mutant, edits?: readonly Edit[] }

export interface YardOutcome { violations: string[], hash: string, events: number, builds: number, done: number, failed: string[], moved: number, crashes: number }

export interface Machine {
  name: string
  id: DeviceId
  slots: number
  host: Host
  files: MemoryFiles
  life: Life | undefined
  device: Device | undefined
  epoch: number
  /** Devices that it knows are out, since when. */
  out: Map<DeviceId, number>
  /** The same, as the node that runs now was told. */
  roster: MemoryRoster
}

interface Asked { id: string, life: Life, requester: Machine, exclusive: boolean, endedMs: number | undefined, cancel: () => void }

const SLOTS = [1, 2, 1, 0, 0]
const REST_MS = 400_000
const LOOK_MS = 500
/** A device stays a device for the others while its lease may still live: validity, grace, and the kill. */
const LEASE_OVER_MS = 30_000
const DIAL_MS = 1_000
const SLICE_MS = 5_000
const GONE_MS = 50_000
const RESOURCES = 'packages/node/src/services/resources.ts'
const crypto = nodeCrypto()
const silent = (): void => {}

export class Yard {
  readonly time = new VirtualTime()
  readonly #plan: YardPlan
  readonly #random: () => number
  readonly #network: VirtualNetwork
  readonly #farm: Farm
  readonly #world: FarmWorld
  readonly #adverts: AdvertsWatch
  readonly #machines: Machine[] = []
  readonly #asked = new Map<string, Asked>()
  readonly #violations = new Set<string>()
  readonly #trace = createHash('sha256')
  readonly #failed: string[] = []
  #done = 0
  #moved = 0
  #crashes = 0

  constructor (plan: YardPlan) {
    this.#plan = plan
    this.#random = seededRandom(plan.seed)
    this.#network = new VirtualNetwork(this.time, this.#random)
    this.#world = {
      network: this.#network.memory, random: this.#random, signerOf: name => signerFromSeed(crypto.sha256(Buffer.from(`yard ${name}`))),
      clockOf: name => this.time.clockOf(this.#machineNamed(name).life as Life),
      randomBytes: length => Uint8Array.from({ length }, () => Math.floor(256 * this.#random())),
    }
    this.#farm = new Farm({ world: this.#world })
    this.#adverts = new AdvertsWatch(this.time, this.#network, what => { this.#violate(what) })
  }

  async run (): Promise<YardOutcome> {
    const { edits } = this.#plan
    if (edits !== undefined) this.#world.Resources = (await load<{ ResourceService: typeof ResourceService }>(RESOURCES, edits)).ResourceService
    this.time.install()
    try {
      for (const [i, slots] of SLOTS.entries()) this.#boot(this.#newMachine(`m${i}`, slots))
      const endMs = this.#plan.minutes * 60_000
      for (const step of this.#plan.steps) this.time.at(step.atMs, () => { this.#step(step) })
      for (let at = LOOK_MS; at < endMs + REST_MS; at += LOOK_MS) this.time.at(at, () => { this.#look() })
      for (let ms = SLICE_MS; ms <= endMs + REST_MS; ms += SLICE_MS) {
        if (this.#isCaught) break
        await this.time.run(ms)
        if (ms === endMs) this.#network.heal()
      }
      if (!this.#isCaught) {
        this.#atRest()
        await this.#lose(this.#machines[0] as Machine)
      }
    } finally {
      this.time.uninstall()
    }
    return {
      violations: [...this.#violations], hash: this.#trace.digest('hex'), events: this.time.events, builds: this.#asked.size, done: this.#done,
      failed: this.#failed, moved: this.#moved, crashes: this.#crashes,
    }
  }

  // --- machines and their nodes

  #newMachine (name: string, slots: number): Machine {
    const host = new Host(name, this.time, this.#random, process => { this.#began(machine, process) })
    const machine: Machine = {
      name, slots, host, id: deviceId(signerFromSeed(crypto.sha256(Buffer.from(`yard ${name}`))).publicKey), files: new MemoryFiles(),
      life: undefined, device: undefined, epoch: 0, out: new Map(), roster: new MemoryRoster(),
    }
    this.#machines.push(machine)
    return machine
  }

  #machineNamed (name: string): Machine { return this.#machines.find(machine => machine.name === name) as Machine }

  #boot (machine: Machine): void {
    const { name, slots, host, files } = machine
    const life = this.time.spawn(name, { rate: 0.98 + 0.04 * this.#random() })
    const epoch = ++machine.epoch
    machine.life = life
    machine.roster = new MemoryRoster('builder')
    for (const device of machine.out.keys()) machine.roster.remove(device)
    this.#network.begins(machine.id, life)
    const { mutant } = this.#plan
    const engine = host.engine(life, epoch, { early: mutant === 'early', deaf: mutant === 'kill' })
    if (mutant === 'sweep') engine.sweep = async () => {}
    this.time.inside(life, () => {
      void this.#farm.add(name, { slots, files, epoch, offline: true, runsOn: engine, door: this.#doorOf(machine) }).then(device => {
        if (machine.life !== life) return
        machine.device = device
        this.#adverts.began(machine, device)
      })
      this.#dials(machine, life)
    })
  }

  #doorOf (machine: Machine): Doorkeeper {
    const door = machine.roster.door()
    return this.#plan.mutant === 'close' ? { ...door, onRemoved: () => () => {} } : door
  }

  /** A plain supervisor: every other device, about once a second. */
  #dials (machine: Machine, life: Life): void {
    setTimeout(() => {
      for (const other of this.#machines) {
        if (other === machine || other.life === undefined || machine.out.has(other.id) || this.#network.parted(machine.id, other.id)) continue
        if (!this.#network.memory.linked(machine.id, other.id) && machine.id < other.id) this.#network.memory.connect(machine.id, other.id).catch(silent)
      }
      if (machine.life === life) this.#dials(machine, life)
    }, DIAL_MS * (0.5 + this.#random()))
  }

  #up (): Machine[] { return this.#machines.filter(({ device }) => device !== undefined) }

  // --- what happens

  #step (step: FarmStep): void {
    this.#trace.update(`${this.time.now.toFixed(1)} ${JSON.stringify(step)}\n`)
    const machine = 'device' in step ? at(this.#up(), step.device) : undefined
    switch (step.type) {
      case 'build': if (machine !== undefined) this.#build(machine, step); return
      case 'cancel': at([...this.#asked.values()].filter(({ endedMs }) => endedMs === undefined), step.build)?.cancel(); return
      case 'crash': if (machine !== undefined) this.#crash(machine, step.downMs); return
      case 'stall': if (machine?.life !== undefined) this.time.stall(machine.life, step.forMs); return
      case 'evict': if (machine !== undefined) this.#evict(machine); return
      case 'part':
        this.#network.partition(new Map(this.#machines.map(({ id }, i) => [id, (step.sides >> i) & 1])))
        this.time.at(this.time.now + step.forMs, () => { this.#network.heal() })
    }
  }

  #build (requester: Machine, { runMs, exclusive, waitMs, deadlineMs }: Extract<FarmStep, { type: 'build' }>): void {
    const { life, device } = requester
    if (life === undefined || device === undefined) return
    this.time.within(life, () => {
      const request = { command: ['sleep', String(Math.round(runMs))], exclusive, outputs: ['out.txt'], ...(waitMs === null ? {} : { waitMs }), ...(deadlineMs === null ? {} : { deadlineMs }) }
      void device.builds.build(request).then(({ id, events, result, cancel }) => {
        const asked: Asked = { id, life, requester, exclusive, endedMs: undefined, cancel: () => { this.time.within(life, () => { void cancel() }) } }
        this.#asked.set(id, asked)
        void this.#follow(asked, events)
        void result.then(() => { asked.endedMs = this.time.now })
      })
    })
  }

  async #follow (asked: Asked, events: AsyncIterable<BuildEvent>): Promise<void> {
    let results = 0
    for await (const event of events) {
      if (event.event === 'moved') {
        this.#moved++
        if (this.#plan.calm === true) this.#violate(`a build moved though nothing failed: ${event.why}`)
      }
      if (event.event !== 'result') continue
      this.#trace.update(`${this.time.now.toFixed(1)} ${asked.id} ${event.state} ${event.builder?.name ?? ''}\n`)
      if (++results > 1) this.#violate('a build ended twice')
      if (event.state === 'done') this.#accepted(asked, event)
      else this.#failed.push(event.error?.code ?? event.state)
      if (event.error?.code === 'POISON') this.#violate('a sound build was called poison')
      if (this.#plan.calm === true && event.state !== 'done' && event.error?.code !== 'DEADLINE' && event.error?.code !== 'NO_CANDIDATE') this.#violate(`a build failed though nothing did: ${event.error?.code ?? event.state}`)
    }
  }

  #accepted (asked: Asked, { builder }: Extract<BuildEvent, { event: 'result' }>): void {
    this.#done++
    const machine = this.#machines.find(({ id }) => id === builder?.id)
    if (machine?.host.completed.has(asked.id) !== true) this.#violate('a result was accepted of a builder on which the build never ran to its end')
  }

  #crash (machine: Machine, downMs: number): void {
    if (machine.life === undefined) return
    this.#crashes++
    this.#network.vanished(machine.id)
    this.time.kill(machine.life)
    machine.life = machine.device = undefined
    machine.host.orphaned()
    this.time.at(this.time.now + downMs, () => { if (machine.life === undefined) this.#boot(machine) })
  }

  /** For good: what it said last runs out. */
  async #lose (machine: Machine): Promise<void> {
    this.#crash(machine, Infinity)
    this.#adverts.look(this.#up())
    await this.time.run(this.time.now + GONE_MS)
    this.#adverts.look(this.#up())
  }

  /** Half of the time it comes back after two minutes as another device would: the others forget. */
  #evict (machine: Machine): void {
    for (const other of this.#machines) {
      if (other === machine) continue
      this.time.at(this.time.now + 5_000 * this.#random(), () => {
        other.out.set(machine.id, this.time.now)
        const { life, roster } = other
        if (life !== undefined) this.time.within(life, () => { roster.remove(machine.id) })
      })
    }
    this.time.at(this.time.now + 120_000, () => {
      for (const other of this.#machines) {
        other.out.delete(machine.id)
        other.roster.admit(machine.id, 'builder')
      }
    })
  }

  // --- what must be so

  #began (machine: Machine, process: Process): void {
    this.#trace.update(`${this.time.now.toFixed(1)} ${machine.name} begins ${process.build}\n`)
    if (machine.host.processes.size > machine.slots) this.#violate('more builds than slots on a machine')
    const asked = this.#asked.get(process.build)
    const twice = this.#machines.filter(other => !this.#wasStopped(other)).flatMap(({ host }) => [...host.processes.values()]).filter(({ build }) => build === process.build)
    if (asked?.exclusive === true && twice.length > 1) this.#violate('an exclusive build ran twice at once')
    if (asked !== undefined && this.#isOutFor(machine, asked.requester, 0)) this.#violate('a build of a device that is out began')
  }

  /** A builder that was stopped for longer than its lease could not end what ran on it: nobody promises that. */
  #wasStopped ({ life }: Machine): boolean { return life !== undefined && life.stalledUntilMs > 0 && this.time.now < life.stalledUntilMs + LEASE_OVER_MS }

  #isOutFor (machine: Machine, requester: Machine, forMs: number): boolean {
    const sinceMs = machine.out.get(requester.id)
    return sinceMs !== undefined && machine.life !== undefined && this.time.now > Math.max(sinceMs, machine.life.stalledUntilMs) + forMs
  }

  #look (): void {
    this.#adverts.look(this.#up())
    for (const machine of this.#machines) {
      for (const { build } of machine.host.processes.values()) {
        const asked = this.#asked.get(build)
        if (asked === undefined || this.#wasStopped(machine)) continue
        if (asked.requester !== machine && this.#isOutFor(machine, asked.requester, LEASE_OVER_MS)) this.#violate('a build of a device that is out went on')
        if (asked.endedMs !== undefined && this.time.now > asked.endedMs + LEASE_OVER_MS) this.#violate('a build that had ended went on')
      }
    }
  }

  #atRest (): void {
    for (const { host, device, slots } of this.#machines) {
      if (host.processes.size > 0) this.#violate('a process was left behind')
      if (device !== undefined && device.host.leases().length > 0) this.#violate('a slot leaked')
      if (device !== undefined && device.resources.slots !== slots) this.#violate('slots were lost')
    }
    for (const { life, endedMs } of this.#asked.values()) if (life.alive && endedMs === undefined) this.#violate('a build never ended')
  }

  /** A mutant that was caught needs no more proof. */
  get #isCaught (): boolean { return this.#plan.edits !== undefined && this.#violations.size > 0 }

  #violate (what: string): void {
    this.#violations.add(what)
    this.#trace.update(`${this.time.now.toFixed(1)} violation ${what}\n`)
  }
}

function at<T> (list: readonly T[], place: number): T | undefined { return list[place % Math.max(1, list.length)] }
