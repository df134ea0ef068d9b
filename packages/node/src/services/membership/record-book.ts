/** The membership records of one mesh: verified, durable before they are used, and the roster they resolve to. */
import { Entitlement, MembershipGraph, LIMITS, memberRecordHash, openMemberRecord, resolveRoster, type Crypto, type DeviceId, type MemberRecord, type MeshId, type Roster } from '@elder-node/protocol'
import type { PrivateFiles } from '../../ports/files.ts'
import { Listeners } from '../listeners.ts'

export interface BookComponents { crypto: Crypto, files: PrivateFiles }

export interface RosterChange {
  fresh: MemberRecord[]
  before: Roster
  after: Roster
  /** The peer that brought the records; null when this device wrote them or read them at the door. */
  from: DeviceId | null
}

export const ROSTER_LOG = 'roster.log'

export class RecordBook {
  readonly mesh: MeshId
  readonly #components: BookComponents
  readonly #changed = new Listeners<[change: RosterChange]>()
  #durable = false
  #damage: string | null = null
  /** The log on disk holds what is not in memory. */
  #isUnreadable = false
  #graph: MembershipGraph
  #roster: Roster
  #digest: Uint8Array

  /** Empty and in memory until {@link load} or {@link makeDurable}. */
  constructor (components: BookComponents, mesh: MeshId) {
    this.mesh = mesh
    this.#components = components
    this.#graph = new MembershipGraph([], mesh)
    this.#roster = resolveRoster(this.#graph, mesh)
    this.#digest = this.#digestOf(this.#graph)
  }

  get graph (): MembershipGraph { return this.#graph }
  get roster (): Roster { return this.#roster }
  /** Equal digests mean equal sets. */
  get digest (): Uint8Array { return this.#digest }

  /** Is this record among ours? @throws MalformedError */
  has (bytes: Uint8Array): boolean { return this.#graph.get(memberRecordHash(bytes, this.#components.crypto)) !== undefined }

  /** After every change of the set. Returns the unsubscriber. */
  onChange (listener: (change: RosterChange) => void): () => void { return this.#changed.add(listener) }

  /** What did not read of the log of an earlier run; null when all of it did. */
  get damage (): string | null { return this.#damage }

  /** Reads the log of an earlier run, and writes nothing: that is for {@link makeDurable}. `proof`: records that are kept elsewhere, too. */
  load (proof: readonly Uint8Array[] = []): void {
    const { files } = this.#components
    const log = files.readLog(ROSTER_LOG)
    const records = (log?.entries ?? []).map(bytes => this.#tryOpen(bytes))
    const ours = records.filter(record => record?.mesh === this.mesh).filter(record => record !== undefined)
    if (log === undefined || log.entries.length === 0) this.#damage = `${files.path(ROSTER_LOG)} is ${log === undefined ? 'missing' : 'empty'}`
    else if (log.isDamaged || ours.length < records.length) this.#damage = `${files.path(ROSTER_LOG)} is damaged: ${ours.length} records of this mesh could be read`
    this.#isUnreadable = log !== undefined && this.#damage !== null
    this.#durable = this.#damage === null && log?.isTorn === false
    this.#use(this.#entitled([...proof.map(bytes => this.#tryOpen(bytes)).filter(record => record !== undefined), ...ours]))
  }

  /** Whatever does not verify is asked of the peers again. */
  #tryOpen (bytes: Uint8Array): MemberRecord | undefined {
    try {
      return openMemberRecord(bytes, this.#components.crypto)
    } catch {
      return undefined
    }
  }

  /** From now on every record is on disk before it is used. A log that did not read is kept beside the new one. */
  makeDurable (): void {
    if (this.#durable) return
    const { files } = this.#components
    if (this.#isUnreadable) files.keepAside(ROSTER_LOG)
    files.replaceLog(ROSTER_LOG, this.#graph.records.map(({ bytes }) => bytes))
    this.#isUnreadable = false
    this.#durable = true
  }

  /**
   * Adds records from outside. Known ones cost a hash; records whose issuer was never entitled are dropped.
   *
   * @returns the records that are new, after they are durable and the roster is up to date
   * @throws MalformedError when one of them is no record or its signature is wrong: then none is added
   * @throws ElderError `DISK_FULL`, `STORAGE`: then none is added
   */
  add (batch: readonly Uint8Array[], from: DeviceId | null = null): MemberRecord[] {
    const { crypto, files } = this.#components
    const unknown = batch.filter(bytes => !this.has(bytes))
    const fresh = this.#entitled(unknown.map(bytes => openMemberRecord(bytes, crypto)))
    if (fresh.length === 0) return fresh
    if (this.#durable) files.append(ROSTER_LOG, fresh.map(({ bytes }) => bytes))
    const before = this.#roster
    this.#use(fresh)
    this.#changed.tell({ fresh, before, after: this.#roster, from })
    return fresh
  }

  #use (fresh: readonly MemberRecord[]): void {
    this.#graph = new MembershipGraph([...this.#graph.records, ...fresh], this.mesh)
    this.#roster = resolveRoster(this.#graph, this.mesh)
    this.#digest = this.#digestOf(this.#graph)
  }

  /** Near the bound only removals are taken: a flood of invitations must not keep a revocation out. */
  #entitled (records: readonly MemberRecord[]): MemberRecord[] {
    const distinct = new Map(records.filter(({ mesh }) => mesh === this.mesh).map(record => [record.hash, record]))
    const entitlement = new Entitlement(new MembershipGraph([...this.#graph.records, ...distinct.values()], this.mesh))
    let room = LIMITS.rosterRecordsMax - this.#graph.records.length
    const leaves = new LeaveCount(this.#graph.records)
    return [...distinct.values()].filter(record => entitlement.entitled(record) && leaves.take(record) && (room-- > 0 || isRemoval(record)))
  }

  #digestOf (graph: MembershipGraph): Uint8Array {
    return this.#components.crypto.sha256(...graph.records.map(({ hash }) => Buffer.from(hash, 'hex')))
  }
}

function isRemoval ({ content: { type } }: MemberRecord): boolean { return type === 'revoke' || type === 'lost' || type === 'leave' }

/** Any member may write a leave: without a bound one of them could fill everybody's roster. */
class LeaveCount {
  readonly #counts = new Map<DeviceId, number>()

  constructor (known: readonly MemberRecord[]) { for (const record of known) this.take(record) }

  /** False for a leave too many. */
  take ({ content, issuer }: MemberRecord): boolean {
    if (content.type !== 'leave') return true
    const count = 1 + (this.#counts.get(issuer) ?? 0)
    this.#counts.set(issuer, count)
    return count <= LIMITS.leavesPerDeviceMax
  }
}
