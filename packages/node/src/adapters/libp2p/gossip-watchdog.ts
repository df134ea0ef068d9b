/**
 * A peer that is connected but carries no topic hears nothing. gossipsub opens its stream only when a connection opens; when
 * that fails, it logs and never tries again. So: a peer that does not subscribe within 15 s is disconnected and dialled anew.
 */
import type { DeviceId } from '@elder-node/protocol'
import type { Clock } from '../../ports/host.ts'
import { every, type Failed } from '../../timers.ts'

export const DEAF_MS = 15_000
const TICK_MS = 5_000

export interface WatchdogComponents {
  clock: Clock
  admitted (): DeviceId[]
  carriers (): Set<DeviceId>
  redial (device: DeviceId): void
  /** Told of a look that failed; the next one comes all the same. */
  failed: Failed
}

export class GossipWatchdog {
  readonly #components: WatchdogComponents
  /** Since when a peer is connected without carrying the topic. */
  readonly #deafSinceMs = new Map<DeviceId, number>()
  #timer: NodeJS.Timeout | undefined

  constructor (components: WatchdogComponents) { this.#components = components }

  start (): void { this.#timer = every(TICK_MS, () => { this.tick() }, this.#components.failed) }

  stop (): void { clearInterval(this.#timer) }

  tick (): void {
    const { clock, admitted, carriers, redial } = this.#components
    const nowMs = clock.monotonicMs()
    const hearing = carriers()
    const deaf = admitted().filter(device => !hearing.has(device))
    for (const device of this.#deafSinceMs.keys()) if (!deaf.includes(device)) this.#deafSinceMs.delete(device)
    for (const device of deaf) {
      const sinceMs = this.#deafSinceMs.get(device) ?? nowMs
      this.#deafSinceMs.set(device, sinceMs)
      if (nowMs - sinceMs < DEAF_MS) continue
      this.#deafSinceMs.delete(device)
      redial(device)
    }
  }
}
