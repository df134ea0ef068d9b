/**
 * Who is here: from connections and hellos to `admitted` and `gone`. One state per device, whatever number of connections it has.
 *
 *     absent   --connection-->                      greeting   (we send our hello)
 *     greeting --their answer, accepted-->          admitted
 *     greeting --no answer, or not acceptable-->    failed     (its connections are dropped)
 *     admitted --hello of a new epoch-->            gone, greeting   (the process is another one)
 *     any      --last connection closed-->          absent     (gone, if it was admitted)
 */
import type { DeviceId } from '@elder-node/protocol'
import type { Hello } from './hello.ts'

interface Guest {
  /** The life of the device that was last heard of. */
  epoch: string | undefined
  admitted: boolean
  greeting: boolean
}

export interface PresenceEffects {
  /** Sends our hello and resolves with theirs. */
  greet (device: DeviceId): Promise<Hello>
  admitted (device: DeviceId): void
  gone (device: DeviceId): void
  learned (device: DeviceId, hello: Hello): void
  failed (device: DeviceId, error: Error): void
}

export class Presence {
  readonly #guests = new Map<DeviceId, Guest>()
  readonly #effects: PresenceEffects

  constructor (effects: PresenceEffects) { this.#effects = effects }

  isAdmitted (device: DeviceId): boolean { return this.#guests.get(device)?.admitted === true }

  admitted (): DeviceId[] { return [...this.#guests].filter(([, guest]) => guest.admitted).map(([device]) => device) }

  /** A connection opened. */
  connected (device: DeviceId): void {
    const guest = this.#guest(device)
    if (!guest.admitted) this.#greet(device, guest)
  }

  /** The last connection closed. */
  disconnected (device: DeviceId): void {
    const guest = this.#guests.get(device)
    this.#guests.delete(device)
    if (guest?.admitted === true) this.#effects.gone(device)
  }

  /** A hello of theirs arrived, or an answer. */
  heard (device: DeviceId, hello: Hello): void {
    const guest = this.#guest(device)
    const isReborn = guest.epoch !== undefined && guest.epoch !== hello.epoch
    guest.epoch = hello.epoch
    this.#effects.learned(device, hello)
    if (!isReborn || !guest.admitted) return
    guest.admitted = false
    this.#effects.gone(device)
    this.#greet(device, guest)
  }

  #greet (device: DeviceId, guest: Guest): void {
    if (guest.greeting) return
    guest.greeting = true
    const isCurrent = (): boolean => this.#guests.get(device) === guest
    this.#effects.greet(device).then(hello => {
      guest.greeting = false
      if (!isCurrent()) return
      this.heard(device, hello)
      if (guest.admitted) return
      guest.admitted = true
      this.#effects.admitted(device)
    }).catch((error: Error) => {
      guest.greeting = false
      if (isCurrent()) this.#effects.failed(device, error)
    })
  }

  #guest (device: DeviceId): Guest {
    const known = this.#guests.get(device)
    if (known !== undefined) return known
    const guest: Guest = { epoch: undefined, admitted: false, greeting: false }
    this.#guests.set(device, guest)
    return guest
  }
}
