/** Finds out where this device stands: a member already, a holder of a ticket, or the founder of a new mesh. */
import { deviceId, ElderError, formatRecovery, parseTicket, signMemberRecord, toDeviceName } from '@elder-node/protocol'
import { Membership, type MembershipComponents } from '../membership.ts'
import { evictedError } from './evicted.ts'
import { readMesh, writeMesh } from './mesh-file.ts'
import { RecordBook } from './record-book.ts'

export interface OpenInit {
  /** The text of a ticket. Ignored when this device is a member of its mesh already. */
  ticket?: string
  /** The name this device wishes for, a hostname for instance. */
  deviceName: string
  /** The name of a mesh that is founded here. @default 'home' */
  meshName?: string
}

export interface OpenedMembership {
  membership: Membership
  /** `founded`: a new mesh; `joining`: wait for {@link Membership.joined}; `member`: as before. */
  state: 'founded' | 'joining' | 'member'
  /** Of a founded mesh, to be shown once and kept off every device; null otherwise. */
  recoverySecret: string | null
}

/**
 * Reads the membership of this data directory; without one joins with the ticket; without a ticket founds a mesh.
 *
 * @throws ElderError `TICKET_MALFORMED`, `TICKET_FORGED`, `TICKET_EXPIRED`, `WRONG_MESH` (this directory belongs to another mesh than
 * the ticket), `EVICTED`, `MESH_DAMAGED`, `DISK_FULL`, `STORAGE`
 */
export function openMembership (components: MembershipComponents, init: OpenInit): OpenedMembership {
  const stored = readMesh(components.files)
  if (stored === undefined) return init.ticket === undefined ? found(components, init) : join(components, init.ticket, init)
  const book = new RecordBook(components, stored.mesh)
  book.load()
  const self = deviceId(components.signer.publicKey)
  // Whether it has expired does not matter to a member: joining is idempotent.
  const ticket = init.ticket === undefined ? undefined : parseTicket(init.ticket, 0, components.crypto)
  if (ticket !== undefined && ticket.mesh !== stored.mesh) {
    throw new ElderError('WRONG_MESH', `This data directory belongs to another mesh${book.roster.mesh.name === '' ? '' : ` ("${book.roster.mesh.name}")`} than the ticket.`, 'To go over to the mesh of the ticket, without what is only here: elder-node leave --force, then join again. To be in both: a second --dir.')
  }
  if (book.roster.members.has(self)) return { membership: new Membership(components, book, stored.meshSecret), state: 'member', recoverySecret: null }
  if (book.roster.revoked.has(self) || init.ticket === undefined) throw evictedError(book.roster, self)
  return join(components, init.ticket, init, book)
}

function found (components: MembershipComponents, { deviceName, meshName = 'home' }: OpenInit): OpenedMembership {
  const { crypto, signer, signerFromSeed, clock, random, files } = components
  const seed = random(32)
  const content = { type: 'genesis' as const, founderName: toDeviceName(deviceName), recoveryKey: signerFromSeed(seed).publicKey, meshName: toDeviceName(meshName, 'home'), policy: {} }
  const genesis = signMemberRecord({ mesh: null, seq: 1, at: clock.wallMs(), grant: null, prev: [], content }, signer, crypto)
  const book = new RecordBook(components, genesis.mesh)
  book.add([genesis.bytes])
  book.makeDurable()
  const meshSecret = random(32)
  writeMesh(files, { mesh: genesis.mesh, meshSecret })
  return { membership: new Membership(components, book, meshSecret), state: 'founded', recoverySecret: formatRecovery(seed, crypto) }
}

function join (components: MembershipComponents, text: string, { deviceName }: OpenInit, known?: RecordBook): OpenedMembership {
  const { crypto, clock, signerFromSeed } = components
  const ticket = parseTicket(text, clock.wallMs(), crypto)
  const shown = { ticket, oneTime: signerFromSeed(ticket.seed), name: toDeviceName(deviceName) }
  const book = known ?? new RecordBook(components, ticket.mesh)
  return { membership: new Membership(components, book, ticket.meshSecret, shown), state: 'joining', recoverySecret: null }
}
