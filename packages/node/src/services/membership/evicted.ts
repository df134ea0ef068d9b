import { ElderError, type DeviceId, type Roster } from '@elder-node/protocol'

/** What a device is told that was removed from its mesh. */
export function evictedError (roster: Roster, self: DeviceId): ElderError {
  const mesh = roster.mesh.name === '' ? 'the mesh' : `the mesh "${roster.mesh.name}"`
  if (roster.revoked.get(self)?.left === true) return new ElderError('EVICTED', `This device left ${mesh}; its key can never return.`, 'elder-node leave --force   (removes what is still here); then join with a new ticket.')
  const revoke = roster.revoked.get(self)
  if (revoke !== undefined) return new ElderError('EVICTED', `This device was evicted from ${mesh} by ${nameOf(roster, revoke.by)} at ${new Date(revoke.at).toISOString()}; its key can never return.`, comeBack(roster))
  const why = roster.lost.has(self)
    ? `This device was marked as lost in ${mesh}.`
    : `The device that let this one in was removed from ${mesh}, and what it gave after that, or without the others' knowing, does not count.`
  return new ElderError('EVICTED', why, 'Ask an admin for a new ticket (elder-node invite) and join with it.')
}

/** How a device whose key is out comes back: as a new one, and only where somebody is left who invites. */
function comeBack (roster: Roster): string {
  const admins = adminsOf(roster)
  if (admins.length === 0) return NEW_MESH
  return `To join again as a new device, start with an empty --dir and a new ticket from ${admins.join(' or ')} (elder-node invite).`
}

/** Names of those who invite, evict and promote. */
export function adminsOf ({ members }: Roster): string[] {
  return [...members.values()].filter(({ role }) => role === 'admin').map(({ name }) => name)
}

/** Of a mesh without an admin: no command makes one. */
export const NEW_MESH: string = 'The mesh has no admin left: found a new one (elder-node join with an empty --dir), ' +
  'invite the devices into it, and read the stacks from a remote: elder-node stack restore <url>'

function nameOf ({ members, revoked }: Roster, device: DeviceId): string { return members.get(device)?.name ?? revoked.get(device)?.name ?? device.slice(0, 12) }
