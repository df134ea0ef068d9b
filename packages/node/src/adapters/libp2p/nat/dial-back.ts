/**
 * "Can you dial me?": how a device learns whether others reach it from outside its own networks. The idea is AutoNAT's; libp2p's own
 * service decides after 4 successes in 4 different /8 networks or after 8 failures, which a mesh of three devices never sees.
 *
 *     question := { addresses: [multiaddr] }        answer := { reached: multiaddr | null }
 *
 * The asked device dials nobody but the asker: every address ends in the asker's key, and Noise proves it. It tries the address that it
 * sees the asker at with the ports the asker listens on, and the asker's public addresses.
 */
import { isIP } from 'node:net'
import { MalformedError, deviceOfAddress, peerIdOf } from '@elder-node/protocol'
import type { DeviceId, Value } from '@elder-node/protocol'
import { ipOf, isRelayed, networkKind } from '../addresses.ts'

const ADDRESSES_MAX = 16
const ADDRESS_CHARS_MAX = 256
/** Each may take its whole time-out, and the asker waits for all. */
const DIALS_MAX = 3
const PORTS_MAX = 2

export function encodeQuestion (addresses: string[]): Value {
  return { addresses: addresses.filter(address => !isRelayed(address)).slice(0, ADDRESSES_MAX) }
}

/** What to dial, best first. `seenAt`: the multiaddr of the asker's connection. @throws MalformedError */
export function decodeQuestion (from: DeviceId, value: Value, seenAt: string): string[] {
  const { addresses } = (value ?? {}) as Record<string, Value | undefined>
  if (!Array.isArray(addresses) || addresses.length > ADDRESSES_MAX) throw new MalformedError(`the question names at most ${ADDRESSES_MAX} addresses`)
  const own = addresses.filter((address): address is string => typeof address === 'string' && address.length <= ADDRESS_CHARS_MAX && deviceOfAddress(address) === from && !isRelayed(address))
  const ports = [...new Set(own.map(portOf).filter(port => port !== undefined))].slice(0, PORTS_MAX)
  const ip = ipOf(seenAt)
  const seen = ip === undefined ? [] : ports.map(port => `/${ip.includes(':') ? 'ip6' : 'ip4'}/${ip}/tcp/${port}/p2p/${peerIdOf(from)}`)
  const told = own.filter(address => ['public', 'vpn'].includes(networkKind(ipOf(address) ?? '')))
  return [...new Set([...seen, ...told])].slice(0, DIALS_MAX)
}

export function encodeAnswer (reached: string | undefined): Value { return { reached: reached ?? null } }

/** An address of this device, or undefined when it was not reached. @throws MalformedError */
export function decodeAnswer (self: DeviceId, value: Value): string | undefined {
  const { reached } = (value ?? {}) as Record<string, Value | undefined>
  if (reached === null) return undefined
  // It is told to others, and stands in logs: an IP address and a port, and nothing else that a name could lead to.
  const [, ip = '', port = ''] = typeof reached === 'string' && reached.length <= ADDRESS_CHARS_MAX ? /^\/ip[46]\/([0-9a-f.:]+)\/tcp\/(\d{1,5})\/p2p\/[^/]+$/i.exec(reached) ?? [] : []
  if (typeof reached !== 'string' || isIP(ip) === 0 || Number(port) > 65_535 || deviceOfAddress(reached) !== self) throw new MalformedError('the answer names an address of the asker')
  return reached
}

export function portOf (address: string): number | undefined {
  const port = /\/tcp\/(\d{1,5})(?:\/|$)/.exec(address)?.[1]
  return port === undefined ? undefined : Number(port)
}
