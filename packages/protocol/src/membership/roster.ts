/**
 * The roster: what a set of membership records means. A pure function of the set, the same on every device that has it.
 *
 * - A revoke or a leave that counts shuts its key out for ever, whatever else is in the set: a new key is the only way back.
 * - A lost device is no member until an admin, knowing of the loss, admits it again.
 * - Names are handed out in the order in which devices were admitted. A name is free again for those who come after its holder was shut out
 *   or left; who is here keeps its own. A lost device holds none.
 */
import type { DeviceId, MeshId, StackId } from '../ids.ts'
import { inEffect } from './effect.ts'
import { conferred, removed } from './entitled.ts'
import { Graph } from './graph.ts'
import { Names } from './names.ts'
import type { MemberRecord } from './record.ts'
import { hasRole, type Role } from './roles.ts'

export interface RosterMember {
  device: DeviceId
  /** Unique among live members. */
  name: string
  role: Role
  /** Milliseconds since 1970 on the admitting device's clock, when it was first let in. */
  since: number
  /** Hash (hex) of the record that makes it what it is: the newest of its highest role. */
  grant: string
  /** Hash (hex) of the newest record that admitted it under a name. With {@link grant}: what it shows at a door. */
  admission: string
}

export interface RevokedDevice {
  device: DeviceId
  /** The name it had, if it ever was a member. */
  name: string | null
  /** Hash (hex) of the first revoke or leave that counts. */
  record: string
  /** Who removed it, and when by that device's clock, milliseconds since 1970. */
  by: DeviceId
  at: number
  /** It went by its own word. */
  left: boolean
  /** Per stack the heads (hex) up to which its records count: all that its revokes name together. */
  cuts: ReadonlyMap<StackId, ReadonlySet<string>>
  /** One of its revokes takes back all that it wrote. */
  undo: boolean
}

export interface Roster {
  mesh: { id: MeshId, name: string }
  /** Null until the genesis record is known. */
  genesis: MemberRecord | null
  members: ReadonlyMap<DeviceId, RosterMember>
  revoked: ReadonlyMap<DeviceId, RevokedDevice>
  /** Lost devices with the hash (hex) of the record that says so. */
  lost: ReadonlyMap<DeviceId, string>
}

export function resolveRoster (records: Iterable<MemberRecord> | Graph, mesh: MeshId): Roster {
  const graph = records instanceof Graph ? records : new Graph(records, mesh)
  const counts = inEffect(graph)
  const effective = graph.records.filter(record => counts.has(record.hash)).sort((a, b) => graph.compare(a, b))
  const genesis = effective.find(({ content }) => content.type === 'genesis') ?? null
  const grants = Map.groupBy(effective.filter(record => conferred(record) !== undefined), record => conferred(record)?.subject as DeviceId)
  const lost = lostOf(effective, grants, graph)
  const names = namesOf(effective, grants, lost)
  const revoked = revokedOf(effective, names)
  return {
    mesh: { id: mesh, name: genesis?.content.type === 'genesis' ? genesis.content.meshName : '' },
    genesis, members: membersOf(grants, names, device => !revoked.has(device) && !lost.has(device)), revoked, lost,
  }
}

type Grants = ReadonlyMap<DeviceId, MemberRecord[]>

/** By device, of all that were ever admitted under a name. */
type NamesHeld = ReadonlyMap<DeviceId, string>

function namesOf (effective: MemberRecord[], grants: Grants, lost: ReadonlyMap<DeviceId, string>): NamesHeld {
  const names = new Names()
  const held = new Map<DeviceId, string>()
  const gone = new Set<DeviceId>()
  const holds = (device: DeviceId): boolean => !lost.has(device) && !gone.has(device)
  for (const record of effective) {
    const out = removed(record)
    const name = out === undefined ? undefined : held.get(out)
    if (out !== undefined && name !== undefined && holds(out)) names.free(name)
    if (out !== undefined) gone.add(out)
    const subject = conferred(record)?.subject
    const wish = subject === undefined ? null : wishOf(grants.get(subject))
    if (subject !== undefined && wish !== null && !held.has(subject)) held.set(subject, holds(subject) ? names.give(wish) : wish)
  }
  return held
}

function membersOf (grants: Grants, names: NamesHeld, isLive: (device: DeviceId) => boolean): Map<DeviceId, RosterMember> {
  const live = [...grants].filter(([device]) => isLive(device) && names.has(device))
  return new Map(live.map(([device, records]) => [device, memberOf(device, names.get(device) as string, records)]))
}

function memberOf (device: DeviceId, name: string, records: MemberRecord[]): RosterMember {
  const admin = records.findLast(record => conferred(record)?.role === 'admin')
  const grant = admin ?? records.at(-1) as MemberRecord
  return { device, name, role: conferred(grant)?.role as Role, since: records[0]?.at ?? 0, grant: grant.hash, admission: records.findLast(named)?.hash ?? grant.hash }
}

/** The last name that was asked for; null for a device that was promoted but never admitted. */
function wishOf (records: MemberRecord[] | undefined): string | null {
  const content = records?.findLast(named)?.content
  if (content === undefined) return null
  if (content.type === 'genesis') return content.founderName
  return content.type === 'member' || content.type === 'recover' ? content.name : null
}

function named ({ content: { type } }: MemberRecord): boolean { return type === 'genesis' || type === 'member' || type === 'recover' }

function revokedOf (effective: MemberRecord[], names: NamesHeld): Map<DeviceId, RevokedDevice> {
  const removals = Map.groupBy(effective.filter(record => removed(record) !== undefined), record => removed(record) as DeviceId)
  return new Map([...removals].map(([device, records]) => [device, revokedBy(device, names.get(device) ?? null, records)]))
}

/** `records`: at least one, in causal order. */
function revokedBy (device: DeviceId, name: string | null, records: MemberRecord[]): RevokedDevice {
  // Nobody says what counts of its own records once another has said it.
  const byOthers = records.filter(({ issuer, content }) => content.type === 'revoke' && issuer !== device)
  const says = (byOthers.length > 0 ? byOthers : records).map(({ content }) => content)
  const revokes = says.filter(content => content.type === 'revoke')
  const cuts = new Map<StackId, Set<string>>()
  for (const { stack, heads } of revokes.flatMap(revoke => revoke.cuts)) cuts.set(stack, new Set([...cuts.get(stack) ?? [], ...heads]))
  const first = records[0] as MemberRecord
  return { device, name, record: first.hash, by: first.issuer, at: first.at, left: first.content.type === 'leave', cuts, undo: revokes.some(({ undo }) => undo) }
}

function lostOf (effective: MemberRecord[], grants: Grants, graph: Graph): Map<DeviceId, string> {
  const lost = new Map<DeviceId, string>()
  for (const record of effective) {
    if (record.content.type !== 'lost') continue
    const { subject } = record.content
    const readmitted = grants.get(subject)?.some(grant => grant.content.type !== 'addAdmin' && graph.past(grant).has(record.hash))
    if (readmitted !== true) lost.set(subject, record.hash)
  }
  return lost
}

/** Does the device have this role or more? */
export function allows (roster: Roster, device: DeviceId, needed: Role): boolean {
  return hasRole(roster.members.get(device)?.role, needed)
}
