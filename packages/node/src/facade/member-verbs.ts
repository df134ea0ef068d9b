/** Who belongs to the mesh, as its owner changes it. */
import type { DeviceId } from '@elder-node/protocol'
import type { ElderNode, Evictee } from '../api.ts'
import type { Membership } from '../services/membership.ts'

interface Known { lastSeen (device: DeviceId): string | null, remotesOf (device: DeviceId): Evictee['remotes'] }

export function memberVerbs (membership: Membership, { lastSeen, remotesOf }: Known): Pick<ElderNode, 'invite' | 'evict' | 'evictee' | 'promote'> {
  return {
    invite: async ({ role = 'builder', expiresMs } = {}) => {
      const { ticket, expiresMs: until } = membership.invite({ role, ...(expiresMs === undefined ? {} : { expiresMs }) })
      return { ticket, role, expires: new Date(until).toISOString(), command: 'npx elder-node join --ticket-file -' }
    },
    evict: async (name, options) => membership.ref(await membership.evict(name, options)),
    evictee: async (name, { undo = false } = {}) => {
      const device = membership.evictee(name, undo)
      return { ...membership.ref(device), role: membership.role(device) ?? null, lastSeen: lastSeen(device), remotes: remotesOf(device) }
    },
    promote: async name => membership.ref(membership.promote(name).device),
  }
}
