/** What an admin does to the roster: tickets, evictions, lost devices, new admins. Each is one signed record, durable when it returns. */
import { deviceId, deviceOfAddress, ElderError, formatTicket, hasRole, type Cutoff, type DeviceId, type Role, type RosterMember, type Signer } from '@elder-node/protocol'
import type { RandomBytes } from '../../ports/host.ts'
import { findDevice } from './find-device.ts'
import { writeRecord, type WriterComponents } from './writer.ts'

export interface AdministrationComponents extends WriterComponents {
  /** Makes the signer of a ticket's one-time key from its 32-byte seed. */
  signerFromSeed: (seed: Uint8Array) => Signer
  random: RandomBytes
  meshSecret: Uint8Array
}

export interface InviteOptions {
  /** What the invited device may do. @default 'builder' */
  role?: Role
  /** How long the ticket is good, in milliseconds. @default 900_000 */
  expiresMs?: number
  /** Multiaddrs of this node, each ending in `/p2p/<peer id>`; at most eight are used. @default those of the attached mesh */
  addresses?: string[]
}

/** `expiresMs`: milliseconds since 1970. */
export interface Invitation { ticket: string, role: Role, expiresMs: number }

const TICKET_MS = 15 * 60_000

export class Administration {
  readonly #components: AdministrationComponents
  readonly #self: DeviceId

  constructor (components: AdministrationComponents) {
    this.#components = components
    this.#self = deviceId(components.signer.publicKey)
  }

  /** @throws ElderError `NOT_ADMIN`, `NO_ADDRESS`, `DISK_FULL`, `STORAGE`, `ROSTER_FULL` */
  invite ({ role = 'builder', expiresMs = TICKET_MS, addresses = [] }: InviteOptions): Invitation {
    this.#demandAdmin('invite a device')
    const { random, signerFromSeed, clock, crypto, book, meshSecret } = this.#components
    const dialable = addresses.filter(address => deviceOfAddress(address) !== undefined)
    if (dialable.length === 0) throw new ElderError('NO_ADDRESS', 'This node has no address that another device could dial.', 'Connect to a network, or start with --announce <multiaddr>.')
    const seed = random(32)
    const { publicKey: ticketKey } = signerFromSeed(seed)
    const untilMs = clock.wallMs() + expiresMs
    const record = writeRecord(this.#components, { type: 'ticket', ticketKey, role, expiresMs: untilMs })
    const ticket = formatTicket({ mesh: book.mesh, meshSecret, addresses: dialable, seed, record }, crypto)
    return { ticket, role, expiresMs: untilMs }
  }

  evict (device: string, cutoffs: Cutoff[]): RosterMember {
    const member = this.#otherMember(device, 'evict a device')
    writeRecord(this.#components, { type: 'revoke', subject: member.device, cutoffs })
    return member
  }

  markLost (device: string): RosterMember {
    const member = this.#otherMember(device, 'mark a device as lost')
    writeRecord(this.#components, { type: 'lost', subject: member.device })
    return member
  }

  promote (device: string): RosterMember {
    const member = this.#otherMember(device, 'make an admin')
    writeRecord(this.#components, { type: 'addAdmin', subject: member.device })
    return member
  }

  #otherMember (device: string, what: string): RosterMember {
    this.#demandAdmin(what)
    const member = findDevice(this.#components.book.roster, device)
    if (member.device === this.#self) throw new ElderError('SELF', 'A device cannot do this to itself.', 'Run it on another admin; to take this device out of the mesh: elder-node leave')
    return member
  }

  #demandAdmin (what: string): void {
    const { members } = this.#components.book.roster
    const me = members.get(this.#self)
    if (hasRole(me?.role, 'admin')) return
    const admins = [...members.values()].filter(({ role }) => role === 'admin').map(({ name }) => name)
    throw new ElderError('NOT_ADMIN', `Only an admin may ${what}, and this device is ${me === undefined ? 'no member yet' : `a ${me.role}`}.`, admins.length > 0 ? `Run it on ${admins.join(' or ')}.` : '')
  }
}
