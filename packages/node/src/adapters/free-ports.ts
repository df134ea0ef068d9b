/**
 * Free TCP ports that stay free. The system lends the ports of one range to outgoing connections of every program; a port that a node
 * keeps from start to start lies outside of it, or a browser may hold it when the node comes back.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'

type Range = readonly [low: number, high: number]

/** What IANA reserves for it; macOS and Windows lend these, Linux says what it lends. */
const LENT: Range = [49_152, 65_535]
/** Above the ports that well-known services use. */
const KEPT: Range = [10_000, 49_151]
const TRIES = 64

/** The ports that the system lends to outgoing connections. */
export function lentPorts (text: string = readRange()): Range {
  const [low = 0, high = 0] = text.trim().split(/\s+/).map(Number)
  return low > 0 && high >= low ? [low, high] : LENT
}

/**
 * A port that nobody listens on and that the system does not lend; 0, which lets the system choose, when it lends all of them.
 *
 * @param random uniform in [0, 1): nodes that start together look in different places
 */
export async function freePort (host: string, random: () => number, lent: Range = lentPorts()): Promise<number> {
  const candidates = Array.from({ length: KEPT[1] - KEPT[0] + 1 }, (_, i) => KEPT[0] + i).filter(port => port < lent[0] || port > lent[1])
  for (let attempt = 0; attempt < TRIES && candidates.length > 0; attempt++) {
    const port = candidates[Math.floor(random() * candidates.length)] as number
    if (!await isTaken(host, port)) return port
  }
  return 0
}

/** Anything but "in use" (no such address, no IPv6 here) is left for whoever listens to judge. */
export function isTaken (host: string, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => { resolve(error.code === 'EADDRINUSE') })
    server.listen({ host, port, ipv6Only: host.includes(':'), exclusive: true }, () => { server.close(() => { resolve(false) }) })
  })
}

function readRange (): string {
  try {
    return readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
  } catch {
    return ''
  }
}
