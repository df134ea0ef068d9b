/** Who belongs to the mesh, as its owner changes it. */
import { ElderError } from '@elder-node/protocol'
import type { ElderNode } from '../api.ts'
import type { Membership } from '../services/membership.ts'

export function memberVerbs (membership: Membership): Pick<ElderNode, 'invite' | 'evict' | 'promote'> {
  return {
    invite: async ({ role = 'builder', expiresMs } = {}) => {
      const { ticket, expiresMs: until } = membership.invite({ role, ...(expiresMs === undefined ? {} : { expiresMs }) })
      return { ticket, role, expires: new Date(until).toISOString(), command: 'npx elder-node join --ticket-file -' }
    },
    evict: async (name, { undo = false } = {}) => {
      if (undo) throw new ElderError('NOT_IN_THIS_VERSION', 'undoing what an evicted device wrote is not in this version', 'Evict it without --undo.')
      return membership.ref(membership.evict(name).device)
    },
    promote: async name => membership.ref(membership.promote(name).device),
  }
}
