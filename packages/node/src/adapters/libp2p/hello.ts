/**
 * The hello after the connection: who speaks which version, where it can be reached, and which life of it this is.
 *
 *     hello := { versions: [uint], epoch: bytes[8], addresses: [multiaddr], first: bool, relay?: bool, at?: uint }
 *
 * The answer to a hello is a hello.
 *
 * "Connected" is not "admitted": a device is admitted when it answered our hello and we accepted the answer. `first` says that
 * the sender had no connection to us before; `relay` that it passes connections on for members; `at` its clock, milliseconds since 1970. Nothing here names the device.
 */
import { ElderError, MalformedError, deviceOfAddress, toHex } from '@elder-node/protocol'
import type { DeviceId, Value } from '@elder-node/protocol'

const VERSION = 2
/** Interfaces of one machine, both families, and two ways to each of two relays; each address with its `/p2p/` is about 90 characters. */
const ADDRESSES_MAX = 16
const ADDRESS_CHARS_MAX = 256
const VERSIONS_MAX = 16

export interface Hello {
  versions: number[]
  /** Hex of 8 random bytes, drawn at start: a new one means a new process. */
  epoch: string
  addresses: string[]
  first: boolean
  /** Left out by a sender that does not relay. */
  relay: boolean
  /** Milliseconds since 1970 on the sender's clock; left out by a sender that does not say. */
  atMs?: number
}

export function encodeHello (epoch: Uint8Array, addresses: string[], { first, relay, atMs }: { first: boolean, relay: boolean, atMs?: number }): Value {
  return { versions: [VERSION], epoch, addresses: addresses.slice(0, ADDRESSES_MAX), first, ...(relay ? { relay } : {}), ...(atMs === undefined ? {} : { at: Math.round(atMs) }) }
}

/**
 * Addresses that do not end in the sender's own `/p2p/` are left out: nobody can send us dialling elsewhere.
 *
 * @throws MalformedError on any other shape; ElderError `VERSION` when there is no version in common
 */
export function decodeHello (from: DeviceId, value: Value): Hello {
  const { versions, epoch, addresses, first, relay, at } = (value ?? {}) as Record<string, Value | undefined>
  if (!Array.isArray(versions) || versions.length > VERSIONS_MAX || !versions.every(version => typeof version === 'number')) throw new MalformedError('a hello names its versions')
  if (!(epoch instanceof Uint8Array) || epoch.length !== 8) throw new MalformedError('a hello has an epoch of 8 bytes')
  if (!Array.isArray(addresses) || addresses.length > ADDRESSES_MAX) throw new MalformedError(`a hello has at most ${ADDRESSES_MAX} addresses`)
  if (!versions.includes(VERSION)) {
    throw new ElderError('VERSION', `the device speaks versions ${versions.join(', ')} of the mesh, this one ${VERSION}`, 'Bring both to the same release of elder-node.')
  }
  return { versions, epoch: toHex(epoch), addresses: addresses.filter(address => isOwnAddress(from, address)), first: first === true, relay: relay === true, ...(typeof at === 'number' && Number.isSafeInteger(at) && at >= 0 ? { atMs: at } : {}) }
}

function isOwnAddress (from: DeviceId, address: Value): address is string {
  return typeof address === 'string' && address.length <= ADDRESS_CHARS_MAX && deviceOfAddress(address) === from
}

