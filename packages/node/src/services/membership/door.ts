/** What the door asks and answers: hello, decision, greeting. The bytes are the transport's. */
import { codeOf, deviceId, deviceKey, ElderError, encode, equalBytes, hasRole, isRefusalCode, LIMITS, meshKey, openMemberRecord, proofOf, readMemberRecord, signRedemption, type DeviceId, type MemberRecord, type Signer, type Ticket, type Value } from '@elder-node/protocol'
import type { RefusalCode, Verdict } from '../../ports/admission.ts'
import type { CallOptions, Mesh } from '../../ports/mesh.ts'
import { Patience } from './patience.ts'
import { holdsTicket, redeem, ticketShown } from './redeem.ts'
import { DOOR_VERSION, helloOf, mapOf, proofIn, shownOf, type TicketShown } from './wire.ts'
import type { WriterComponents } from './writer.ts'

export interface DoorComponents extends WriterComponents {
  /** The mesh that carries tickets to their issuers; undefined before it is attached. */
  mesh: () => Mesh | undefined
}

/** What a joiner shows instead of a proof. */
export interface Shown { ticket: Ticket, oneTime: Signer, name: string }

/** A no that may be a yes soon, without the dialer's doing. */
const PASSING: ReadonlySet<RefusalCode> = new Set<RefusalCode>(['busy', 'issuer-unreachable'])
/** Milliseconds a carried ticket may take: below the transport's own limit for the door. */
const CARRY_MS = 2500
/** Of a frame of the door, less what stands around the records. */
const PROOF_BYTES_MAX: number = LIMITS.doorBytesMax - 256

export class Door {
  readonly #components: DoorComponents
  readonly #self: DeviceId
  readonly #patience: Patience

  constructor (components: DoorComponents) {
    this.#components = components
    this.#self = deviceId(components.signer.publicKey)
    this.#patience = new Patience(components.clock)
  }

  /** `shown`: the ticket while this device is no member yet. */
  hello (shown: Shown | undefined): Value {
    const { book } = this.#components
    const base = { v: DOOR_VERSION, mesh: meshKey(book.mesh) }
    if (shown === undefined) return { ...base, proof: this.#proof(this.#self) }
    const { ticket, oneTime, name } = shown
    return { ...base, ticket: ticket.record.bytes, redeem: signRedemption(ticket.mesh, ticket.record.hash, this.#self, oneTime), name }
  }

  /** Never throws: what goes wrong inside is `proof` when the dialer sent it and `busy` when it is ours. */
  async decide (dialer: DeviceId, value: Value, options: CallOptions): Promise<Verdict> {
    try {
      const hello = helloOf(value)
      if (hello.version !== DOOR_VERSION) return { ok: false, code: 'version' }
      if (!equalBytes(hello.mesh, meshKey(this.#components.book.mesh))) return { ok: false, code: 'wrong-mesh' }
      // Still joining, or removed: not entitled to let anybody in.
      if (!this.#components.book.roster.members.has(this.#self)) return { ok: false, code: 'busy' }
      if (this.#patience.isOver(dialer) && !this.#components.book.roster.members.has(dialer)) return { ok: false, code: 'busy' }
      const refusal = 'shown' in hello ? await this.#showTicket(dialer, hello.shown, options) : this.#showProof(dialer, hello.proof)
      const verdict = this.#verdict(dialer, refusal, 'shown' in hello ? [] : hello.proof)
      if (verdict.ok) this.#patience.admitted(dialer)
      else if (!PASSING.has(verdict.code)) this.#patience.refused(dialer)
      return verdict
    } catch (error) {
      return { ok: false, code: codeOf(error) === 'MALFORMED' ? 'proof' : 'busy' }
    }
  }

  /** @throws ElderError `MALFORMED`, or `NOT_A_MEMBER` when the listener is none: the dialer closes */
  greeted (listener: DeviceId, answer: Value): void {
    const { book } = this.#components
    book.admit(proofIn(answer), [listener, this.#self])
    if (book.roster.members.has(listener)) return
    throw new ElderError('NOT_A_MEMBER', `${listener.slice(0, 8)} answered the door but is no member of this mesh.`, '', { device: listener })
  }

  /** The `join` service: a member carries a joiner's ticket here, to its issuer. */
  joinRequest (message: Value): Value {
    const request = mapOf(message)
    const device = deviceId(request['device'] instanceof Uint8Array ? request['device'] : new Uint8Array())
    const outcome = redeem(this.#components, device, shownOf(message))
    return outcome === 'ok' ? { ok: this.#answer(device) } : { no: outcome }
  }

  /** Of who is refused nothing is kept; who was removed is not even listened to. */
  #showProof (dialer: DeviceId, proof: Uint8Array[]): undefined {
    const { book } = this.#components
    if (!book.roster.revoked.has(dialer)) book.admit(proof, [dialer])
  }

  async #showTicket (dialer: DeviceId, shown: TicketShown, options: CallOptions): Promise<RefusalCode | undefined> {
    const { book } = this.#components
    if (book.roster.members.has(dialer) || book.roster.revoked.has(dialer)) return undefined
    const ticket = ticketShown(this.#components, shown)
    if (ticket === undefined) return 'forged'
    const outcome = ticket.issuer === this.#self ? redeem(this.#components, dialer, shown) : await this.#carry(dialer, ticket, shown, options)
    return outcome === 'ok' ? undefined : outcome
  }

  async #carry (dialer: DeviceId, ticket: MemberRecord, shown: TicketShown, { signal }: CallOptions): Promise<'ok' | RefusalCode> {
    const { book, mesh } = this.#components
    if (!holdsTicket(this.#components, ticket, dialer, shown.redeem)) return 'forged'
    if (!hasRole(book.roster.members.get(ticket.issuer)?.role, 'admin')) return 'not-issuer'
    try {
      const request = { device: deviceKey(dialer), ...shown }
      const answer = mapOf(await mesh()?.request(ticket.issuer, 'join', request, { signal: AbortSignal.any([signal, AbortSignal.timeout(CARRY_MS)]) }))
      if (isRefusalCode(answer['no'])) return answer['no']
      book.admit(proofIn(answer['ok']), [dialer], ticket.issuer)
      return 'ok'
    } catch {
      return 'issuer-unreachable'
    }
  }

  /** The roster has the last word, whatever was shown. */
  #verdict (dialer: DeviceId, refusal: RefusalCode | undefined, proof: readonly Uint8Array[]): Verdict {
    const { book: { roster } } = this.#components
    const revoke = roster.revoked.get(dialer)
    if (revoke !== undefined) return { ok: false, code: 'revoked', proof: { proof: this.#chain(revoke.record) } }
    const lost = roster.lost.get(dialer)
    if (lost !== undefined) return { ok: false, code: 'not-a-member', proof: { proof: this.#chain(lost) } }
    if (refusal !== undefined) return { ok: false, code: refusal }
    if (roster.members.has(dialer)) return { ok: true, answer: this.#answer(dialer) }
    const removals = this.#removalsOfIssuers(proof)
    return { ok: false, code: 'not-a-member', ...(removals.length === 0 ? {} : { proof: { proof: this.#withPast(removals) } }) }
  }

  /** The chains of these removals and what else they have seen, newest first, as far as a refusal holds it: the dialer knows what is old. */
  #withPast (removals: readonly string[]): Uint8Array[] {
    const { graph } = this.#components.book
    const chain = this.#chain(...removals)
    const seen = new Set(removals.flatMap(hash => [...graph.past(graph.get(hash) as MemberRecord)]))
    const past = graph.records.filter(({ hash }) => seen.has(hash)).sort((a, b) => graph.compare(b, a)).map(({ bytes }) => bytes)
    const shown = [...chain, ...past.filter(bytes => !chain.some(other => equalBytes(other, bytes)))].slice(0, LIMITS.proofRecordsMax)
    while (encode(shown).length > PROOF_BYTES_MAX) shown.pop()
    return shown
  }

  /** Who let the dialer in is out, and what it gave without our knowing went with it: the dialer has to learn that from somebody. */
  #removalsOfIssuers (proof: readonly Uint8Array[]): string[] {
    const { book: { roster }, crypto } = this.#components
    const byIssuer = Map.groupBy(proof, bytes => readMemberRecord(bytes, crypto).issuer)
    const removed = [...byIssuer].filter(([issuer]) => roster.revoked.has(issuer))
    // One check each: whoever shows it has it of the issuer.
    for (const [, [first]] of removed) if (first !== undefined) openMemberRecord(first, crypto)
    return removed.map(([issuer]) => roster.revoked.get(issuer)?.record).filter(hash => hash !== undefined)
  }

  #answer (dialer: DeviceId): Value { return { v: DOOR_VERSION, proof: this.#proof(this.#self, dialer) } }

  #proof (...devices: DeviceId[]): Uint8Array[] {
    const { members } = this.#components.book.roster
    return this.#chain(...devices.map(device => members.get(device)).flatMap(member => member === undefined ? [] : [member.admission, member.grant]))
  }

  /** Newest first is what fits: the peer has the oldest records of its own mesh. */
  #chain (...hashes: string[]): Uint8Array[] {
    const chain = proofOf(this.#components.book.graph, hashes, LIMITS.proofRecordsMax).map(({ bytes }) => bytes)
    while (encode(chain).length > PROOF_BYTES_MAX) chain.shift()
    return chain
  }
}
