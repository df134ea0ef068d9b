/** What follows when something happens: which parts hear of it, in which order. The parts themselves do not know each other. */
import type { Connection } from '@libp2p/interface'
import type { DeviceId, Value } from '@elder-node/protocol'
import type { MeshEvents } from '../../ports/mesh.ts'
import type { Events } from './events.ts'
import type { Hello } from './hello.ts'
import type { Libp2pMeshComponents } from './mesh-init.ts'
import type { Parts } from './parts.ts'
import { deviceOf } from './peer-id.ts'

export class Reactions {
  readonly #components: Libp2pMeshComponents
  readonly #events: Events<MeshEvents>
  readonly #partsOf: () => Parts

  constructor (components: Libp2pMeshComponents, events: Events<MeshEvents>, parts: () => Parts) {
    this.#components = components
    this.#events = events
    this.#partsOf = parts
  }

  get #parts (): Parts { return this.#partsOf() }

  opened (connection: Connection): void {
    const device = deviceOf(connection.remotePeer)
    if (device === undefined) return
    // From relayed to direct: the other one goes on until nothing runs over it.
    if (connection.direct) this.#parts.live.running?.clients.renew(device)
    this.#parts.presence.connected(device)
  }

  closed (connection: Connection): void {
    const { live, presence, changes } = this.#parts
    const device = deviceOf(connection.remotePeer)
    if (device === undefined || live.isConnected(device)) return
    live.running?.clients.drop(device)
    presence.disconnected(device)
    changes.emit('changed', device)
  }

  /** A hello came in by itself. */
  hello (connection: Connection, from: DeviceId, message: Value): Value {
    const { hellos, presence } = this.#parts
    const { hello, answer } = hellos.asked(connection, from, message)
    presence.heard(from, hello)
    return answer
  }

  /** What a device says of itself, asked or unasked. */
  learned (device: DeviceId, hello: Hello): void {
    const { hellos, live, nat } = this.#parts
    if (hello.addresses.length > 0) {
      this.#components.admission.learned(device, hello.addresses)
      live.running?.links.keep(device, hello.addresses)
    }
    nat.heard(device, hello)
    hellos.learned(device, hello)
  }

  helloFailed (device: DeviceId, error: Error): void {
    this.#parts.supervisor.failed(device, error)
    this.drop(device, 'the hello failed', error)
  }

  admitted (device: DeviceId): void {
    const { supervisor, probes, nat, changes } = this.#parts
    supervisor.admitted(device)
    probes.watch(device)
    nat.admitted(device)
    this.#components.log.info({ device }, 'device admitted')
    this.#events.emit('admitted', device)
    changes.emit('changed', device)
  }

  gone (device: DeviceId): void {
    const { hellos, probes, nat, supervisor } = this.#parts
    hellos.forget(device)
    probes.unwatch(device)
    nat.gone(device)
    supervisor.lost(device)
    this.#components.log.info({ device }, 'device gone')
    this.#events.emit('gone', device)
  }

  /** mDNS found somebody. Members are dialled, and anybody while this device holds a ticket: the door verifies the other before it says anything. */
  discovered (device: DeviceId | undefined, addresses: string[]): void {
    const { supervisor, presence, nat, self } = this.#parts
    const { admission } = this.#components
    if (device === undefined || device === self) return
    if (admission.role(device) === undefined && admission.role(self) !== undefined) return
    supervisor.discovered(device, addresses)
    if (presence.isAdmitted(device)) nat.seen(device)
  }

  /** Where this device is reached, or whether it relays, may be new. */
  selfMoved (): void {
    const { hellos, presence } = this.#parts
    hellos.tell(presence.admitted())
  }

  /** Another Wi-Fi, a cable that is back: everybody is looked for anew, and who is still here hears where we are. */
  networkChanged (): void {
    const { nat, addresses } = this.#parts
    this.#components.log.info({ addresses: addresses() }, 'the addresses of this device changed')
    nat.moved()
    this.#lookAgain()
    this.selfMoved()
  }

  /** The lid is open again: connections may be dead without a sign, and others may have moved. */
  awake (pausedMs: number): void {
    const { probes, nat } = this.#parts
    this.#components.log.info({ pausedMs: Math.round(pausedMs) }, 'awake after a pause')
    probes.verify()
    nat.awake()
    this.#lookAgain()
  }

  drop (device: DeviceId, why: string, error?: Error): void {
    this.#components.log.info({ device, ...(error === undefined ? {} : { err: error }) }, `connections dropped: ${why}`)
    this.#parts.live.running?.links.abort(device, new Error(why))
  }

  #lookAgain (): void {
    const { supervisor, live } = this.#parts
    supervisor.lookAgain()
    const { node, discovery } = live.demand()
    discovery?.lookAgain(() => node.status === 'started').catch((error: unknown) => { this.#components.log.warn({ err: error }, 'mDNS did not start again') })
  }
}
