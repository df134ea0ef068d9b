import { ElderError, type DeviceId, type Roster } from '@elder-node/protocol'

/** What a device is told that was removed from its mesh. */
export function evictedError (roster: Roster, self: DeviceId): ElderError {
  const mesh = roster.mesh.name === '' ? 'the mesh' : `the mesh "${roster.mesh.name}"`
  if (roster.revoked.get(self)?.left === true) return new ElderError('EVICTED', `This device left ${mesh}; its key can never return.`, 'elder-node leave --force   (removes what is still here); then join with a new ticket.')
  return roster.revoked.has(self)
    ? new ElderError('EVICTED', `This device was evicted from ${mesh}; its key can never return.`, 'To join again as a new device, start with an empty --dir and a new ticket.')
    : new ElderError('EVICTED', `This device was marked as lost in ${mesh}.`, 'Ask an admin for a new ticket (elder-node invite) and join with it.')
}
