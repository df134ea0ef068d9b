/** Who could ever write: asked of feeds, where a device that left still has its records. */
import { conferred, ElderError, Entitlement, hasRole, keptOf, MembershipGraph, openMemberRecord, resolveRoster, type Crypto, type Cuts, type DeviceId, type MemberRecord, type MeshId, type StackId } from '@elder-node/protocol'
import { cutsOf } from './cuts-of.ts'

/**
 * Every device that some entitled record made a member or more. Removals are not asked, on purpose: an answer that could turn to
 * no would part devices that heard of the removal early from those that took the records before. PROTOCOL.md, "Who may write".
 */
export function writersOf (graph: MembershipGraph): Set<DeviceId> {
  const entitlement = new Entitlement(graph)
  const grants = graph.records.filter(record => entitlement.entitled(record)).map(conferred).filter(grant => grant !== undefined)
  return new Set(grants.filter(({ role }) => hasRole(role, 'member')).map(({ subject }) => subject))
}

export interface ForeignRoster {
  /** The records that verify and stand on the mesh's genesis. */
  records: Uint8Array[]
  mayWrite: (device: DeviceId) => boolean
  cuts: (stack: StackId) => Cuts
}

/** Reads the membership records of another mesh, as a mirror or a peer hands them over: what does not verify is left out. */
export function readForeignRoster (records: Uint8Array[], mesh: MeshId, crypto: Crypto): ForeignRoster {
  const opened = records.map(bytes => tryOpen(bytes, crypto)).filter(record => record?.mesh === mesh).filter(record => record !== undefined)
  const graph = keptOf(new MembershipGraph(opened, mesh))
  const writers = writersOf(graph)
  return { records: graph.records.map(({ bytes }) => bytes), mayWrite: device => writers.has(device), cuts: stack => cutsOf(resolveRoster(graph, mesh), stack) }
}

/** Who could write in the mesh that an archived stack came from, and what counts of those that it evicted. @throws ElderError `MIRROR_UNVERIFIED` */
export function archiveRules (records: Uint8Array[], mesh: MeshId, crypto: Crypto): ForeignRoster {
  const roster = readForeignRoster(records, mesh, crypto)
  if (roster.records.length === 0) throw new ElderError('MIRROR_UNVERIFIED', `The membership records that came with mesh ${mesh} do not verify.`, 'Restore from another remote or device.')
  return roster
}

function tryOpen (bytes: Uint8Array, crypto: Crypto): MemberRecord | undefined {
  try {
    return openMemberRecord(bytes, crypto)
  } catch {
    return undefined
  }
}
