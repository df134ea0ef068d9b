/** One picture of the mesh from what every service knows: what `status` and `devices` answer. */
import type { Advert, DeviceId } from '@elder-node/protocol'
import type { BuildStatus, DeviceStatus, Problem, StackStatus, Status } from '../api.ts'
import type { Clock } from '../ports/host.ts'
import type { Mesh, Peer } from '../ports/mesh.ts'
import type { Membership } from './membership.ts'
import type { ResourceService } from './resources.ts'

export interface StatusComponents {
  membership: Membership
  mesh: Mesh
  resources: ResourceService
  clock: Clock
  builds: () => BuildStatus[]
  stacks: () => StackStatus[]
  /** What the alerts say. */
  problems: () => Problem[]
}

export interface StatusInit { dir: string, version: string, engineNote: () => string, /** Where /metrics is, if anywhere. */ http: string | null }

export class StatusService {
  readonly #components: StatusComponents
  readonly #init: StatusInit
  /** Wall clock of the last word from a device. */
  readonly #seen = new Map<DeviceId, number>()

  constructor (components: StatusComponents, init: StatusInit) {
    this.#components = components
    this.#init = init
    const note = (device: DeviceId): void => { this.#seen.set(device, components.clock.wallMs()) }
    components.mesh.on('admitted', note)
    components.mesh.on('rtt', note)
    components.mesh.on('gone', note)
  }

  status (): Status {
    const { membership, mesh, builds, stacks, problems } = this.#components
    const { dir, version, engineNote, http } = this.#init
    return {
      mesh: { id: membership.meshId, name: membership.meshName },
      self: { ...membership.ref(mesh.self), addresses: mesh.addresses(), dir, pid: process.pid, version, engineNote: engineNote(), http, ...this.#reached() },
      devices: this.devices(),
      builds: builds(),
      stacks: stacks(),
      problems: problems(),
    }
  }

  /** This device first, then those online by round trip, then the rest by name. */
  devices (): DeviceStatus[] {
    const { membership, mesh } = this.#components
    const peers = new Map(mesh.peers().map(peer => [peer.device, peer]))
    return [...membership.roster.members.keys()].map(device => this.#device(device, peers.get(device))).toSorted(byNearness)
  }

  /** ISO 8601; null when this node has never heard of the device. */
  lastSeen (device: DeviceId): string | null {
    const { mesh, clock } = this.#components
    const seen = device === mesh.self ? clock.wallMs() : this.#seen.get(device)
    return seen === undefined ? null : new Date(seen).toISOString()
  }

  #device (device: DeviceId, peer: Peer | undefined): DeviceStatus {
    const { membership, mesh, resources, clock } = this.#components
    const self = device === mesh.self
    const advert = self ? resources.own() : resources.table.get(device, clock.monotonicMs())?.advert
    const online = self || (peer !== undefined && advert !== undefined)
    return {
      ...membership.ref(device), role: membership.role(device) ?? 'observer', online,
      rttMs: self ? 0 : roundTrip(peer), path: self ? 'self' : peer?.path ?? 'none',
      ...(peer?.relay === undefined ? {} : { relay: membership.ref(peer.relay) }),
      ...readings(online ? advert : undefined),
      lastSeen: this.lastSeen(device),
      ...(peer?.suspect === true ? { suspect: true } : {}),
    }
  }

  #reached (): Pick<Status['self'], 'reachable' | 'relays'> {
    const { mesh, membership } = this.#components
    const { reachable, through } = mesh.reach()
    return { reachable, relays: through.map(device => membership.ref(device)) }
  }
}

function readings (advert: Advert | undefined): Pick<DeviceStatus, 'cpu' | 'memory' | 'disk' | 'slots' | 'engine' | 'platform' | 'version'> {
  if (advert === undefined) return { cpu: null, memory: null, disk: null, slots: { total: 0, free: 0 }, engine: null, platform: null, version: null }
  const { cores, load, memory, disk, slots, engine, platform, version } = advert
  return { cpu: { cores, load }, memory, disk, slots, engine, platform, version }
}

function roundTrip (peer: Peer | undefined): number | null {
  return peer?.rttMs === undefined ? null : Math.round(peer.rttMs * 1000) / 1000
}

function byNearness (a: DeviceStatus, b: DeviceStatus): number {
  const rank = (device: DeviceStatus): number => device.path === 'self' ? -1 : device.online ? device.rttMs ?? 1e6 : 1e9
  return rank(a) - rank(b) || a.name.localeCompare(b.name)
}
