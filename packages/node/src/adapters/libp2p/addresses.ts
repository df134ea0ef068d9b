/** Which addresses are worth telling others: each useless one costs a dialler its time-out. */
import { networkInterfaces } from 'node:os'

export interface InterfaceAddress { name: string, address: string }

/** Bridges to containers and virtual machines of this host: nobody else can dial them. By name, since inside a container the same range is the only way out. */
const BRIDGE = /^(docker\d|br-[0-9a-f]{6,}|veth|virbr|cni|podman|lxcbr|vmnet)/
const LINK_LOCAL = /^(169\.254\.|fe[89ab][0-9a-f]:)/i
const LOOPBACK = /^(127\.|::1$)/
const UNSPECIFIED = /^(0\.0\.0\.0|::)$/

/**
 * Keeps private addresses; drops link-local ones, container bridges and, unless there is nothing else or it was asked for,
 * loopback. Never drops everything. `addresses` and `listen` are multiaddr texts.
 */
export function announceable (addresses: string[], listen: string[], interfaces: InterfaceAddress[]): string[] {
  const bridges = new Set(interfaces.filter(({ name }) => BRIDGE.test(name)).map(({ address }) => address))
  const useful = addresses.filter(address => isRoutable(address) && !bridges.has(ipOf(address) ?? ''))
  const wantsLoopback = listen.some(isLoopback)
  const chosen = useful.filter(address => wantsLoopback || !isLoopback(address))
  return [chosen, useful, addresses].find(list => list.length > 0) ?? []
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

export function interfaceAddresses (): InterfaceAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([name, infos]) => (infos ?? []).map(({ address }) => ({ name, address })))
}

function isLoopback (address: string): boolean { return LOOPBACK.test(ipOf(address) ?? '') }

/** Undefined for names (`/dns4/...`) and relayed addresses. */
function ipOf (address: string): string | undefined {
  return address.includes('/p2p-circuit') ? undefined : /^\/ip[46]\/([^/]+)/.exec(address)?.[1]
}
