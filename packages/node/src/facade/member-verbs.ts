/** Who belongs to the mesh, as its owner changes it. */
import { ElderError, type DeviceId, type StackId } from '@elder-node/protocol'
import type { ElderNode, Evictee } from '../api.ts'
import type { Membership } from '../services/membership.ts'

interface Known {
  lastSeen (device: DeviceId): string | null
  remotesOf (device: DeviceId): Evictee['remotes']
  /** Its name, or its id when this device does not hold it. */
  stackName (stack: StackId): string
}

type MemberVerbs = Pick<ElderNode, 'invite' | 'evict' | 'evictee' | 'promote'>

export function memberVerbs (membership: Membership, { lastSeen, remotesOf, stackName }: Known): MemberVerbs {
  const evictee = (device: DeviceId): Evictee => ({
    ...membership.ref(device), role: membership.role(device) ?? null,
    lastSeen: lastSeen(device), remotes: remotesOf(device),
  })
  return {
    invite: async ({ role = 'builder', expiresMs } = {}) => {
      const { ticket, expiresMs: until } = membership.invite({ role, ...(expiresMs === undefined ? {} : { expiresMs }) })
      return { ticket, role, expires: new Date(until).toISOString(), command: 'npx elder-node join --ticket-file -' }
    },
    evict: async (name, { keep = false, undo = false } = {}) => {
      demandOne({ keep, undo })
      return membership.ref(await (keep ? membership.keep(name) : membership.evict(name, { undo })))
    },
    evictee: async (name, { keep = false, undo = false } = {}) => {
      demandOne({ keep, undo })
      if (!keep) return evictee(membership.evictee(name, undo))
      const { device, cuts } = await membership.beyond(name)
      const kept = cuts.map(({ stack, heads }) => ({ stack: stackName(stack), heads: heads.length }))
      return { ...evictee(device), remotes: [], kept }
    },
    promote: async name => membership.ref(membership.promote(name).device),
  }
}

function demandOne ({ keep, undo }: { keep: boolean, undo: boolean }): void {
  if (!keep || !undo) return
  const what = 'keep brings back what undo takes back: only one of the two is possible'
  throw new ElderError('USAGE', what, 'elder-node evict <device> --keep')
}
