/**
 * Who stands before the door and has not knocked yet. A socket that says nothing costs a stranger nothing, so it keeps nobody out: it has
 * a second to knock, one address has few places, and where all are taken the one that has been silent longest gives way to the newcomer.
 */
import type { MultiaddrConnection } from '@libp2p/interface'
import { sourceOf } from './source.ts'

/** From the first byte of TCP to the knock: two round trips across the world. */
const KNOCK_MS = 1_000
/** Silent connections from one address, or one IPv6 network of a household. */
const PER_SOURCE_MAX = 16
const IN_ALL_MAX = 256

type Caller = Pick<MultiaddrConnection, 'abort' | 'remoteAddr' | 'addEventListener'>

export class Porch {
  /** By address, in the order in which they came. */
  readonly #silent = new Map<string, Set<Caller>>()
  readonly #timers = new Map<object, ReturnType<typeof setTimeout>>()

  /** Silent connections. */
  get size (): number { return this.#timers.size }

  arrived (caller: Caller): void {
    const source = sourceOf(caller.remoteAddr.toString())
    if ((this.#silent.get(source)?.size ?? 0) >= PER_SOURCE_MAX) this.#sendAway(oldestOf(this.#silent.get(source)))
    // From where most of them are: who comes alone from an address is not the one to go.
    else if (this.size >= IN_ALL_MAX) this.#sendAway(oldestOf([...this.#silent.values()].reduce((most, one) => one.size > most.size ? one : most)))
    const waiting = this.#silent.get(source) ?? new Set()
    this.#silent.set(source, waiting.add(caller))
    this.#timers.set(caller, setTimeout(() => { this.#tooLate(caller) }, KNOCK_MS).unref())
    caller.addEventListener('close', () => { this.left(caller) })
  }

  /** It knocked, or is gone. */
  left (caller: object): void {
    clearTimeout(this.#timers.get(caller))
    if (!this.#timers.delete(caller)) return
    for (const [source, waiting] of this.#silent) if (waiting.delete(caller as Caller) && waiting.size === 0) this.#silent.delete(source)
  }

  /** After a stall of this process its timers run before it reads what has arrived meanwhile: that is read first. */
  #tooLate (caller: Caller): void {
    setImmediate(() => setImmediate(() => { if (this.#timers.has(caller)) this.#sendAway(caller) }))
  }

  #sendAway (caller: Caller | undefined): void {
    if (caller === undefined) return
    this.left(caller)
    caller.abort(new Error('it did not knock'))
  }
}

function oldestOf (waiting: Set<Caller> | undefined): Caller | undefined { return waiting?.values().next().value }
