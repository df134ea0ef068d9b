/** What exists only while the mesh runs, for parts that are there before and after. */
import type { Connection } from '@libp2p/interface'
import { ElderError } from '@elder-node/protocol'
import type { DeviceId } from '@elder-node/protocol'
import type { Clients } from './clients.ts'
import type { KadGuard } from './kad-guard.ts'
import type { Links } from './links.ts'
import type { LocalDiscovery } from './mdns.ts'
import type { MeshNode } from './options.ts'

export interface Running {
  node: MeshNode
  discovery: LocalDiscovery | undefined
  links: Links
  clients: Clients
  kad: KadGuard
  /** 8 random bytes: this life of the process, for hellos. */
  epoch: Uint8Array
}

export class Live {
  #running: Running | undefined

  get running (): Running | undefined { return this.#running }

  begin (running: Running): void { this.#running = running }

  end (): void { this.#running = undefined }

  /** @throws ElderError `NOT_RUNNING` */
  demand (): Running {
    if (this.#running === undefined) throw new ElderError('NOT_RUNNING', 'the mesh is not running', 'Start the node first.')
    return this.#running
  }

  /** @throws Error when it runs */
  demandStopped (): void {
    if (this.#running !== undefined) throw new Error('the mesh runs already: handlers are registered before start')
  }

  /** The connection that requests to the device take. */
  connection (device: DeviceId): Connection | undefined { return this.#running?.links.open(device)[0] }

  isConnected (device: DeviceId): boolean { return this.connection(device) !== undefined }
}
