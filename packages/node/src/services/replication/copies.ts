/** Who else holds what we hold: the last vector digest each device was known to have, per stack. */
import { equalBytes, type DeviceId, type StackKey } from '@elder-node/protocol'

export class Copies {
  readonly #digests = new Map<DeviceId, Map<StackKey, Uint8Array>>()

  learn (device: DeviceId, digests: Iterable<readonly [StackKey, Uint8Array]>): void {
    const known = this.#digests.get(device) ?? new Map<StackKey, Uint8Array>()
    for (const [key, digest] of digests) known.set(key, digest)
    this.#digests.set(device, known)
  }

  /** A device that left the mesh counts no more. */
  forget (device: DeviceId): void { this.#digests.delete(device) }

  /** Other devices whose last known digest of the stack is this one. */
  holders (key: StackKey, digest: Uint8Array): DeviceId[] {
    return [...this.#digests].filter(([, known]) => equalBytes(known.get(key) ?? new Uint8Array(0), digest)).map(([device]) => device)
  }
}
