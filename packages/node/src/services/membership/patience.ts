/** How long a door lets a device wait that it has refused: each refusal costs it more time, and this device less work. */
import type { DeviceId } from '@elder-node/protocol'
import type { Clock } from '../../ports/host.ts'

/** Refusals that cost nothing: a device that was removed may ask again after a restart and be told why. */
const FREE = 4
const FIRST_MS = 1_000
const MAX_MS = 300_000
/** Devices remembered; those refused longest ago are forgotten. */
const DEVICES_MAX = 1024

export class Patience {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #refused = new Map<DeviceId, { count: number, untilMs: number }>()

  constructor (clock: Pick<Clock, 'monotonicMs'>) { this.#clock = clock }

  /** Was it refused so often that it must wait still? */
  isOver (device: DeviceId): boolean { return (this.#refused.get(device)?.untilMs ?? -Infinity) > this.#clock.monotonicMs() }

  refused (device: DeviceId): void {
    const count = 1 + (this.#refused.get(device)?.count ?? 0)
    const waitMs = count <= FREE ? 0 : Math.min(MAX_MS, FIRST_MS * 2 ** (count - FREE - 1))
    this.#refused.delete(device)
    this.#refused.set(device, { count, untilMs: this.#clock.monotonicMs() + waitMs })
    const [oldest] = this.#refused.keys()
    if (this.#refused.size > DEVICES_MAX && oldest !== undefined) this.#refused.delete(oldest)
  }

  admitted (device: DeviceId): void { this.#refused.delete(device) }
}
