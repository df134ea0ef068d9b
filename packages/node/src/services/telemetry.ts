/** What `/metrics` and `/readyz` say: what was counted, and what is. Nothing runs here between two questions. */
import type { Status } from '../api.ts'
import type { Clock } from '../ports/host.ts'
import type { Metrics } from '../ports/metrics.ts'
import { ALERT_CODES } from './alerts/catalogue.ts'
import { readingsOf } from './telemetry/readings.ts'
import { readinessOf, type Readiness } from './telemetry/readiness.ts'
import { MetricRegistry, type Sample } from './telemetry/registry.ts'

/** Known once every service stands. */
export interface TelemetryComponents {
  status: () => Status
  brokenStacks: () => string[]
  queues: () => ReadonlyMap<string, number>
  cpuPressure: () => number | null
  loopLagS: () => number
}

export interface TelemetryInit {
  /** Starts of this node after its first one, and those of them that followed an end that was not clean. */
  restarts: number
  crashes: number
}

export class Telemetry {
  readonly #registry = new MetricRegistry()
  readonly #init: TelemetryInit
  readonly #startedWallMs: number
  #node: TelemetryComponents | undefined

  constructor ({ clock }: { clock: Clock }, init: TelemetryInit) {
    this.#init = init
    this.#startedWallMs = clock.wallMs()
  }

  /** Where every part counts. */
  get metrics (): Metrics { return this.#registry }

  /** This device is a member, and every service has started. */
  ready (components: TelemetryComponents): void { this.#node = components }

  readiness (): Readiness { return readinessOf({ status: this.#node?.status(), brokenStacks: this.#node?.brokenStacks() ?? [] }) }

  samples (): Sample[] {
    const node = this.#node
    if (node === undefined) return this.#registry.samples()
    const { user, system } = process.cpuUsage()
    return [...readingsOf(node.status(), {
      ...this.#init, node: process.version, cpuPressure: node.cpuPressure(), queues: node.queues(), alertCodes: ALERT_CODES, eventLoopLagS: node.loopLagS(),
      residentBytes: process.memoryUsage.rss(), cpuS: (user + system) / 1e6, startTimeS: this.#startedWallMs / 1000,
    }), ...this.#registry.samples()]
  }
}
