import { ElderError, type DeviceId, type RevokedDevice, type Roster, type RosterMember } from '@elder-node/protocol'

/** Characters an id prefix needs at least. */
const PREFIX_CHARS_MIN = 4
/** Of an id in a line to type. */
const ID_CHARS = 12
/** Devices that an error names. */
const NAMED_MAX = 8

/**
 * The live member with this name, or else with this id or unique prefix of it.
 *
 * @throws ElderError `NO_SUCH_DEVICE`, `AMBIGUOUS`
 */
export function findDevice (roster: Roster, text: string): RosterMember {
  const members = [...roster.members.values()]
  const named = members.find(({ name, device }) => name === text || device === text)
  if (named !== undefined) return named
  const matches = members.filter(({ device }) => isPrefix(text, device))
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

/**
 * Whom an eviction is of: a live member, or with `undo` one that is gone. A name goes on to newcomers, so one that an evicted device had, too,
 * says not enough: the same command twice, or late, would hit who has it now.
 *
 * @throws ElderError `NO_SUCH_DEVICE`, `AMBIGUOUS`
 */
export function findEvictee (roster: Roster, text: string, undo: boolean): DeviceId {
  if (roster.members.has(text as DeviceId) || (undo && roster.revoked.has(text as DeviceId))) return text as DeviceId
  const gone = goneDevices(roster, text).filter(({ left }) => undo || !left)
  const live = [...roster.members.values()].filter(({ name, device }) => name === text || isPrefix(text, device))
  if (gone.length > 0 && (live.length > 0 || (undo && gone.length > 1))) throw ambiguous(text, live, gone, undo)
  return undo && gone[0] !== undefined ? gone[0].device : findDevice(roster, text).device
}

function ambiguous (text: string, live: RosterMember[], gone: RevokedDevice[], undo: boolean): ElderError {
  const all = [...live.map(({ device }) => ({ device, is: 'a member' })), ...gone.map(({ device, left }) => ({ device, is: left ? 'left' : 'evicted' }))]
  // Whoever is evicted already is named, so that nobody takes it for the other; there is nothing more to do about it.
  const lines = all.filter(({ is }) => undo || is === 'a member').slice(0, NAMED_MAX).map(({ device }) => `elder-node evict ${device.slice(0, ID_CHARS)}${undo ? ' --undo' : ''}`)
  const named = all.slice(0, NAMED_MAX).map(({ device, is }) => `${device.slice(0, ID_CHARS)} (${is})`)
  const more = all.length > NAMED_MAX ? ` and ${all.length - NAMED_MAX} more` : ''
  return new ElderError('AMBIGUOUS', `"${text}" names ${all.length} devices, of now and of before: ${named.join(', ')}${more}.`, lines.join('   or   '))
}

function goneDevices (roster: Roster, text: string): RevokedDevice[] {
  return [...roster.revoked.values()].filter(({ name, device }) => name === text || isPrefix(text, device))
}

function isPrefix (text: string, device: DeviceId): boolean { return text.length >= PREFIX_CHARS_MIN && device.startsWith(text) }

function describe ({ name, device }: { name: string, device: DeviceId }): string { return `${name} (${device.slice(0, 8)})` }
