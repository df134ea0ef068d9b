/**
 * In which order to try the addresses of another device. Pure.
 *
 *     a network that both are on, a VPN, the internet, private networks elsewhere, a relay
 *
 * A private address of a network that is not ours leads nowhere, mostly in silence: its time-out is paid last.
 */
import { BlockList, isIP } from 'node:net'
import type { InterfaceAddress } from './addresses.ts'
import { ipOf, isRelayed, networkKind } from './addresses.ts'

const RELAYED = 4
const SHARED = 0, VPN = 1, PUBLIC = 2, ELSEWHERE = 3

export function dialOrder (addresses: string[], interfaces: InterfaceAddress[]): string[] {
  const rank = dialRank(interfaces)
  return [...new Set(addresses)].map(address => ({ address, rank: rank(address) })).toSorted((a, b) => a.rank - b.rank).map(({ address }) => address)
}

/** 0 is tried first. */
function dialRank (interfaces: InterfaceAddress[]): (address: string) => number {
  const isHere = onNetworkOf(interfaces)
  const hasVpn = interfaces.some(({ name, address }) => networkKind(address, name) === 'vpn')
  return address => {
    if (isRelayed(address)) return RELAYED
    const ip = ipOf(address)
    if (ip === undefined) return PUBLIC
    if (isHere(ip)) return SHARED
    const kind = networkKind(ip)
    if (kind === 'vpn') return hasVpn ? VPN : ELSEWHERE
    return kind === 'public' ? PUBLIC : ELSEWHERE
  }
}

/** Is this IP on a local network of these interfaces, or this machine itself? VPNs are ways to other networks. */
export function onNetworkOf (interfaces: InterfaceAddress[]): (ip: string) => boolean {
  const networks = new BlockList()
  for (const { name, address, cidr } of interfaces) {
    const kind = networkKind(address, name)
    const [network, length] = cidr?.split('/') ?? []
    if (network === undefined || length === undefined || kind === 'vpn' || kind === 'bridge' || kind === 'link-local') continue
    networks.addSubnet(network, Number(length), family(network))
  }
  // From the network, an address may hold anything where its IP should be.
  return ip => isIP(ip) !== 0 && networks.check(ip, family(ip))
}

function family (ip: string): 'ipv4' | 'ipv6' { return ip.includes(':') ? 'ipv6' : 'ipv4' }
