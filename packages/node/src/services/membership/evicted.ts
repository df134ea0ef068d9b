import { ElderError, type DeviceId, type Roster } from '@elder-node/protocol'

/** What a device is told that was removed from its mesh. */
export function evictedError (roster: Roster, self: DeviceId): ElderError {
  const mesh = roster.mesh.name === '' ? 'the mesh' : `the mesh "${roster.mesh.name}"`
  if (roster.revoked.get(self)?.left === true) return new ElderError('EVICTED', `This device left ${mesh}; its key can never return.`, 'elder-node leave --force   (removes what is still here); then join with a new ticket.')
  const revoke = roster.revoked.get(self)
  if (revoke !== undefined) return new ElderError('EVICTED', `This device was evicted from ${mesh} by ${nameOf(roster, revoke.by)} at ${new Date(revoke.at).toISOString()}; its key can never return.`, 'To join again as a new device, start with an empty --dir and a new ticket.')
  const why = roster.lost.has(self)
    ? `This device was marked as lost in ${mesh}.`
    : `The device that let this one in was removed from ${mesh}, and what it gave after that, or without the others' knowing, does not count.`
  return new ElderError('EVICTED', why, 'Ask an admin for a new ticket (elder-node invite) and join with it.')
}

function nameOf ({ members, revoked }: Roster, device: DeviceId): string { return members.get(device)?.name ?? revoked.get(device)?.name ?? device.slice(0, 12) }
