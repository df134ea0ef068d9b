/** The request streams this node asks on: one per (device, service), made on demand. */
import type { DeviceId, MeshId } from '@elder-node/protocol'
import { Libp2pFrameStream } from './frame-stream.ts'
import type { Links } from './links.ts'
import { RequestClient } from './request-client.ts'
import { requestProtocol } from './services.ts'
import type { WireService } from './services.ts'

export interface ClientsComponents {
  links: Links
  meshId: MeshId
  concurrencyMax (service: WireService): number
}

export class Clients {
  readonly #components: ClientsComponents
  readonly #clients = new Map<DeviceId, Map<WireService, RequestClient>>()

  constructor (components: ClientsComponents) { this.#components = components }

  of (device: DeviceId, service: WireService): RequestClient {
    const byService = this.#clients.get(device) ?? new Map<WireService, RequestClient>()
    this.#clients.set(device, byService)
    const known = byService.get(service)
    if (known !== undefined) return known
    const client = this.#create(device, service)
    byService.set(service, client)
    return client
  }

  /** The device has a better connection: see {@link RequestClient.renew}. */
  renew (device: DeviceId): void { for (const client of this.#clients.get(device)?.values() ?? []) client.renew() }

  /** The device has no connection any more: what waits rejects now. */
  drop (device: DeviceId): void {
    for (const client of this.#clients.get(device)?.values() ?? []) client.close()
    this.#clients.delete(device)
  }

  close (): void { for (const device of this.#clients.keys()) this.drop(device) }

  #create (device: DeviceId, service: WireService): RequestClient {
    const { links, meshId, concurrencyMax } = this.#components
    const open = async (signal: AbortSignal): Promise<Libp2pFrameStream> =>
      new Libp2pFrameStream(await links.stream(device, requestProtocol(meshId, service), signal), device)
    return new RequestClient(device, open, { concurrencyMax: concurrencyMax(service) })
  }
}
