/** A device that shows its ticket until a door lets it in, or says for good why not. */
import { ElderError, type DeviceId, type Role } from '@elder-node/protocol'
import type { RefusalCode } from '../../ports/admission.ts'
import type { Shown } from './door.ts'

const AGAIN = 'Ask for a new ticket: elder-node invite'

/** Refusals that no other door and no later try can turn into a yes. */
const FINAL: Partial<Record<RefusalCode, [code: string, message: string, fix: string]>> = {
  used: ['TICKET_USED', 'This ticket has already let another device in; a ticket admits one device.', AGAIN],
  expired: ['TICKET_EXPIRED', 'This ticket expired by the clock of the device that issued it.', AGAIN],
  forged: ['TICKET_FORGED', 'The mesh says that this ticket was not issued by it.', AGAIN],
  'wrong-mesh': ['WRONG_MESH', 'The device at this address belongs to another mesh than the ticket.', AGAIN],
  'not-issuer': ['ISSUER_GONE', 'The device that signed this ticket is no admin of this mesh: it was removed, or never was one.', 'On another admin: elder-node invite'],
  version: ['VERSION', 'The mesh speaks another version of the protocol than this device.', 'Update the older side to the newest release.'],
}

export class Joining {
  readonly shown: Shown
  /** Settles once: a member, or refused for good. Its rejection is handled even when nobody waits. */
  readonly done: Promise<void>
  /** What the doors said that was not final, by device. */
  readonly refusals: Map<DeviceId, RefusalCode> = new Map<DeviceId, RefusalCode>()
  #admit: () => void = () => {}
  #fail: (error: ElderError) => void = () => {}

  constructor (shown: Shown) {
    this.shown = shown
    this.done = new Promise((resolve, reject) => {
      this.#admit = resolve
      this.#fail = reject
    })
    this.done.catch(() => {})
  }

  /** What the ticket makes of this device. */
  role (): Role | undefined {
    const { content } = this.shown.ticket.record
    return content.type === 'ticket' ? content.role : undefined
  }

  admitted (): void { this.#admit() }

  failed (error: ElderError): void { this.#fail(error) }

  refused (listener: DeviceId, code: RefusalCode): void {
    const final = FINAL[code]
    if (final !== undefined) this.#fail(new ElderError(...final))
    else this.refusals.set(listener, code)
  }

  /** Why it took too long: each address tried, and what was heard. */
  timeout (): ElderError {
    const { addresses } = this.shown.ticket
    const heard = [...this.refusals].map(([device, code]) => `${device.slice(0, 8)} said ${code}`)
    const why = heard.length > 0 ? heard.join(', ') : 'none of them answered'
    return new ElderError('ADMISSION_TIMEOUT', `No device of the mesh let this one in. Tried ${addresses.join(', ')}: ${why}.`, `Check that a device of the mesh is running and reachable from here. ${AGAIN}`, { addresses: [...addresses], heard })
  }
}
