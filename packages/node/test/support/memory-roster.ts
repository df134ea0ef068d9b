/** Who is in, without records and keys: one belief, which the doors of several nodes may share. */
import { ElderError, type DeviceId, type Role } from '@elder-node/protocol'
import type { Admission } from '../../src/ports/admission.ts'
import { Listeners } from '../../src/services/listeners.ts'

/** What the mesh in memory needs of an Admission. */
export type Doorkeeper = Pick<Admission, 'hello' | 'decide' | 'greeted' | 'refused' | 'role' | 'onRemoved'>

export class MemoryRoster {
  readonly #anybody: Role | undefined
  readonly #roles = new Map<DeviceId, Role>()
  readonly #out = new Set<DeviceId>()
  readonly #removed = new Listeners<[device: DeviceId, left: boolean]>()

  /** `anybody`: the role of whom {@link admit} did not name. @default they are not in */
  constructor (anybody?: Role) { this.#anybody = anybody }

  role (device: DeviceId): Role | undefined {
    return this.#out.has(device) ? undefined : this.#roles.get(device) ?? this.#anybody
  }

  admit (device: DeviceId, role: Role): void {
    this.#out.delete(device)
    this.#roles.set(device, role)
  }

  remove (device: DeviceId): void {
    if (this.#out.has(device)) return
    this.#out.add(device)
    this.#removed.tell(device, false)
  }

  door (): Doorkeeper {
    return {
      hello: () => ({}), refused: () => {}, role: device => this.role(device),
      onRemoved: listener => this.#removed.add(listener),
      decide: async dialer => {
        if (this.#out.has(dialer)) return { ok: false, code: 'revoked', proof: {} }
        return this.role(dialer) === undefined ? { ok: false, code: 'not-a-member' } : { ok: true, answer: {} }
      },
      greeted: listener => {
        if (this.role(listener) === undefined) throw new ElderError('NOT_A_MEMBER', 'the listener is no member')
      },
    }
  }
}
