/** What an admin does to the roster: tickets, evictions, lost devices, new admins. Each is one signed record, durable when it returns. */
import { deviceId, deviceOfAddress, ElderError, formatTicket, encode, hasRole, LIMITS, type Cut, type DeviceId, type MemberContent, type RevokedDevice, type Role, type RosterMember, type Signer } from '@elder-node/protocol'
import type { RandomBytes } from '../../ports/host.ts'
import { durationText } from '../../quantities.ts'
import { isCut } from './cuts-of.ts'
import { adminsOf, NEW_MESH } from './evicted.ts'
import { findDevice, findEvictee, findGone } from './find-device.ts'
import { writeRecord, writeRecords, type WriterComponents } from './writer.ts'

export interface AdministrationComponents extends WriterComponents {
  /** Makes the signer of a ticket's one-time key from its 32-byte seed. */
  signerFromSeed: (seed: Uint8Array) => Signer
  random: RandomBytes
  meshSecret: Uint8Array
}

export interface InviteOptions {
  /** What the invited device may do. @default 'builder' */
  role?: Role
  /** How long the ticket is good, in milliseconds: at most 365 days. @default 900_000 */
  expiresMs?: number
  /** Multiaddrs of this node, each ending in `/p2p/<peer id>`; at most eight are used. @default those of the attached mesh */
  addresses?: string[]
}

/** `expiresMs`: milliseconds since 1970. */
export interface Invitation { ticket: string, role: Role, expiresMs: number }

const TICKET_MS = 15 * 60_000
/** Whoever finds a forgotten ticket gets in with it. */
const TICKET_MS_MAX = 365 * 86_400_000
/** What a record holds besides its cuts: two keys, a signature, the heads it names. */
const REVOKE_BYTES = 1024

export class Administration {
  readonly #components: AdministrationComponents
  readonly #self: DeviceId

  constructor (components: AdministrationComponents) {
    this.#components = components
    this.#self = deviceId(components.signer.publicKey)
  }

  /** @throws ElderError `NOT_ADMIN`, `USAGE`, `NO_ADDRESS`, `DISK_FULL`, `STORAGE`, `ROSTER_FULL` */
  invite ({ role = 'builder', expiresMs = TICKET_MS, addresses = [] }: InviteOptions): Invitation {
    this.#demandAdmin('invite a device')
    if (!(expiresMs <= TICKET_MS_MAX)) throw new ElderError('USAGE', `a ticket is good for at most 365 days, and ${durationText(expiresMs)} were asked for`, 'Give less, as --expires 1h or --expires 30d; a ticket lets one device in, whenever it comes.')
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

  /** Whom an eviction would remove: a member, and with `undo` also a device that is gone already. */
  evictee (device: string, undo: boolean): DeviceId {
    this.#demandAdmin('evict a device')
    return this.#demandOther(findEvictee(this.#components.book.roster, device, undo))
  }

  evict (device: DeviceId, cuts: Cut[], undo: boolean): void {
    this.#demandAdmin('evict a device')
    if (this.#components.book.roster.revoked.get(device)?.undo === true) return
    writeRecords(this.#components, inRecords(cuts).map((cuts): MemberContent => ({ type: 'revoke', subject: device, cuts, undo })))
  }

  /** Whose records beyond the cut are to come back: a device that is gone, of which something was cut. */
  cutOff (device: string): RevokedDevice {
    this.#demandAdmin('bring back what an evicted device wrote')
    const { roster } = this.#components.book
    const gone = findGone(roster, device)
    if (gone === undefined) throw notEvicted(findDevice(roster, device).name)
    const revoked = roster.revoked.get(gone) as RevokedDevice
    const name = revoked.name ?? gone.slice(0, 12)
    if (!isCut(revoked)) {
      const what = `"${name}" left by its own word: all that it wrote counts.`
      throw new ElderError('NOT_EVICTED', what, 'elder-node stack list')
    }
    if (revoked.undo) {
      throw new ElderError(
        'TAKEN_BACK', `All that "${name}" wrote was taken back with --undo, and that stands for ever.`,
        'Write what is missed again: elder-node stack add <stack> --kind note --title "…"',
      )
    }
    return revoked
  }

  /** What the cuts name of an evicted device counts from now on, beside what counts already. */
  keep (device: DeviceId, cuts: Cut[]): void {
    this.#demandAdmin('bring back what an evicted device wrote')
    const revoke = { type: 'revoke', subject: device, undo: false } as const
    writeRecords(this.#components, inRecords(cuts).map(cuts => ({ ...revoke, cuts })))
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
    this.#demandOther(member.device)
    return member
  }

  #demandOther (device: DeviceId): DeviceId {
    if (device === this.#self) throw new ElderError('SELF', 'A device cannot do this to itself.', 'Run it on another admin; to take this device out of the mesh: elder-node leave')
    return device
  }

  #demandAdmin (what: string): void {
    const { members } = this.#components.book.roster
    const me = members.get(this.#self)
    if (hasRole(me?.role, 'admin')) return
    const admins = adminsOf(this.#components.book.roster)
    throw new ElderError('NOT_ADMIN', `Only an admin may ${what}, and this device is ${me === undefined ? 'no member yet' : `a ${me.role}`}.`, admins.length > 0 ? `Run it on ${admins.join(' or ')}.` : NEW_MESH)
  }
}

function notEvicted (name: string): ElderError {
  return new ElderError(
    'NOT_EVICTED', `"${name}" is a member of this mesh: all that it wrote counts.`,
    'For an evicted device of that name give its id: elder-node stack verify names those of which something is kept.',
  )
}

/** As many cuts in a record as fit it; at least one record, which may cut nothing. */
function inRecords (cuts: readonly Cut[]): Cut[][] {
  const records: Cut[][] = [[]]
  let bytes = 0
  for (const cut of cuts) {
    const last = records.at(-1) as Cut[]
    const size = encode([new Uint8Array(16), cut.heads.map(() => new Uint8Array(32))]).length
    bytes += size
    if (last.length < LIMITS.cutStacksMax && bytes <= LIMITS.memberRecordBytesMax - REVOKE_BYTES) last.push(cut)
    else {
      records.push([cut])
      bytes = size
    }
  }
  return records
}
