/** Elects a builder: ranks who is known; while nobody passes waits for adverts, then asks the directory. */
import { History, type BuildSpec, type DeviceId, type Needs, type Past } from '@elder-node/protocol'
import type { DeviceRef } from '../../api.ts'
import type { Clock, RandomBytes } from '../../ports/host.ts'
import type { Mesh } from '../../ports/mesh.ts'
import type { ResourceService } from '../resources.ts'
import { uniform } from '../uniform.ts'
import { electBuilder, type ElectionResult } from './ranking.ts'

export interface ElectorComponents {
  mesh: Mesh
  resources: ResourceService
  clock: Clock
  randomBytes: RandomBytes
  ref: (device: DeviceId) => DeviceRef
}

export interface ElectorInit {
  /** Share of builds that try a builder unused for 10 min (`election.explore`). @default 0.02 */
  explore?: number
  /** How long to wait for adverts before "no candidate", ms. @default 3_000 */
  settleMs?: number
}

export interface ElectHow {
  signal: AbortSignal
  /** False for a build that is no experiment: an exclusive one. */
  explore: boolean
}

const BUSY_MEMORY_MS = 10_000
const LOOKUP_MS = 500

export class Elector {
  readonly #components: ElectorComponents
  readonly #init: Required<ElectorInit>
  readonly #history = new History()
  #busyMs = -Infinity

  /** `past`: what earlier lives of this node measured. */
  constructor (components: ElectorComponents, past: Past[], init: ElectorInit = {}) {
    this.#components = components
    this.#init = { explore: 0.02, settleMs: 3_000, ...init }
    for (const one of past) this.#history.record(one)
  }

  async elect (needs: Needs, spec: BuildSpec, { signal, explore }: ElectHow): Promise<ElectionResult> {
    const elected = await this.#awaitAdverts(needs, spec, explore, AbortSignal.any([signal, AbortSignal.timeout(this.#init.settleMs)]))
    if (elected.order.length > 0 || needs.local === 'only' || signal.aborted) return elected
    await this.#look(AbortSignal.any([signal, AbortSignal.timeout(LOOKUP_MS)]))
    return this.#rank(needs, spec, explore)
  }

  /** Fresher than gossip: this builder has no slot. */
  busy (device: DeviceId, queue: number, expectedWaitS: number): void {
    this.#busyMs = this.#components.clock.monotonicMs()
    this.#components.resources.table.busy(device, queue, expectedWaitS)
  }

  /** One attempt ended. `runS` is null unless the command ended by itself. Answers what is to be kept of it. */
  attempted (spec: BuildSpec, device: DeviceId, ok: boolean, runS: number | null): Past {
    const past = { device, project: spec.source.project, command: commandText(spec), ok, runS, atMs: this.#components.clock.wallMs() }
    this.#history.record(past)
    return past
  }

  async #awaitAdverts (needs: Needs, spec: BuildSpec, explore: boolean, wait: AbortSignal): Promise<ElectionResult> {
    const { resources } = this.#components
    if (needs.image === null) await resources.lookForDefault()
    let elected = this.#rank(needs, spec, explore)
    while (elected.order.length === 0 && !wait.aborted && this.#missesAdverts(needs)) {
      await resources.nextAdvert(wait)
      elected = this.#rank(needs, spec, explore)
    }
    return elected
  }

  /** Who has just got a default image says so within seconds. */
  #missesAdverts ({ image }: Needs): boolean {
    return this.#components.resources.known().some(({ self, online, advert }) => online && !self && (advert === undefined || (image === null && advert.bare === true)))
  }

  /** Connects to those that only the directory or an old advert names. */
  async #look (signal: AbortSignal): Promise<void> {
    const { resources, mesh } = this.#components
    await resources.lookUp(signal)
    await Promise.allSettled(resources.known().filter(known => !known.online).map(known => mesh.probe(known.device, { signal })))
  }

  #rank (needs: Needs, spec: BuildSpec, explore: boolean): ElectionResult {
    const { mesh, resources, clock, ref, randomBytes } = this.#components
    const peers = new Map(mesh.peers().map(peer => [peer.device, peer]))
    return electBuilder({
      known: resources.known(), needs, project: spec.source.project, command: commandText(spec), history: this.#history, nowMs: clock.wallMs(), ref,
      rttMs: device => peers.get(device)?.rttMs, relayed: device => peers.get(device)?.path === 'relay',
      context: { recentBusy: clock.monotonicMs() - this.#busyMs < BUSY_MEMORY_MS, explore: explore ? this.#init.explore : 0, random: () => uniform(randomBytes) },
    })
  }
}

function commandText (spec: BuildSpec): string { return spec.command.join(' ').slice(0, 512) }
