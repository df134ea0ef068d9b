/** Which ports a node listens on: a port 0 is asked of the system once, and kept. */
import { createServer } from 'node:net'
import type { NodeConfig } from './node-config.ts'

type Ports = NodeConfig['ports']

/** Where a node listens when nobody says, if it is free at the first start. */
const DEFAULT_PORT = 4707
const ANY_PORT = ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0']

/** The ports of a node that was not told where to listen: every interface, on one port. */
export async function defaultPorts (ports: Ports): Promise<{ asked: string[], ports: Ports }> {
  const known = ANY_PORT.some(address => ports[address] !== undefined)
  if (known || !await isFree(DEFAULT_PORT)) return { asked: ANY_PORT, ports }
  return { asked: ANY_PORT, ports: { ...ports, ...Object.fromEntries(ANY_PORT.map(address => [address, DEFAULT_PORT])) } }
}

function isFree (port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', () => { resolve(false) })
    probe.listen({ port, exclusive: true }, () => { probe.close(() => { resolve(true) }) })
  })
}

/** The addresses to listen on: a port 0 becomes the one that was given at the first start. */
export function listenAddresses (asked: string[], ports: Ports): string[] {
  return asked.map(address => {
    const port = ports[address]
    return port === undefined ? address : address.replace(/\/(tcp|udp)\/0\b/, `/$1/${port}`)
  })
}

/** After a start: which port each `.../tcp/0` became. */
export function keepPorts (asked: string[], actual: string[], ports: Ports): Ports {
  const kept = { ...ports }
  for (const address of asked) {
    const protocol = /^(\/ip[46])\/[^/]+\/tcp\/0\b/.exec(address)?.[1]
    const found = protocol === undefined ? undefined : actual.find(text => text.startsWith(`${protocol}/`))
    const port = Number(/\/tcp\/(\d+)/.exec(found ?? '')?.[1])
    if (kept[address] === undefined && port > 0) kept[address] = port
  }
  return kept
}
