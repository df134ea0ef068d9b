/** Which addresses are worth telling others, in the order worth trying: each useless one costs a dialler its time-out. */
import { networkInterfaces } from 'node:os'

/** `cidr`: with the length of its network, `192.168.1.5/24`. */
export interface InterfaceAddress { name: string, address: string, cidr: string | null }

export type NetworkKind = 'loopback' | 'link-local' | 'bridge' | 'lan' | 'vpn' | 'public'

/**
 * Bridges and switches inside this host, to its containers and virtual machines: nobody else can dial them. By name, since inside a
 * container the same range is the only way out. `br0` and `br-lan` are not among them: those carry a real network.
 */
const BRIDGE = /^(docker|br-[0-9a-f]{6,}|veth|virbr|vnet\d|cni|podman|lxcbr|lxdbr|incusbr|vmnet|vboxnet|bridge1\d\d$|flannel|cali|cilium|kube|vEthernet)/i
const VPN = /^(tailscale|ts\d|wg|tun|tap|utun|zt|nebula|ppp|ipsec|nordlynx|proton)/i
/** Tailscale gives each device one of these; a provider behind carrier-grade NAT uses the same range, and nobody outside reaches that either. */
const SHARED_SPACE = /^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./
const TAILSCALE_ULA = /^fd7a:115c:a1e0:/i
const PRIVATE = /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|f[cd][0-9a-f]{2}:)/i
const LINK_LOCAL = /^(169\.254\.|fe[89ab][0-9a-f]:)/i
const LOOPBACK = /^(127\.|::1$)/
const UNSPECIFIED = /^(0\.0\.0\.0|::)$/
const ORDER: NetworkKind[] = ['loopback', 'lan', 'vpn', 'public']
/** Of one interface, kind and family: a machine with temporary IPv6 addresses has a dozen, and one way in. */
const PER_NETWORK_MAX = 2
/** A hello has room for 16; the rest is for relays. */
const ANNOUNCED_MAX = 10

export interface Announcing {
  /** What the listeners say, each perhaps with `/p2p/`: multiaddr texts. */
  addresses: string[]
  listen: string[]
  /** What the owner asked to be told besides: kept as it is, whatever its network. */
  announce: string[]
  interfaces: InterfaceAddress[]
}

/**
 * The own addresses to tell others: the local network before the VPN before the public ones, then what was asked for. Without link-local
 * ones, bridges to containers and, unless there is nothing else or it was asked for, loopback. Never drops everything.
 */
export function announceable ({ addresses, listen, announce, interfaces }: Announcing): string[] {
  const isAsked = (address: string): boolean => announce.some(asked => address === asked || address.startsWith(`${asked}/p2p/`))
  const asked = unique(addresses.filter(isAsked))
  const own = unique(addresses.filter(address => !isAsked(address)))
  const useful = fewOfEach(own.map(address => ({ address, ...whereIs(address, interfaces) })).filter(({ kind }) => ORDER.includes(kind)))
  const wantsLoopback = listen.some(isLoopback)
  const chosen = useful.filter(address => wantsLoopback || !isLoopback(address))
  const best = chosen.length + asked.length > 0 ? chosen : [useful, own].find(list => list.length > 0) ?? []
  return [...best.slice(0, ANNOUNCED_MAX), ...asked]
}

/** What to remember about another device: its loopback only when it names nothing else (a mesh on one machine). */
export function dialable (addresses: string[]): string[] {
  const routable = addresses.filter(isRoutable)
  const remote = routable.filter(address => !isLoopback(address))
  return remote.length > 0 ? remote : routable
}

export function isRoutable (address: string): boolean {
  const ip = ipOf(address)
  return ip === undefined || !(LINK_LOCAL.test(ip) || UNSPECIFIED.test(ip))
}

/**
 * The addresses of this machine's interfaces. The system needs a file descriptor to list them: while there is none, the machine has
 * those of the last time.
 */
export function interfaceAddresses (): InterfaceAddress[] {
  try {
    last = Object.entries(networkInterfaces()).flatMap(([name, infos]) => (infos ?? []).map(({ address, cidr }) => ({ name, address, cidr })))
  } catch {
    // The next look tells what changed meanwhile.
  }
  return last
}

/** Of the machine, whoever asks. */
let last: InterfaceAddress[] = []

/** By the name of its interface where that says it, else by its range. */
export function networkKind (ip: string, interfaceName = ''): NetworkKind {
  if (LOOPBACK.test(ip)) return 'loopback'
  if (LINK_LOCAL.test(ip) || UNSPECIFIED.test(ip)) return 'link-local'
  if (BRIDGE.test(interfaceName)) return 'bridge'
  if (VPN.test(interfaceName) || SHARED_SPACE.test(ip) || TAILSCALE_ULA.test(ip)) return 'vpn'
  return PRIVATE.test(ip) ? 'lan' : 'public'
}

function isLoopback (address: string): boolean { return LOOPBACK.test(ipOf(address) ?? '') }

export function isRelayed (address: string): boolean { return address.includes('/p2p-circuit') }

/** Undefined for names (`/dns4/...`) and relayed addresses. */
export function ipOf (address: string): string | undefined {
  return isRelayed(address) ? undefined : /^\/ip[46]\/([^/]+)/.exec(address)?.[1]
}

interface Placed { address: string, kind: NetworkKind, name: string }

/** Names are public: whoever wrote one knows why. */
function whereIs (address: string, interfaces: InterfaceAddress[]): Omit<Placed, 'address'> {
  const ip = ipOf(address)
  if (ip === undefined) return { kind: 'public', name: address }
  const name = interfaces.find(({ address }) => address === ip)?.name ?? ''
  return { kind: networkKind(ip, name), name }
}

/** In the order of kinds; IPv4 first within one, as its failures are the quicker ones. */
function fewOfEach (placed: Placed[]): string[] {
  const seen = new Map<string, number>()
  const isEarly = ({ name, kind, address }: Placed): boolean => {
    const key = `${name} ${kind} ${address.slice(0, 4)}`
    seen.set(key, (seen.get(key) ?? 0) + 1)
    return (seen.get(key) ?? 0) <= PER_NETWORK_MAX
  }
  const rank = ({ kind, address }: Placed): number => 2 * ORDER.indexOf(kind) + Number(address.startsWith('/ip6/'))
  return placed.filter(isEarly).toSorted((a, b) => rank(a) - rank(b)).map(({ address }) => address)
}

function unique (addresses: string[]): string[] { return [...new Set(addresses)] }
