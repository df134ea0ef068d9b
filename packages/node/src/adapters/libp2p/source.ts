/** Where a connection comes from, as bounds count it. */
import { isIPv6 } from 'node:net'

/** The IPv4 address, the /64 of an IPv6 address, or for a relayed connection everything up to its relay. */
export function sourceOf (address: string): string {
  const relayed = address.indexOf('/p2p-circuit')
  if (relayed >= 0) return address.slice(0, relayed)
  const [, family, ip = ''] = /^\/(ip4|ip6)\/([^/]+)/.exec(address) ?? []
  return family === 'ip6' ? networkOf(ip) : family === 'ip4' ? ip : address
}

function networkOf (ip: string): string {
  const plain = ip.split('%')[0] as string
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)?.[1]
  if (mapped !== undefined) return mapped
  if (!isIPv6(plain)) return ip
  const [head = '', tail] = plain.split('::')
  const groups = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const all = tail === undefined ? groups : [...groups, ...Array.from({ length: Math.max(0, 8 - groups.length - after.length) }, () => '0'), ...after]
  return `${all.slice(0, 4).map(group => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}
