/** Writes membership records in this device's name. */
import { deviceId, ElderError, LIMITS, signMemberRecord, type Crypto, type DeviceId, type MemberContent, type MemberRecord, type Signer } from '@elder-node/protocol'
import type { Clock } from '../../ports/host.ts'
import type { RecordBook } from './record-book.ts'

export interface WriterComponents { crypto: Crypto, signer: Signer, clock: Clock, book: RecordBook }

/**
 * Signs, stores and uses one record, in this order and in one synchronous section: once it returns, the record is durable.
 * The caller has checked that this device may write it: an admin, or a member that leaves.
 *
 * @param names hashes of records that it names beside the heads @throws ElderError `DISK_FULL`, `STORAGE`, `ROSTER_FULL`: then nothing happened
 */
export function writeRecord (components: WriterComponents, content: MemberContent, names: readonly string[] = []): MemberRecord {
  return writeRecords(components, [content], names)[0] as MemberRecord
}

/** The same for several that belong together, each after the one before: all are written, or none is. */
export function writeRecords (components: WriterComponents, contents: readonly MemberContent[], names: readonly string[] = []): MemberRecord[] {
  const { crypto, signer, clock, book } = components
  const self = deviceId(signer.publicKey)
  const grant = book.roster.members.get(self)?.grant ?? null
  const seq = nextSeq(book, self)
  let prev = [...new Set([...names, ...headsFor(book, self)])].slice(0, LIMITS.memberPrevMax)
  const records = contents.map((content, i) => {
    const record = signMemberRecord({ mesh: book.mesh, seq: seq + i, at: clock.wallMs(), grant, prev, content }, signer, crypto)
    prev = [record.hash]
    return record
  })
  book.add(records.map(({ bytes }) => bytes))
  if (records.some(({ hash }) => book.graph.get(hash) === undefined)) throw full(book, self)
  return records
}

function full (book: RecordBook, self: DeviceId): ElderError {
  const own = book.graph.records.filter(({ issuer }) => issuer === self).length
  return own >= LIMITS.recordsPerIssuerMax
    ? new ElderError('ROSTER_FULL', `This device has written ${own} membership records, as many as the others keep of one.`, otherAdmin(book, self))
    : new ElderError('ROSTER_FULL', `This mesh holds ${LIMITS.rosterRecordsMax} membership records, the most it can.`, 'Found a new mesh and import the stacks.')
}

/** Records that make an admin are kept beyond that bound, a few. */
function otherAdmin ({ roster: { members } }: RecordBook, self: DeviceId): string {
  const others = [...members.values()].filter(({ device }) => device !== self)
  const admins = others.filter(({ role }) => role === 'admin').map(({ name }) => name)
  if (admins.length > 0) return `Run it on ${admins.join(' or ')}.`
  return `${others[0] === undefined ? 'elder-node invite --role admin   join with it on another device' : `elder-node devices promote ${others[0].name}`}, and run it there.`
}

/** Heads that stand on this device's own records first: only so many can be named, and a leave cuts its issuer's records that it does not know. */
function headsFor (book: RecordBook, self: DeviceId): string[] {
  const heads = book.graph.heads()
  if (heads.length <= LIMITS.memberPrevMax) return heads
  const own = book.graph.records.filter(({ issuer }) => issuer === self).map(({ hash }) => hash)
  const isOurs = (head: string): boolean => { const record = book.graph.get(head); return record !== undefined && own.some(hash => book.graph.past(record).has(hash)) }
  return [...heads.filter(isOurs), ...heads.filter(head => !isOurs(head))].slice(0, LIMITS.memberPrevMax)
}

function nextSeq (book: RecordBook, self: DeviceId): number {
  return 1 + book.graph.records.reduce((last, { issuer, seq }) => issuer === self ? Math.max(last, seq) : last, 0)
}
