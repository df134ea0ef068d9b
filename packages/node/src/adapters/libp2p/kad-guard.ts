/**
 * What members may ask of kad-dht here, and what it keeps of them. Of itself the library keeps every provider record for half an hour, whatever
 * its size and whoever sent it.
 *
 * Values (PUT_VALUE, GET_VALUE) are not answered: this mesh has none. Provider records are kept by this class alone, of one key length, a
 * bounded number per device and in all, and not a moment longer than their device is a member.
 */
import type { PeerId, PeerStore } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'
import { equalBytes, type DeviceId } from '@elder-node/protocol'
import { Buckets, type Rate } from './bucket.ts'
import { deviceOf, peerIdOf } from './peer-id.ts'

/** A sha2-256 multihash: two bytes, then the hash. The only keys that this mesh uses. */
const MULTIHASH_BYTES = 34
/** A peer id as a key: what FIND_NODE may ask for besides. */
const FIND_KEY_BYTES_MAX = 64
/** A device says a handful of things of itself: platform and engine, images, projects. */
const PER_DEVICE_MAX = 64
const IN_ALL_MAX = 4096
/** As options.ts tells the library, which drops a record then. */
export const PROVIDER_VALID_MS = 1_800_000
const ADDRESSES_MAX = 8
const RATE: Rate = { burst: 256, perSecond: 16 }

interface Message { type: string, key?: Uint8Array, providers?: Array<{ id: Uint8Array, multiaddrs: Uint8Array[] }> }
type HandleMessage = (peer: PeerId, message: Message) => Promise<unknown>

/** Parts of the library that are not in its public type; a test holds them to it. */
interface Internals {
  rpc: { handleMessage: HandleMessage }
  providers: { addProvider (cid: CID, provider: PeerId): Promise<void>, removeProvider (cid: CID, provider: PeerId): Promise<void> }
  routingTable: { remove (peer: PeerId): Promise<void> }
}

export interface KadGuardComponents {
  dht: KadDHT
  peerStore: PeerStore
  isMember: (device: DeviceId) => boolean
  nowMs: () => number
}

export class KadGuard {
  readonly #components: KadGuardComponents
  readonly #internals: Internals
  readonly #buckets: Buckets
  /** By device, then by key: when it said so last. The oldest comes first. */
  readonly #kept = new Map<DeviceId, Map<string, { cid: CID, atMs: number }>>()

  constructor (components: KadGuardComponents) {
    this.#components = components
    this.#internals = components.dht as unknown as Internals
    this.#buckets = new Buckets(components.nowMs)
    const { rpc } = this.#internals
    const answer = rpc.handleMessage.bind(rpc)
    rpc.handleMessage = (peer, message) => this.#asked(peer, message, answer)
  }

  /** Provider records that are kept of other devices. */
  get size (): number { return [...this.#kept.values()].reduce((sum, { size }) => sum + size, 0) }

  /** After an eviction: no record, no place in the table. Never rejects. */
  async forget (device: DeviceId): Promise<void> {
    const records = [...this.#kept.get(device)?.values() ?? []]
    this.#kept.delete(device)
    const { providers, routingTable } = this.#internals
    const peer = peerIdOf(device)
    await Promise.allSettled([routingTable.remove(peer), ...records.map(({ cid }) => providers.removeProvider(cid, peer))])
  }

  /** What it throws resets the stream. */
  async #asked (peer: PeerId, message: Message, answer: HandleMessage): Promise<unknown> {
    const device = deviceOf(peer)
    if (device === undefined || !this.#components.isMember(device)) throw new Error('not a member')
    if (!this.#buckets.take(device, RATE)) throw new Error('too many messages')
    const { type, key = new Uint8Array() } = message
    if (type === 'ADD_PROVIDER') return await this.#provided(device, peer, { ...message, key })
    const isAnswered = type === 'PING' || (type === 'FIND_NODE' && key.length <= FIND_KEY_BYTES_MAX) || (type === 'GET_PROVIDERS' && isMultihash(key))
    if (!isAnswered) throw new Error(`${type} of ${key.length} bytes is not answered`)
    return await answer(peer, message)
  }

  async #provided (device: DeviceId, peer: PeerId, { key, providers = [] }: Required<Pick<Message, 'key'>> & Message): Promise<undefined> {
    if (!isMultihash(key)) throw new Error('a provider record has a sha2-256 key')
    const own = providers.find(({ id }) => equalBytes(id, peer.toMultihash().bytes))
    if (own === undefined) throw new Error('a device provides in its own name only')
    const cid = CID.decode(key)
    await this.#makeRoom(device, cid.toString())
    await this.#internals.providers.addProvider(cid, peer)
    // One provider that is missing from the store voids the whole answer; what the device said in its hello is newer.
    const { peerStore } = this.#components
    const known = await peerStore.get(peer).catch(() => undefined)
    if (known === undefined || known.addresses.length === 0) await peerStore.patch(peer, { multiaddrs: own.multiaddrs.slice(0, ADDRESSES_MAX).map(bytes => multiaddr(bytes)) })
    this.#of(device).set(cid.toString(), { cid, atMs: this.#components.nowMs() })
  }

  /** The device's oldest record gives way to its own new one; nobody gives way to another. @throws Error when there is no room in all */
  async #makeRoom (device: DeviceId, name: string): Promise<void> {
    const records = this.#of(device)
    if (records.delete(name)) return
    const [oldest] = records
    if (records.size >= PER_DEVICE_MAX && oldest !== undefined) {
      records.delete(oldest[0])
      await this.#internals.providers.removeProvider(oldest[1].cid, peerIdOf(device))
    }
    if (this.size >= IN_ALL_MAX) this.#expire()
    if (this.size >= IN_ALL_MAX) throw new Error('no room for provider records')
  }

  #of (device: DeviceId): Map<string, { cid: CID, atMs: number }> {
    const records = this.#kept.get(device) ?? new Map<string, { cid: CID, atMs: number }>()
    this.#kept.set(device, records)
    return records
  }

  /** The library has dropped these by itself. */
  #expire (): void {
    const sinceMs = this.#components.nowMs() - PROVIDER_VALID_MS
    for (const [device, records] of this.#kept) {
      for (const [name, { atMs }] of records) if (atMs < sinceMs) records.delete(name)
      if (records.size === 0) this.#kept.delete(device)
    }
  }
}

function isMultihash (key: Uint8Array): boolean { return key.length === MULTIHASH_BYTES && key[0] === 0x12 && key[1] === 0x20 }
