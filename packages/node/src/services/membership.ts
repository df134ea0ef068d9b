/**
 * Membership: who belongs to the mesh, as this device knows it, and how that changes.
 *
 * Implements {@link Admission} for the door and the gate; writes invitations and evictions; keeps the records on disk and in
 * step with every other member. See docs/PROTOCOL.md, "Membership and the door".
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { deviceId, deviceOfAddress, ElderError, proofOf, type Crypto, type Cut, type Cuts as StackCuts, type DeviceId, type MeshId, type Role, type Roster, type RosterMember, type Signer, type StackId, type Value } from '@elder-node/protocol'
import type { DeviceRef, Problem } from '../api.ts'
import type { Admission, RefusalCode, Verdict } from '../ports/admission.ts'
import type { PrivateFiles } from '../ports/files.ts'
import type { Clock, RandomBytes } from '../ports/host.ts'
import type { CallOptions, Mesh } from '../ports/mesh.ts'
import { Listeners } from './listeners.ts'
import { AddressBook } from './membership/address-book.ts'
import { Administration, type Invitation, type InviteOptions } from './membership/administration.ts'
import { Cuts, type HeadsOf } from './membership/cuts.ts'
import { cutsOf } from './membership/cuts-of.ts'
import { Disputes } from './membership/disputes.ts'
import { Door, type Shown } from './membership/door.ts'
import { adminsOf, evictedError, NEW_MESH } from './membership/evicted.ts'
import { findDevice } from './membership/find-device.ts'
import { Joining } from './membership/joining.ts'
import { PROOF_RECORDS_MAX, writeMesh } from './membership/mesh-file.ts'
import type { RecordBook, RosterChange } from './membership/record-book.ts'
import { rosterProblem } from './membership/roster-damage.ts'
import { RosterSync } from './membership/roster-sync.ts'
import { proofIn } from './membership/wire.ts'
import { writeRecord } from './membership/writer.ts'
import { writersOf } from './membership/writers.ts'

export interface MembershipComponents {
  crypto: Crypto
  /** This device's key. */
  signer: Signer
  /** Makes the signer of a ticket's one-time key from its 32-byte seed. */
  signerFromSeed: (seed: Uint8Array) => Signer
  clock: Clock
  random: RandomBytes
  /** The membership directory of the data directory. */
  files: PrivateFiles
}

/** What a joiner waits for the whole roster, so that it knows its own final name. */
const FIRST_EXCHANGE_MS = 2000

/** Made by `openMembership`. */
export class Membership implements Admission {
  readonly self: DeviceId
  readonly meshId: MeshId
  readonly meshSecret: Uint8Array
  readonly #components: MembershipComponents
  readonly #book: RecordBook
  readonly #addresses: AddressBook
  readonly #door: Door
  readonly #administration: Administration
  readonly #disputes: Disputes
  readonly #removed = new Listeners<[device: DeviceId, left: boolean]>()
  readonly #evicted = Promise.withResolvers<ElderError>()
  /** How this device came in, if it came in during this run. */
  readonly #entrance: Joining | undefined
  /** The same, while it is no member yet. */
  #joining: Joining | undefined
  #isLeaving = false
  #mesh: Mesh | undefined
  #sync: RosterSync | undefined
  #cuts: Cuts | undefined
  #writers: ReadonlySet<DeviceId> | undefined

  /** `shown`: the ticket of a device that is no member yet. */
  constructor (components: MembershipComponents, book: RecordBook, meshSecret: Uint8Array, shown?: Shown) {
    this.self = deviceId(components.signer.publicKey)
    this.meshId = book.mesh
    this.meshSecret = meshSecret
    this.#components = components
    this.#book = book
    this.#addresses = new AddressBook(components.files)
    this.#door = new Door({ ...components, book, mesh: () => this.#mesh })
    this.#administration = new Administration({ ...components, book, meshSecret })
    this.#disputes = new Disputes(components.crypto)
    this.#entrance = shown === undefined ? undefined : new Joining(shown)
    this.#joining = this.#entrance
    book.onChange(change => { this.#follow(change) })
  }

  get roster (): Roster { return this.#book.roster }
  get meshName (): string { return this.roster.mesh.name }
  /** This device as a member; undefined while it is joining or after it was removed. */
  get me (): RosterMember | undefined { return this.roster.members.get(this.self) }

  /** Registers the `roster` and `join` services: after the mesh is made, before it starts. */
  attach (mesh: Mesh): void {
    this.#mesh = mesh
    mesh.on('admitted', device => { this.#disputes.admitted(device) })
    mesh.onRequest('join', { role: 'observer', concurrencyMax: 8, deadlineMs: 5000 }, (_from, message) => this.#door.joinRequest(message))
    this.#sync = new RosterSync({ book: this.#book, mesh, random: this.#components.random })
  }

  /** Registers the `heads` service: from now on an eviction says up to where the memory of the device counts. Before the mesh starts. */
  serveHeads (mesh: Mesh, heads: { headsOf: HeadsOf, headsBeyond: HeadsOf }): void {
    this.#cuts = new Cuts({ mesh, ...heads })
  }

  /** Begins the periodic comparison with peers. */
  start (): void { this.#sync?.start() }

  stop (): void {
    this.#sync?.stop()
    this.#addresses.save()
  }

  /**
   * Resolves once this device is a member, durably, and has compared records with a peer; at once when it is one already.
   *
   * @throws ElderError `TICKET_USED`, `TICKET_EXPIRED`, `TICKET_FORGED`, `WRONG_MESH`, `ISSUER_GONE`, `VERSION`, `EVICTED`; when the signal
   * aborts first `ADMISSION_TIMEOUT` with every address tried
   */
  async joined ({ signal }: CallOptions): Promise<void> {
    const joining = this.#entrance
    if (joining === undefined) return
    const timeout = Promise.withResolvers<never>()
    const onAbort = (): void => { timeout.reject(joining.timeout()) }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    try {
      await Promise.race([joining.done, timeout.promise])
      await Promise.race([this.#sync?.met, sleep(FIRST_EXCHANGE_MS, undefined, { ref: false })])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** A ticket for one device. @throws ElderError `NOT_ADMIN`, `NO_ADDRESS`, `DISK_FULL`, `STORAGE`, `ROSTER_FULL` */
  invite (options: InviteOptions = {}): Invitation { return this.#administration.invite({ addresses: this.#mesh?.addresses() ?? [], ...options }) }

  /**
   * Shuts a device out for ever, by its key. Its connections are closed before this returns; peers hear at once.
   *
   * The devices that are connected are asked for its heads first; the others need not answer.
   *
   * @param init.undo what it wrote before does not count either; then it may be gone already
   * @throws ElderError `NOT_ADMIN`, `NO_SUCH_DEVICE`, `AMBIGUOUS`, `SELF`, `DISK_FULL`, `STORAGE`, `ROSTER_FULL`
   */
  async evict (device: string, { undo = false }: { undo?: boolean } = {}): Promise<DeviceId> {
    const subject = this.evictee(device, undo)
    // What is known of one that is gone was cut when it went: what has arrived since is not to count.
    const cuts = this.roster.revoked.has(subject) ? [] : await this.#cuts?.collect(subject) ?? []
    this.#administration.evict(subject, cuts, undo)
    return subject
  }

  /** Whom {@link evict} would remove. Errors as it. */
  evictee (device: string, undo = false): DeviceId { return this.#administration.evictee(device, undo) }

  /**
   * What {@link keep} would bring back: per stack the heads of an evicted device beyond its cut, as this device and
   * those that are connected hold them.
   *
   * @throws ElderError `NOT_ADMIN`, `NO_SUCH_DEVICE`, `AMBIGUOUS`, `NOT_EVICTED`, `TAKEN_BACK`, `NOTHING_ASIDE`
   */
  async beyond (device: string): Promise<{ device: DeviceId, cuts: Cut[] }> {
    const { device: subject, cuts: known } = this.#administration.cutOff(device)
    const cuts = await this.#cuts?.collectBeyond(subject, known) ?? []
    if (cuts.length > 0) return { device: subject, cuts }
    const id = subject.slice(0, 12)
    const who = `${this.nameOf(subject)} (${id})`
    throw new ElderError(
      'NOTHING_ASIDE', `No device that is connected keeps anything that ${who} wrote beyond its cut.`,
      `Start the devices that were with it last, then: elder-node evict ${id} --keep`,
    )
  }

  /**
   * What an evicted device wrote beyond its cut counts again, as far as anybody who is connected holds it: a further
   * cut joins those that there are, on every device. Errors as {@link beyond}, and those of a write.
   */
  async keep (device: string): Promise<DeviceId> {
    const { device: subject, cuts } = await this.beyond(device)
    this.#administration.keep(subject, cuts)
    return subject
  }

  /** Marks a device as lost: no member, and its name is free, until it is invited again. Errors as {@link evict}. */
  markLost (device: string): RosterMember { return this.#administration.markLost(device) }

  /**
   * This device is no member any more, by its own word and for ever: the key never comes back. Every connected member hears before
   * this resolves; {@link evicted} stays silent. What the device holds is the caller's to remove.
   *
   * @returns who was told @throws ElderError `NOT_A_MEMBER`, `DISK_FULL`, `STORAGE`
   */
  async leave (): Promise<DeviceId[]> {
    if (this.me === undefined) throw new ElderError('NOT_A_MEMBER', 'This device is no member of a mesh.', 'elder-node join')
    this.#isLeaving = true
    try {
      return await this.#sync?.tell(writeRecord({ ...this.#components, book: this.#book }, { type: 'leave' })) ?? []
    } catch (error) {
      this.#isLeaving = false
      throw error
    }
  }

  /** Makes a member an admin. Errors as {@link evict}. */
  promote (device: string): RosterMember { return this.#administration.promote(device) }

  /** A live member by name, id or id prefix. @throws ElderError `NO_SUCH_DEVICE`, `AMBIGUOUS` */
  find (device: string): RosterMember { return findDevice(this.roster, device) }

  /** The name of a device, also of one that is gone; the beginning of its id when it never had one. */
  nameOf (device: DeviceId): string {
    return this.roster.members.get(device)?.name ?? this.roster.revoked.get(device)?.name ?? device.slice(0, 8)
  }

  /** What `status` tells of the records on this disk. */
  problems (): Problem[] {
    const { damage, isIncomplete } = this.#book
    if (damage !== null && isIncomplete) return [rosterProblem(this.#components.files, damage)]
    return [...this.#disputes.problems(this.roster, device => this.nameOf(device)), ...this.#unled()]
  }

  #unled (): Problem[] {
    if (this.me === undefined || adminsOf(this.roster).length > 0) return []
    const message = 'No admin is left in this mesh: nobody can invite, evict or promote a device.'
    return [{ code: 'NO_ADMIN', message, fix: NEW_MESH }]
  }

  /** A device as it is shown: its id and {@link nameOf}. */
  ref (device: DeviceId): DeviceRef { return { id: device, name: this.nameOf(device) } }

  /** Every membership record this device holds: what a mirror keeps under roster/. */
  records (): Uint8Array[] { return this.#book.graph.records.map(({ bytes }) => bytes) }

  /**
   * Takes records from outside, a mirror for instance, which who was evicted may still write to; what does not verify is left out.
   *
   * @throws ElderError `DISK_FULL`, `STORAGE`
   */
  receive (records: Uint8Array[]): void { this.#book.addForeign(records, this.self) }

  /** May a record of this device make a stack here? One beyond its cut may not: nobody would see anything in the stack. */
  mayFound (device: DeviceId, stack: StackId): boolean {
    const cut = this.cutsOf(stack).get(device)
    return this.mayWrite(device) && (cut === undefined || cut.keep.size > 0)
  }

  /** Was the device ever a member? Its records then count, also after it left. */
  mayWrite (device: DeviceId): boolean { return (this.#writers ??= writersOf(this.#book.graph)).has(device) }

  role (device: DeviceId): Role | undefined { return this.roster.members.get(device)?.role }
  /** The role of this device, or the one that its ticket gives. */
  get expectedRole (): Role | undefined { return this.role(this.self) ?? this.#joining?.role() }
  isRevoked (device: DeviceId): boolean { return this.roster.revoked.has(device) }
  /** Shut out by others; one that left by its own word is not. */
  isEvicted (device: DeviceId): boolean { return this.roster.revoked.get(device)?.left === false }
  hello (): Value { return this.#door.hello(this.#joining?.shown) }
  decide (dialer: DeviceId, hello: Value, options: CallOptions): Promise<Verdict> { return this.#door.decide(dialer, hello, options) }

  greeted (listener: DeviceId, answer: Value): void {
    this.#door.greeted(listener, answer)
    // Again, when a full disk kept it out the first time.
    if (this.#joining !== undefined && this.me !== undefined) this.#enter(this.#joining)
    if (this.me === undefined) throw new ElderError('NOT_A_MEMBER', 'The mesh answered the door, but did not show that this device is a member.', '', { device: listener })
  }

  refused (listener: DeviceId, code: RefusalCode, proof: Value | undefined): void {
    this.#joining?.refused(listener, code)
    if (proof === undefined) return
    try {
      this.#book.admitRemoval(proofIn(proof), this.self, listener)
      this.#disputes.refused(listener, proofIn(proof), this.self, this.roster)
    } catch {
      // What does not verify proves nothing: the refusal stands, and we try others.
    }
  }

  members (): Array<{ device: DeviceId, addresses: string[] }> {
    const ticket = this.#joining?.shown.ticket.addresses ?? []
    const invited = Map.groupBy(ticket, address => deviceOfAddress(address) as DeviceId)
    const devices = this.#joining === undefined ? [...this.roster.members.keys()] : [...invited.keys()]
    return devices.filter(device => device !== this.self).map(device => ({ device, addresses: [...new Set([...this.#addresses.of(device), ...invited.get(device) ?? []])] }))
  }

  learned (device: DeviceId, addresses: string[]): void {
    if (this.roster.members.has(device) && device !== this.self) this.#addresses.learn(device, addresses)
  }

  /** After every change of the roster. Returns the unsubscriber. */
  onRoster (listener: () => void): () => void { return this.#book.onChange(() => { listener() }) }

  /** What counts of evicted devices in one stack. */
  cutsOf (stack: StackId): StackCuts { return cutsOf(this.roster, stack) }

  onRemoved (listener: (device: DeviceId, left: boolean) => void): () => void { return this.#removed.add(listener) }

  /** Resolves when this device learns, with proof, that it is no member any more: `EVICTED`. The node must end. */
  get evicted (): Promise<ElderError> { return this.#evicted.promise }

  #follow ({ before, after }: RosterChange): void {
    this.#writers = undefined
    const gone = new Set([...before.members.keys(), ...after.revoked.keys()].filter(device => !after.members.has(device) && (before.members.has(device) || !before.revoked.has(device))))
    if (after.revoked.has(this.self) || (before.members.has(this.self) && !after.members.has(this.self))) this.#leave(after)
    else if (this.#joining !== undefined && after.members.has(this.self)) this.#enter(this.#joining)
    for (const device of gone) {
      this.#addresses.forget(device)
      if (device !== this.self) this.#removed.tell(device, after.revoked.get(device)?.left === true)
    }
  }

  /** Records first, then the file that says we are in: a crash between them only means to show the ticket again. */
  #enter (joining: Joining): void {
    this.#book.makeDurable()
    const grant = this.me?.grant
    const proof = proofOf(this.#book.graph, grant === undefined ? [] : [grant], PROOF_RECORDS_MAX).map(({ bytes }) => bytes)
    writeMesh(this.#components.files, this.self, { mesh: this.meshId, meshSecret: this.meshSecret, proof })
    this.#joining = undefined
    for (const address of joining.shown.ticket.addresses) this.learned(deviceOfAddress(address) as DeviceId, [address])
    joining.admitted()
  }

  #leave (roster: Roster): void {
    const error = evictedError(roster, this.self)
    this.#joining?.failed(error)
    if (!this.#isLeaving) this.#evicted.resolve(error)
  }
}
