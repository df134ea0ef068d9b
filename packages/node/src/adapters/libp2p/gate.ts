/** The one gate before every handler: role, concurrency. Deny by default; the deadline is set by whoever runs the handler. */
import { ElderError, hasRole } from '@elder-node/protocol'
import type { DeviceId, Role } from '@elder-node/protocol'
import type { Gate } from '../../ports/mesh.ts'

export const CONCURRENCY_MAX = 32

export class Gatekeeper {
  readonly #role: (device: DeviceId) => Role | undefined
  readonly #open = new Map<string, number>()

  constructor (role: (device: DeviceId) => Role | undefined) { this.#role = role }

  /** Roles are cumulative; a device without one (stranger, revoked) passes no gate. */
  allows (device: DeviceId, gate: Gate): boolean {
    return hasRole(this.#role(device), gate.role)
  }

  /**
   * Enters, and returns how to leave.
   *
   * @throws ElderError `FORBIDDEN` for the role, `BUSY` when the device has as many open as the gate allows
   */
  enter (device: DeviceId, what: string, gate: Gate): () => void {
    if (!this.allows(device, gate)) {
      throw new ElderError('FORBIDDEN', `${what} takes the role ${gate.role}; the caller has ${this.#role(device) ?? 'none'}`, 'An admin can invite the device again with --role.')
    }
    const key = `${what}/${device}`
    const open = this.#open.get(key) ?? 0
    if (open >= (gate.concurrencyMax ?? CONCURRENCY_MAX)) throw new ElderError('BUSY', `${what} has ${open} calls open from this device, its limit`, 'Try again when one has ended.')
    this.#open.set(key, open + 1)
    return () => { this.#leave(key) }
  }

  #leave (key: string): void {
    const open = (this.#open.get(key) ?? 1) - 1
    if (open > 0) this.#open.set(key, open)
    else this.#open.delete(key)
  }
}
