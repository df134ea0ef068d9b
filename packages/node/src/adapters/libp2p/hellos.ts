/** Says hello and answers hellos: who we are in this life, where we are reached, whether we relay, what our clock says. */
import type { Connection } from '@libp2p/interface'
import type { DeviceId, Value } from '@elder-node/protocol'
import type { Clock } from '../../ports/host.ts'
import { decodeHello, encodeHello } from './hello.ts'
import type { Hello } from './hello.ts'
import type { Live } from './live.ts'

export interface HellosComponents {
  live: Live
  clock: Clock
  /** Where this device is reached now. */
  addresses (): string[]
  /** It passes connections on for members now. */
  relays (): boolean
}

const ANSWER_MS = 5_000

export class Hellos {
  readonly #components: HellosComponents
  readonly #aheadMs = new Map<DeviceId, number>()
  /** What the others were last told. */
  #told = ''

  constructor (components: HellosComponents) { this.#components = components }

  /** How far the clock of each device was ahead of this one at its last hello, milliseconds; good to a round trip. */
  clocks (): Array<{ device: DeviceId, aheadMs: number }> { return [...this.#aheadMs].map(([device, aheadMs]) => ({ device, aheadMs })) }

  /** Resolves with their hello. `first`: there was no connection before this one. */
  async greet (device: DeviceId, { first }: { first: boolean }): Promise<Hello> {
    const { live, clock } = this.#components
    const ours = this.#hello({ first, atMs: clock.wallMs() })
    return decodeHello(device, await live.demand().clients.of(device, 'hello').request(ours, AbortSignal.timeout(ANSWER_MS)))
  }

  /** Their hello, and our answer to it. */
  asked (connection: Connection, from: DeviceId, message: Value): { hello: Hello, answer: Value } {
    const hello = decodeHello(from, message)
    if (hello.first) this.#components.live.demand().links.abortOlder(from, connection)
    return { hello, answer: this.#hello({ first: false }) }
  }

  learned (device: DeviceId, { atMs }: Hello): void {
    if (atMs !== undefined) this.#aheadMs.set(device, atMs - this.#components.clock.wallMs())
  }

  forget (device: DeviceId): void { this.#aheadMs.delete(device) }

  /** Tells these devices where this one is reached and whether it relays, if either is new. */
  tell (devices: DeviceId[]): void {
    const now = [...this.#components.addresses(), this.#components.relays()].join()
    if (this.#components.live.running === undefined || now === this.#told) return
    this.#told = now
    for (const device of devices) this.greet(device, { first: false }).catch(() => {})
  }

  #hello (more: { first: boolean, atMs?: number }): Value {
    const { live, addresses, relays } = this.#components
    return encodeHello(live.demand().epoch, addresses(), { ...more, relay: relays() })
  }
}
