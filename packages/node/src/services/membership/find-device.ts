import { ElderError, type DeviceId, type RevokedDevice, type Roster, type RosterMember } from '@elder-node/protocol'

/** Characters an id prefix needs at least. */
const PREFIX_CHARS_MIN = 4

/**
 * The live member with this name, or else with this id or unique prefix of it.
 *
 * @throws ElderError `NO_SUCH_DEVICE`, `AMBIGUOUS`
 */
export function findDevice (roster: Roster, text: string): RosterMember {
  const members = [...roster.members.values()]
  const named = members.find(({ name, device }) => name === text || device === text)
  if (named !== undefined) return named
  const matches = text.length < PREFIX_CHARS_MIN ? [] : members.filter(({ device }) => device.startsWith(text))
  if (matches.length === 1) return matches[0] as RosterMember
  if (matches.length > 1) throw new ElderError('AMBIGUOUS', `"${text}" is the beginning of ${matches.length} device ids: ${matches.map(describe).join(', ')}.`, 'Give more characters, or the name.')
  const gone = goneDevices(roster, text)[0]
  throw new ElderError('NO_SUCH_DEVICE', gone !== undefined ? `"${text}" ${gone.left ? 'left' : 'was evicted from'} this mesh.` : `No device here is called "${text}"; there ${members.length === 1 ? 'is' : 'are'} ${members.map(describe).join(', ')}.`, 'elder-node devices')
}

/**
 * The device that was evicted or left and had this name, or has this id or unique prefix of it; undefined when there is none, or when a live
 * member has the name.
 *
 * @throws ElderError `AMBIGUOUS`
 */
export function findGone (roster: Roster, text: string): DeviceId | undefined {
  if ([...roster.members.values()].some(({ name, device }) => name === text || device === text)) return undefined
  const gone = goneDevices(roster, text)
  if (gone.length > 1) throw new ElderError('AMBIGUOUS', `"${text}" names ${gone.length} devices that are gone: ${gone.map(({ device }) => device.slice(0, 12)).join(', ')}.`, 'Give the beginning of the id.')
  return gone[0]?.device
}

function goneDevices (roster: Roster, text: string): RevokedDevice[] {
  return [...roster.revoked.values()].filter(({ name, device }) => name === text || (text.length >= PREFIX_CHARS_MIN && device.startsWith(text)))
}

function describe ({ name, device }: { name: string, device: DeviceId }): string { return `${name} (${device.slice(0, 8)})` }
