/** The membership records of one mesh: verified, durable before they are used, and the roster they resolve to. */
import {
  conferred, deviceId, isRemoval, keptOf, LIMITS, MalformedError, MembershipGraph, memberRecordHash, openMemberRecord, proofOf,
  readMemberRecord, resolveRoster, seenOf, supportsOf,
  type Crypto, type DeviceId, type MemberRecord, type MeshId, type Roster,
} from '@elder-node/protocol'
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
/** What was the matter with the log; there until the set was compared with that of another device. */
export const DAMAGE_FILE = 'roster-damage'

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

  /** What did not read of the log of an earlier run, `missing` for instance; null when all of it did, or what was missing came back. */
  get damage (): string | null { return this.#damage }

  /** A person may say that nothing comes back: by deleting the file. */
  get isIncomplete (): boolean { return this.#damage !== null && this.#components.files.list().includes(DAMAGE_FILE) }

  /** Reads the log of an earlier run, and writes nothing: that is for {@link makeDurable}. `proof`: records that are kept elsewhere, too. */
  load (proof: readonly Uint8Array[] = []): void {
    const { files } = this.#components
    const log = files.readLog(ROSTER_LOG)
    const records = (log?.entries ?? []).map(bytes => this.#tryOpen(bytes))
    const ours = records.filter(record => record?.mesh === this.mesh).filter(record => record !== undefined)
    if (log === undefined || log.entries.length === 0) this.#damage = log === undefined ? 'missing' : 'empty'
    else if (log.isDamaged || ours.length < records.length) this.#damage = `damaged: ${ours.length} records of this mesh could be read`
    this.#isUnreadable = log !== undefined && this.#damage !== null
    this.#durable = this.#damage === null && log?.isTorn === false
    this.#damage ??= this.#damageOfBefore()
    const proven = proof.map(bytes => this.#tryOpen(bytes)).filter(record => record !== undefined)
    this.#use(keptOf(this.#with([...proven, ...ours])))
  }

  /** An earlier run wrote a new log, and met nobody since. */
  #damageOfBefore (): string | null {
    const { files } = this.#components
    if (!files.list().includes(DAMAGE_FILE)) return null
    const words = files.readCache(DAMAGE_FILE)
    return words === undefined ? 'damaged' : new TextDecoder().decode(words)
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
    if (this.#damage !== null) files.replace(DAMAGE_FILE, new TextEncoder().encode(this.#damage))
    if (this.#isUnreadable) files.keepAside(ROSTER_LOG)
    files.replaceLog(ROSTER_LOG, this.#graph.records.map(({ bytes }) => bytes))
    this.#isUnreadable = false
    this.#durable = true
  }

  /** Another device holds the same records: nothing is missing any more. @throws ElderError `STORAGE` */
  healed (): void {
    if (this.#damage === null) return
    this.#components.files.remove(DAMAGE_FILE)
    this.#damage = null
  }

  /**
   * Adds records that a member brings, or this device wrote. Known ones cost a hash; what `keptOf` would not keep is dropped.
   *
   * @returns the records that are new, after they are durable and the roster is up to date
   * @throws MalformedError when one of them is no record or its signature is wrong: then none is added
   * @throws ElderError `DISK_FULL`, `STORAGE`: then none is added
   */
  add (batch: readonly Uint8Array[], from: DeviceId | null = null): MemberRecord[] { return this.#take(this.#opened(batch), from) }

  /**
   * The same, when everything is here that these records know of; otherwise nothing is added. A removal with a hole in its past cuts what its
   * issuer knew of, too, and whoever it cuts ends for good.
   *
   * @returns whether all of them are here now @throws as {@link add}
   */
  addWhole (batch: readonly Uint8Array[], from: DeviceId): boolean {
    const opened = this.#opened(batch)
    if (!this.#with(opened).isWhole(opened)) return false
    this.#take(opened, from)
    return opened.every(({ hash }) => this.#graph.get(hash) !== undefined)
  }

  /**
   * The same of records that no member brings. What an issuer that is cut here wrote counts only where the cut has seen it. One that is no
   * record does not keep the others out: whoever can write to a mirror can put one there, and can leave one out. So what would take the
   * membership of `device` away with whoever let it in is believed as at a door: see {@link admitRemoval}.
   *
   * @throws ElderError `DISK_FULL`, `STORAGE`: then none is added
   */
  addForeign (batch: readonly Uint8Array[], device: DeviceId): void {
    const shown = this.#fromOutside(batch.flatMap(bytes => this.#openedOrNone(bytes)))
    const copy = this.#with(shown)
    const { members, revoked, lost } = resolveRoster(copy, this.mesh)
    const isIndirect = this.#roster.members.has(device) && ![members, revoked, lost].some(listed => listed.has(device))
    this.#take(isIndirect ? shown.filter(record => !isRemoval(record) || copy.isWhole([record])) : shown, null)
  }

  /**
   * What is shown at a door proves something of the devices at its two ends, and nothing else: it is tried on a copy, and kept is only what
   * makes one of `devices` a member. Of issuers that are cut here it takes as little as {@link addForeign}: who was shut out cannot come with more.
   *
   * @throws as {@link add}
   */
  admit (batch: readonly Uint8Array[], devices: readonly DeviceId[], from: DeviceId | null = null): void {
    this.#adopt(batch, from, ({ members }) => devices.flatMap(device => {
      const member = members.get(device)
      return member === undefined ? [] : [member.admission, member.grant]
    }))
  }

  /**
   * The same for what a door shows with its no: kept is only what removes `device`, or whoever let it in, when that takes its
   * membership away. The latter is believed only with everything that the removal has seen: with a hole in its past nobody can say
   * that it did not know of this device. @throws as {@link add}
   */
  admitRemoval (batch: readonly Uint8Array[], device: DeviceId, from: DeviceId): void {
    const member = this.#roster.members.get(device)
    const chain = member === undefined ? [] : proofOf(this.#graph, [member.admission, member.grant], LIMITS.proofRecordsMax)
    this.#adopt(batch, from, ({ members, revoked, lost }, copy) => {
      if (members.has(device)) return []
      const issuers = chain.map(({ issuer }) => revoked.get(issuer)?.record).filter(hash => hash !== undefined)
      const isWhole = copy.isWhole(issuers.map(hash => copy.get(hash) as MemberRecord))
      return [revoked.get(device)?.record, lost.get(device), ...(isWhole ? issuers : [])].filter(hash => hash !== undefined)
    })
  }

  /** `proven`: hashes of the records that matter, in a copy that has the batch too. */
  #adopt (batch: readonly Uint8Array[], from: DeviceId | null, proven: (roster: Roster, copy: MembershipGraph) => string[]): void {
    const shown = this.#openedChain(batch)
    if (shown.length === 0) return
    const copy = this.#with(shown)
    const fresh = new Set(shown.map(({ hash }) => hash))
    const chain = proofOf(copy, proven(resolveRoster(copy, this.mesh), copy), copy.records.length)
    this.#take(chain.filter(({ hash }) => fresh.has(hash)), from)
  }

  #fromOutside (shown: readonly MemberRecord[]): MemberRecord[] {
    const { revoked } = this.#roster
    if (!shown.some(({ issuer }) => revoked.has(issuer))) return [...shown]
    const seen = seenOf(this.#with(shown), this.#graph)
    return shown.filter(record => !revoked.has(record.issuer) || seen.has(record))
  }

  /**
   * What stands, link by link, on what is here or on the genesis record. Each is verified after what it stands on, and the first that fails
   * ends it: a stranger, who can sign with keys of its own alone, costs one check however many records it shows.
   *
   * @throws MalformedError
   */
  #openedChain (batch: readonly Uint8Array[]): MemberRecord[] {
    const { crypto } = this.#components
    const read = batch.filter(bytes => !this.has(bytes)).map(bytes => readMemberRecord(bytes, crypto)).filter(({ mesh }) => mesh === this.mesh)
    const waiting = new Set(this.#fromOutside(read))
    const opened = new Map<string, MemberRecord>()
    const get = (hash: string | null): MemberRecord | undefined => this.#graph.get(hash) ?? opened.get(hash ?? '')
    const genesis = this.#roster.genesis ?? read.find(({ content }) => content.type === 'genesis')
    for (let before = -1; before < opened.size;) {
      before = opened.size
      for (const record of waiting) {
        if (!isGranted(record, get, genesis)) continue
        opened.set(record.hash, openMemberRecord(record.bytes, crypto))
        waiting.delete(record)
      }
    }
    return [...opened.values()]
  }

  /** Verified, of this mesh, and not here yet. @throws MalformedError */
  #opened (batch: readonly Uint8Array[]): MemberRecord[] {
    const opened = batch.filter(bytes => !this.has(bytes)).map(bytes => openMemberRecord(bytes, this.#components.crypto))
    return opened.filter(({ mesh }) => mesh === this.mesh)
  }

  #openedOrNone (bytes: Uint8Array): MemberRecord[] {
    try {
      return this.#opened([bytes])
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      return []
    }
  }

  #take (records: readonly MemberRecord[], from: DeviceId | null): MemberRecord[] {
    const graph = keptOf(this.#with(this.#withRoom(records)))
    const fresh = graph.records.filter(({ hash }) => this.#graph.get(hash) === undefined)
    if (fresh.length === 0) return fresh
    this.#write(graph, fresh)
    const before = this.#roster
    this.#use(graph)
    this.#changed.tell({ fresh, before, after: this.#roster, from })
    return fresh
  }

  /** What fell out of the set leaves the disk too: a flood that displaces records must not grow the log. */
  #write (graph: MembershipGraph, fresh: readonly MemberRecord[]): void {
    if (!this.#durable) return
    const { files } = this.#components
    const isGrown = graph.records.length === this.#graph.records.length + fresh.length
    if (isGrown) files.append(ROSTER_LOG, fresh.map(({ bytes }) => bytes))
    else files.replaceLog(ROSTER_LOG, graph.records.map(({ bytes }) => bytes))
  }

  #with (records: readonly MemberRecord[]): MembershipGraph { return new MembershipGraph([...this.#graph.records, ...records], this.mesh) }

  #use (graph: MembershipGraph): void {
    this.#graph = graph
    this.#roster = resolveRoster(graph, this.mesh)
    this.#digest = this.#digestOf(graph)
  }

  /** Near the bound only removals are taken: a flood of invitations must not keep a revocation out. What the removed wrote takes no room. */
  #withRoom (records: readonly MemberRecord[]): MemberRecord[] {
    if (this.#graph.records.length + records.length <= LIMITS.rosterRecordsMax) return [...records]
    const { revoked } = this.#roster
    const isGift = (record: MemberRecord): boolean => !isRemoval(record) && !revoked.has(record.issuer)
    let room = LIMITS.rosterRecordsMax - this.#graph.records.filter(isGift).length
    return records.filter(record => !isGift(record) || room-- > 0)
  }

  #digestOf (graph: MembershipGraph): Uint8Array {
    return this.#components.crypto.sha256(...graph.records.map(({ hash }) => Buffer.from(hash, 'hex')))
  }
}

/** Could its issuer have been entitled, by what `get` finds? Of a genesis record its hash says so. */
function isGranted (record: MemberRecord, get: (hash: string | null) => MemberRecord | undefined, genesis: MemberRecord | undefined): boolean {
  if (record.content.type === 'genesis') return true
  if (record.content.type === 'recover') return genesis?.content.type === 'genesis' && deviceId(genesis.content.recoveryKey) === record.issuer
  const grant = get(record.grant)
  return grant !== undefined && conferred(grant)?.subject === record.issuer && supportsOf(record).every(hash => get(hash) !== undefined)
}
