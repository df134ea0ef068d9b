/**
 * Redeeming a ticket. Only its issuer does, and from the look-up to the synced member record nothing else runs in between:
 * two racers cannot both find the ticket unused, and a crash before the sync has admitted nobody.
 */
import { equalBytes, openMemberRecord, redeemMessage, deviceId, type DeviceId, type MemberRecord } from '@elder-node/protocol'
import type { RefusalCode } from '../../ports/admission.ts'
import type { RecordBook } from './record-book.ts'
import type { TicketShown } from './wire.ts'
import { writeRecord, type WriterComponents } from './writer.ts'

/** The wire version that this release writes into member records. */
const WIRE_VERSION = 1

/** The ticket record, or undefined when it is no ticket or its signature is wrong. */
export function ticketShown ({ crypto, book }: Pick<WriterComponents, 'crypto' | 'book'>, { ticket }: TicketShown): MemberRecord | undefined {
  try {
    const record = openMemberRecord(ticket, crypto)
    return record.content.type === 'ticket' && record.mesh === book.mesh ? record : undefined
  } catch {
    return undefined
  }
}

/** Was the redemption signed for this device by the one-time key of the ticket? */
export function holdsTicket ({ crypto }: Pick<WriterComponents, 'crypto'>, record: MemberRecord, device: DeviceId, redeem: Uint8Array): boolean {
  return record.content.type === 'ticket' && crypto.verify(record.content.ticketKey, redeem, redeemMessage(record.mesh, record.hash, device))
}

/**
 * Admits the device, or says why not; the same device asking again gets the same yes, after the expiry too.
 *
 * @throws ElderError `DISK_FULL`, `STORAGE`: nobody was admitted
 */
export function redeem (components: WriterComponents, device: DeviceId, shown: TicketShown): 'ok' | RefusalCode {
  const { book, signer, clock } = components
  const ticket = ticketShown(components, shown)
  if (ticket?.content.type !== 'ticket' || !holdsTicket(components, ticket, device, shown.redeem)) return 'forged'
  const self = deviceId(signer.publicKey)
  if (ticket.issuer !== self || book.roster.members.get(self)?.role !== 'admin') return 'not-issuer'
  if (book.roster.revoked.has(device)) return 'revoked'
  const users = book.graph.records.filter(({ content }) => content.type === 'member' && content.via?.ticket === ticket.hash)
  if (users.length > 0) return users.some(({ content }) => content.type === 'member' && content.subject === device) ? 'ok' : 'used'
  // Signed by us, yet not in our records: they were restored from before, and who used it since is not known.
  const own = book.graph.get(ticket.hash)
  if (own === undefined || !equalBytes(own.bytes, ticket.bytes)) return 'used'
  if (clock.wallMs() > ticket.content.expiresMs) return 'expired'
  const { role, ticketKey } = ticket.content
  const via = { ticket: ticket.hash, ticketKey, redeem: shown.redeem }
  writeRecord(components, { type: 'member', subject: device, role, name: shown.name, wire: WIRE_VERSION, via }, lossesOf(components.book, device))
  return 'ok'
}

/** What says that the device is lost: named by hash in what takes it back, so that the device can tell without what came between the two. */
function lossesOf ({ graph }: RecordBook, device: DeviceId): string[] {
  const admissions = graph.records.filter(({ content }) => content.type === 'member' && content.subject === device)
  const losses = graph.records.filter(({ content }) => content.type === 'lost' && content.subject === device)
  return losses.map(({ hash }) => hash).filter(hash => !admissions.some(admission => graph.past(admission).has(hash)))
}
