import { equalBytes } from '../codec/text.ts'
import { deviceId, type DeviceId } from '../ids.ts'
import { remembered, supportsOf, type Graph } from './graph.ts'
import type { MemberRecord } from './record.ts'
import type { Role } from './roles.ts'

/** What a record makes of whom, if it counts. */
export function conferred (record: MemberRecord): { subject: DeviceId, role: Role } | undefined {
  const { content } = record
  switch (content.type) {
    case 'genesis': return { subject: record.issuer, role: 'admin' }
    case 'member': return { subject: content.subject, role: content.role }
    case 'addAdmin': case 'recover': return { subject: content.subject, role: 'admin' }
    default: return undefined
  }
}

/** Whom a record shuts out for ever, if it counts. */
export function removed ({ content, issuer }: MemberRecord): DeviceId | undefined {
  return content.type === 'revoke' ? content.subject : content.type === 'leave' ? issuer : undefined
}

/**
 * Was the issuer an admin when it wrote (to leave: a member), by a chain of grants that ends in the genesis record? Removals are not asked here,
 * so the answer never turns from yes to no as records arrive: it is also the rule for what a device keeps.
 */
export class Entitlement {
  readonly #graph: Graph
  readonly #answers = new Map<string, boolean>()

  constructor (graph: Graph) { this.#graph = graph }

  entitled (record: MemberRecord): boolean {
    const needs = (one: MemberRecord): MemberRecord[] => supportsOf(one).map(hash => this.#graph.get(hash)).filter(found => found !== undefined)
    return remembered(this.#answers, record, needs, one => this.#authority(one) && this.#ticketHolds(one))
  }

  #authority (record: MemberRecord): boolean {
    if (record.content.type === 'genesis') return true
    if (record.content.type === 'recover') return this.#isRecoveryKey(record)
    const grant = this.#graph.get(record.grant)
    if (grant === undefined || this.#answers.get(grant.hash) !== true) return false
    const given = conferred(grant)
    return given?.subject === record.issuer && (given.role === 'admin' || record.content.type === 'leave')
  }

  /** Only the issuer of a ticket redeems it, for the role and the time it was made for. */
  #ticketHolds (record: MemberRecord): boolean {
    if (record.content.type !== 'member' || record.content.via === null) return true
    const { via, role } = record.content
    const ticket = this.#graph.get(via.ticket)
    return ticket?.content.type === 'ticket' && this.#answers.get(ticket.hash) === true && ticket.issuer === record.issuer &&
      ticket.content.role === role && record.at <= ticket.content.expiresMs && equalBytes(ticket.content.ticketKey, via.ticketKey)
  }

  #isRecoveryKey (record: MemberRecord): boolean {
    const genesis = this.#graph.records.find(({ content }) => content.type === 'genesis')?.content
    return genesis?.type === 'genesis' && deviceId(genesis.recoveryKey) === record.issuer
  }
}
