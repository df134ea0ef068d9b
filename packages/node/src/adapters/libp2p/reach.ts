/** Gets to a device: over the connection there is, or by dialling it; and waits for its hello. */
import type { DeviceId } from '@elder-node/protocol'
import type { Events } from './events.ts'
import { aborted, unreachable } from './request-client.ts'

export interface ReachComponents {
  isAdmitted (device: DeviceId): boolean
  isConnected (device: DeviceId): boolean
  dial (device: DeviceId, signal: AbortSignal): Promise<void>
  /** A device was admitted or lost its last connection. */
  changes: Events<{ changed: (device: DeviceId) => void }>
}

export class Reach {
  readonly #components: ReachComponents

  constructor (components: ReachComponents) { this.#components = components }

  /** @throws ElderError `UNREACHABLE` | `TIMEOUT` | `ABORTED` */
  async admitted (device: DeviceId, signal: AbortSignal): Promise<void> {
    const { isAdmitted, isConnected, dial } = this.#components
    if (isAdmitted(device)) return
    if (signal.aborted) throw aborted(signal, device)
    try {
      if (!isConnected(device)) await dial(device, signal)
    } catch (error) {
      throw signal.aborted ? aborted(signal, device) : unreachable(device, (error as Error).message)
    }
    await this.#admittedOrGone(device, signal)
  }

  #admittedOrGone (device: DeviceId, signal: AbortSignal): Promise<void> {
    const { isAdmitted, isConnected, changes } = this.#components
    return new Promise((resolve, reject) => {
      const settle = (done: () => void): void => {
        off()
        signal.removeEventListener('abort', check)
        done()
      }
      const check = (): void => {
        if (isAdmitted(device)) settle(resolve)
        else if (signal.aborted) settle(() => { reject(aborted(signal, device)) })
        else if (!isConnected(device)) settle(() => { reject(unreachable(device, 'the connection closed before its hello')) })
      }
      const off = changes.on('changed', changed => { if (changed === device) check() })
      signal.addEventListener('abort', check)
      check()
    })
  }
}
