/** Several devices of one process with a scripted engine each: the real services over the in-memory mesh. */
import { deviceId, type BuildNetwork, type DeviceId, type Signer } from '@elder-node/protocol'
import { nodeCrypto, randomBytes, signerFromSeed } from '../../src/adapters/crypto.ts'
import type { Role } from '../../src/api.ts'
import type { Engine, EngineName, RunEvent, RunSpec } from '../../src/ports/engine.ts'
import type { PrivateFiles } from '../../src/ports/files.ts'
import type { Clock } from '../../src/ports/host.ts'
import type { PreparedTrees } from '../../src/ports/prepare.ts'
import type { OutputReader, SourceCache } from '../../src/ports/source.ts'
import { BuildHost, BuildLink, Builds } from '../../src/services/builds/index.ts'
import { ResourceService } from '../../src/services/resources.ts'
import { MemoryFiles } from '../support/memory-files.ts'
import { MemoryReader, MemoryWriter } from '../support/memory-outputs.ts'
import { MemoryNetwork, type MemoryMesh } from '../support/memory-mesh.ts'
import { MemoryRoster, type Doorkeeper } from '../support/memory-roster.ts'
import { MemorySensors } from '../support/memory-sensors.ts'
import { MemoryCache, MemorySource } from '../support/memory-source.ts'

export type Script = (spec: RunSpec, signal: AbortSignal) => AsyncIterable<RunEvent>

const crypto = nodeCrypto()

export interface Device {
  id: DeviceId
  name: string
  mesh: MemoryMesh
  builds: Builds
  host: BuildHost
  resources: ResourceService
  /** Builds that run here now, and the most that ever did. */
  running: { now: number, max: number }
  /** What outputs were written, path to text. */
  written: Map<string, string>
  cache: MemoryCache
  stop: () => Promise<void>
}

const log = { debug () {}, info () {}, warn () {}, error () {} }

/** What the devices of a farm stand on. A simulator brings its own. */
export interface FarmWorld {
  network: MemoryNetwork
  clockOf: (name: string) => Clock
  signerOf: (name: string) => Signer
  /** Uniform in [0, 1). */
  random: () => number
  randomBytes: (length: number) => Uint8Array
  /** In the place of the shipped one: a mutant of it. */
  Resources?: typeof ResourceService
}

export const realWorld = (): FarmWorld => ({
  network: new MemoryNetwork(), clockOf: () => ({ wallMs: () => Date.now(), monotonicMs: () => performance.now() }), signerOf: () => signerFromSeed(randomBytes(32)),
  random: Math.random, randomBytes,
})

export interface DeviceInit {
  slots?: number
  role?: Role
  script?: Script
  offline?: boolean
  engine?: EngineName
  network?: BuildNetwork
  files?: PrivateFiles
  /** Parts of the source cache and the output reader of its own. */
  disk?: Partial<SourceCache & OutputReader>
  /** Keeps what prepare commands added. @default nothing is kept */
  prepare?: PreparedTrees
  /** Runs the builds in the place of a scripted engine. */
  runsOn?: Engine
  /** This life of the device. @default 1 */
  epoch?: number
  /** What this device believes of the others. @default everybody in, with the roles of the farm */
  door?: Doorkeeper
}

export class Farm {
  readonly network: MemoryNetwork
  readonly devices: Device[] = []
  readonly #explore: number
  readonly #world: FarmWorld

  constructor ({ explore = 0, world = realWorld() }: { explore?: number, world?: FarmWorld } = {}) {
    this.#explore = explore
    this.#world = world
    this.network = world.network
  }

  /** What every snapshot could not take. */
  warnings: string[] = []
  /** Files of the folder that everybody builds: path to text. */
  readonly source: Map<string, string> = new Map()
  /** Waited for after each chunk of a source. */
  pace: () => Promise<void> = async () => {}
  signerOf: (signer: Signer) => Signer = signer => signer

  async add (name: string, init: DeviceInit = {}): Promise<Device> {
    const signer = this.#world.signerOf(name)
    const clock = this.#world.clockOf(name)
    const id = deviceId(signer.publicKey)
    const role = init.role ?? 'builder'
    const door = init.door ?? this.#roster.door()
    const mesh = this.network.join(id, door)
    this.#roster.admit(id, role)
    const running = { now: 0, max: 0 }
    const written = new Map<string, string>()
    const { slots = 1 } = init
    const trees = new Map<string, Map<string, string>>()
    const engine = init.runsOn ?? scriptedEngine(init.engine ?? 'process', init.script ?? echoScript, running, trees)
    const epoch = init.epoch ?? 1
    const roleOf = (device: DeviceId): Role | undefined => door.role(device)
    const resources = new (this.#world.Resources ?? ResourceService)({ mesh, sensors: new MemorySensors(name), clock, directory: undefined, role: roleOf, random: this.#world.random, log }, { epoch, version: '0.1.0', engine: engine.name, slots })
    const cache = new MemoryCache(trees)
    const device = { id, name, mesh, resources, running, written, cache } as Device
    const ref = (other: DeviceId): { id: string, name: string } => ({ id: other, name: this.devices.find(d => d.id === other)?.name ?? other.slice(0, 8) })
    const link = new BuildLink({ mesh })
    device.host = new BuildHost({
      engine, cache: cacheOf(cache, init.disk), outputs: outputsOf(init.disk), prepare: init.prepare, clock, crypto, signer: this.signerOf(signer), environment: requested => ({ PATH: '/bin', ...requested }),
      limits: { cpus: 4, memoryBytes: 2 ** 33, pidsMax: 256, diskBytes: 2 ** 34 }, platform: 'linux/x64', network: init.network ?? 'full', role: roleOf,
      ask: (to, word) => link.ask(to, word),
      rttMs: to => mesh.peers().find(peer => peer.device === to)?.rttMs,
      offer: capacity => { resources.offer(capacity) }, log,
    }, { epoch })
    const resolve = (text: string): DeviceId => (this.devices.find(d => d.name === text) as Device).id
    device.builds = new Builds({ mesh, link, resources, reader: this.#reader, writer: new MemoryWriter(written), files: init.files ?? memoryFiles(), crypto, clock, randomBytes: this.#world.randomBytes, resolve, ref, log }, { explore: this.#explore, settleMs: 500 })
    link.serve(device)
    device.stop = async () => {
      await device.builds.stop()
      await device.host.stop()
      await resources.stop()
      await mesh.stop()
    }
    resources.onSlots(total => { device.host.configure(total) })
    await mesh.start()
    await resources.start()
    await device.host.start(resources.slots)
    this.devices.splice(0, this.devices.length, ...this.devices.filter(other => other.id !== id))
    for (const other of this.devices) if (init.offline !== true) await this.network.connect(id, other.id)
    this.devices.push(device)
    return device
  }

  readonly #roster = new MemoryRoster()
  readonly #reader = new MemorySource(() => this.source, { warnings: () => this.warnings, pace: () => this.pace() })

  /** Everybody has heard: what follows in node.ts. */
  evict (gone: Device): void {
    this.#roster.remove(gone.id)
    for (const { resources, host } of this.devices) for (const part of [resources, host]) part.forget(gone.id)
  }

  async stop (): Promise<void> { await Promise.all(this.devices.map(device => device.stop())) }
}

const KILLED: RunEvent = { type: 'exit', exitCode: 137, signal: 'SIGKILL', reason: null }

export async function * echoScript (spec: RunSpec): AsyncIterable<RunEvent> {
  yield { type: 'log', stream: 'stdout', data: Buffer.from(`${spec.command.join(' ')}\n`) }
  yield { type: 'exit', exitCode: 0, signal: null, reason: null }
}

/** Runs until it is killed, or until `release` resolves. */
export function waitScript (release?: Promise<void>): Script {
  return async function * (_spec, signal) {
    yield { type: 'log', stream: 'stdout', data: Buffer.from('waiting\n') }
    const killed = new Promise<void>(resolve => {
      if (signal.aborted) resolve()
      signal.addEventListener('abort', () => { resolve() }, { once: true })
    })
    await Promise.race([killed, ...(release === undefined ? [] : [release])])
    yield signal.aborted ? KILLED : { type: 'exit', exitCode: 0, signal: null, reason: null }
  }
}

/** Runs the script in the place of a command. `trees`: what there is in them. */
export function scriptedEngine (name: EngineName, script: Script, running = { now: 0, max: 0 }, trees = new Map<string, unknown>()): Engine {
  return {
    name, description: 'scripted, no isolation', check: async () => {}, createTree: async id => `/tree/${id}`, sweep: async () => {},
    removeTree: async tree => { trees.delete(tree) },
    async * run (spec, { signal }) {
      if (signal.aborted) return yield KILLED
      running.now++
      running.max = Math.max(running.max, running.now)
      try {
        yield { type: 'started' }
        yield * script(spec, signal)
      } finally {
        running.now--
      }
    },
  }
}

function cacheOf (cache: MemoryCache, own: Partial<SourceCache> = {}): SourceCache {
  return { have: own.have ?? cache.have.bind(cache), receive: own.receive ?? cache.receive.bind(cache), checkout: own.checkout ?? cache.checkout.bind(cache) }
}

/** What every build leaves in its tree. */
const BUILT: ReadonlyMap<string, Uint8Array> = new Map([['out.txt', new Uint8Array(Buffer.from('built'))]])

function outputsOf (own: Partial<OutputReader> = {}): OutputReader {
  const reader = new MemoryReader(() => BUILT, ['link'])
  return { match: own.match ?? reader.match.bind(reader), read: own.read ?? reader.read.bind(reader) }
}

export function memoryFiles (): MemoryFiles { return new MemoryFiles() }
