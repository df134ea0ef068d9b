/**
 * Members that go by a removal of this device which it does not take at a door, because whoever wrote it is evicted
 * here: two admins evicted each other and neither knew. By the rules of the roster both count, wherever both are
 * heard; a revenge looks the same from here.
 */
import { openMemberRecord, type Crypto, type DeviceId, type Roster } from '@elder-node/protocol'
import type { Problem } from '../../api.ts'

export class Disputes {
  readonly #crypto: Crypto
  /** By the member that said no: who had evicted this device, or marked it as lost. */
  readonly #evictors = new Map<DeviceId, DeviceId>()

  constructor (crypto: Crypto) { this.#crypto = crypto }

  /** `shown`: the records of a no that did not convince. */
  refused (listener: DeviceId, shown: readonly Uint8Array[], self: DeviceId, { revoked }: Roster): void {
    for (const { content, issuer } of shown.map(bytes => openMemberRecord(bytes, this.#crypto))) {
      const isRemoval = content.type === 'revoke' || content.type === 'lost'
      if (isRemoval && content.subject === self && revoked.has(issuer)) this.#evictors.set(listener, issuer)
    }
  }

  admitted (device: DeviceId): void { this.#evictors.delete(device) }

  problems ({ members }: Roster, nameOf: (device: DeviceId) => string): Problem[] {
    const said = [...this.#evictors].filter(([listener]) => members.has(listener))
    return [...Map.groupBy(said, ([, evictor]) => evictor)].map(([evictor, of]) => {
      const by = nameOf(evictor)
      const peers = of.map(([listener]) => nameOf(listener)).join(', ')
      return {
        code: 'EVICTION_DISPUTED',
        message: `${by}, which is evicted here, has evicted this device or marked it as lost: ` +
          `${peers} went by that and ${of.length === 1 ? 'lets' : 'let'} this device in no more.`,
        fix: 'No command takes one of the two back. To go with them: elder-node invite on an admin of theirs ' +
          `(${by}, unless they have evicted it as well); then here elder-node leave --force, and ` +
          'elder-node join <ticket>. If they have no admin left, elder-node status there says what to do.',
      }
    })
  }
}
