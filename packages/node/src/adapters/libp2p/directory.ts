/** Slow facts in kad-dht. Key: CIDv1 (raw, sha2-256) of `elder/capability/v1\0<text>`. */
import { createHash } from 'node:crypto'
import { CID } from 'multiformats/cid'
import { create } from 'multiformats/hashes/digest'
import type { KadDHT } from '@libp2p/kad-dht'
import type { DeviceId } from '@elder-node/protocol'
import type { CallOptions, Directory } from '../../ports/mesh.ts'
import type { Logger } from '../../ports/log.ts'
import { deviceOf } from './peer-id.ts'

const RAW = 0x55
const SHA2_256 = 0x12

export function capabilityKey (capability: string): CID {
  return CID.createV1(RAW, create(SHA2_256, createHash('sha256').update(`elder/capability/v1\0${capability}`).digest()))
}

export interface DirectoryComponents {
  /** Undefined while the node does not run. */
  dht (): KadDHT | undefined
  isMember (device: DeviceId): boolean
  log: Logger
}

/** Every query takes a signal: without one kad-dht waits up to 180 s when it knows no peer. With nobody to ask, nothing is found and nothing throws. */
export class DhtDirectory implements Directory {
  readonly #components: DirectoryComponents

  constructor (components: DirectoryComponents) { this.#components = components }

  /** Kept and renewed by kad-dht (validity 30 min, options.ts), also when nobody could be told yet. */
  async provide (capability: string, options: CallOptions): Promise<void> {
    const query = this.#components.dht()?.provide(capabilityKey(capability), { signal: options.signal }) ?? []
    await this.#quietly(async () => { for await (const _event of query) options.signal.throwIfAborted() })
  }

  /** Ends the renewal here; copies elsewhere end by their validity. */
  async withdraw (capability: string): Promise<void> {
    await this.#quietly(async () => { await this.#components.dht()?.cancelReprovide(capabilityKey(capability)) })
  }

  async * find (capability: string, options: CallOptions): AsyncGenerator<DeviceId> {
    const seen = new Set<DeviceId>()
    const query = this.#components.dht()?.findProviders(capabilityKey(capability), { signal: options.signal }) ?? []
    try {
      for await (const event of query) {
        if (event.name !== 'PROVIDER') continue
        for (const { id } of event.providers) {
          const device = deviceOf(id)
          if (device === undefined || seen.has(device) || !this.#components.isMember(device)) continue
          seen.add(device)
          yield device
        }
      }
    } catch (error) {
      this.#components.log.debug({ err: error, capability }, 'a look-up in the directory ended early')
    }
  }

  async #quietly (act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      this.#components.log.debug({ err: error }, 'the directory could not be reached')
    }
  }
}
