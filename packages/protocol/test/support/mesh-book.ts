import { MembershipGraph, conferred, deviceId, resolveRoster, signMemberRecord, signRedemption, type Cut, type DeviceId, type MemberContent, type MemberRecord, type Role, type Roster, type Signer } from '../../src/index.ts'
import { crypto, testSigner } from './crypto.ts'

export const idOf = (n: number): DeviceId => deviceId(testSigner(n).publicKey)

/** Writes membership records as devices 0, 1, 2, ... would: device 0 founds. */
export class MeshBook {
  readonly genesis: MemberRecord
  readonly records: MemberRecord[] = []
  readonly #seqs = new Map<string, number>()

  constructor () {
    const recoveryKey = testSigner(999).publicKey
    this.genesis = signMemberRecord({ mesh: null, seq: 1, at: 1, grant: null, prev: [], content: { type: 'genesis', founderName: 'mini', recoveryKey, meshName: 'home', policy: {} } }, testSigner(0), crypto)
    this.records.push(this.genesis)
    this.#seqs.set(this.genesis.issuer, 1)
  }

  get mesh (): MemberRecord['mesh'] { return this.genesis.mesh }

  /** `prev` defaults to the heads of all records so far; `grant` to the newest record that made the issuer an admin. */
  write (issuer: number | Signer, content: MemberContent, options: { prev?: string[], grant?: string | null, at?: number } = {}): MemberRecord {
    const signer = typeof issuer === 'number' ? testSigner(issuer) : issuer
    const id = deviceId(signer.publicKey)
    const seq = (this.#seqs.get(id) ?? 0) + 1
    this.#seqs.set(id, seq)
    const prev = options.prev ?? new MembershipGraph(this.records, this.mesh).heads()
    const grant = options.grant === undefined ? this.grantOf(id) : options.grant
    const record = signMemberRecord({ mesh: this.mesh, seq, at: options.at ?? this.records.length + 1, grant, prev, content }, signer, crypto)
    this.records.push(record)
    return record
  }

  grantOf (device: DeviceId): string {
    const about = this.records.filter(record => conferred(record)?.subject === device)
    return (about.findLast(record => conferred(record)?.role === 'admin') ?? about.at(-1) ?? this.genesis).hash
  }

  admit (issuer: number, subject: number, role: Role, name: string, options: { prev?: string[], at?: number } = {}): MemberRecord {
    return this.write(issuer, { type: 'member', subject: idOf(subject), role, name, wire: 1, via: null }, options)
  }

  ticket (issuer: number, oneTime: number, role: Role = 'builder', expiresMs = 1e6): MemberRecord {
    return this.write(issuer, { type: 'ticket', ticketKey: testSigner(oneTime).publicKey, role, expiresMs })
  }

  redeem (issuer: number, ticket: MemberRecord, oneTime: number, subject: number, name: string, options: { role?: Role, at?: number, prev?: string[] } = {}): MemberRecord {
    const via = { ticket: ticket.hash, ticketKey: testSigner(oneTime).publicKey, redeem: signRedemption(this.mesh, ticket.hash, idOf(subject), testSigner(oneTime)) }
    return this.write(issuer, { type: 'member', subject: idOf(subject), role: options.role ?? 'builder', name, wire: 1, via }, options)
  }

  revoke (issuer: number, subject: number, { cuts = [], undo = false, ...options }: { prev?: string[], cuts?: Cut[], undo?: boolean } = {}): MemberRecord {
    return this.write(issuer, { type: 'revoke', subject: idOf(subject), cuts, undo }, options)
  }

  leave (issuer: number, options: { prev?: string[] } = {}): MemberRecord { return this.write(issuer, { type: 'leave' }, options) }

  roster (records: MemberRecord[] = this.records): Roster { return resolveRoster(records, this.mesh) }

  names (): string[] { return [...this.roster().members.values()].map(member => member.name).sort() }
}
