/**
 * Who stands before the door. A socket costs a stranger nothing, so it keeps nobody out: it has a second to knock, and until the door has
 * answered, one address has few places. Where all are taken, the one that has stood there longest gives way to the newcomer.
 *
 * Who has knocked knows the secret of the mesh: a member, a joiner, or a device that was evicted. These have more places, of their own.
 */
import type { MultiaddrConnection } from '@libp2p/interface'
import { sourceOf } from './source.ts'

/** From the first byte of TCP to the knock: two round trips across the world. */
const KNOCK_MS = 1_000

interface Places {
  /** Of one address, or of one IPv6 network of a household. */
  perSource: number
  inAll: number
}

const SILENT: Places = { perSource: 16, inAll: 256 }
/** A site behind one address starts all its devices at once; libp2p gives each of them 5 s at the door. */
const KNOCKED: Places = { perSource: 64, inAll: 1_024 }

/** As many as ever stand here: what libp2p must not refuse. */
export const PENDING_MAX: number = SILENT.inAll + KNOCKED.inAll

type Caller = Pick<MultiaddrConnection, 'abort' | 'remoteAddr' | 'addEventListener'>

export class Porch {
  readonly #silent = new Room(SILENT)
  readonly #knocked = new Room(KNOCKED)
  readonly #timers = new Map<object, ReturnType<typeof setTimeout>>()

  /** Who has not knocked, and who waits for an answer. */
  get size (): { silent: number, knocked: number } { return { silent: this.#silent.size, knocked: this.#knocked.size } }

  arrived (caller: Caller): void {
    this.#sendAway(this.#silent.enter(caller))
    this.#timers.set(caller, setTimeout(() => { this.#tooLate(caller) }, KNOCK_MS).unref())
    caller.addEventListener('close', () => { this.left(caller) })
  }

  knocked (caller: object): void {
    if (!this.#silent.has(caller)) return
    this.left(caller)
    this.#sendAway(this.#knocked.enter(caller as Caller))
  }

  /** The door has answered, or the caller is gone. */
  left (caller: object): void {
    clearTimeout(this.#timers.get(caller))
    this.#timers.delete(caller)
    this.#silent.leave(caller)
    this.#knocked.leave(caller)
  }

  /** After a stall of this process its timers run before it reads what has arrived meanwhile: that is read first. */
  #tooLate (caller: Caller): void {
    setImmediate(() => setImmediate(() => { if (this.#silent.has(caller)) this.#sendAway(caller) }))
  }

  #sendAway (caller: Caller | undefined): void {
    if (caller === undefined) return
    this.left(caller)
    caller.abort(new Error('it stood at the door too long'))
  }
}

class Room {
  readonly #places: Places
  /** By source, in the order in which they came. */
  readonly #bySource = new Map<string, Set<Caller>>()
  readonly #sources = new Map<object, string>()

  constructor (places: Places) { this.#places = places }

  get size (): number { return this.#sources.size }

  has (caller: object): boolean { return this.#sources.has(caller) }

  /** @returns who must give way */
  enter (caller: Caller): Caller | undefined {
    const source = sourceOf(caller.remoteAddr.toString())
    const crowd = (this.#bySource.get(source)?.size ?? 0) >= this.#places.perSource ? this.#bySource.get(source) : this.size >= this.#places.inAll ? this.#largest() : undefined
    const oldest = crowd?.values().next().value
    this.#bySource.set(source, (this.#bySource.get(source) ?? new Set()).add(caller))
    this.#sources.set(caller, source)
    return oldest
  }

  leave (caller: object): void {
    const source = this.#sources.get(caller)
    if (source === undefined) return
    this.#sources.delete(caller)
    const others = this.#bySource.get(source)
    others?.delete(caller as Caller)
    if (others?.size === 0) this.#bySource.delete(source)
  }

  /** Who comes alone from an address is not the one to go. */
  #largest (): Set<Caller> { return [...this.#bySource.values()].reduce((most, one) => one.size > most.size ? one : most) }
}
