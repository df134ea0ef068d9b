/** Finds out where this device stands: a member already, a holder of a ticket, or the founder of a new mesh. */
import { deviceId, ElderError, formatRecovery, parseTicket, signMemberRecord, toDeviceName } from '@elder-node/protocol'
import { Membership, type MembershipComponents } from '../membership.ts'
import { evictedError } from './evicted.ts'
import { meshMissing, readMesh, writeMesh } from './mesh-file.ts'
import { RecordBook, ROSTER_LOG } from './record-book.ts'
import { rosterDamaged } from './roster-damage.ts'

export interface OpenInit {
  /** The text of a ticket. Ignored when this device is a member of its mesh already. */
  ticket?: string
  /** The name this device wishes for, a hostname for instance. */
  deviceName: string
  /** The name of a mesh that is founded here. @default 'home' */
  meshName?: string
  /** A file or folder that only a device of a mesh has: without `mesh.cbor` nothing is founded beside it. @default none */
  trace?: string
}

export interface OpenedMembership {
  membership: Membership
  /** `founded`: a new mesh; `joining`: wait for {@link Membership.joined}; `member`: as before. */
  state: 'founded' | 'joining' | 'member'
  /** Of a founded mesh, to be shown once and kept off every device; null otherwise. */
  recoverySecret: string | null
}

/**
 * Reads the membership of this data directory; without one joins with the ticket; without a ticket founds a mesh. Writes nothing
 * before all of it was read.
 *
 * @throws ElderError `TICKET_MALFORMED`, `TICKET_FORGED`, `TICKET_EXPIRED`, `WRONG_MESH` (this directory belongs to another mesh than
 * the ticket), `EVICTED`, `MESH_DAMAGED`, `MESH_MISSING`, `DATA_MIXED`, `ROSTER_DAMAGED`, `STORE_OLD`, `DISK_FULL`, `STORAGE`
 */
export function openMembership (components: MembershipComponents, init: OpenInit): OpenedMembership {
  const { crypto, files, signer } = components
  const self = deviceId(signer.publicKey)
  const stored = readMesh(files, self)
  // Whether a ticket has expired does not matter to a member: joining is idempotent.
  const ticket = init.ticket === undefined ? undefined : parseTicket(init.ticket, 0, crypto)
  const mesh = stored?.mesh ?? ticket?.mesh
  if (mesh === undefined) {
    if (init.trace !== undefined) throw meshMissing(files, init.trace)
    return found(components, init)
  }
  const book = new RecordBook(components, mesh)
  if (stored !== undefined || files.readLog(ROSTER_LOG) !== undefined) book.load(stored?.proof)
  if (ticket !== undefined && ticket.mesh !== mesh) throw wrongMesh(book.roster.mesh.name)
  if (stored !== undefined && book.roster.members.has(self)) {
    book.makeDurable()
    return { membership: new Membership(components, book, stored.meshSecret), state: 'member', recoverySecret: null }
  }
  if (book.roster.revoked.has(self)) throw evictedError(book.roster, self)
  if (init.ticket === undefined) throw book.damage === null ? evictedError(book.roster, self) : rosterDamaged(files, book.damage)
  return join(components, init.ticket, init, book)
}

function wrongMesh (name: string): ElderError {
  return new ElderError('WRONG_MESH', `This data directory belongs to another mesh${name === '' ? '' : ` ("${name}")`} than the ticket.`, 'To go over to the mesh of the ticket, without what is only here: elder-node leave --force, then join again. To be in both: a second --dir.')
}

function found (components: MembershipComponents, { deviceName, meshName = 'home' }: OpenInit): OpenedMembership {
  const { crypto, signer, signerFromSeed, clock, random, files } = components
  const seed = random(32)
  const content = { type: 'genesis' as const, founderName: toDeviceName(deviceName), recoveryKey: signerFromSeed(seed).publicKey, meshName: toDeviceName(meshName, 'home'), policy: {} }
  const genesis = signMemberRecord({ mesh: null, seq: 1, at: clock.wallMs(), grant: null, prev: [], content }, signer, crypto)
  const book = new RecordBook(components, genesis.mesh)
  book.add([genesis.bytes])
  const meshSecret = random(32)
  // First what the rest can be made of again: a crash between the two leaves a mesh, not half of one.
  writeMesh(files, deviceId(signer.publicKey), { mesh: genesis.mesh, meshSecret, proof: [genesis.bytes] })
  book.makeDurable()
  return { membership: new Membership(components, book, meshSecret), state: 'founded', recoverySecret: formatRecovery(seed, crypto) }
}

function join (components: MembershipComponents, text: string, { deviceName }: OpenInit, book: RecordBook): OpenedMembership {
  const { crypto, clock, signerFromSeed } = components
  const ticket = parseTicket(text, clock.wallMs(), crypto)
  const shown = { ticket, oneTime: signerFromSeed(ticket.seed), name: toDeviceName(deviceName) }
  return { membership: new Membership(components, book, ticket.meshSecret, shown), state: 'joining', recoverySecret: null }
}
